"""One URL, read once: what the ledger and what Celery make of it."""

import json
import ssl
from pathlib import Path
from typing import Any

import pytest
from kombu.connection import Connection

from ossimport.config import load_system
from ossimport.config.kinds import Mistake
from ossimport.config.redis_url import read_redis_url
from ossimport.ledger.redis import open_ledger
from ossimport.ledger.server import judge
from ossimport.queue import make_app
from tests.servers.certificates import Certificates

SECRET = "p@:/#?;s"
WRITTEN = "p%40%3A%2F%23%3F;s"


def options(url: str) -> dict[str, Any]:
    """What the ledger's client connects with."""
    ledger = open_ledger(url)
    found: dict[str, Any] = ledger._client.connection_pool.connection_kwargs
    ledger.close()
    return found


def kombu_connection(url: str) -> Any:
    """What kombu reads out of a URL; nothing connects."""
    return Connection(url)  # type: ignore[no-untyped-call]


def broker(url: str) -> Any:
    """What Celery would connect to."""
    return kombu_connection(make_app(url).conf.broker_url)


@pytest.mark.parametrize(
    ("url", "host", "port", "db"),
    [
        (f"redis://mover:{WRITTEN}@h:7/3", "h", 7, 3),
        (f"redis://mover:{WRITTEN}@h", "h", 6379, 0),
        (f"rediss://mover:{WRITTEN}@[::1]:7/3", "::1", 7, 3),
    ],
)
def test_a_server_is_the_same_for_ledger_and_queue(url: str, host: str, port: int, db: int) -> None:
    ours = options(url)
    assert (ours["host"], ours["port"], ours["db"]) == (host, port, db)
    assert (ours["username"], ours["password"]) == ("mover", SECRET)
    theirs = broker(url)
    assert (theirs.hostname, theirs.port, int(theirs.virtual_host)) == (host, port, db)
    assert (theirs.userid, theirs.password) == ("mover", SECRET)


def test_a_socket_is_the_same_for_ledger_and_queue() -> None:
    url = f"unix://:{WRITTEN}@/run/redis.sock?db=4"
    ours = options(url)
    assert (ours["path"], ours["db"], ours["password"]) == ("/run/redis.sock", 4, SECRET)
    connection = broker(url)
    channel = connection.transport.Channel
    made = channel.__new__(channel)
    made.connection = type("Fake", (), {"client": connection, "default_port": 6379})()
    theirs = made._connparams()
    assert (theirs["path"], theirs["db"], theirs["password"]) == ("/run/redis.sock", 4, SECRET)


def test_every_sentinel_gets_user_and_database_and_the_sentinels_their_own_password() -> None:
    url = (
        f"sentinel://mover:{WRITTEN}@a:1;sentinel://b;sentinel://c:3/5?master_name=m"
        "&sentinel_password=inner&sentinel_username=watcher"
    )
    conf = make_app(url).conf
    for number, part in enumerate(conf.broker_url.split(";sentinel://")):
        whole = kombu_connection(f"sentinel://{part}" if number else part)
        assert (whole.userid, whole.password, whole.virtual_host) == ("mover", SECRET, "5")
    assert conf.broker_transport_options["master_name"] == "m"
    inner = conf.broker_transport_options["sentinel_kwargs"]
    assert (inner["username"], inner["password"]) == ("watcher", "inner")
    pool: Any = open_ledger(url)._client.connection_pool
    manager = pool.sentinel_manager
    kwargs = [watcher.connection_pool.connection_kwargs for watcher in manager.sentinels]
    assert [(k["host"], k["port"]) for k in kwargs] == [("a", 1), ("b", 26379), ("c", 3)]
    assert {(k["username"], k["password"]) for k in kwargs} == {("watcher", "inner")}
    assert options(url)["db"] == 5


def test_the_queue_never_believes_any_certificate_unless_told_so(tmp_path: Path) -> None:
    # kombu's own reading of rediss:// without options is ssl_cert_reqs=none.
    tls = make_app("rediss://h").conf.broker_use_ssl
    assert tls == {"ssl_cert_reqs": "required", "ssl_check_hostname": True}
    made = Certificates(tmp_path / "ca")
    query = (
        f"ssl_ca_certs={made.authority}&ssl_certfile={made.client}&ssl_keyfile={made.client_key}"
    )
    for url in (f"rediss://h/0?{query}", f"sentinel://h/0?master_name=m&{query}"):
        tls = make_app(url).conf.broker_use_ssl
        assert tls["ssl_ca_certs"] == str(made.authority)
        assert tls["ssl_cert_reqs"] == "required"
        ours = options(url)
        assert {name: ours[name] for name in tls} == tls
        theirs = broker(url).ssl
        assert theirs == {**tls, "ssl_cert_reqs": ssl.CERT_REQUIRED}
    assert broker("rediss://h").ssl["ssl_cert_reqs"] == ssl.CERT_REQUIRED
    assert make_app("redis://h").conf.broker_use_ssl is False


@pytest.mark.parametrize(
    ("query", "word"), [("ssl_cert_reqs=none", "any certificate"), ("ssl_check_hostname=false", "")]
)
def test_what_is_insecure_is_told_by_every_command(tmp_path: Path, query: str, word: str) -> None:
    path = tmp_path / "sys.properties"
    path.write_text(f"redisUrl=rediss://:s3cret@h/0?{query}\n")
    [warning] = load_system(path).warnings
    assert "redisUrl: INSECURE" in warning
    assert word in warning
    assert "s3cret" not in warning
    path.write_text("redisUrl=rediss://:s3cret@h/0\n")
    assert load_system(path).warnings == ()


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("redis://:s3cret/b@h:1/0", "%2F for /"),
        ("redis://:s3cret#b@h:1/0", "%23 for #"),
        ("redis://:s3cret@h:99999", "host and port"),
        ("redis://", "host and port"),
        ("redis://:s3cret@h/zero", "number"),
        ("redis://h/0?ssl_ca_certs=/x", "rediss://"),
        ("rediss://h/0?ssl_ca_cert=/x", "ssl_ca_certs"),
        ("redis://h/0?socket_timeout=1", "no option socket_timeout"),
        ("rediss://h/0?ssl_ca_certs=ca.crt", "absolute"),
        ("rediss://h/0?ssl_ca_certs=/no/such/file", "on every host"),
        ("rediss://h/0?ssl_cert_reqs=optional", "required or none"),
        ("rediss://h/0?ssl_check_hostname=no", "true or false"),
        ("rediss://h/0?ssl_certfile=/etc/hostname", "ssl_keyfile"),
        ("sentinel://:s3cret@h/0", "master_name"),
        ("sentinel://h/0?master_name=", "master_name"),
        ("sentinel://h/0?master_name=m&ssl=false&ssl_check_hostname=true", "contradict"),
        ("unix://", "absolute path"),
        ("unix://host/run/x", "absolute path"),
        ("redis+socket:///run/x", "not a redis://"),
        ("redis://h ost", "not a redis://"),
    ],
)
def test_a_mistake_in_a_url_is_told_with_its_cure_and_without_the_url(url: str, words: str) -> None:
    with pytest.raises(Mistake) as caught:
        read_redis_url(url)
    told = f"{caught.value.message} {caught.value.cure}"
    assert words in told
    assert "s3cret" not in told


def test_no_password_shows_where_settings_are_shown() -> None:
    url = "sentinel://mover:s3cret@a;sentinel://mover:s3cret@b/0?master_name=m&sentinel_password=inn3r"
    place = read_redis_url(url)
    app = make_app(url)
    app.set_default()
    shown = f"{place!r} {place} {json.dumps(app.conf.table(), default=str)} {app.conf.humanize()}"
    assert "mymaster" not in shown
    for secret in ("s3cret", "inn3r"):
        assert secret not in shown


HEALTHY: dict[str, object] = {
    "redis_version": "7.0.15",
    "cluster_enabled": 0,
    "role": "master",
    "maxmemory_policy": "noeviction",
    "aof_enabled": 1,
    "connected_slaves": 1,
}


@pytest.mark.parametrize(
    ("change", "mistake", "warning"),
    [
        ({}, "", ""),
        ({"redis_version": "5.0.14"}, "6.2 or newer", ""),
        ({"redis_version": "6.0.16"}, "6.2 or newer", ""),
        ({"redis_version": "6.2.0"}, "", ""),
        ({"redis_version": "unknown"}, "", ""),
        ({"cluster_enabled": 1}, "Redis Cluster", ""),
        ({"role": "slave", "master_host": "h", "master_port": 1}, "replica of h:1", ""),
        ({"maxmemory_policy": "allkeys-lru"}, "noeviction", ""),
        ({"maxmemory_policy": "volatile-lru"}, "", "noeviction"),
        ({"aof_enabled": 0}, "", "appendonly yes"),
        ({"connected_slaves": 0}, "", "no replica"),
    ],
)
def test_a_servers_settings_are_judged(
    change: dict[str, object], mistake: str, warning: str
) -> None:
    found = judge({**HEALTHY, **change}, sentinel=True)
    assert [mistake in text for text in found.mistakes] == ([True] if mistake else [])
    assert [warning in text for text in found.warnings] == ([True] if warning else [])
    assert judge({}, sentinel=True) == ([], [])
