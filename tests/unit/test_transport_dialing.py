"""How connections reach an endpoint with several addresses. On both event loops."""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from typing import Any

import pytest

from ossimport.errors import Transient
from ossimport.transport import Endpoint, Transport, addresses, dialing
from ossimport.transport.connection import Connection
from ossimport.transport.dialing import Dialer
from tests.servers.installation import free_port
from tests.servers.raw_http import LOOPS, run_on

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
LAST = OK.replace(b"OK\r\n", b"OK\r\nConnection: close\r\n")
HOSTS = ["127.0.0.1", "127.0.0.2", "127.0.0.3"]

Runner = Callable[[Coroutine[Any, Any, Any]], Any]


@pytest.fixture(params=LOOPS, name="run")
def fixture_run(request: pytest.FixtureRequest) -> Runner:
    return lambda main: run_on(request.param, main)


class Hosts:
    """Servers on several addresses of one port, and the resolver of their name.

    `served` is the address of each connection's server, in order.
    """

    def __init__(self, answer: bytes, port: int = 0) -> None:
        self.known: list[str] = HOSTS
        self.asked = 0
        self.served: list[str] = []
        self._answer = answer
        self._port = port
        self._servers: dict[str, asyncio.Server] = {}
        self._serving = 0

    async def __call__(self, name: str, port: int) -> Sequence[str]:
        self.asked += 1
        return self.known

    @property
    def endpoint(self) -> Endpoint:
        return Endpoint("http", "many.test", self._port)

    async def start(self, host: str) -> None:
        server = await asyncio.start_server(self._serve, host, self._port)
        self._port = server.sockets[0].getsockname()[1]
        self._servers[host] = server

    def stop(self, host: str) -> None:
        self._servers[host].close()

    async def end(self) -> None:
        """Wait until the servers have seen the end of all connections."""
        async with asyncio.timeout(60):
            while self._serving:
                await asyncio.sleep(0.001)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.served.append(writer.get_extra_info("sockname")[0])
        self._serving += 1
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while self._answer:
                await reader.readuntil(b"\r\n\r\n")
                writer.write(self._answer)
                if self._answer is LAST:
                    break
        writer.close()
        self._serving -= 1


@contextlib.asynccontextmanager
async def listening(*hosts: str, answer: bytes = OK) -> AsyncIterator[Hosts]:
    found = Hosts(answer)
    for host in hosts:
        await found.start(host)
    try:
        yield found
    finally:
        for host in hosts:
            found.stop(host)
        for _ in range(10):  # steps in which connections that were made for nothing are accepted
            await asyncio.sleep(0)
        await found.end()


async def get(transport: Transport, endpoint: Endpoint) -> None:
    assert (await transport.request(endpoint, "GET", "/", {})).body == b"ok"


class Dialed:
    """Watches, and bends, how addresses are connected to. `silent` ones never answer."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.tried = Counter[str]()
        self.silent: set[str] = set()
        connect = Dialer._connect

        async def watched(dialer: Dialer, address: str) -> Connection:
            self.tried[address] += 1
            if address in self.silent:
                await asyncio.sleep(3600)
            return await connect(dialer, address)

        patch.setattr(Dialer, "_connect", watched)


@pytest.fixture(name="dialed")
def fixture_dialed(monkeypatch: pytest.MonkeyPatch) -> Dialed:
    return Dialed(monkeypatch)


def test_connections_spread_over_all_addresses(
    run: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with listening(*HOSTS) as hosts:
            transport = Transport(resolve=hosts)
            await asyncio.gather(*(get(transport, hosts.endpoint) for _ in range(30)))
            await transport.close()
            assert Counter(hosts.served) == dict.fromkeys(HOSTS, 10)
            assert hosts.asked == 1

    monkeypatch.setattr(dialing, "_STAGGER_S", 60.0)  # however busy this machine is
    run(main())


def test_an_address_that_refuses_costs_no_request_and_is_left_alone(
    run: Runner, dialed: Dialed, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with listening("127.0.0.1", "127.0.0.3", answer=LAST) as hosts:
            transport = Transport(resolve=hosts)
            for _ in range(12):
                await get(transport, hosts.endpoint)
            await transport.close()
            assert dialed.tried["127.0.0.2"] == 1
            assert 5 <= hosts.served.count("127.0.0.1") <= 7

    monkeypatch.setattr(dialing, "_STAGGER_S", 60.0)  # however busy this machine is
    run(main())


def test_an_address_that_is_silent_is_overtaken_once_and_then_left_alone(
    run: Runner, dialed: Dialed, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with listening(*HOSTS, answer=LAST) as hosts:
            transport = Transport(resolve=hosts)
            for _ in range(9):
                await get(transport, hosts.endpoint)
            await transport.close()
            assert dialed.tried["127.0.0.3"] == 1
            assert hosts.asked == 1

    monkeypatch.setattr(dialing, "_STAGGER_S", 1.0)
    dialed.silent = {"127.0.0.3"}
    run(main())


def test_of_those_that_answer_in_one_moment_one_is_kept(
    run: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect = Dialer._connect

    async def main() -> None:
        made: list[Connection] = []
        all_made = asyncio.Barrier(len(HOSTS))

        async def together(dialer: Dialer, address: str) -> Connection:
            connection = await connect(dialer, address)
            made.append(connection)
            await all_made.wait()
            return connection

        monkeypatch.setattr(Dialer, "_connect", together)
        async with listening(*HOSTS) as hosts:
            transport = Transport(resolve=hosts)
            await get(transport, hosts.endpoint)
            async with asyncio.timeout(60):
                while sum(connection._lost for connection in made) < len(HOSTS) - 1:
                    await asyncio.sleep(0.001)
            await get(transport, hosts.endpoint)
            assert len(made) == len(HOSTS)
            await transport.close()

    monkeypatch.setattr(dialing, "_STAGGER_S", 0.0)  # all addresses at once
    run(main())


def test_when_all_addresses_refuse_it_is_said_and_the_name_is_asked_again(run: Runner) -> None:
    async def main() -> None:
        hosts = Hosts(OK, free_port())
        transport = Transport(resolve=hosts)
        for asked in (1, 2):
            with pytest.raises(Transient, match="many.test") as caught:
                await get(transport, hosts.endpoint)
            assert caught.value.code == "ConnectionRefused"
            assert hosts.asked == asked
        await transport.close()

    run(main())


def test_when_all_addresses_are_silent_it_ends_in_a_timeout(run: Runner, dialed: Dialed) -> None:
    async def main() -> None:
        hosts = Hosts(OK)
        transport = Transport(resolve=hosts, connect_timeout=0.3)
        with pytest.raises(Transient, match="no connection within 0.3 s") as caught:
            await get(transport, hosts.endpoint)
        assert caught.value.code == "Timeout"
        await transport.close()

    dialed.silent = set(HOSTS)
    run(main())


def test_a_resolver_that_hangs_ends_in_a_timeout_for_all_who_wait(run: Runner) -> None:
    asked = 0

    async def hang(name: str, port: int) -> Sequence[str]:
        nonlocal asked
        asked += 1
        await asyncio.sleep(3600)
        return []

    async def main() -> None:
        transport = Transport(resolve=hang, connect_timeout=0.1)
        results = await asyncio.gather(
            *(get(transport, Endpoint("http", "many.test", 80)) for _ in range(5)),
            return_exceptions=True,
        )
        assert {getattr(result, "code", "") for result in results} == {"Timeout"}
        await transport.close()

    run(main())
    assert asked == 1


def test_a_name_that_cannot_be_one_is_a_dns_failure(run: Runner) -> None:
    async def main() -> None:
        transport = Transport()
        for name in ("a" * 70 + ".test", "a..b"):
            with pytest.raises(Transient) as caught:
                await get(transport, Endpoint("http", name, 80))
            assert caught.value.code == "DnsFailure"
        await transport.close()

    run(main())


def test_old_connections_follow_the_name(run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with listening(*HOSTS) as hosts:
            hosts.known = HOSTS[:1]
            transport = Transport(resolve=hosts, max_age=0.2, keep_alive=0.5)
            await get(transport, hosts.endpoint)
            hosts.known = HOSTS[1:2]
            async with asyncio.timeout(60):
                while hosts.served[-1] != "127.0.0.2":
                    await get(transport, hosts.endpoint)
                    await asyncio.sleep(0.001)
            await transport.close()

    monkeypatch.setattr(addresses, "_FRESH_S", 0.05)
    run(main())


def test_a_connection_in_use_grows_old_between_requests_only(run: Runner) -> None:
    async def main() -> None:
        async with listening("127.0.0.1") as hosts:
            hosts.known = HOSTS[:1]
            transport = Transport(resolve=hosts, max_age=0.3, keep_alive=0.5)
            began, requests = time.monotonic(), 0
            while len(hosts.served) < 4:
                await get(transport, hosts.endpoint)
                requests += 1
            await transport.close()
            assert requests > 2 * len(hosts.served)
            assert time.monotonic() - began > 3 * 0.15

    run(main())


def test_a_connection_lost_while_it_is_made_is_no_connection(run: Runner) -> None:
    async def main() -> None:
        async with listening("127.0.0.1", answer=b"") as hosts:
            hosts.known = HOSTS[:1]
            transport = Transport(resolve=hosts)
            for _ in range(20):
                with pytest.raises(Transient) as caught:
                    await get(transport, hosts.endpoint)
                assert caught.value.code == "ConnectionReset"
            await asyncio.wait_for(transport.close(), 60)

    run(main())
