"""Deadlines of requests, looked at from one timer: a timer per request would cost too much."""

from math import inf
from typing import NamedTuple

from ossimport.transport.connection import Connection
from ossimport.transport.faults import timed_out

_LONGEST_TICK = 1.0
_LOOKS = 5  # at least so many per deadline


class Limits(NamedTuple):
    """Seconds; 0 switches a limit off. `min_speed` is in bytes per second."""

    idle: float  # no byte moved either way
    total: float  # from the first byte sent, our own pace included
    min_speed: float  # mean over `idle` seconds, while there are bytes to move
    keep_alive: float  # an unused connection is closed

    @property
    def tick(self) -> float:
        """Seconds between two looks; a deadline is noticed that much late."""
        used = [seconds for seconds in (self.idle, self.total, self.keep_alive) if seconds > 0]
        return min([_LONGEST_TICK, *(seconds / _LOOKS for seconds in used)])


class Watch:
    """What one connection had moved when it was last looked at.

    The time for which we stood still ourselves, and so came too late to look, is not the server's.
    """

    def __init__(self, connection: Connection, now: float, aged_at: float = inf) -> None:
        self.connection = connection
        self._aged_at = aged_at
        self._looked_at = now
        self._restart(now)

    def look(self, now: float, limits: Limits) -> None:
        """End the request, or the idle connection, if it is past a deadline."""
        connection = self.connection
        connection.aged = now >= self._aged_at
        late = now - self._looked_at - limits.tick
        self._looked_at = now
        if connection.exchanges != self._exchange:
            self._restart(now)
        elif connection.reusable:
            if connection.aged or 0 < limits.keep_alive <= now - self._moved_at:
                connection.abort()
        elif what := self._overdue(now, limits, late if late > limits.tick else 0.0):
            connection.fail(timed_out(connection.where, what))

    def _restart(self, now: float) -> None:
        self._exchange = self.connection.exchanges
        self._began = self._moved_at = self._window_at = now
        self._moved = self._window = self.connection.progress()[0]

    def _overdue(self, now: float, limits: Limits, stood_still: float) -> str:
        self._moved_at += stood_still
        self._window_at += stood_still
        if 0 < limits.total <= now - self._began:
            return f"the request took more than {limits.total:g} s"
        moved, thinking = self.connection.progress()
        if moved != self._moved or self.connection.held:
            self._moved, self._moved_at = moved, now
        if thinking or self.connection.held:
            self._window, self._window_at = moved, now
        if 0 < limits.idle <= now - self._moved_at:
            return f"no byte moved for {limits.idle:g} s"
        if 0 < limits.idle <= now - self._window_at:
            speed = (moved - self._window) / (now - self._window_at)
            self._window, self._window_at = moved, now
            if speed < limits.min_speed:
                return f"{speed:.0f} bytes/s, less than {limits.min_speed:g}, for {limits.idle:g} s"
        return ""
