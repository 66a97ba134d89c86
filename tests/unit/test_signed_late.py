"""Requests are signed when they go out: they may wait for longer than signatures, and credentials,
last."""

import base64
from collections.abc import Callable

import pytest

from ossimport.credentials import Credentials, Keys
from ossimport.errors import StorageError, Transient
from ossimport.model import ObjectInfo
from ossimport.oss.bucket import RENEWALS, Access, OssBucket
from ossimport.oss.refusals import DESTINATION
from ossimport.sources import azure, bos, cos, ks3, oss, qiniu, s3, youpai
from ossimport.sources.base import Source
from ossimport.sources.s3_place import Place
from ossimport.transport import Endpoint, Response, Transport
from ossimport.transport.wire import Body, Flowing, Headers

THERE = Endpoint("http", "127.0.0.1", 80)
WAIT_S = 3600.0

REFUSED = Response(403, {}, b"<Error><Code>SecurityTokenExpired</Code></Error>")
REFUSED_BY_S3 = Response(403, {}, b"<Error><Code>ExpiredToken</Code></Error>")


class Clock:
    """Goes on only while requests wait."""

    def __init__(self) -> None:
        self.now = 1.8e9

    def __call__(self) -> float:
        return self.now


class Queue(Transport):
    """Each request waits for its turn for an hour; then it gets the next answer, if there is one.

    Notes the headers that a request would have had before, and those that it has.
    """

    def __init__(self, clock: Clock, answers: list[Response]) -> None:
        super().__init__()
        self.noted: list[tuple[dict[str, str], dict[str, str]]] = []
        self.meanwhile: Callable[[], None] = lambda: None
        self._clock = clock
        self._answers = answers

    async def request(
        self,
        endpoint: Endpoint,
        method: str,
        target: str,
        headers: Headers,
        body: Body | Flowing = b"",
        *,
        max_body: int = 0,
    ) -> Response:
        assert callable(headers)
        before = dict(headers())
        self._clock.now += WAIT_S
        self.meanwhile()
        self.noted.append((before, dict(headers())))
        if not self._answers:
            raise Transient("no answer", code="Timeout")
        return self._answers.pop(0)


SECRET = base64.b64encode(b"secret").decode()
MAKE: dict[str, Callable[[Transport, Clock], Source]] = {
    "azure": lambda transport, clock: azure.AzureSource(
        azure.Access(THERE, "", "account", "container", SECRET), "", transport, clock=clock
    ),
    "bos": lambda transport, clock: bos.BosSource(
        bos.Access(THERE, "bucket", "ak", "sk"), "", transport, clock=clock
    ),
    "cos": lambda transport, clock: cos.CosSource(
        cos.Access(THERE, "bucket-1250000000", "ak", "sk"), "", transport, clock=clock
    ),
    "ks3": lambda transport, clock: ks3.Ks3Source(
        ks3.Access(THERE, "bucket", "ak", "sk"), "", transport, clock=clock
    ),
    "oss": lambda transport, clock: oss.OssSource(
        Access(THERE, "bucket", "cn-hangzhou", "ak", "sk"), "", transport, clock=clock
    ),
    "qiniu": lambda transport, clock: qiniu.QiniuSource(
        qiniu.Access((THERE,), "bucket", "ak", "sk", "z0"), "", transport, clock=clock
    ),
    "s3": lambda transport, clock: s3.S3Source(
        s3.Access(Place(THERE, "bucket", "us-east-1", True), "ak", "sk"),
        "",
        transport,
        clock=clock,
    ),
    "youpai": lambda transport, clock: youpai.YoupaiSource(
        youpai.Access(THERE, "service", "operator", "password"), "", transport, clock=clock
    ),
}


@pytest.mark.parametrize("name", MAKE)
async def test_a_source_signs_a_request_when_it_goes_out(name: str) -> None:
    clock = Clock()
    transport = Queue(clock, [])
    with pytest.raises(StorageError):
        await MAKE[name](transport, clock).stat("key")
    ((before, sent),) = transport.noted
    assert before["authorization"] != sent["authorization"]


def renewed(clock: Clock, life: float) -> Keys:
    """Keys of which there are others each time somebody looks."""
    looks = iter(range(1000))

    def fetch() -> Credentials:
        number = next(looks)
        return Credentials(f"ak{number}", "sk", f"token{number}", clock.now + life)

    return Keys(fetch, end="destCredentials", reference="file:/sts.json", clock=clock)


def tokens(transport: Queue, header: str) -> list[str]:
    """The tokens that requests were sent with."""
    return [sent[header] for _, sent in transport.noted]


async def test_credentials_that_end_while_a_request_waits_are_none_of_its_faults() -> None:
    clock = Clock()
    transport = Queue(clock, [REFUSED] * (2 * RENEWALS) + [Response(200, {}, b"")])
    access = Access(THERE, "bucket", "cn-hangzhou", "", "", keys=renewed(clock, WAIT_S / 2))
    response = await OssBucket(access, transport, DESTINATION, clock).send("GET", "stat", "key")
    assert response.status == 200
    sent = tokens(transport, "x-oss-security-token")
    assert len(set(sent)) == len(sent) == 2 * RENEWALS + 1


async def test_credentials_that_should_last_are_not_renewed_for_ever() -> None:
    clock = Clock()
    transport = Queue(clock, [REFUSED] * 100)
    access = Access(THERE, "bucket", "cn-hangzhou", "", "", keys=renewed(clock, 100 * WAIT_S))
    response = await OssBucket(access, transport, DESTINATION, clock).send("GET", "stat", "key")
    assert response == REFUSED
    assert len(transport.noted) == RENEWALS + 1


@pytest.mark.parametrize(("life", "requests"), [(WAIT_S / 2, 9), (100 * WAIT_S, RENEWALS + 1)])
async def test_the_same_holds_at_a_bucket_of_s3(life: float, requests: int) -> None:
    clock = Clock()
    transport = Queue(clock, [REFUSED_BY_S3] * 8)
    access = s3.Access(Place(THERE, "bucket", "us-east-1", True), "", "", keys=renewed(clock, life))
    with pytest.raises(StorageError):
        await s3.S3Source(access, "", transport, clock=clock).read(
            ObjectInfo("key", 1, 0, "etag"), 0, 1
        )
    sent = tokens(transport, "x-amz-security-token")
    assert len(set(sent)) == len(sent) == requests


async def test_others_that_came_while_a_request_waited_are_used() -> None:
    clock = Clock()
    keys = renewed(clock, 100 * WAIT_S)
    await keys.get()
    transport = Queue(clock, [])
    transport.meanwhile = lambda: setattr(keys, "current", Credentials("ak", "sk", "of another"))
    access = Access(THERE, "bucket", "cn-hangzhou", "", "", keys=keys)
    with pytest.raises(Transient):
        await OssBucket(access, transport, DESTINATION, clock).send("GET", "stat", "key")
    assert tokens(transport, "x-oss-security-token") == ["of another"]
