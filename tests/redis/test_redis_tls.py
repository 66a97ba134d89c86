"""TLS with a private CA: one URL serves ledger, queue and Flower; each failure says what to do."""

import base64
import re
import socket
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from ossimport.errors import LedgerUnavailable
from ossimport.ledger.redis import open_ledger
from ossimport.queue import Sender
from tests.servers.certificates import Certificates
from tests.servers.installation import free_port
from tests.servers.migration import migration
from tests.servers.redis import RedisServer, needs_redis, redis_server

pytestmark = needs_redis


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("own") / "ca")


@pytest.fixture(scope="module")
def server(made: Certificates) -> Iterator[RedisServer]:
    with redis_server(tls=made) as running:
        yield running


def told(url: str) -> str:
    """How the ledger refuses to work."""
    ledger = open_ledger(url)
    with pytest.raises(LedgerUnavailable) as caught:
        ledger.jobs()
    ledger.close()
    return str(caught.value)


@pytest.mark.slow
def test_a_whole_job_goes_over_tls_and_flower_sees_the_queue(
    server: RedisServer, made: Certificates, tmp_path: Path
) -> None:
    with server.client() as client:
        client.config_set("tls-auth-clients", "yes")
    url = f"{server.url}&ssl_certfile={made.client}&ssl_keyfile={made.client_key}"
    port = free_port()
    try:
        with migration(tmp_path / "m", {"redisUrl": url, "flowerPort": port}) as running:
            running.fill(40)
            running.begin_job()
            assert running.finish()["objects"]["copied"] == 40
            assert running.stored() == running.sent()
            password = (running.wd / "run" / "flower.password").read_text().strip()
            basic = base64.b64encode(f"ossimport:{password}".encode()).decode()
            request = urllib.request.Request(
                f"http://127.0.0.1:{port}/api/queues/length",
                headers={"Authorization": f"Basic {basic}"},
            )
            with urllib.request.urlopen(request, timeout=90) as answer:
                assert b'"name": "ossimport", "messages": 0' in answer.read()
            assert "insecure" not in running.logs().lower()
            assert server.password not in running.logs()
    finally:
        with server.client() as client:
            client.config_set("tls-auth-clients", "optional")


def test_the_queue_says_the_same_as_the_ledger(server: RedisServer) -> None:
    url = server.url.partition("?")[0]
    with pytest.raises(LedgerUnavailable) as caught:
        Sender(url).waiting()
    assert str(caught.value) == told(url)


def test_another_ca_is_named_as_what_is_wrong(server: RedisServer, tmp_path: Path) -> None:
    other = Certificates(tmp_path / "other").authority
    for url in (
        server.url.partition("?")[0],
        f"{server.url.partition('?')[0]}?ssl_ca_certs={other}",
    ):
        assert "name the CA" in told(url)
        assert f"127.0.0.1:{server.port}" in told(url)
        assert server.password not in told(url)


@pytest.mark.parametrize(
    ("host", "days", "words"), [("elsewhere", 2, "IP address mismatch"), ("", -1, "has expired")]
)
def test_a_certificate_that_is_not_good_is_told(
    tmp_path: Path, host: str, days: int, words: str
) -> None:
    with redis_server(tls=Certificates(tmp_path / "bad", host=host, days=days)) as server:
        assert words in told(server.url)
        insecure = open_ledger(f"{server.url}&ssl_cert_reqs=none")
        assert insecure.jobs() == []
        insecure.close()


def test_a_server_that_wants_a_certificate_says_so(
    server: RedisServer, made: Certificates, tmp_path: Path
) -> None:
    other = Certificates(tmp_path / "other")
    strange = f"{server.url}&ssl_certfile={other.client}&ssl_keyfile={other.client_key}"
    mixed = f"{server.url}&ssl_certfile={made.client}&ssl_keyfile={other.client_key}"
    with server.client() as client:
        client.config_set("tls-auth-clients", "yes")
        try:
            # How it is told depends on who is faster: its alert, or the end of the connection.
            assert "certificate from its clients" in told(server.url)
            assert re.search("does not believe our|add or mend ssl_certfile", told(strange))
        finally:
            # The connection of this client was made before, and is still good.
            client.config_set("tls-auth-clients", "optional")
    assert "not the key of the certificate" in told(mixed)


def test_tls_and_none_mixed_up_are_told(server: RedisServer) -> None:
    plain = f"redis://:{server.password}@127.0.0.1:{server.port}/0"
    assert "redisUrl begins with rediss://" in told(plain)


@pytest.mark.slow
def test_a_port_without_tls_that_closes_or_waits_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

        def answer_in_the_clear() -> None:
            with suppress(OSError):  # the test is over
                while True:
                    link, _ = listener.accept()
                    with link, suppress(ConnectionError):  # who was told need not read on
                        link.sendall(b"-ERR unknown command\r\n")
                        link.recv(65536)

        threading.Thread(target=answer_in_the_clear, daemon=True).start()
        ledger = open_ledger(f"rediss://127.0.0.1:{port}/0")
        with pytest.raises(LedgerUnavailable, match="no TLS on this port: write redis://"):
            ledger.jobs()
        ledger.close()
    with redis_server() as server:
        ledger = open_ledger(server.url.replace("redis://", "rediss://"))
        with pytest.raises(LedgerUnavailable, match="nobody answers the handshake: write redis://"):
            ledger.jobs()
        ledger.close()
