"""Which of the listed objects a job takes; the others are excluded, with a code, and counted."""

from collections.abc import Iterable, Iterator

from ossimport.model import Scanned, Verdict

BEFORE_IMPORT_SINCE = "BeforeImportSince"


def select(entries: Iterable[Scanned], *, import_since: int) -> Iterable[Scanned]:
    """Exclude the objects last modified before `import_since` (seconds since 1970; 0 takes all).

    An object modified in that very second is taken: many stores round times down to the second, so
    it may be newer than it looks, and copying it twice loses nothing. So is an object whose store
    states no time.
    """
    if import_since <= 0:
        return entries
    return _since(entries, import_since * 1_000_000_000)


def _since(entries: Iterable[Scanned], since_ns: int) -> Iterator[Scanned]:
    for entry in entries:
        mtime_ns = entry.info.mtime_ns
        if mtime_ns >= since_ns or mtime_ns == 0 or entry.verdict is not Verdict.COPY:
            yield entry
        else:
            yield entry._replace(verdict=Verdict.EXCLUDED, code=BEFORE_IMPORT_SINCE)
