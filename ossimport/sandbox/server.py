"""Runs the sandbox: one process, one event loop, until it is told to stop."""

import asyncio
import signal
import socket
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from tornado.httpserver import HTTPServer

from ossimport.errors import ServiceError
from ossimport.sandbox.auth import Gate
from ossimport.sandbox.exchange import Sandbox
from ossimport.sandbox.refusal import Refusal
from ossimport.sandbox.request import check_bucket
from ossimport.sandbox.store import Bucket, Store

_RECEIVE_CHUNK = 256 << 10  # bytes read at once; what one upload keeps in memory
_BACKLOG = 1024  # connections that come at once before the loop takes them
_ANY_SIZE = 1 << 62  # what is too large gets an answer in OSS's words, not in Tornado's
_DRAIN_SECONDS = 1.0  # for requests under way when the sandbox is told to stop


def serve(
    *,
    port: int,
    directory: Path,
    access_key: str,
    secret_key: str,
    buckets: Sequence[str],
    address: str = "127.0.0.1",
    region: str = "cn-hangzhou",
) -> None:
    """Run until SIGTERM or SIGINT. Buckets that are not there are made; port 0 takes a free one.

    Prints one line when it listens. Raises ServiceError when it cannot run here.
    """
    _check_settings(access_key, secret_key, buckets)
    with _listen(address, port) as listener, closing(Store(directory)) as store:
        gate = Gate(access_key, secret_key, region)
        asyncio.run(_run(store, listener, gate, region, buckets))


def _check_settings(access_key: str, secret_key: str, buckets: Sequence[str]) -> None:
    if not access_key or not secret_key:
        raise ServiceError(
            "the sandbox has no access key or no secret key\n"
            "    cure: give it both; clients sign with them"
        )
    for name in buckets:
        try:
            check_bucket(name)
        except Refusal as exc:
            raise ServiceError(
                f"the sandbox cannot make a bucket named {name!r}\n"
                "    cure: use 3 to 63 lower-case letters, digits and hyphens"
            ) from exc


def _listen(address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        listener = socket.create_server((address, port), family=family, backlog=_BACKLOG)
    except OSError as exc:
        raise ServiceError(
            f"the sandbox cannot listen on {address}:{port}: {exc.strerror or exc}\n"
            "    cure: stop what is using the port, or give the sandbox another one"
        ) from exc
    listener.setblocking(False)
    return listener


async def _run(
    store: Store, listener: socket.socket, gate: Gate, region: str, buckets: Sequence[str]
) -> None:
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    known = {bucket.name for bucket in store.buckets()}
    for name in dict.fromkeys(buckets):
        if name not in known:
            store.put_bucket(Bucket(name, int(time.time()), "private", "Standard"))
    sandbox = Sandbox(store, gate, region)
    server = HTTPServer(sandbox, chunk_size=_RECEIVE_CHUNK, max_body_size=_ANY_SIZE)
    server.add_socket(listener)
    address, port = listener.getsockname()[:2]
    host = f"[{address}]" if ":" in address else address
    names = ", ".join(dict.fromkeys(buckets)) or "none"
    sys.stdout.write(
        f"sandbox listens on http://{host}:{port}, bucket {names}, objects in {store.directory}\n"
    )
    sys.stdout.flush()
    await stop.wait()
    server.stop()
    deadline = loop.time() + _DRAIN_SECONDS
    while sandbox.busy and loop.time() < deadline:
        await asyncio.sleep(0.02)
    await server.close_all_connections()
