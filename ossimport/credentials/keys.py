"""The credentials of one end, as they are now.

They are renewed ahead of their end, by one thread, while requests go on with the old ones. When
they have ended and there are no others, whoever needs them waits for a while, and then is told that
the job has to wait: nothing fails because of it.
"""

import asyncio
import logging
import math
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from datetime import UTC, datetime
from typing import NamedTuple

from ossimport.errors import Waiting

log = logging.getLogger(__name__)

AHEAD_S = 300.0  # before their end, or a quarter of their life if that is less
RECHECK_S = 30.0  # of credentials that do not say when they end, or that nobody has renewed yet
PATIENCE_S = 10.0  # for others, once they have ended
POLL_S = 1.0


class Credentials(NamedTuple):
    """A pair of keys, with the token of a temporary one."""

    access_key: str
    secret_key: str
    security_token: str = ""
    expires: float = math.inf  # seconds since 1970

    def __repr__(self) -> str:
        return f"Credentials(expires={self.expires})"


class Unavailable(Exception):
    """Credentials could not be had. The text is for the operator and quotes nothing of them."""


class Keys:
    """The credentials of one end. For several threads and event loops.

    Before each request: `if keys.due <= now: await keys.get()`, then `keys.current`. Who is refused
    because of them calls `refuse` with those that were used, then `get` again.
    """

    def __init__(
        self,
        fetch: Callable[[], Credentials],
        *,
        end: str,
        reference: str,
        clock: Callable[[], float] = time.time,
        patience_s: float = PATIENCE_S,
        poll_s: float = POLL_S,
    ) -> None:
        """`fetch` gets credentials or raises Unavailable; it may take its time.

        `end` and `reference` are for messages: `destCredentials`, `file:/path`.
        """
        self.current = Credentials("", "", "", -math.inf)
        self.due = -math.inf  # when `get` has something to do
        self.is_fixed = False
        self._fetch = fetch
        self._end = end
        self._reference = reference
        self._clock = clock
        self._patience_s = patience_s
        self._poll_s = poll_s
        self._refused: Credentials | None = None
        self._refusal = ""
        self._trouble = ""
        self._lock = threading.Lock()
        self._renewal: Future[None] | None = None

    @classmethod
    def fixed(cls, access_key: str, secret_key: str, security_token: str = "") -> "Keys":
        """Keys of the job file: they do not change while the job runs."""
        keys = cls(lambda: keys.current, end="", reference="")
        keys.current = Credentials(access_key, secret_key, security_token)
        keys.due = math.inf
        keys.is_fixed = True
        return keys

    async def get(self) -> Credentials:
        """Credentials that have not ended and were not refused.

        Raises Waiting if there are none for `patience_s`.
        """
        waited = 0.0
        while True:
            now = self._clock()
            if self._is_usable(now):
                if self.due <= now:
                    self._renew()
                return self.current
            # Shielded: who is cancelled does not end the waiting of the others.
            await asyncio.shield(asyncio.wrap_future(self._renew()))
            if self._is_usable(self._clock()):
                return self.current
            if waited >= self._patience_s:
                raise self._waiting()
            await asyncio.sleep(self._poll_s)
            waited += self._poll_s

    def wait_no_more(self) -> None:
        """From now on `get` does not wait for others, once it has fetched what is there."""
        self._patience_s = 0.0

    def refuse(self, used: Credentials, code: str) -> None:
        """The service has refused `used`, which were ours, with `code`."""
        with self._lock:
            if used == self.current and used != self._refused:
                log.warning("%s: the credentials were refused: %s", self._end, code)
                self._refused, self._refusal = used, code
                self.due = -math.inf

    def have_ended(self, used: Credentials) -> bool:
        """Whether `used` were to end by now."""
        return used.expires <= self._clock()

    def _is_usable(self, now: float) -> bool:
        return now < self.current.expires and self.current != self._refused

    def _renew(self) -> "Future[None]":
        """Fetch in a thread of its own, one at a time. What is returned ends without an error."""
        with self._lock:
            if self._renewal is None or self._renewal.done():
                self._renewal = Future()
                threading.Thread(
                    target=self._fetch_into, args=(self._renewal,), name="keys", daemon=True
                ).start()
            return self._renewal

    def _fetch_into(self, renewal: "Future[None]") -> None:
        try:
            found: Credentials | None = self._fetch()
            trouble = ""
        except Unavailable as exc:
            found, trouble = None, str(exc)
        except Exception as exc:  # noqa: BLE001 -- nobody must wait for ever
            # Its text might quote what must not be logged.
            found, trouble = None, f"unexpected {type(exc).__name__}"
        with self._lock:
            now = self._clock()
            if trouble and trouble != self._trouble:
                log.warning("%s: %s", self._end, trouble)
            self._trouble = trouble
            is_new = found is not None and found != self.current
            if found is not None:
                self.current = found
            left = self.current.expires - now
            if is_new and left < math.inf:
                wait = left - min(AHEAD_S, left / 4)
            else:
                wait = min(RECHECK_S, left / 8)
            if self.current != self._refused:
                self.due = now + max(self._poll_s / 4, wait)
        renewal.set_result(None)

    def _waiting(self) -> Waiting:
        if self._trouble:
            what = f"cannot be had: {self._trouble}"
        elif self.current == self._refused:
            what = f"were refused ({self._refusal})"
        else:
            ended = datetime.fromtimestamp(self.current.expires, UTC)
            what = f"expired at {ended:%Y-%m-%dT%H:%M:%SZ}"
        return Waiting(
            f"the credentials of {self._end} {what}. Cure: put new ones in {self._reference}; a"
            " running job goes on by itself",
            code="CredentialsExpired",
        )
