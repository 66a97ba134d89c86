"""The benchmark's server speaks to our client and to those of others, so that it keeps working."""

import asyncio
import http.client
import re
import socket
from collections.abc import AsyncIterator, Iterator
from hashlib import md5
from pathlib import Path

import pytest

from ossimport.crc64 import crc64
from ossimport.dest.oss import OssDestination
from ossimport.transport import Endpoint, Transport
from tests.bench.cheap_server import CheapServer, Held, cheap_server

MIB = 1 << 20


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CheapServer]:
    with cheap_server(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture
async def transport() -> AsyncIterator[Transport]:
    transport = Transport()
    yield transport
    await transport.close()


def destination(server: CheapServer, transport: Transport, bucket: str) -> OssDestination:
    return OssDestination(
        endpoint=Endpoint(server.scheme, "127.0.0.1", server.port),
        bucket=bucket,
        access_key="ak",
        secret_key="sk",
        region="cn-hangzhou",
        transport=transport,
    )


def asked(
    server: CheapServer, method: str, path: str, body: object = None, **headers: str
) -> tuple[http.client.HTTPResponse, bytes]:
    """One request as S3 clients make it: no signature of OSS."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, body, names)  # type: ignore[arg-type]
    response = connection.getresponse()
    answer = response.read()
    connection.close()
    return response, answer


@pytest.mark.parametrize("bucket", ["kept-small", "null-small"])
async def test_our_client_copies_small_objects(
    server: CheapServer, transport: Transport, bucket: str
) -> None:
    dest = destination(server, transport, bucket)
    await dest.check("in/")
    server.reset()
    bodies = {f"in/{number:02d} \u4e2d": b"%d" % number * 999 for number in range(50)}
    answers = await asyncio.gather(*(dest.put(key, body, {}) for key, body in bodies.items()))
    assert [answer.crc64 for answer in answers] == [crc64(body) for body in bodies.values()]
    first = await dest.list("in/", "", 30)
    rest = await dest.list("in/", first[-1].key, 30)
    assert {info.key: info.size for info in [*first, *rest]} == {
        key: len(body) for key, body in bodies.items()
    }
    found = await dest.stat(first[0].key)
    assert found
    assert found.crc64 == crc64(bodies[found.key])
    assert await dest.stat("in/nothing") is None
    counted = server.stats()
    assert counted.requests == {"put": 50, "list": 2, "head": 2}
    assert counted.seconds["put"] > 0
    assert server.forget(bucket) == Held(50, sum(map(len, bodies.values())))
    await dest.close()


async def test_our_client_copies_in_parts(server: CheapServer, transport: Transport) -> None:
    dest = destination(server, transport, "null-parts")
    body = b"0123456789abcdef" * (MIB // 16) * 2 + b"the end"
    upload_id = await dest.start_upload("large", {})
    parts = {}
    for number, at in enumerate(range(0, len(body), MIB), start=1):
        part = body[at : at + MIB]
        stored = await dest.upload_part("large", upload_id, number, part)
        assert stored.crc64 == crc64(part)
        parts[number] = stored.etag
    held = await dest.list_parts("large", upload_id)
    assert {number: part.etag for number, part in held.items()} == parts
    assert (await dest.finish_upload("large", upload_id, parts)).crc64 == crc64(body)
    await dest.abort_upload("large", await dest.start_upload("other", {}))
    assert server.forget("null-parts") == Held(1, len(body))
    await dest.close()


def test_a_client_of_s3_finds_what_it_looks_for(server: CheapServer) -> None:
    response, _ = asked(server, "PUT", "/kept/a/1", b"body of 1")
    assert response.headers["ETag"] == f'"{md5(b"body of 1").hexdigest()}"'
    asked(server, "PUT", "/kept/b%20/2", iter([b"sent ", b"in chunks"]))
    chunks = b"5;chunk-signature=0\r\nsome \r\n4\r\nmore\r\n0;x=0\r\nx-amz-checksum:0\r\n\r\n"
    asked(server, "PUT", "/kept/c", chunks, Content_Encoding="aws-chunked")
    keys = ["a/1", "b%20/2", "c"]
    bodies = [asked(server, "GET", f"/kept/{key}")[1] for key in keys]
    assert bodies == [b"body of 1", b"sent in chunks", b"some more"]
    part, body = asked(server, "GET", "/kept/a/1", Range="bytes=5-6")
    assert (part.status, body, part.headers["Content-Range"]) == (206, b"of", "bytes 5-6/9")
    virtual = {"Host": f"kept.127.0.0.1:{server.port}"}
    assert asked(server, "GET", "/c", **virtual)[1] == b"some more"
    assert re.findall(b"<Key>(.*?)<", asked(server, "GET", "/kept")[1]) == [b"a/1", b"b /2", b"c"]
    assert asked(server, "DELETE", "/kept/c")[0].status == 204
    assert asked(server, "GET", "/kept/c")[0].status == 404
    assert re.findall(b"<Key>(.*?)<", asked(server, "GET", "/kept")[1]) == [b"a/1", b"b /2"]


def test_a_refused_head_has_no_body(server: CheapServer) -> None:
    with socket.create_connection(("127.0.0.1", server.port), 60) as plain:
        request = "HEAD /kept/nothing HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        plain.sendall(request.encode())
        with plain.makefile("rb") as answer:
            assert answer.read().endswith(b"\r\n\r\n")


def test_listings_go_on_where_they_ended(server: CheapServer) -> None:
    server.fill("filled", 2500, 10)
    seen: list[str] = []
    query = "list-type=2&max-keys=900"
    token = ""
    for _ in range(3):
        _, answer = asked(server, "GET", f"/filled?{query}{token}")
        seen += re.findall("<Key>(.*?)</Key>", answer.decode())
        following = re.search("<NextContinuationToken>(.*?)<", answer.decode())
        token = f"&continuation-token={following[1]}" if following else ""
    assert seen == [f"{number // 1000:05d}/{number % 1000:03d}" for number in range(2500)]
    assert not token
    _, answer = asked(server, "GET", "/filled?delimiter=/&max-keys=2&marker=00000/")
    assert re.findall("<CommonPrefixes><Prefix>(.*?)<", answer.decode()) == ["00001/", "00002/"]
    assert b"<IsTruncated>false" in answer
    assert len(asked(server, "GET", "/filled/00002/499")[1]) == 10
    assert server.forget("filled") == Held(2500, 25_000)


def test_a_client_that_waits_for_a_hundred_gets_it(server: CheapServer) -> None:
    with socket.create_connection(("127.0.0.1", server.port), 60) as plain:
        head = "PUT /kept/waited HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nExpect: 100-continue"
        plain.sendall(f"{head}\r\n\r\n".encode())
        assert plain.recv(100).startswith(b"HTTP/1.1 100 ")
        plain.sendall(b"bo")
        plain.sendall(b"dy")
        assert plain.recv(1000).startswith(b"HTTP/1.1 200 ")
    assert asked(server, "GET", "/kept/waited")[1] == b"body"


async def test_over_tls_and_late(tmp_path: Path) -> None:
    with cheap_server(tmp_path, delay_ms=1.0, tls=True) as server:
        assert server.ca_file
        transport = Transport(ca_file=str(server.ca_file))
        dest = destination(server, transport, "null-tls")
        assert (await dest.put("key", b"body", {})).crc64 == crc64(b"body")
        await dest.close()
        await transport.close()
        assert server.stats().requests == {"put": 1}
