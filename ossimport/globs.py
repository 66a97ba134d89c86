r"""Patterns of names, with the meaning that rclone gives them.

    *          any characters but /
    **         any characters, / too
    ?          one character, not /
    [a-z.]     one of these; [^...] one that is none of these (even /)
    {a,b*}     one of these patterns; braces do not nest
    \c         the character c itself, one of  * ? [ ] { } , ; \
    /a         begins at the beginning of the key; else at any /
    a/         everything below the directory a: as a/**

A pattern describes the key up to its end. Upper and lower case differ. Several patterns stand
apart by `;`, and blanks around them do not count.
"""

import re

SEPARATOR = ";"

_ESCAPABLE = "*?[]{},;\\"


class BadGlob(ValueError):
    """A pattern that means nothing. The text says why; `cure` is what to write."""

    def __init__(self, message: str, cure: str) -> None:
        super().__init__(message)
        self.cure = cure


def split(text: str) -> list[str]:
    r"""The patterns of a list; `\;` does not separate. Raises BadGlob for an empty one."""
    patterns, pattern, escaped = [], "", False
    for char in text:
        if char == SEPARATOR and not escaped:
            patterns.append(pattern)
            pattern = ""
        else:
            pattern += char
        escaped = char == "\\" and not escaped
    patterns = [each.strip() for each in (*patterns, pattern)]
    if not all(patterns):
        raise BadGlob("there is no pattern before or behind a ;", "write a;b without one more ;")
    return patterns


def expression(glob: str) -> str:
    """The regular expression that a whole key matches if the pattern does. Raises BadGlob."""
    start = "" if glob.startswith("/") else "(?:.*/)?"
    end = ".*" if glob.endswith("/") else ""
    return f"(?s:{start}{_Parser(glob.removeprefix('/')).parse()}{end})"


class _Parser:
    """One walk over one pattern."""

    def __init__(self, glob: str) -> None:
        self._glob = glob
        self._at = 0
        self._in_braces = False

    def parse(self) -> str:
        found = []
        while self._at < len(self._glob):
            found.append(self._next())
        if self._in_braces:
            raise BadGlob("a { is not closed", r"write } behind it, or \{ for the character")
        return "".join(found)

    def _next(self) -> str:
        """Read one thing and go behind it."""
        char = self._glob[self._at]
        if char == "*":
            return self._stars()
        self._at += 1
        if char in "?[\\{":
            begin = {"?": self._any, "[": self._class, "\\": self._escaped, "{": self._open}
            return begin[char]()
        if self._in_braces and char in "},":
            self._in_braces = char != "}"
            return ")" if char == "}" else "|"
        if char in "]}":
            raise BadGlob(f"a {char} closes nothing", rf"write \{char} for the character")
        return re.escape(char)

    def _any(self) -> str:
        return "[^/]"

    def _stars(self) -> str:
        rest = self._glob[self._at :]
        count = len(rest) - len(rest.lstrip("*"))
        if count > 2:
            raise BadGlob("there are more than two * in a row", "write ** for anything, / too")
        self._at += count
        return ".*" if count == 2 else "[^/]*"

    def _open(self) -> str:
        if self._in_braces and self._glob[self._at - 2 : self._at] == "{{":
            raise BadGlob("{{ }} is not known here", "use includeRegex or excludeRegex")
        if self._in_braces:
            raise BadGlob("there is a { inside of { }", "write the patterns one by one, with ;")
        self._in_braces = True
        return "(?:"

    def _escaped(self) -> str:
        char = self._glob[self._at : self._at + 1]
        if not char or char not in _ESCAPABLE:
            raise BadGlob(r"a \ stands before what needs none", r"write \\ for the character \ ")
        self._at += 1
        return re.escape(char)

    def _class(self) -> str:
        """A class, behind its [."""
        negated = self._take("^")
        if self._glob[self._at : self._at + 1] == "!":
            raise BadGlob("[! means another thing to each tool", r"write [^...], or [\!...]")
        found = []
        while not self._take("]"):
            low = self._member()
            if self._glob[self._at : self._at + 1] == "-" and self._glob[self._at + 1 :][:1] != "]":
                self._at += 1
                high = self._member()
                if high < low:
                    raise BadGlob(f"{low}-{high} is no range", f"write {high}-{low}")
                found.append(f"{re.escape(low)}-{re.escape(high)}")
            else:
                found.append(re.escape(low))
        if not found:
            raise BadGlob("there is nothing in [ ]", r"write \[ for the character")
        return f"[{'^' if negated else ''}{''.join(found)}]"

    def _member(self) -> str:
        char = self._glob[self._at : self._at + 1]
        if not char:
            raise BadGlob("a [ is not closed", r"write ] behind it, or \[ for the character")
        if char == "[":
            raise BadGlob("there is a [ inside of [ ]", r"write \[ for the character")
        self._at += 1
        if char != "\\":
            return char
        escaped = self._glob[self._at : self._at + 1]
        if not escaped or escaped.isalnum():
            raise BadGlob(r"a \ stands before what needs none", r"write \\ for the character \ ")
        self._at += 1
        return escaped

    def _take(self, char: str) -> bool:
        taken = self._glob[self._at : self._at + 1] == char
        self._at += taken
        return taken
