"""The limits that are set, on the master's disk: a Redis that was wiped clean gets them back."""

import json
from pathlib import Path

from ossimport.journal import files, texts
from ossimport.limits.leases import LimitTable
from ossimport.limits.limit import job_of

_DAMAGED = "Cure: remove the file, and set the limits again (ossimport throttle)"


class LimitsFile:
    """`limits.json` in the master's directory. Every method may raise ServiceError."""

    def __init__(self, master_dir: Path) -> None:
        self._path = master_dir / "limits.json"
        self._kept: LimitTable | None = None

    def keep(self, table: LimitTable) -> None:
        """Write the limits down, unless those that are there are later ones."""
        kept = self._kept or self.stored()
        if table != kept and table.version >= kept.version:
            files.make_dir(self._path.parent)
            data = {"version": table.version, "limits": dict(table.texts)}
            files.write(self._path, json.dumps(data, indent=1).encode() + b"\n")
            files.sync_dir(self._path.parent)
            kept = table
        self._kept = kept

    def stored(self) -> LimitTable:
        """What was written down last; version 0 if nothing ever was."""
        data = files.read(self._path)
        if data is None:
            return LimitTable(0, {})
        try:
            raw = texts.parse_json(data)
            limits = {texts.text_of(s): texts.text_of(t) for s, t in raw["limits"].items()}
            return LimitTable(texts.number_of(raw["version"]), limits)
        except (ValueError, KeyError, TypeError, AttributeError) as exc:
            raise files.damaged(self._path, f"it holds no limits ({exc!r}). {_DAMAGED}") from exc

    def stored_for(self, jobs: list[str]) -> LimitTable:
        """The same without the limits of any other jobs."""
        table = self.stored()
        kept = {s: text for s, text in table.texts.items() if job_of(s) in {"", *jobs}}
        return LimitTable(table.version, kept)
