"""The way to one endpoint: the gates that a request, its body and its answer's body pass.

A request and the bytes that are sent count for the job, for all jobs, and for the endpoint; bytes
that are read count for the endpoint only, because those of an object are sent as well, or are
somebody else's. Heads of requests and answers do not count.
"""

import asyncio
from collections.abc import Callable, Sequence

from ossimport.limits.gate import Gate
from ossimport.limits.slowdown import SLOW_DOWN
from ossimport.throttle import LARGEST_SLICE, Throttle, slice_size

_MEMORY = 1 / 32  # weight of the latest answer in what a typical one is


class Way:
    """What bounds the traffic with one endpoint. `free`: nothing does, so nobody need ask.

    The gates may be other ones at any time. `cap` bounds what the processes of this host send.
    """

    __slots__ = (
        "_cap",
        "_paid",
        "_requests",
        "_sends",
        "_typical",
        "__weakref__",
        "asked",
        "free",
        "reads",
        "refused",
    )

    def __init__(self, cap: Throttle | None = None) -> None:
        self._cap = cap
        self._requests: Sequence[Gate] = ()
        self._sends: Sequence[Gate] = ()
        self.reads: Sequence[Gate] = ()  # where bytes that are read pass; they may be none
        self._typical = 0.0  # bytes of an answer's body
        self._paid = 0.0  # bytes that were paid for before they came
        self.free = cap is None
        self.asked = 0  # requests that were answered so far
        self.refused = 0  # of them, because they are too many

    def lead(
        self, requests: Sequence[Gate] = (), sends: Sequence[Gate] = (), reads: Sequence[Gate] = ()
    ) -> None:
        """Lead through these gates from now on, the narrowest first."""
        self._requests, self._sends, self.reads = requests, sends, reads
        self.free = not (requests or sends or reads or self._cap is not None)

    @property
    def slice(self) -> int:
        """How many bytes to move at once: small where the rate is, so that it is steady."""
        rates = [gate.rate for gate in (*self._sends, *self.reads)]
        if self._cap is not None:
            rates.append(self._cap.rate)
        return slice_size(min(rates)) if rates else LARGEST_SLICE

    async def begin(self, sending: int, receiving: int) -> int:
        """Wait for the turn of a request and of the first bytes of its body, of `sending` in all;
        return how many these are. The answer's body has up to `receiving`."""
        await _through(lambda: self._requests, 1)
        first = min(sending, self.slice)
        if first:
            await self.send(first, going=False)
        elif self.reads:
            expected = min(receiving, self._typical, self.slice)
            self._paid += expected
            await _through(lambda: self.reads, expected)
        return first

    async def send(self, size: int, *, going: bool = True) -> None:
        """Wait for the turn of `size` bytes of a body; `going`: it has begun."""
        await _through(lambda: self._sends, size, going=going)
        if self._cap is not None:
            await asyncio.sleep(self._cap.take(size))

    def received(self, size: int) -> bool:
        """Count bytes of an answer's body; False if `read_on` is to be waited for."""
        prepaid = min(size, self._paid)
        self._paid -= prepaid
        paid = [gate.charge(size - prepaid) for gate in self.reads]
        return all(paid)

    async def read_on(self) -> None:
        """Wait until what was received is paid."""
        for gate in self.reads:
            await gate.turn(0, going=True)

    def answered(self, status: int, size: int) -> None:
        """A request was answered, with a body of `size` bytes."""
        self.asked += 1
        if self.reads:
            self._typical += (size - self._typical) * _MEMORY
        if status in SLOW_DOWN:
            self.refused += 1


async def _through(
    gates: Callable[[], Sequence[Gate]], amount: float, *, going: bool = False
) -> None:
    """Wait for a turn at each of the gates. Who waited while the way was led through other ones
    waits at these as well: all who stood before a gate that goes would slip past the limit."""
    passed: list[Gate] = []
    while ahead := [gate for gate in gates() if gate not in passed]:
        await ahead[0].turn(amount, going=going)
        passed.append(ahead[0])
