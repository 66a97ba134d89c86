"""The embedded Redis: private, alone on its directory, and durable."""

import json
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from redis import Redis

from ossimport.errors import ServiceError
from ossimport.service import embedded, ports
from ossimport.service.embedded import Answer, EmbeddedServer
from ossimport.service.processes import wait_until
from tests.servers.installation import free_port


@pytest.fixture
def working_dir(tmp_path: Path) -> Path:
    return make_working_dir(tmp_path / "wd")


def make_working_dir(path: Path) -> Path:
    (path / "run").mkdir(parents=True)
    return path


@contextmanager
def running(server: EmbeddedServer, log: Path) -> Iterator["subprocess.Popen[bytes]"]:
    with log.open("a") as output:
        process = server.spawn(output)
    try:
        assert wait_until(lambda: server.answer() is Answer.READY, 90), log.read_text()
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def test_what_was_written_survives_a_kill_and_the_address_stays(
    working_dir: Path, tmp_path: Path
) -> None:
    server = EmbeddedServer(working_dir)
    with running(server, tmp_path / "log") as process:
        url = server.url
        assert server.pid() == process.pid
        with Redis.from_url(url) as client:
            client.set("a", "1")
            client.execute_command("WAITAOF", 1, 0, 5000)  # the AOF is written each second
        process.kill()
        process.wait()
        assert server.answer() is Answer.NONE
        assert server.pid() == 0
    with running(EmbeddedServer(working_dir), tmp_path / "log"):
        assert EmbeddedServer(working_dir).url == url
        with Redis.from_url(url) as client:
            assert client.get("a") == b"1"
            settings = client.config_get("*")
    assert settings["maxmemory-policy"] == "noeviction"
    assert settings["appendonly"] == "yes"
    assert settings["bind"] == "127.0.0.1"


def test_a_torn_end_of_the_append_only_file_is_cut_off(working_dir: Path, tmp_path: Path) -> None:
    server = EmbeddedServer(working_dir)
    with running(server, tmp_path / "log"), Redis.from_url(server.url) as client:
        client.set("a", "1")
    (tail,) = (working_dir / "data" / "redis").rglob("*.incr.aof")
    with tail.open("ab") as file:
        file.write(b"*3\r\n$3\r\nSET\r\n$1\r\nb\r\n$10\r\nhal")
    with running(server, tmp_path / "log"), Redis.from_url(server.url) as client:
        assert client.get("a") == b"1"
        assert client.get("b") is None


def test_the_password_stands_in_no_process_list_and_in_no_file_that_others_may_read(
    working_dir: Path, tmp_path: Path
) -> None:
    server = EmbeddedServer(working_dir)
    with running(server, tmp_path / "log") as process:
        password = json.loads((working_dir / "run" / "redis.json").read_text())["password"]
        listed = subprocess.run(
            ["ps", "-o", "args=", "-p", str(process.pid)],
            capture_output=True,
            text=True,
            check=True,
        )
        with socket.create_connection(("127.0.0.1", int(server.url[-7:-2]))) as link:
            link.sendall(b"PING\r\n")
            assert link.recv(100).startswith(b"-NOAUTH")
    assert len(password) == 48
    assert "valkey" in listed.stdout
    assert password not in listed.stdout
    assert password not in (tmp_path / "log").read_text()
    for path in working_dir.rglob("*"):
        if path.is_file() and password.encode() in path.read_bytes():
            assert path.stat().st_mode & 0o077 == 0, path


def test_two_installations_have_a_server_each(working_dir: Path, tmp_path: Path) -> None:
    other_dir = make_working_dir(tmp_path / "other")
    one, other = EmbeddedServer(working_dir), EmbeddedServer(other_dir)
    with running(one, tmp_path / "log"), running(other, tmp_path / "log"):
        assert one.url != other.url
        with Redis.from_url(one.url) as client:
            client.set("a", "1")
        with Redis.from_url(other.url) as client:
            assert client.get("a") is None


def test_a_copy_of_a_directory_takes_neither_its_server_nor_its_password(
    working_dir: Path, tmp_path: Path
) -> None:
    one = EmbeddedServer(working_dir)
    with running(one, tmp_path / "log"):
        copied = tmp_path / "copied"
        shutil.copytree(working_dir, copied)
        copy = EmbeddedServer(copied)
        assert copy.answer() is Answer.NONE
        assert copy.pid() == 0
        with running(copy, tmp_path / "log"):
            assert copy.url.rpartition("@")[0] != one.url.rpartition("@")[0]
            assert one.answer() is Answer.READY


def test_a_port_that_somebody_else_has_taken_is_left_to_him(
    working_dir: Path, tmp_path: Path
) -> None:
    with running(EmbeddedServer(working_dir), tmp_path / "log"):
        url = EmbeddedServer(working_dir).url
    port = int(url.rpartition(":")[2].partition("/")[0])
    stranger = socket.create_server(("127.0.0.1", port))
    with stranger, running(EmbeddedServer(working_dir), tmp_path / "log"):
        assert EmbeddedServer(working_dir).url != url


def test_before_its_first_start_it_has_no_address(working_dir: Path) -> None:
    with pytest.raises(ServiceError, match=r"never been started.*\n.*cure: .*console\.sh start"):
        EmbeddedServer(working_dir).url  # noqa: B018 -- reading it is what fails


def test_a_system_without_a_server_binary_is_told_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ServiceError, match=r"riscv64.*\n.*cure: install valkey-server.*redisUrl"):
        embedded.server_binary()


def test_a_port_is_free_until_somebody_listens_there() -> None:
    port = free_port()
    with socket.create_server(("127.0.0.1", port)):
        assert not ports.is_free(port)
        assert ports.answers(port)
    assert ports.is_free(port)
    assert not ports.answers(port)
