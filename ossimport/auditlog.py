r"""One line of a task's audit.log for everything that happened to an object.

    2026-11-23 05:18:00 Copied photos/a.jpg Detail:#12 size=4096 crc64=123 proof=2 ms=13 tries=1
    2026-11-23 05:18:00 Copied c.jpg Detail:#14 size=9 crc64=7 proof=2 ms=9 tries=1 \
        unkept=x-amz-tagging-count,x-amz-meta-a.b
    2026-11-23 05:18:01 Failed b.jpg Detail:#13 size=9 proof=0 ms=7 tries=8 code=Timeout request= \
        message=no answer

Time (the worker's local zone), word, key, and after `Detail:` the object's number in its task and
what is known; `unkept` names the headers of the source that did not go with the object. Keys are
written as `naming.display` shows them, messages by `naming.one_line`; a key that itself holds
" Detail:" has that blank as `\x20`, so the first " Detail:" of a line always ends the key.

The last word about an object counts. `CheckFailed` takes an outcome back: the object is left again.
`Given` names another task that has objects of this one now.
"""

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

from ossimport.model import CopyResult, Mark, Outcome, Proof, Upload, mark_of
from ossimport.naming import display, one_line, parse_display

CHECK_FAILED = "CheckFailed"
UPLOAD_STARTED = "UploadStarted"
UPLOAD_ENDED = "UploadEnded"  # completed or aborted: nothing of it is left at the destination

_WORD_OF = {outcome: outcome.value.capitalize() for outcome in Outcome}
OUTCOME_OF = {word: outcome for outcome, word in _WORD_OF.items()}

GIVEN = "Given"  # to another task, see `format_given`
_GIVEN_LINE = re.compile(rf".{{20}}{GIVEN} (\S+) Detail:#(\d+(?:-\d+)?(?:,\d+(?:-\d+)?)*)\n?")

_MARK = " Detail:"
_ESCAPED_MARK = "\\x20Detail:"

_LINE = re.compile(
    r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) ([A-Z][A-Za-z]+) (.*?) Detail:#(\d+)"
    r"(?: size=(\d+)(?: crc64=(\d+))? proof=([0-3]) ms=(\d+) tries=(\d+)"
    r"(?: unkept=(\S*))?(?: code=(\S*) request=(\S*) message=(.*))?"
    r"| upload=(\S*) part=(\d+) key=(.*))?\n?"
)
# Any line; those that nearly all of a log consists of are told apart, and need no other reader.
# A key holds no " Detail:", so the first one ends it, whatever a message may hold.
_ANY_LINE = re.compile(
    rb"(?:.{20}(Copied|Skipped) [^ \n]*+(?: (?!Detail:)[^ \n]*+)*+ Detail:#(\d++)"
    rb" size=\d++(?: crc64=\d++)? proof=([0-3]) ms=(\d++) tries=\d++|(.*+))\n"
)
_PLAIN_MARK = {
    _WORD_OF[outcome].encode(): {proof.encode(): mark_of(outcome, proof) for proof in Proof}
    for outcome in (Outcome.COPIED, Outcome.SKIPPED)
}


class UploadLine(NamedTuple):
    """What a line says of a multipart upload."""

    key: str  # at the destination
    upload_id: str
    part_size: int


class AuditLine(NamedTuple):
    """A line, read back. `result` belongs to the words of an outcome, `upload` to those of one."""

    when: str  # yyyy-MM-dd HH:mm:ss
    word: str
    number: int  # of the object in its task, from 0
    key: str
    result: CopyResult | None = None
    upload: UploadLine | None = None


class Slow(NamedTuple):
    """An object that took long."""

    seconds: float
    size: int
    key: str


class FailedGroup(NamedTuple):
    """The objects that failed with one code: how many, the first names, one of the messages."""

    objects: int
    keys: tuple[str, ...]
    message: str


class Highlights(NamedTuple):
    """What is worth telling of a job's objects. `complete` is False when not all was read."""

    slowest: tuple[Slow, ...] = ()
    failed_by_code: Mapping[str, FailedGroup] = {}
    complete: bool = True


@lru_cache(maxsize=4)
def _stamp(second: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(second))


def _shown(key: str) -> str:
    text = display(key)
    return text.replace(_MARK, _ESCAPED_MARK) if _MARK in text else text


def _token(text: str) -> str:
    """`text` without blanks, so that a blank ends it."""
    return display(re.sub(r"\s", "_", text)) if text else ""


def format_line(index: int, key: str, result: CopyResult, now: float) -> str:
    """The line, newline included, that says how object number `index` of the task ended.

    `now` is in epoch seconds. Code, request id and message are written when there is a code or a
    message; blanks in code and request id become `_`.
    """
    outcome, size, proof, crc64, code, message, request_id, attempts, seconds, unkept, _ = result
    crc = "" if crc64 is None else f" crc64={crc64}"
    tail = f" unkept={_token(','.join(unkept))}" if unkept else ""
    if code or message:
        tail += f" code={_token(code)} request={_token(request_id)} message={one_line(message)}"
    return (
        f"{_stamp(int(now))} {_WORD_OF[outcome]} {_shown(key)} Detail:#{index} size={size}{crc} "
        f"proof={proof!s} ms={round(seconds * 1000)} tries={attempts}{tail}\n"
    )


def format_check_failed(index: int, key: str, now: float) -> str:
    """The line that takes back what was said of an object: the destination does not hold it."""
    return f"{_stamp(int(now))} {CHECK_FAILED} {_shown(key)} Detail:#{index}\n"


def format_upload(
    index: int, key: str, upload: Upload, now: float, *, word: str = UPLOAD_STARTED
) -> str:
    """The line that says that a multipart upload began (UPLOAD_STARTED) or ended (UPLOAD_ENDED)."""
    return (
        f"{_stamp(int(now))} {word} {_shown(key)} Detail:#{index} "
        f"upload={_token(upload.upload_id)} part={upload.part_size} key={display(upload.key)}\n"
    )


def format_given(task_id: str, numbers: Sequence[int], now: float) -> str:
    """The line that says which objects, by their numbers in order, another task has now.

    It is one line however many they are, so that a crash leaves all of it or nothing:
    `Given TASK Detail:#3,5-9`.
    """
    spans: list[list[int]] = []
    for number in numbers:
        if spans and spans[-1][1] == number - 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    shown = (f"{a}-{b}" if a < b else f"{a}" for a, b in spans)
    return f"{_stamp(int(now))} {GIVEN} {task_id} Detail:#{','.join(shown)}\n"


def parse_given(line: str, objects: int) -> tuple[str, list[int]] | None:
    """The task and the numbers, all below `objects`, of such a line; None for any other."""
    match = _GIVEN_LINE.fullmatch(line)
    if match is None:
        return None
    spans = [tuple(map(int, span.split("-"))) for span in match[2].split(",")]
    if any(span[-1] >= objects for span in spans):  # it was torn and written over
        return None
    return match[1], [number for span in spans for number in range(span[0], span[-1] + 1)]


def parse_line(line: str) -> AuditLine | None:
    """Read a line back; None for anything that is not a whole line of ours."""
    match = _LINE.fullmatch(line)
    if match is None:
        return None
    when, word, key, index, size, crc, proof, ms, tries = match.groups()[:9]
    unkept, code, request, message, upload_id, part_size, dest_key = match.groups()[9:]
    outcome = OUTCOME_OF.get(word)
    if (outcome is None) != (size is None):
        return None
    try:
        result = upload = None
        if outcome is not None:
            result = CopyResult(
                outcome=outcome,
                size=int(size),
                proof=Proof(proof),
                crc64=None if crc is None else int(crc),
                code=parse_display(code or ""),
                message=message or "",
                request_id=parse_display(request or ""),
                attempts=int(tries),
                seconds=int(ms) / 1000,
                unkept=tuple(parse_display(unkept).split(",")) if unkept else (),
            )
        if upload_id is not None:
            upload = UploadLine(parse_display(dest_key), parse_display(upload_id), int(part_size))
        return AuditLine(when, word, int(index), parse_display(key), result, upload)
    except ValueError:  # a stray backslash: the line was torn and written over
        return None


def read_log(log: bytes) -> Iterator[tuple[int, Mark, int] | str]:
    """All whole lines of a log, in order.

    Of one that says Copied or Skipped and nothing unusual the object's number, its mark and
    milliseconds; any other one as it is, for `parse_line` and `parse_given`.
    """
    for word, number, proof, ms, other in _ANY_LINE.findall(log):
        if word:
            yield int(number), _PLAIN_MARK[word][proof], int(ms)
        else:
            yield other.decode(errors="replace")
