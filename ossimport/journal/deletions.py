"""What one round deletes at OSS: what it is about to, and in the end what became of it."""

from collections.abc import Iterable
from pathlib import Path

from ossimport.journal import files
from ossimport.naming import display, parse_display


class Deletions:
    """The record of one round, in its directory. Every method may raise ServiceError."""

    def __init__(self, directory: Path) -> None:
        self._begun = directory / "deleting.list"
        self._ended = directory / "deleted.list"

    def begin(self, keys: Iterable[str]) -> None:
        """Write down objects that may be deleted from now on. Durable when it returns."""
        files.make_dir(self._begun.parent)
        end = len(self._whole_lines())
        files.write_at(self._begun, end, "".join(f"{display(key)}\n" for key in keys).encode())
        files.sync_file(self._begun)
        files.sync_dir(self._begun.parent)

    def begun(self) -> frozenset[str]:
        """What `begin` was told, also before a crash."""
        return frozenset(map(parse_display, self._whole_lines().decode().splitlines()))

    def end(self, text: bytes) -> None:
        """Keep the list of what was done. Idempotent."""
        files.make_dir(self._ended.parent)
        files.write(self._ended, text)

    def forget_begun(self) -> None:
        """Nobody goes on with it. Idempotent."""
        files.remove(self._begun)

    def _whole_lines(self) -> bytes:
        text = files.read(self._begun) or b""
        return text[: text.rfind(b"\n") + 1]
