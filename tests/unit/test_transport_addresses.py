"""Which address of a name comes next; time and the resolver are passed in."""

import asyncio
import socket
from collections.abc import Sequence

import pytest

from ossimport.transport.addresses import Addresses, resolve

A, B, C = "192.0.2.1", "192.0.2.2", "192.0.2.3"
SIX = ["2001:db8::1", "2001:db8::2"]


class Names:
    """A resolver whose answers the test sets; `asked` counts the lookups."""

    def __init__(self, *addresses: str) -> None:
        self.answer: Sequence[str] | OSError = addresses
        self.asked = 0
        self.now = 0.0
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def __call__(self, name: str, port: int) -> Sequence[str]:
        assert (name, port) == ("name.test", 80)
        self.asked += 1
        await self.may_answer.wait()
        if isinstance(self.answer, OSError):
            raise self.answer
        return self.answer

    def addresses(self, name: str = "name.test", start: float = 0.0) -> Addresses:
        return Addresses(name, 80, resolve=self, start=start, clock=lambda: self.now)


async def firsts(addresses: Addresses, count: int) -> list[str]:
    return [(await addresses.in_turn())[0] for _ in range(count)]


async def test_all_addresses_come_first_equally_often_and_all_are_offered() -> None:
    addresses = Names(A, B, C).addresses()
    assert sorted(await firsts(addresses, 9)) == [A, A, A, B, B, B, C, C, C]
    for _ in range(3):
        assert sorted(await addresses.in_turn()) == [A, B, C]


async def test_the_first_turn_is_where_it_is_told_to_be() -> None:
    starts = [await firsts(Names(A, B, C).addresses(start=i / 3 + 0.01), 1) for i in range(3)]
    assert sorted(starts) == [[A], [B], [C]]


async def test_ipv6_and_ipv4_alternate() -> None:
    order = await Names(*SIX, A, B, C).addresses(start=0.9).in_turn()
    assert order == [SIX[0], A, SIX[1], B, C]


@pytest.mark.parametrize("name", [A, SIX[0], "fe80::1%eth0"])
async def test_an_address_is_not_looked_up(name: str) -> None:
    names = Names()
    addresses = names.addresses(name)
    for _ in range(2):
        assert await addresses.in_turn() == [name]
        addresses.put_aside(name)
        addresses.forget()
    assert names.asked == 0


async def test_what_is_put_aside_comes_last_for_a_while_and_the_others_share_its_turns() -> None:
    names = Names(A, B, C)
    addresses = names.addresses()
    await addresses.in_turn()
    addresses.put_aside(A)
    names.now = 1.0
    addresses.put_aside(B)
    assert await addresses.in_turn() == [C, A, B]
    names.now = 30.5
    assert sorted(await firsts(addresses, 4)) == [A, A, C, C]
    names.now = 31.5
    assert sorted(await firsts(addresses, 3)) == [A, B, C]


async def test_if_all_are_put_aside_they_are_offered_all_the_same() -> None:
    addresses = Names(A, B).addresses()
    for address in await addresses.in_turn():
        addresses.put_aside(address)
    assert sorted(await addresses.in_turn()) == [A, B]


async def test_one_lookup_serves_all_who_wait_even_if_the_first_gives_up() -> None:
    names = Names(A)
    addresses = names.addresses()
    names.may_answer.clear()
    waiting = [asyncio.create_task(addresses.in_turn()) for _ in range(5)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    names.may_answer.set()
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert isinstance(results[0], asyncio.CancelledError)
    assert results[1:] == [[A]] * 4
    assert names.asked == 1


async def test_a_name_is_looked_up_again_after_a_minute_and_nobody_waits_for_it() -> None:
    names = Names(A)
    addresses = names.addresses()
    assert await addresses.in_turn() == [A]
    names.answer, names.now = [B], 59.0
    assert await addresses.in_turn() == [A]
    assert names.asked == 1
    names.now = 61.0
    names.may_answer.clear()
    assert await addresses.in_turn() == [A]
    assert await addresses.in_turn() == [A]
    names.may_answer.set()
    await settled()
    assert names.asked == 2
    assert await addresses.in_turn() == [B]


@pytest.mark.parametrize("answer", [socket.gaierror(-3, "try again"), ()])
async def test_known_addresses_outlive_a_lookup_that_fails(answer: OSError | Sequence[str]) -> None:
    names = Names(A)
    addresses = names.addresses()
    await addresses.in_turn()
    names.answer, names.now = answer, 61.0
    await addresses.in_turn()
    await settled()
    assert await addresses.in_turn() == [A]
    assert names.asked == 2  # not with every connection


async def test_the_first_lookup_says_why_it_failed_and_the_next_call_tries_again() -> None:
    names = Names(A)
    names.answer = socket.gaierror(-2, "unknown")
    addresses = names.addresses()
    with pytest.raises(socket.gaierror, match="unknown"):
        await addresses.in_turn()
    names.answer = []
    with pytest.raises(socket.gaierror, match="no address"):
        await addresses.in_turn()
    names.answer = [A]
    assert await addresses.in_turn() == [A]


async def test_what_is_forgotten_is_looked_up_before_the_next_use() -> None:
    names = Names(A)
    addresses = names.addresses()
    await addresses.in_turn()
    addresses.forget()
    names.answer = [B]
    assert await addresses.in_turn() == [B]


async def test_the_system_is_asked_by_default() -> None:
    assert "127.0.0.1" in await resolve("localhost", 80)


async def settled() -> None:
    """Let what is ready run."""
    for _ in range(5):
        await asyncio.sleep(0)
