"""The sandbox is killed, runs out of disk, is started twice and is asked to stop."""

import hashlib
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import oss2
import pytest
import requests
from oss2.models import PartInfo

from ossimport.errors import ServiceError
from ossimport.sandbox.server import serve
from tests.servers.installation import PATIENCE_S
from tests.servers.migration import wait_for
from tests.servers.sandbox import RunningSandbox, run_sandbox

WRITERS = 8


def body_of(key: str, version: int) -> bytes:
    """Bytes that say whose they are; some are small, some large."""
    size = [0, 700, 90_000, 400_000][version % 4]
    return hashlib.shake_128(f"{key} {version}".encode()).digest(size)


class Writer(threading.Thread):
    """Writes its own keys over and over until the sandbox is gone."""

    def __init__(self, sandbox: RunningSandbox, number: int) -> None:
        super().__init__()
        self._bucket = sandbox.oss2()
        self._keys = [f"{number}/{n}" for n in range(3)]
        self.acknowledged: dict[str, int] = {}
        self.attempted: dict[str, int] = {}

    def run(self) -> None:
        version = 0
        with self._bucket.session.session:
            while True:
                version += 1
                key = self._keys[version % len(self._keys)]
                self.attempted[key] = version
                try:
                    self._write(key, body_of(key, version), in_parts=version % 5 == 0)
                except (oss2.exceptions.RequestError, requests.RequestException):
                    return
                self.acknowledged[key] = version

    def _write(self, key: str, body: bytes, *, in_parts: bool) -> None:
        if not in_parts:
            self._bucket.put_object(key, body)
            return
        upload_id = self._bucket.init_multipart_upload(key).upload_id
        halves = (body, b"") if len(body) < 300_000 else (body[:200_000], body[200_000:])
        parts = [
            PartInfo(n, self._bucket.upload_part(key, upload_id, n, half).etag)
            for n, half in enumerate(halves, 1)
        ]
        chosen = parts if halves[1] else parts[:1]
        self._bucket.complete_multipart_upload(key, upload_id, chosen)


def test_what_was_acknowledged_survives_kill_9_and_nothing_is_half(tmp_path: Path) -> None:
    port = 0
    for rounds in range(3):
        with run_sandbox(tmp_path, port=port) as sandbox:
            port = sandbox.port
            writers = [Writer(sandbox, number) for number in range(WRITERS)]
            for writer in writers:
                writer.start()
            enough = 100 + rounds
            wait_for(
                lambda: sum(max(w.acknowledged.values(), default=0) for w in writers) >= enough,  # noqa: B023 -- used at once
                "writes to be acknowledged",
            )
            sandbox.kill()
            for writer in writers:
                writer.join(PATIENCE_S)
        with run_sandbox(tmp_path, port=port) as sandbox:
            bucket = sandbox.oss2()
            with bucket.session.session:
                for writer in writers:
                    check(bucket, writer)
                stored = {key for key, _ in listed(bucket)}
                assert stored == {key for key, size in listed(bucket) if size == read(bucket, key)}
                assert orphans(sandbox, bucket) == 0


def check(bucket: Any, writer: Writer) -> None:
    """Each key holds the last version that was acknowledged, or a later one that was tried."""
    for key, version in writer.acknowledged.items():
        content = bucket.get_object(key).read()
        possible = {body_of(key, v) for v in (version, writer.attempted[key])}
        assert content in possible
        head = bucket.head_object(key)
        crc = oss2.utils.Crc64()
        crc.update(content)
        assert head.server_crc == crc.crc
        if head.object_type == "Normal":
            assert head.etag == hashlib.md5(content).hexdigest().upper()


def listed(bucket: Any) -> list[tuple[str, int]]:
    return [(found.key, found.size) for found in oss2.ObjectIteratorV2(bucket)]


def read(bucket: Any, key: str) -> int:
    content: bytes = bucket.get_object(key).read()
    return len(content)


def orphans(sandbox: RunningSandbox, bucket: Any) -> int:
    """Bytes on disk that no object and no part accounts for."""
    files = [path for path in (sandbox.directory / "data").rglob("*") if path.is_file()]
    on_disk = sum(path.stat().st_size for path in files)
    small = 64 << 10  # bytes; such bodies are in the index
    parts: list[int] = [
        part.size
        for upload in oss2.MultipartUploadIterator(bucket)
        for part in oss2.PartIterator(bucket, upload.key, upload.upload_id)
    ]
    large = [size for key, size in listed(bucket) if size > small or is_multipart(bucket, key)]
    return on_disk - sum(parts) - sum(large)


def is_multipart(bucket: Any, key: str) -> bool:
    return bool(bucket.head_object(key).object_type == "Multipart")


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[RunningSandbox]:
    with run_sandbox(tmp_path / "objects") as running:
        yield running


def test_a_full_disk_is_told_and_leaves_no_half_object(sandbox: RunningSandbox) -> None:
    bucket = sandbox.oss2()
    with bucket.session.session:
        bucket.put_object("old", b"old" * 100_000)
        index = (sandbox.directory / "index.sqlite3-wal").stat().st_size
        limit = max(index, 1_000_000)
        before = resource.prlimit(sandbox.pid, resource.RLIMIT_FSIZE, (limit, -1))
        for key in ("old", "new"):
            with pytest.raises(oss2.exceptions.ServerError) as caught:
                bucket.put_object(key, b"x" * (limit + 4_000_000))
            assert (caught.value.status, caught.value.code) == (500, "InternalError")
        assert bucket.get_object("old").read() == b"old" * 100_000
        assert not bucket.object_exists("new")
        wait_for(lambda: len(data_files(sandbox)) == 1, "what did not fit to go")
        assert data_files(sandbox)[0].stat().st_size == 300_000
        resource.prlimit(sandbox.pid, resource.RLIMIT_FSIZE, before)
        bucket.put_object("new", b"x" * (limit + 4_000_000))
        assert bucket.head_object("new").content_length == limit + 4_000_000


def test_a_full_disk_under_the_index_is_told(sandbox: RunningSandbox) -> None:
    bucket = sandbox.oss2()
    with bucket.session.session:
        bucket.put_object("old", b"old")
        size = (sandbox.directory / "index.sqlite3-wal").stat().st_size
        before = resource.prlimit(sandbox.pid, resource.RLIMIT_FSIZE, (size, -1))
        failed = 0
        for number in range(20):
            try:
                bucket.put_object(f"new/{number}", b"x" * 60_000)
            except oss2.exceptions.ServerError as exc:
                failed += exc.code == "InternalError"
        assert failed
        resource.prlimit(sandbox.pid, resource.RLIMIT_FSIZE, before)
        stored = dict(listed(bucket))
        assert len(stored) == 1 + 20 - failed
        assert all(read(bucket, key) == size for key, size in stored.items())
        bucket.put_object("new/0", b"again")
        assert bucket.get_object("new/0").read() == b"again"


def data_files(sandbox: RunningSandbox) -> list[Path]:
    return [path for path in (sandbox.directory / "data").rglob("*") if path.is_file()]


def test_a_body_that_breaks_off_leaves_nothing(sandbox: RunningSandbox) -> None:
    bucket = sandbox.oss2()
    url = bucket.sign_url("PUT", "k", 60).removeprefix(sandbox.endpoint)
    with socket.create_connection(("127.0.0.1", sandbox.port)) as client:
        client.sendall(f"PUT {url} HTTP/1.1\r\nHost: x\r\nContent-Length: 500000\r\n\r\n".encode())
        client.sendall(b"x" * 300_000)
        wait_for(lambda: data_files(sandbox), "the first half to come")
    wait_for(lambda: not data_files(sandbox), "the first half to go")
    with bucket.session.session:
        assert not bucket.object_exists("k")


def test_of_two_writers_that_forbid_overwriting_one_wins(sandbox: RunningSandbox) -> None:
    bucket = sandbox.oss2()
    headers = {"x-oss-forbid-overwrite": "true"}
    url = bucket.sign_url("PUT", "k", 60, headers=headers).removeprefix(sandbox.endpoint)
    with bucket.session.session, socket.create_connection(("127.0.0.1", sandbox.port)) as late:
        late.sendall(f"PUT {url} HTTP/1.1\r\nHost: x\r\nContent-Length: 200000\r\n".encode())
        late.sendall(b"x-oss-forbid-overwrite: true\r\n\r\n" + b"x" * 100_000)
        wait_for(lambda: data_files(sandbox), "the first half to come")
        bucket.put_object("k", b"first", headers=headers)
        late.sendall(b"x" * 100_000)
        assert late.recv(100).startswith(b"HTTP/1.1 409 ")
        assert bucket.get_object("k").read() == b"first"
        wait_for(lambda: not data_files(sandbox), "the late body to go")


def test_a_reader_gets_the_version_that_it_began_with(sandbox: RunningSandbox) -> None:
    bucket = sandbox.oss2()
    with bucket.session.session:
        bucket.put_object("k", b"old" * 10_000_000)
        reading = bucket.get_object("k")
        start = reading.read(1000)
        bucket.put_object("k", b"new")
        rest = b"".join(reading)
        assert start + rest == b"old" * 10_000_000
        assert bucket.get_object("k").read() == b"new"
    wait_for(lambda: not data_files(sandbox), "what was read to go")


def test_memory_does_not_grow_with_the_objects(sandbox: RunningSandbox) -> None:
    bucket = sandbox.oss2()
    with bucket.session.session:
        bucket.put_object("k", iter([bytes(1 << 20)] * 200))
        reading, length = bucket.get_object("k"), 0
        while piece := reading.read(1 << 20):
            length += len(piece)
        assert length == 200 << 20
        for _ in range(1500):
            bucket.put_object("small", bytes(65_536))
    status = Path(f"/proc/{sandbox.pid}/status").read_text(encoding="ascii")
    peak = next(int(line.split()[1]) for line in status.splitlines() if "VmHWM" in line)
    assert peak < 100_000  # KiB


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_stops_when_told(sandbox: RunningSandbox, number: int) -> None:
    with socket.create_connection(("127.0.0.1", sandbox.port)):
        os.kill(sandbox.pid, number)
        assert sandbox.process.wait(PATIENCE_S) == 0


def run(**changes: Any) -> None:
    settings: dict[str, Any] = {
        "port": 0,
        "access_key": "a",
        "secret_key": "s",
        "buckets": ["bucket"],
    }
    serve(**(settings | changes))


def test_a_port_in_use_is_told_with_its_cure(sandbox: RunningSandbox, tmp_path: Path) -> None:
    with pytest.raises(ServiceError, match=rf"127.0.0.1:{sandbox.port}: .*\n +cure: "):
        run(port=sandbox.port, directory=tmp_path / "other")


def test_two_sandboxes_do_not_share_a_directory(sandbox: RunningSandbox) -> None:
    with pytest.raises(ServiceError, match=r"database is locked\n +cure: "):
        run(directory=sandbox.directory)


def test_a_directory_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ServiceError, match=r"cannot keep objects in .*\n +cure: "):
        run(directory=tmp_path / "file" / "objects")
    (tmp_path / "index.sqlite3").write_bytes(b"something else" * 1000)
    with pytest.raises(ServiceError, match="not a database"):
        run(directory=tmp_path)


def test_settings_that_make_no_sense_are_told(tmp_path: Path) -> None:
    with pytest.raises(ServiceError, match="bucket named 'Not OK'"):
        run(directory=tmp_path, buckets=["Not OK"])
    with pytest.raises(ServiceError, match="no access key"):
        run(directory=tmp_path, secret_key="")


def test_the_secret_is_not_on_the_process_list(sandbox: RunningSandbox) -> None:
    command = Path(f"/proc/{sandbox.pid}/cmdline").read_bytes()
    assert sandbox.secret_key.encode() not in command


def test_the_command_tells_errors_without_a_traceback(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    arguments = ["--dir", str(tmp_path / "file"), "--access-key", "a", "--secret-key", "s"]
    done = subprocess.run(
        [sys.executable, "-m", "ossimport.sandbox", "--port", "0", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "cure: " in done.stderr
    assert "Traceback" not in done.stderr
