"""Which of the listed objects a job takes; the others are excluded, with a code, and counted.

An object is taken if every condition that the job sets holds:

    key                             taken if                              else it is excluded as
    ------------------------------  ------------------------------------  ----------------------
    include, includeRegex           a glob matches or the expression is   NotIncluded
                                    found (of those that are set)
    exclude, excludeRegex           no glob matches, it is not found      ExcludedByName
    minSize, maxSize                minSize <= size <= maxSize            TooSmall, TooLarge
    importSince                     modified in that second or later      BeforeImportSince
    modifiedAfter, modifiedBefore   modifiedAfter <= time < modifiedBefore   TooOld, TooNew

Names are keys behind srcPrefix. An object modified in the very second of a lower limit is taken:
many stores round times down to the second, so it may be newer than it looks, and copying it twice
loses nothing. So is an object whose store states no time.
"""

import re
from collections.abc import Callable, Iterable, Iterator

from ossimport import globs
from ossimport.config import FilterConfig
from ossimport.model import ObjectInfo, Scanned, Verdict

BEFORE_IMPORT_SINCE = "BeforeImportSince"
NOT_INCLUDED = "NotIncluded"
EXCLUDED_BY_NAME = "ExcludedByName"
TOO_SMALL = "TooSmall"
TOO_LARGE = "TooLarge"
TOO_OLD = "TooOld"
TOO_NEW = "TooNew"

Rule = Callable[[ObjectInfo], bool]
"""Whether an object is to be left out."""

_SECOND_NS = 1_000_000_000


class Filters:
    """The conditions of one job. For several threads."""

    def __init__(self, config: FilterConfig, *, import_since: int = 0) -> None:
        rules: list[tuple[str, Rule | None]] = [
            (NOT_INCLUDED, _not(_named(config.include, config.include_regex))),
            (EXCLUDED_BY_NAME, _named(config.exclude, config.exclude_regex)),
            (TOO_SMALL, _smaller(config.min_size)),
            (TOO_LARGE, _larger(config.max_size)),
            (BEFORE_IMPORT_SINCE, _before(import_since)),
            (TOO_OLD, _before(config.modified_after)),
            (TOO_NEW, _from(config.modified_before)),
        ]
        self._rules = [(code, rule) for code, rule in rules if rule is not None]

    def select(self, entries: Iterable[Scanned]) -> Iterable[Scanned]:
        """Every entry, in order; those that the job does not take are excluded."""
        return self._selected(entries) if self._rules else entries

    def _selected(self, entries: Iterable[Scanned]) -> Iterator[Scanned]:
        rules = self._rules
        for entry in entries:
            if entry.verdict is Verdict.COPY:
                for code, leaves_out in rules:
                    if leaves_out(entry.info):
                        yield entry._replace(verdict=Verdict.EXCLUDED, code=code)
                        break
                else:
                    yield entry
            else:
                yield entry


def _named(patterns: str, expression: str) -> Rule | None:
    """The name matches one of the globs, or holds what the expression describes."""
    whole = patterns and re.compile(
        "|".join(globs.expression(glob) for glob in globs.split(patterns))
    )
    part = expression and re.compile(expression)
    if not whole and not part:
        return None

    def rule(info: ObjectInfo) -> bool:
        key = info.key
        return bool((whole and whole.fullmatch(key)) or (part and part.search(key)))

    return rule


def _not(rule: Rule | None) -> Rule | None:
    return None if rule is None else lambda info: not rule(info)


def _smaller(limit: int) -> Rule | None:
    return (lambda info: info.size < limit) if limit else None


def _larger(limit: int) -> Rule | None:
    return (lambda info: info.size > limit) if limit else None


def _before(seconds: int) -> Rule | None:
    limit = seconds * _SECOND_NS
    return (lambda info: info.mtime_ns < limit and info.mtime_ns != 0) if limit else None


def _from(seconds: int) -> Rule | None:
    limit = seconds * _SECOND_NS
    return (lambda info: info.mtime_ns >= limit) if limit else None
