"""When a request or an idle connection is past its deadline; time is passed in."""

from ossimport.errors import StorageError
from ossimport.limits.way import Way
from ossimport.transport import Endpoint
from ossimport.transport.connection import Connection
from ossimport.transport.deadlines import Limits, Watch
from ossimport.transport.outgoing import Outgoing

LIMITS = Limits(idle=10, total=100, min_speed=50, keep_alive=30)


class Scripted(Connection):
    """A connection without a socket whose progress the test sets."""

    def __init__(self) -> None:
        super().__init__(
            Endpoint("http", "h", 80),
            way=Way(),
            step=1 << 20,
            outgoing=Outgoing(),
            scratch=memoryview(b""),
            on_lost=lambda _: None,
        )
        self.moved = 0
        self.thinking = False
        self.error: StorageError | None = None
        self.aborted = False

    def progress(self) -> tuple[int, bool]:
        return self.moved, self.thinking

    def fail(self, error: StorageError) -> None:
        self.error = error

    def abort(self) -> None:
        self.aborted = True


def looked_at(connection: Scripted, until: float, per_second: int = 0) -> float:
    """Look every second until something happens; the time of that, or `until`."""
    watch = Watch(connection, 0.0)
    connection.exchanges += 1
    for now in range(1, int(until) + 1):
        connection.moved += per_second
        watch.look(float(now), LIMITS)
        if connection.error is not None or connection.aborted:
            return now
    return until


def test_a_request_that_moves_no_byte_ends_after_the_idle_time() -> None:
    connection = Scripted()
    assert looked_at(connection, 50) == 11
    assert "no byte moved for 10 s" in str(connection.error)
    assert "http://h:80" in str(connection.error)


def stopped_for_39_s(per_second: int) -> tuple[int, Scripted]:
    """The second in which a request ends, or 89, if we could not look for a while."""
    connection = Scripted()
    watch = Watch(connection, 0.0)
    connection.exchanges += 1
    for now in (*range(1, 8), *range(47, 90)):
        connection.moved += per_second
        watch.look(float(now), LIMITS)
        if connection.error is not None:
            break
    return now, connection


def test_the_time_for_which_we_stood_still_ourselves_is_not_the_servers() -> None:
    ended, connection = stopped_for_39_s(0)
    assert ended == 11 + 39
    assert "no byte moved for 10 s" in str(connection.error)
    ended, connection = stopped_for_39_s(60)
    assert (ended, connection.error) == (89, None)


def test_a_server_that_thinks_is_not_slow_but_idle() -> None:
    connection = Scripted()
    connection.thinking = True
    assert looked_at(connection, 50) == 11
    assert "no byte moved" in str(connection.error)


def test_the_time_that_a_server_thinks_does_not_make_the_transfer_slow() -> None:
    connection = Scripted()
    watch = Watch(connection, 0.0)
    for now in range(1, 15):
        connection.thinking = now >= 5
        connection.moved = 300 if connection.thinking else 0
        watch.look(float(now), LIMITS)
        assert connection.error is None, now
    watch.look(15.0, LIMITS)
    assert "no byte moved" in str(connection.error)


def test_a_transfer_below_the_least_speed_ends() -> None:
    connection = Scripted()
    assert looked_at(connection, 50, per_second=49) == 11
    assert "49 bytes/s, less than 50" in str(connection.error)


def test_a_transfer_at_the_least_speed_goes_on_to_the_total_time() -> None:
    connection = Scripted()
    assert looked_at(connection, 200, per_second=50) == 101
    assert "more than 100 s" in str(connection.error)


def test_a_transfer_that_we_hold_back_is_neither_idle_nor_slow() -> None:
    connection = Scripted()
    connection.held = True
    assert looked_at(connection, 90) == 90
    assert connection.error is None


def test_an_unused_connection_is_closed_after_its_time() -> None:
    connection = Scripted()
    connection.reusable = True
    assert looked_at(connection, 50) == 31
    assert connection.aborted
    assert connection.error is None


def test_a_connection_of_a_certain_age_is_not_used_again() -> None:
    connection = Scripted()
    watch = Watch(connection, 0.0, aged_at=20.0)
    for now in range(1, 40):
        connection.moved += 1000
        connection.exchanges += 1
        watch.look(float(now), LIMITS)
        assert connection.aged is (now >= 20)
        assert not connection.aborted
    assert connection.error is None
    connection.reusable = True
    watch.look(41.0, LIMITS)
    assert connection.aborted


def test_every_new_request_starts_its_deadlines_afresh() -> None:
    connection = Scripted()
    watch = Watch(connection, 0.0)
    for now in range(0, 500, 9):
        connection.exchanges += 1
        watch.look(float(now), LIMITS)
    assert connection.error is None


def test_limits_of_zero_are_off() -> None:
    connection = Scripted()
    watch = Watch(connection, 0.0)
    off = Limits(idle=0, total=0, min_speed=0, keep_alive=0)
    for now in (1.0, 1e6):
        watch.look(now, off)
        connection.reusable = not connection.reusable
        watch.look(now, off)
    assert connection.error is None
    assert not connection.aborted
    assert off.tick == 1.0


def test_deadlines_are_looked_at_often_enough() -> None:
    assert Limits(idle=0.5, total=0, min_speed=0, keep_alive=30).tick == 0.1
    assert LIMITS.tick == 1.0
