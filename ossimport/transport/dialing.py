"""From an endpoint to a connection: its addresses, the proxy on the way, and TLS."""

import asyncio
from collections.abc import Callable, Iterable

from ossimport.transport.addresses import Addresses
from ossimport.transport.connection import Connection
from ossimport.transport.faults import connect_fault, proxy_refused
from ossimport.transport.proxy import Proxy, through
from ossimport.transport.tls import ResumingContext
from ossimport.transport.wire import Endpoint, encode_head

_STAGGER_S = 0.25  # RFC 8305: how long an address may be silent before the next one is asked too


class Dialer:
    """Makes connections to one endpoint, each to the next of its addresses."""

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        addresses: Addresses,
        proxy: Proxy | None,
        tls: ResumingContext | None,
        timeout: float,
        make: Callable[[str], Connection],
    ) -> None:
        """`addresses` are those of `proxy`, if there is one. `timeout` is in seconds; 0: none.

        `make` gives an unconnected connection whose errors say where they happened.
        """
        self.forward = proxy if tls is None else None  # requests must be written for it
        self._endpoint = endpoint
        self._addresses = addresses
        self._proxy = proxy
        self._port = proxy.port if proxy is not None else endpoint.port
        self._tls = tls
        self._timeout = timeout
        self._make = make
        self._gate = self._where = through(endpoint, proxy)  # what fails before it, and behind it
        if proxy is not None:
            self._gate = f"the proxy {proxy} ({endpoint.scheme.upper()}_PROXY) to {endpoint}"

    async def dial(self) -> Connection:
        """A new connection, ready for a request to the endpoint, which TLS has verified.

        Raises Transient, and what a proxy's refusal means.
        """
        at = self._gate
        try:
            async with asyncio.timeout(self._timeout or None):
                address, connection = await self._reach()
                at = self._where
                try:
                    await self._prepare(connection)
                except BaseException:
                    self._put_aside([address])
                    connection.abort()
                    raise
        except (OSError, UnicodeError) as exc:
            raise connect_fault(at, exc, self._timeout) from exc
        return connection

    def remember(self, connection: Connection) -> None:
        """Offer the TLS session of `connection`, which has had an answer, to those that follow."""
        if self._tls is not None and connection.tls is not None:
            self._tls.remember(self._endpoint.host, connection.tls)

    async def _prepare(self, connection: Connection) -> None:
        if self._tls is not None:
            if self._proxy is not None:
                await self._tunnel(connection, self._proxy)
            await connection.start_tls(self._tls, self._endpoint.host)
        if not connection.reusable:
            raise ConnectionResetError("the other end closed it")

    async def _tunnel(self, connection: Connection, proxy: Proxy) -> None:
        """Have the proxy pass on, from now on, what we and the endpoint say."""
        authority = self._endpoint.authority
        head = encode_head(authority, "CONNECT", authority, proxy.headers, 0)
        response = await connection.exchange("CONNECT", head, b"", 0)
        if response.status // 100 != 2:
            raise proxy_refused(self._where, response.status)

    async def _reach(self) -> tuple[str, Connection]:
        """Connect to the first address in turn that answers; ask the next when one is silent."""
        left = await self._addresses.in_turn()
        attempts: dict[asyncio.Task[Connection], str] = {}  # in the order in which they began
        faults: list[BaseException] = []
        try:
            while left or attempts:
                if left:
                    address = left.pop(0)
                    attempts[asyncio.create_task(self._connect(address))] = address
                patience = _STAGGER_S if left else None
                await asyncio.wait(attempts, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
                silent = []
                for attempt, address in list(attempts.items()):
                    if not attempt.done():
                        silent.append(address)
                        continue
                    del attempts[attempt]
                    fault = attempt.exception()
                    if fault is None:
                        self._put_aside(silent)  # they began earlier
                        return address, attempt.result()
                    self._put_aside([address])
                    faults.append(fault)
        finally:
            for attempt in attempts:
                _drop(attempt)
        self._addresses.forget()
        raise faults[0]

    def _put_aside(self, addresses: Iterable[str]) -> None:
        for address in addresses:
            self._addresses.put_aside(address)

    async def _connect(self, address: str) -> Connection:
        loop = asyncio.get_running_loop()
        where = self._where
        _, connection = await loop.create_connection(lambda: self._make(where), address, self._port)
        return connection


def _drop(attempt: asyncio.Task[Connection]) -> None:
    if not attempt.cancel() and not attempt.cancelled() and attempt.exception() is None:
        attempt.result().abort()
