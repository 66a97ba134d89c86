"""The transport itself: requests in, responses out, over pools of kept-alive connections."""

import asyncio
import random
import time
from collections.abc import Callable
from functools import partial

from ossimport.errors import Transient
from ossimport.limits.way import Way
from ossimport.transport.addresses import Addresses, Resolve, resolve
from ossimport.transport.connection import Connection
from ossimport.transport.deadlines import Limits, Watch
from ossimport.transport.dialing import Dialer
from ossimport.transport.faults import Stale, closed, proxy_refused
from ossimport.transport.inflight import InFlight
from ossimport.transport.outgoing import Outgoing
from ossimport.transport.pool import Pool
from ossimport.transport.proxy import Proxies, through
from ossimport.transport.tls import ResumingContext
from ossimport.transport.wire import Body, Endpoint, Flowing, Headers, Response, encode_head

# Bytes of body per write: as many as the kernel's buffer may hold, or we are woken for less. uvloop
# copies none of them.
_SLICE = 4 << 20
_READ = 256 << 10  # bytes per read, at most
_TLS_SLICE = 256 << 10  # is encrypted at once, into memory of its own


class Transport:
    """HTTP/1.1 requests to any number of endpoints, on one event loop.

    Made for a fixed set of coroutines that each send one request after another. Memory: the bodies
    that the callers hold, and at most `max_connections` responses per endpoint.
    """

    def __init__(
        self,
        *,
        max_connections: int = 64,
        first_connections: int = 60,
        connect_timeout: float = 10.0,
        idle_timeout: float = 60.0,
        total_timeout: float = 0.0,
        min_speed: float = 256.0,
        keep_alive: float = 30.0,
        max_age: float = 300.0,
        ca_file: str | None = None,
        proxies: Proxies | None = None,
        resolve: Resolve = resolve,
        jitter: Callable[[], float] = random.random,
        way_to: Callable[[Endpoint], Way] = lambda _: Way(),
    ) -> None:
        """Set the limits; nothing is opened yet. Times are in seconds, 0 means no limit.

        `max_connections` is per endpoint; how many of them are used at a time is found by trying,
        from `first_connections` on. Who finds none free waits, first come first served.
        `idle_timeout` ends a request when no byte moves either way for so long, `min_speed` (bytes
        per second) when a transfer is slower on average over that time, `total_timeout` when it
        takes longer in all. `keep_alive` closes connections unused for so long, and `max_age`, give
        or take a quarter, those that are so old, between two requests: so they follow what
        `resolve` says of their name, and come back to an address that was down for a while.
        `ca_file` is trusted beside the system's authorities. `proxies` are by default those of the
        environment as it is now. `way_to` says what bounds the traffic with an endpoint. `jitter`
        gives numbers in [0, 1).
        """
        self._max_connections = max_connections
        self._first_connections = first_connections
        self._connect_timeout = connect_timeout
        self._limits = Limits(idle_timeout, total_timeout, min_speed, keep_alive)
        self._max_age = max_age
        self._ca_file = ca_file
        self.proxies = proxies if proxies is not None else Proxies.from_environment()
        self._resolve = resolve
        self._jitter = jitter
        self._way_to = way_to
        self._tls: ResumingContext | None = None
        self._pools: dict[Endpoint, Pool] = {}
        self._outgoing = Outgoing()
        self._scratch = memoryview(bytearray(_READ))
        self._watches: dict[Connection, Watch] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._gone: asyncio.Future[None] | None = None
        self._closed = False

    async def request(
        self,
        endpoint: Endpoint,
        method: str,
        target: str,
        headers: Headers,
        body: Body | Flowing = b"",
        *,
        max_body: int = 64 << 20,
    ) -> Response:
        """Send a request and return its complete response, whatever its status.

        `target` is the encoded path and query. `headers` may be what makes them when the request
        goes out: hours may pass until its turn comes, and no signature lasts for so long. Host and
        Content-Length are added; a Host among `headers` wins. `body` is sent without copies if it
        is large, and must stay as it is until this returns; or it flows. Requests must be
        idempotent: one that meets a kept-alive connection which the server closes before a byte of
        its answer is sent again, once, on a new connection. Nothing else is tried again.

        Raises Transient for whatever happens on the way (Timeout, ConnectionReset,
        ConnectionRefused, ConnectionFailed, DnsFailure, TlsError, BadResponse),
        Permanent(BadResponse) for a response with a body of more than `max_body` bytes, and
        ValueError, before anything is sent, for a request that would not be one line per header.
        A proxy that refuses is a ProxyRefused: Fatal if it wants other credentials, Permanent if
        it forbids the endpoint, else Transient; Fatal(InvalidProxy) is one that we cannot use. A
        cancelled request closes its connection.
        """
        pool = self._pools.get(endpoint) or self._open(endpoint)
        size, first = len(body), 0
        if not pool.way.free:
            first = await pool.way.begin(size, max_body)
            pool = self._pools.get(endpoint) or self._open(endpoint)
        proxy = pool.forward
        connection = pool.kept() or await pool.take()
        began = time.monotonic()
        try:
            sent = headers() if callable(headers) else headers
            if proxy is not None:
                target, sent = f"http://{pool.host}{target}", {**sent, **proxy.headers}
            head = encode_head(pool.host, method, target, sent, size)
            try:
                response = await connection.exchange(method, head, body, max_body, first)
            except Stale:
                connection.abort()
                connection = await pool.connect()
                response = await connection.exchange(method, head, body, max_body, first)
            pool.answered(began, response.status, size, len(response.body))
        except Transient as exc:
            pool.failed(began, exc)
            raise
        finally:
            pool.give_back(connection)
        if proxy is not None and response.status == 407:
            raise proxy_refused(through(endpoint, proxy), 407)
        return response

    async def turn(self, endpoint: Endpoint) -> None:
        """Wait until a request to `endpoint` may be made that goes there by another way."""
        await (self._pools.get(endpoint) or self._open(endpoint)).way.begin(0, 0)

    def in_flight(self) -> dict[Endpoint, tuple[int, int]]:
        """Per endpoint, how many requests are in flight and how many may be, as found so far."""
        return {endpoint: pool.in_flight for endpoint, pool in self._pools.items()}

    async def close(self) -> None:
        """Close all connections, and end the requests under way with Transient. Idempotent."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        for pool in self._pools.values():
            pool.close()
        self._pools.clear()
        for connection in list(self._watches):
            connection.fail(closed(connection.where))
            connection.abort()
        if self._watches:
            self._gone = asyncio.get_running_loop().create_future()
            await self._gone

    def _open(self, endpoint: Endpoint) -> Pool:
        if self._closed:
            raise closed(endpoint)
        tls = None
        if endpoint.scheme == "https":
            tls = self._tls = self._tls or ResumingContext(self._ca_file)
        elif endpoint.scheme != "http":
            raise ValueError(f"{endpoint}: the scheme must be http or https")
        proxy = self.proxies.between(endpoint)
        name, port = (proxy.host, proxy.port) if proxy is not None else endpoint[1:]
        way = self._way_to(endpoint)
        dialer = Dialer(
            endpoint,
            addresses=Addresses(name, port, resolve=self._resolve, start=self._jitter()),
            proxy=proxy,
            tls=tls,
            timeout=self._connect_timeout,
            make=partial(self._make, endpoint.scheme, way),
        )
        first = self._first_connections
        # A service that is near does as well with fewer; but many small requests at once cost us
        # less than the same number one by one.
        flow = InFlight(self._max_connections, first, time.monotonic(), str(endpoint), modest=first)
        pool = Pool(endpoint, flow=flow, way=way, dialer=dialer, on_made=self._made)
        self._pools[endpoint] = pool
        return pool

    def _make(self, scheme: str, way: Way, where: str) -> Connection:
        return Connection(
            where,
            way=way,
            step=_TLS_SLICE if scheme == "https" else _SLICE,
            outgoing=self._outgoing,
            scratch=self._scratch,
            on_lost=self._lost,
        )

    def _made(self, connection: Connection) -> None:
        if self._closed:
            connection.abort()
            raise closed(connection.where)
        loop = asyncio.get_running_loop()
        now = loop.time()
        age = self._max_age * (0.75 + self._jitter() / 2) if self._max_age else float("inf")
        self._watches[connection] = Watch(connection, now, now + age)
        if self._timer is None:
            self._timer = loop.call_later(self._limits.tick, self._look)

    def _lost(self, connection: Connection) -> None:
        self._watches.pop(connection, None)
        if self._gone is not None and not self._watches and not self._gone.done():
            self._gone.set_result(None)

    def _look(self) -> None:
        """Look at every connection's deadlines; forget endpoints that nobody uses."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        for watch in list(self._watches.values()):
            watch.look(now, self._limits)
        self._pools = {e: pool for e, pool in self._pools.items() if not pool.is_unused()}
        self._timer = loop.call_later(self._limits.tick, self._look) if self._watches else None
