"""The ledger on Redis or Valkey (6.2 or newer, no Cluster).

Each method is one Lua script (`lua/*.lua`), so it happens wholly or not at all, on the server's
clock. `keys.py` says what is stored where; the methods are in `console_part.py`, `master_part.py`
and `worker_part.py`; `connecting.py` makes the client, `refusals.py` words redis-py's errors.
"""

from collections.abc import Sequence
from importlib import resources
from typing import TYPE_CHECKING, Any

from redis.exceptions import NoPermissionError, RedisError

from ossimport.config.kinds import Mistake
from ossimport.config.redis_url import RedisPlace, read_redis_url
from ossimport.errors import (
    JobExists,
    JobNotFound,
    LedgerBehind,
    OssImportError,
    PreflightError,
    StaleClaim,
)
from ossimport.ledger.base import Ledger
from ossimport.ledger.connecting import connect
from ossimport.ledger.console_part import ConsolePart
from ossimport.ledger.lending_part import LendingPart
from ossimport.ledger.limits_part import LimitsPart
from ossimport.ledger.master_part import MasterPart
from ossimport.ledger.packing import to_bytes
from ossimport.ledger.refusals import unavailable
from ossimport.ledger.scripted import Argument
from ossimport.ledger.server import judge
from ossimport.ledger.worker_part import WorkerPart

if TYPE_CHECKING:
    from redis import Redis
    from redis.commands.core import Script

# What prelude.lua calls the reasons for which a script refuses.
_REFUSALS: dict[str, tuple[type[OssImportError], str]] = {
    "NOJOB": (JobNotFound, "There is no job of the name {about}; bash console.sh stat names all."),
    "EXISTS": (JobExists, "A job of the name {about} is there already, please clean it first."),
    "STALE": (StaleClaim, "The claim on {about} is not live any more; somebody else may have it."),
    "BEHIND": (LedgerBehind, "The ledger has lost steps of job {about}."),
}


def open_ledger(url: str) -> "RedisLedger":
    """The ledger behind a URL (see `config/redis_url.py`). Nothing is sent until the first call.

    Raises ValueError for what is no such URL. Waiting and trying again is the caller's business.
    """
    try:
        place = read_redis_url(url)
    except Mistake as mistake:
        raise ValueError(f"not the URL of a Redis: {mistake.message}") from None
    return RedisLedger(connect(place), place)


class RedisLedger(ConsolePart, MasterPart, WorkerPart, LendingPart, LimitsPart):
    """The ledger in one database of a server. Safe to share between threads.

    `client` must not decode responses. Make it after a fork, not before.
    """

    def __init__(self, client: "Redis", place: RedisPlace) -> None:
        self._client = client
        self._place = place
        folder = resources.files("ossimport.ledger") / "lua"
        prelude = (folder / "prelude.lua").read_text("utf-8")
        self._scripts: dict[str, Script] = {
            file.name.removesuffix(".lua"): client.register_script(
                prelude + file.read_text("utf-8")
            )
            for file in folder.iterdir()
            if file.name != "prelude.lua"
        }

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def examine(self) -> list[str]:
        """What of the server's settings an operator should know.

        Raises PreflightError when it cannot be the ledger as it is set, LedgerUnavailable.
        """
        try:
            info = self._client.info()
        except NoPermissionError:
            return [
                f"Redis at {self._place}: this user may not run INFO, so the server's settings were"
                " not looked at. Grant it +info; see docs/redis.md"
            ]
        except RedisError as exc:
            raise self._translate(exc, "") from exc
        findings = judge(info, sentinel=bool(self._place.master_name))
        if findings.mistakes:
            raise PreflightError(
                "\n".join(
                    f"Redis at {self._place} cannot be used: {mistake}; see docs/redis.md"
                    for mistake in findings.mistakes
                )
            )
        return [f"Redis at {self._place}: {warning}" for warning in findings.warnings]

    def _run(
        self, script: str, about: str, keys: Sequence[str], args: Sequence[Argument] = ()
    ) -> Any:
        try:
            return self._scripts[script](
                keys=[to_bytes(key) for key in keys], args=[to_bytes(arg) for arg in args]
            )
        except RedisError as exc:
            raise self._translate(exc, about) from exc

    def _translate(self, exc: RedisError, about: str) -> Exception:
        code = exc.status_code or str(exc).split(" ")[0]
        if code in _REFUSALS:
            kind, text = _REFUSALS[code]
            return kind(text.format(about=about))
        if code == "SUMS":
            return ValueError(f"the numbers given for {about} contradict its marks")
        return unavailable(exc, self._place) or exc


_check: type[Ledger] = RedisLedger
