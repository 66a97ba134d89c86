"""The Qiniu source against answers that no healthy service gives, and what it really sends."""

import json

import pytest

from ossimport.config import SourceConfig
from ossimport.config.secret import Secret
from ossimport.errors import Fatal, Permanent, Transient
from ossimport.model import ObjectInfo
from ossimport.qetag import qetag
from ossimport.sources.base import Checksum, Source
from ossimport.sources.qiniu import Access, QiniuSource, open_source
from ossimport.transport import Endpoint, Transport
from tests.contract.bucket_answers import SECRET, answer, answering
from tests.contract.marker_answers import BODY, MarkerAnswers

HASH = qetag(BODY)
ITEM = {"key": "a", "fsize": 10, "hash": HASH, "putTime": 17000000000000000}
WRONG: list[tuple[str, object]] = [
    ("key", "\ud800"),
    ("fsize", -1),
    ("fsize", 1.5),
    ("fsize", 1 << 63),
    ("fsize", float("inf")),
    ("putTime", "1"),
    ("hash", "\udcff"),
]


class TestQiniuAnswers(MarkerAnswers):
    info = ObjectInfo("key", 10, 0, HASH)
    request_id = "X-Reqid"
    busy = "573"
    read_permission = "srcDomain"
    scan_refusals = [
        ("401 No", "bad token", Fatal, "BadToken", "srcSecretKey"),
        ("403 No", "no permission", Fatal, "AccessDenied", "to list and to stat"),
        ("419 No", "user disabled", Fatal, "UserDisabled", "arrears"),
        ("631 No", "no such bucket", Fatal, "NoSuchBucket", "srcBucket"),
        ("400 No", "incorrect region, please use z1", Fatal, "IncorrectRegion", "srcRegion"),
        ("403 No", "request time is too skewed", Transient, "RequestTimeTooSkewed", "clock"),
        ("404 No", "", Fatal, "HTTP404", "srcDomain"),
        ("301 Moved", "", Fatal, "HTTP301", "srcDomain"),
    ]
    read_refusals = [
        ("412 Changed", "changed", Permanent, "SourceChanged", ""),
        ("404 No", "Document not found", Permanent, "NotFound", ""),
        ("403 No", "no", Permanent, "AccessDenied", "srcDomain"),
        ("403 No", "the object is archived", Permanent, "ObjectArchived", "restore it"),
        ("401 No", "download token auth failed", Fatal, "BadToken", "srcSecretKey"),
        ("401 No", "expired token", Transient, "RequestTimeTooSkewed", "clock"),
        ("573 Slow", "too frequent", Transient, "TooManyRequests", "workerTaskThreadNum"),
        ("599 Bad", "internal", Transient, "ServerError", ""),
    ]

    def source(self, endpoint: Endpoint, prefix: str, transport: Transport | None) -> Source:
        return QiniuSource(Access((endpoint,), "bucket-1", "access", SECRET), prefix, transport)

    def page(self, *keys: str, marker: str = "") -> bytes:
        more = {"fsize": 10, "hash": HASH, "putTime": 17000000000000000, "mimeType": "a/b"}
        said = {"items": [{"key": key, **more} for key in keys], "marker": marker}
        return answer("200 OK", json.dumps(said).encode())

    def refusal(self, status: str, code: str, *headers: str) -> bytes:
        return answer(status, json.dumps({"error": code}).encode(), *headers)

    def served(self, status: str, body: bytes, *headers: str) -> bytes:
        return answer(status, body, f'ETag: "{HASH}"', *headers)

    def test_a_listing_is_asked_for_like_this(self) -> None:
        pages = {"": self.page("a/a", "a/b", marker="m 1"), "m 1": self.page("a/c")}
        with answering(lambda query: pages[query.get("marker", "")]) as (server, heads):
            assert self.scan(server.endpoint, "a/") == ["a", "b", "c"]
            assert server.connections == 1
        assert heads[0].startswith("GET /list?bucket=bucket-1&limit=1000&prefix=a%2F HTTP/1.1\r\n")
        assert "&marker=m%201&prefix=a%2F HTTP/1.1\r\n" in heads[1]
        assert "\r\nauthorization: Qiniu access:" in heads[0]

    async def test_a_read_has_a_token_and_is_pinned(self) -> None:
        with answering(self.served("200 OK", BODY)) as (server, heads):
            assert await self.read(server.endpoint) == BODY
        assert heads[0].startswith("GET /key?e=")
        assert "&token=access:" in heads[0].split(" ")[1]
        assert f'\r\nif-match: "{HASH}"\r\n' in heads[0]

    async def test_only_a_hash_of_the_whole_is_compared(self) -> None:
        for etag, checksum in (
            (HASH, Checksum("qetag", HASH)),
            ("npGrGHQOjETYnwxmSF3uXmFpmZIb", None),
        ):
            with answering(answer("200 OK", BODY, f'ETag: "{etag}"')) as (server, _):
                source = self.source(server.endpoint, "", None)
                payload = await source.read(self.info._replace(etag=etag), 0, 10)
                await source.close()
            assert payload.checksum == checksum

    @pytest.mark.parametrize(
        "said",
        [
            {},
            {"items": 5},
            {"items": [{"key": "a"}]},
            [],
            {"items": [1]},
            *({"items": [{**ITEM, name: value}]} for name, value in WRONG),
            {"items": [], "marker": 5},
        ],
    )
    def test_what_is_no_page_is_refused(self, said: object) -> None:
        fault = self.scan_failure(answer("200 OK", json.dumps(said).encode()))
        assert (type(fault), fault.code) == (Transient, "BadResponse")

    async def test_an_object_that_is_gone_has_a_status_of_its_own(self) -> None:
        with answering(self.refusal("612 No", "no such file or directory")) as (server, heads):
            source = self.source(server.endpoint, "p/", None)
            with pytest.raises(Permanent) as caught:
                await source.stat("key")
            await source.close()
        assert (caught.value.code, caught.value.key) == ("NotFound", "key")
        assert heads[0].startswith("GET /stat/YnVja2V0LTE6cC9rZXk= HTTP/1.1\r\n")


@pytest.mark.parametrize(
    ("domain", "region", "first"),
    [
        ("http://mybucket.u.qiniudn.com", "", "http://mybucket.u.qiniudn.com:80"),
        ("https://a.example.com,b.example.com:8080", "z0", "https://a.example.com:443"),
    ],
)
def test_forms_of_the_domain(
    domain: str, region: str, first: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Access] = []
    monkeypatch.setattr(
        "ossimport.sources.qiniu.QiniuSource", lambda access, *_, **__: made.append(access)
    )
    config = SourceConfig(
        type="qiniu",
        access_key="ak",
        secret_key=Secret(SECRET),
        domain=domain,
        bucket="box",
        region=region,
        meta_mode="head",
    )
    open_source(config, scan_depth=1, scratch=None, transport=None)  # type: ignore[arg-type]
    [access] = made
    assert str(access.domains[0]) == first
    assert len(access.domains) == domain.count(",") + 1
    assert (access.region, access.use_head) == (region, True)
    assert SECRET not in repr(access)


async def test_the_interfaces_of_a_named_region_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Endpoint] = []

    async def request(self: Transport, endpoint: Endpoint, *_: object, **__: object) -> None:
        asked.append(endpoint)
        raise Transient("stop", code="Timeout")

    monkeypatch.setattr(Transport, "request", request)
    domain = Endpoint("http", "files.example.com", 80)
    for region, host in (("z1", "rs-z1.qiniuapi.com"), ("", "uc.qiniuapi.com")):
        source = QiniuSource(Access((domain,), "box", "ak", SECRET, region), "")
        with pytest.raises(Transient):
            await source.stat("key")
        await source.close()
        assert asked.pop() == Endpoint("https", host, 443)
