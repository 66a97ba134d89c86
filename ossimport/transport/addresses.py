"""The addresses of one name: looked up now and then, used in turn, put aside where they fail."""

import asyncio
import ipaddress
import socket
import time
from collections.abc import Awaitable, Callable, Sequence
from itertools import zip_longest

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""Given a name and a port, all its IP addresses. Raises OSError or UnicodeError."""

_FRESH_S = 60.0  # many services move their names by DNS, and promise that it takes a minute
_ASIDE_S = 30.0


async def resolve(name: str, port: int) -> Sequence[str]:
    """Ask the system, in a thread of the event loop's."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(name, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


class Addresses:
    """Spreads connections over all addresses of a name. For one event loop."""

    def __init__(
        self,
        name: str,
        port: int,
        *,
        resolve: Resolve,
        start: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`start`, in [0, 1), is where the first turn begins: processes should not begin alike."""
        self._name = name
        self._port = port
        self._resolve = resolve
        self._start = start
        self._clock = clock
        self._turn = 0
        self._known: list[str] = [name] if _is_address(name) else []
        self._fresh_until = float("inf") if self._known else 0.0
        self._aside: dict[str, float] = {}  # until when
        self._lookup: asyncio.Future[Sequence[str]] | None = None

    async def in_turn(self) -> list[str]:
        """All addresses, the next one first, those put aside last.

        Waits only while no address is known, all callers for one lookup; what is known is used
        while newer addresses are looked up. Raises what the lookup raised.
        """
        now = self._clock()
        if now >= self._fresh_until and self._lookup is None:
            self._lookup = asyncio.ensure_future(self._resolve(self._name, self._port))
            self._lookup.add_done_callback(self._take)
        if not self._known and self._lookup is not None:
            lookup = self._lookup
            await asyncio.wait([lookup])  # one who gives up does not end it for the others
            if not self._known:
                lookup.result()
                raise socket.gaierror(socket.EAI_NONAME, "it has no address")
        good = [address for address in self._known if self._aside.get(address, 0.0) <= now]
        bad = sorted(set(self._known) - set(good), key=lambda address: self._aside[address])
        first = self._next(len(good)) if good else 0
        return good[first:] + good[:first] + bad

    def put_aside(self, address: str) -> None:
        """It does not answer, or too slowly: others come first for a while."""
        self._aside[address] = self._clock() + _ASIDE_S

    def forget(self) -> None:
        """No address answers: ask for the name again before the next attempt."""
        if not _is_address(self._name):
            self._known.clear()
            self._fresh_until = 0.0

    def _next(self, count: int) -> int:
        self._turn += 1
        return (int(self._start * count) + self._turn) % count

    def _take(self, lookup: asyncio.Future[Sequence[str]]) -> None:
        self._lookup = None
        if lookup.cancelled():
            return
        if lookup.exception() is None and lookup.result():
            self._known = _alternating(lookup.result())
        if self._known:  # perhaps still those of the last lookup: better than none
            self._fresh_until = self._clock() + _FRESH_S
            self._aside = {a: until for a, until in self._aside.items() if a in self._known}


def _alternating(addresses: Sequence[str]) -> list[str]:
    """IPv6 and IPv4 in turn, so that a host where one of them leads nowhere is soon past it."""
    six = [address for address in addresses if ":" in address]
    four = [address for address in addresses if ":" not in address]
    pairs = zip_longest(six, four)
    return [address for pair in pairs for address in pair if address is not None]


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
