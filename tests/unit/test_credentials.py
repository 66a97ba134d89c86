"""Credentials that expire: where they come from, when they are renewed, who waits."""

import asyncio
import json
import math
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ossimport.config import kinds
from ossimport.credentials import Credentials, Keys
from ossimport.credentials.keys import Unavailable
from ossimport.credentials.providers import of_ecs, of_file, of_process, parse
from ossimport.errors import Waiting

ALIBABA = {
    "AccessKeyId": "STS.a",
    "AccessKeySecret": "s",
    "SecurityToken": "t",
    "Expiration": "2023-11-14T22:13:20Z",
}
AWS = {
    "Version": 1,
    "AccessKeyId": "STS.a",
    "SecretAccessKey": "s",
    "SessionToken": "t",
    "Expiration": "2023-11-14T23:13:20+01:00",
}
EXPECTED = Credentials("STS.a", "s", "t", 1_700_000_000)


# Documents


@pytest.mark.parametrize("document", [ALIBABA, AWS, {"Credentials": ALIBABA, "RequestId": "1"}])
def test_a_document_of_either_cloud_is_read(document: dict[str, object]) -> None:
    assert parse(json.dumps(document).encode()) == EXPECTED


def test_keys_that_last_have_no_token_and_no_end() -> None:
    found = parse(b'{"AccessKeyId": "a", "AccessKeySecret": "s"}')
    assert found == Credentials("a", "s", "", math.inf)


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"secret",
        b"[]",
        b'"secret"',
        b'{"AccessKeyId": "secret"}',
        json.dumps(ALIBABA | {"AccessKeySecret": "secret key"}).encode(),
        json.dumps(ALIBABA | {"SecurityToken": 5}).encode(),
        json.dumps(ALIBABA | {"Expiration": "secret"}).encode(),
        b"\xff\xfe",
    ],
)
def test_what_is_no_document_is_refused_without_a_word_of_it(document: bytes) -> None:
    with pytest.raises(Unavailable) as caught:
        parse(document)
    assert "secret" not in str(caught.value).lower().replace("accesskeysecret", "")


@given(st.binary(max_size=50))
def test_any_bytes_are_a_document_or_refused(document: bytes) -> None:
    with pytest.raises(Unavailable):
        parse(document)


def test_credentials_do_not_show_in_print() -> None:
    assert "s3cret" not in repr(Credentials("k", "s3cret", "t0ken"))


# Where they come from


def test_a_file(tmp_path: Path) -> None:
    path = tmp_path / "sts.json"
    with pytest.raises(Unavailable, match="No such file"):
        of_file(path)
    path.write_text(json.dumps(ALIBABA))
    assert of_file(path) == EXPECTED


def test_a_command_is_run_without_a_shell_and_its_words_are_not_kept(tmp_path: Path) -> None:
    script = tmp_path / "two words.py"
    script.write_text(
        "import json, sys\n"
        "print('secret', file=sys.stderr)\n"
        f"print(json.dumps({ALIBABA!r}) if sys.argv[1:] == ['$HOME;', 'x y'] else sys.argv)\n"
    )
    assert of_process(f"{sys.executable} '{script}' $HOME; 'x y'") == EXPECTED
    with pytest.raises(Unavailable, match="exit code 3"):
        of_process(f"{sys.executable} -c 'import sys; print(5); sys.exit(3)'")
    with pytest.raises(Unavailable, match="cannot be run"):
        of_process("/nowhere/command")
    with pytest.raises(Unavailable, match=r"not ended within 0\.2 s"):
        of_process(f"{sys.executable} -c 'import time; time.sleep(60)'", timeout_s=0.2)


class Metadata(BaseHTTPRequestHandler):
    """The metadata service of an ECS instance, hardened or not."""

    hardened = True
    roles = "a role"

    def do_PUT(self) -> None:
        self._answer(200 if self.hardened else 404, "the-token")

    def do_GET(self) -> None:
        if self.hardened and self.headers["X-aliyun-ecs-metadata-token"] != "the-token":
            self._answer(403, "")
        elif self.path.endswith("/security-credentials/"):
            self._answer(200 if self.roles else 404, self.roles)
        elif self.path.endswith("/security-credentials/a%20role"):
            self._answer(200, json.dumps(ALIBABA | {"Code": "Success"}))
        else:
            self._answer(404, "")

    def _answer(self, status: int, text: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def metadata() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Metadata) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("hardened", [True, False])
@pytest.mark.parametrize("role", ["", "a role"])
def test_the_ram_role_of_an_instance(
    metadata: str, monkeypatch: pytest.MonkeyPatch, hardened: bool, role: str
) -> None:
    monkeypatch.setattr(Metadata, "hardened", hardened)
    assert of_ecs(role, metadata) == EXPECTED


def test_an_instance_without_the_role_says_so(
    metadata: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Unavailable, match="HTTP 404 for the RAM role other"):
        of_ecs("other", metadata)
    monkeypatch.setattr(Metadata, "roles", "")
    with pytest.raises(Unavailable, match="names no RAM role"):
        of_ecs("", metadata)
    with pytest.raises(Unavailable, match="is this host an ECS instance"):
        of_ecs("", "127.0.0.1:1")


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("file:/a/b", ""),
        ("process:/bin/x -a 'b c'", ""),
        ("ecs:", ""),
        ("ecs:role", ""),
        ("file:a", "not absolute"),
        ("process:x", "not absolute"),
        ("process:", "not absolute"),
        ("process:/x 'a", "cannot be read"),
        ("env:", "the value is not"),
        ("secret", "the value is not"),
    ],
)
def test_a_reference_is_checked_before_a_job(text: str, wrong: str) -> None:
    if not wrong:
        assert kinds.credentials(text) == text
        return
    with pytest.raises(kinds.Mistake, match=wrong) as caught:
        kinds.credentials(text)
    assert caught.value.cure


# Renewing


class Service:
    """Hands out credentials that live `life` seconds by a clock that stands still."""

    def __init__(self, life: float = 1000.0) -> None:
        self.now = 1_700_000_000.0
        self.life = life
        self.fetched = 0
        self.at_once = 0
        self.trouble = ""
        self.number = 0
        self.delay = 0.0

    def fetch(self) -> Credentials:
        self.fetched += 1
        self.at_once += 1
        assert self.at_once == 1
        time.sleep(self.delay)
        self.at_once -= 1
        if self.trouble:
            raise Unavailable(self.trouble)
        return Credentials(f"k{self.number}", "s", "t", self.now + self.life)

    def keys(self, patience_s: float = 0.05) -> Keys:
        return Keys(
            self.fetch,
            end="destCredentials",
            reference="file:/sts.json",
            clock=lambda: self.now,
            patience_s=patience_s,
            poll_s=0.01,
        )


async def settled(keys: Keys) -> None:
    renewal = keys._renewal
    assert renewal is not None
    await asyncio.wrap_future(renewal)


async def test_they_are_fetched_once_for_all_who_need_them() -> None:
    service = Service()
    service.delay = 0.05
    keys = service.keys()
    found = await asyncio.gather(*(keys.get() for _ in range(100)))
    assert {each.access_key for each in found} == {"k0"}
    assert service.fetched == 1
    assert keys.due == service.now + 750


@pytest.mark.parametrize(
    ("life", "then", "again"),
    [(3600.0, 3300.0, 30.0), (40.0, 30.0, 1.25), (math.inf, 30.0, 30.0)],
)
async def test_they_are_looked_at_again_in_time_and_not_too_often(
    life: float, then: float, again: float
) -> None:
    service = Service(life)
    fixed = Credentials("k", "s", "t", service.now + life)
    keys = service.keys()
    keys._fetch = lambda: fixed
    await keys.get()
    assert keys.due == service.now + then
    service.now = keys.due
    await keys.get()  # nobody has renewed them
    await settled(keys)
    assert keys.due == service.now + again


async def test_they_are_renewed_ahead_while_requests_go_on() -> None:
    service = Service()
    keys = service.keys()
    first = await keys.get()
    service.number, service.delay, service.now = 1, 0.05, service.now + 900
    assert keys.due <= service.now
    assert await keys.get() == first  # nobody waits
    await settled(keys)
    assert (await keys.get()).access_key == "k1"


async def test_who_finds_them_ended_waits_for_others() -> None:
    service = Service()
    keys = service.keys(patience_s=60)
    await keys.get()
    ended = service.number
    service.now += 2000
    service.life = -1.0  # what is there has ended too
    waiting = asyncio.create_task(keys.get())
    await asyncio.sleep(0.05)
    assert not waiting.done()
    service.number, service.life = ended + 1, 1000.0
    assert (await waiting).access_key == "k1"


async def test_who_looks_on_is_told_at_once_that_there_are_none() -> None:
    service = Service()
    keys = service.keys(patience_s=60)
    keys.wait_no_more()
    assert (await keys.get()).access_key == "k0"
    service.now += 2000
    service.trouble = "the file is gone"
    with pytest.raises(Waiting, match="the file is gone"):
        await keys.get()
    assert service.fetched == 2


@pytest.mark.parametrize("trouble", ["", "the file /sts.json cannot be read: gone"])
async def test_patience_ends_with_a_reason_and_a_cure(trouble: str) -> None:
    service = Service()
    keys = service.keys()
    await keys.get()
    service.now, service.life, service.trouble = service.now + 2000, -1.0, trouble
    with pytest.raises(Waiting) as caught:
        await keys.get()
    said = str(caught.value)
    assert (trouble or "expired at 20") in said
    assert "put new ones in file:/sts.json; a running job goes on by itself" in said
    service.number, service.life, service.trouble = 5, 1000.0, ""
    assert (await keys.get()).access_key == "k5"


async def test_refused_ones_are_not_used_again_though_they_have_not_ended() -> None:
    service = Service(life=math.inf)
    keys = service.keys()
    used = await keys.get()
    keys.refuse(used, "SecurityTokenExpired")
    assert keys.due <= service.now
    with pytest.raises(Waiting, match=r"were refused \(SecurityTokenExpired\)"):
        await keys.get()
    service.number = 1
    other = await keys.get()
    assert other.access_key == "k1"
    keys.refuse(used, "SecurityTokenExpired")  # of a request that was long on its way
    assert await keys.get() == other
    assert keys.due > service.now


async def test_trouble_while_they_are_good_harms_nobody() -> None:
    service = Service()
    keys = service.keys()
    first = await keys.get()
    service.trouble, service.now = "gone", service.now + 900
    assert await keys.get() == first
    await settled(keys)
    assert await keys.get() == first
    assert keys.due > service.now


async def test_who_is_cancelled_does_not_end_the_waiting_of_others() -> None:
    service = Service()
    service.delay = 0.1
    keys = service.keys()
    one, other = asyncio.create_task(keys.get()), asyncio.create_task(keys.get())
    await asyncio.sleep(0.02)
    one.cancel()
    assert (await other).access_key == "k0"


async def test_fixed_keys_are_never_due() -> None:
    keys = Keys.fixed("a", "s")
    assert (keys.due, keys.current[:3]) == (math.inf, ("a", "s", ""))


def test_several_loops_share_them() -> None:
    service = Service()
    service.delay = 0.05
    keys = service.keys()
    threads = [threading.Thread(target=lambda: asyncio.run(keys.get())) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert service.fetched == 1
