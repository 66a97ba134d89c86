"""The Azure source against answers that no healthy service gives, and what it really sends."""

import asyncio
import base64
import random
from datetime import UTC, datetime, timedelta

import pytest
from azure.core.exceptions import HttpResponseError
from azure.storage.blob import AccountSasPermissions, BlobServiceClient, ResourceTypes
from azure.storage.blob import generate_account_sas as sdk_sas

from ossimport.config import SourceConfig
from ossimport.config.secret import Secret
from ossimport.errors import Fatal, Permanent, StorageError, Transient
from ossimport.listing import NotAListing
from ossimport.model import Lane, ObjectInfo
from ossimport.sources.azure import Access, AzureSource, open_source
from ossimport.sources.azure_listing import parse_blobs
from ossimport.sources.base import Checksum, Source
from ossimport.transport import Endpoint, Transport
from tests.contract.bucket_answers import SECRET, answer, answering
from tests.contract.marker_answers import BODY, MarkerAnswers
from tests.servers.azure import AzureServer

ETAG = "0x8D1"
DENIED = "AuthorizationPermissionMismatch"
ODD_KEYS = [
    "//",
    "//double//",
    "/leading",
    "dir/",
    ".",
    "..",
    "a/./b",
    "a/../b",
    "percent%20sign%",
    "plus+and&equals=?#;",
    " blanks ",
    "control\x01\t",
    "\U0001f600",
    "\ufb01",
    "\uff08full width\uff09",
    "x" * 1020,
]


def secret() -> str:
    return base64.b64encode(SECRET.encode()).decode()


def access(endpoint: Endpoint, key: str = "") -> Access:
    return Access(endpoint, "/theaccount", "theaccount", "bucket-1", key or secret())


def blob(name: str) -> str:
    return (
        f"<Blob><Name>{name}</Name><Properties><Last-Modified>Thu, 01 Jan 2026 00:00:00 GMT"
        f"</Last-Modified><Etag>{ETAG}</Etag><Content-Length>10</Content-Length></Properties></Blob>"
    )


class TestAzureAnswers(MarkerAnswers):
    info = ObjectInfo("key", 10, 0, ETAG)
    request_id = "x-ms-request-id"
    busy = "ServerBusy"
    read_permission = "sp=rl"
    scan_refusals = [
        ("403 No", DENIED, Fatal, "AccessDenied", "sp=rl"),
        ("403 No", "AuthorizationFailure", Fatal, "AccessDenied", "network rules"),
        ("403 No", "AuthorizationFailure", Fatal, "AccessDenied", "a key of this account"),
        ("403 No", "AuthenticationFailed", Fatal, "AuthenticationFailed", "srcSecretKey"),
        (
            "403 No",
            "AuthorizationResourceTypeMismatch",
            Fatal,
            "AuthorizationResourceTypeMismatch",
            "srt=",
        ),
        ("404 No", "ContainerNotFound", Fatal, "ContainerNotFound", "srcBucket"),
        ("400 No", "AccountRequiresHttps", Fatal, "AccountRequiresHttps", "https://"),
        ("400 No", "InvalidQueryParameterValue", Fatal, "InvalidQueryParameterValue", "srcDomain"),
        ("404 No", "", Fatal, "HTTP404", "srcDomain"),
        ("301 Moved", "", Fatal, "HTTP301", "srcDomain"),
    ]
    read_refusals = [
        ("412 Changed", "ConditionNotMet", Permanent, "SourceChanged", ""),
        ("404 No", "BlobNotFound", Permanent, "NotFound", ""),
        ("404 No", "ContainerNotFound", Fatal, "ContainerNotFound", "srcBucket"),
        ("403 No", DENIED, Permanent, "AccessDenied", "sp=rl"),
        ("409 No", "BlobArchived", Permanent, "BlobArchived", "rehydrate"),
        ("409 No", "BlobBeingRehydrated", Permanent, "BlobBeingRehydrated", "wait"),
        ("403 No", "AuthenticationFailed", Fatal, "AuthenticationFailed", "srcSecretKey"),
        ("503 Slow", "ServerBusy", Transient, "ServerBusy", "workerTaskThreadNum"),
        ("500 Slow", "OperationTimedOut", Transient, "OperationTimedOut", ""),
    ]

    def source(self, endpoint: Endpoint, prefix: str, transport: Transport | None) -> Source:
        return AzureSource(access(endpoint), prefix, transport)

    def page(self, *keys: str, marker: str = "") -> bytes:
        blobs = "".join(blob(key) for key in keys)
        text = f"<Blobs>{blobs}</Blobs><NextMarker>{marker}</NextMarker>"
        return answer("200 OK", f"\ufeff<EnumerationResults>{text}</EnumerationResults>".encode())

    def refusal(self, status: str, code: str, *headers: str) -> bytes:
        body = f"<Error><Code>{code}</Code><Message>Words\nRequestId:R\nTime:T</Message></Error>"
        return answer(status, body.encode(), f"x-ms-error-code: {code}", *headers)

    def served(self, status: str, body: bytes, *headers: str) -> bytes:
        return answer(status, body, f'ETag: "{ETAG}"', *headers)

    def test_a_listing_is_asked_for_like_this(self) -> None:
        pages = {"": self.page("a/a", "a/b", marker="m 1"), "m 1": self.page("a/c")}
        with answering(lambda query: pages[query.get("marker", "")]) as (server, heads):
            assert self.scan(server.endpoint, "a/") == ["a", "b", "c"]
            assert server.connections == 1
        target = "/theaccount/bucket-1?restype=container&comp=list&maxresults=5000&prefix=a%2F"
        assert heads[0].startswith(f"GET {target} HTTP/1.1\r\n")
        assert heads[1].startswith(f"GET {target}&marker=m%201 HTTP/1.1\r\n")
        assert "\r\nauthorization: SharedKey theaccount:" in heads[0]

    async def test_a_read_is_signed_and_pinned(self) -> None:
        with answering(self.served("200 OK", BODY)) as (server, heads):
            assert await self.read(server.endpoint) == BODY
        assert heads[0].startswith("GET /theaccount/bucket-1/key HTTP/1.1\r\n")
        assert f'\r\nif-match: "{ETAG}"\r\n' in heads[0]
        assert "\r\nauthorization: SharedKey theaccount:" in heads[0]

    def test_a_refused_signature_tells_nothing_of_what_was_signed(self) -> None:
        detail = f"<AuthenticationErrorDetail>string to sign: {SECRET}</AuthenticationErrorDetail>"
        body = f"<Error><Code>AuthenticationFailed</Code><Message>W</Message>{detail}</Error>"
        fault = self.scan_failure(answer("403 No", body.encode()))
        assert isinstance(fault, Fatal)

    async def test_the_checksum_is_what_the_service_says_of_all_the_bytes(self) -> None:
        md5 = base64.b64encode(bytes(range(16))).decode()
        whole, part = f"Content-MD5: {md5}", f"x-ms-blob-content-md5: {md5}"
        stated = Checksum("md5", bytes(range(16)).hex())
        bad = "Content-MD5: AAAA"
        for reply, offset, checksum in (
            (self.served("200 OK", BODY, whole), 0, stated),
            (self.served("200 OK", BODY, whole, "x-ms-blob-type: BlockBlob"), 0, stated),
            (self.served("200 OK", BODY, whole, "x-ms-blob-type: PageBlob"), 0, None),
            (self.served("200 OK", BODY), 0, None),
            (self.served("200 OK", BODY, bad), 0, None),
            (self.served("200 OK", BODY, "Content-MD5: ***"), 0, None),
            (self.served("206 P", BODY[1:], "Content-Range: bytes 1-9/10", part), 1, stated),
            (self.served("206 P", BODY[1:], "Content-Range: bytes 1-9/10", whole), 1, None),
        ):
            with answering(reply) as (server, _):
                source = self.source(server.endpoint, "", None)
                payload = await source.read(self.info, offset, 10 - offset)
                await source.close()
            assert payload.checksum == checksum


# -- the real protocol


def server_access(server: AzureServer, key: str = "") -> Access:
    endpoint = Endpoint("http", "127.0.0.1", server.port)
    account = server.account
    return Access(endpoint, f"/{account}", account, "box", key or server.key)


def failure(access: Access, clock_offset: float = 0.0) -> StorageError:
    import time

    source = AzureSource(access, "", clock=lambda: time.time() + clock_offset)
    with pytest.raises(StorageError) as caught:
        source.check()
    asyncio.run(source.close())
    assert access.secret not in str(caught.value)
    return caught.value


def test_each_wrong_setting_has_its_own_words() -> None:
    with AzureServer() as server:
        server.put("box", "key", b"body")
        right = server_access(server)
        for wrong, code, cure in (
            (right._replace(secret=secret()), "AuthenticationFailed", "srcSecretKey"),
            (
                right._replace(account="other", root="/other"),
                "AuthenticationFailed",
                "srcAccessKey",
            ),
            (right._replace(container="boxes"), "ContainerNotFound", "srcBucket"),
            (right._replace(secret=server.sas("r")), "AccessDenied", "sp=rl"),
            (right._replace(secret=server.sas("l")), "AccessDenied", "sp=rl"),
            (right._replace(secret=server.sas(expires_in=-1)), "SasNotValidNow", "make a SAS"),
            (right._replace(secret=server.sas() + "x"), "AuthenticationFailed", "whole SAS"),
            (
                right._replace(secret=server.sas(protocol="https")),
                "AuthorizationProtocolMismatch",
                "https://",
            ),
        ):
            fault = failure(wrong)
            assert (type(fault), fault.code) == (Fatal, code)
            assert "Cure: " in str(fault)
            assert cure in str(fault)
        skewed = failure(right, clock_offset=1000)
        assert (type(skewed), skewed.code) == (Transient, "RequestTimeTooSkewed")
        assert "set this host's clock" in str(skewed)


def test_names_that_azure_cannot_have_are_refused_before_anything_is_sent() -> None:
    endpoint = Endpoint("http", "127.0.0.1", 1)
    for wrong, code in (
        (access(endpoint)._replace(container="Upper"), "InvalidBucketName"),
        (access(endpoint)._replace(container="a--b"), "InvalidBucketName"),
        (access(endpoint, "no key at all"), "BadCredentials"),
    ):
        with pytest.raises(Fatal, match="Cure: ") as caught:
            AzureSource(wrong, "")
        assert caught.value.code == code
    for container in ("$web", "$root", "abc", "a-b-c"):
        AzureSource(access(endpoint)._replace(container=container), "")


@pytest.mark.parametrize(
    ("domain", "url"),
    [
        ("core.windows.net", "https://acct.blob.core.windows.net:443"),
        ("http://core.chinacloudapi.cn", "http://acct.blob.core.chinacloudapi.cn:80"),
        ("blob.core.windows.net", "https://acct.blob.core.windows.net:443"),
        ("acct.blob.core.windows.net", "https://acct.blob.core.windows.net:443"),
        ("https://acct.z1.blob.storage.azure.net", "https://acct.z1.blob.storage.azure.net:443"),
        ("http://127.0.0.1:10000/acct", "http://127.0.0.1:10000/acct"),
        ("127.0.0.1:10000", "http://127.0.0.1:10000/acct"),
        ("localhost", "http://localhost:80/acct"),
        ("https://gateway.example.com/acct", "https://gateway.example.com:443/acct"),
        ("local.azurestack.external:8443", "https://acct.blob.local.azurestack.external:8443"),
    ],
)
def test_forms_of_the_domain(domain: str, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Access] = []
    monkeypatch.setattr(
        "ossimport.sources.azure.AzureSource", lambda access, *_, **__: made.append(access)
    )
    config = SourceConfig(
        type="azure", access_key="acct", secret_key=Secret(secret()), domain=domain, bucket="box"
    )
    open_source(config, scan_depth=1, scratch=None, transport=None)  # type: ignore[arg-type]
    assert f"{made[0].endpoint}{made[0].root}" == url


@pytest.mark.parametrize(
    ("domain", "account"),
    [("https://acct.blob.core.windows.net/box", "acct"), ("core.windows.net", "Acct_1")],
)
def test_wrong_places_have_a_cure(domain: str, account: str) -> None:
    config = SourceConfig(type="azure", access_key=account, domain=domain, bucket="box")
    with pytest.raises(Fatal, match="Cure: "):
        open_source(config, scan_depth=1, scratch=None, transport=None)  # type: ignore[arg-type]


async def test_odd_keys_are_listed_and_read() -> None:
    with AzureServer() as server:
        for key in ODD_KEYS:
            server.put("box", f"p/{key}", key.encode())
        for key in (server.key, server.sas()):
            source = AzureSource(server_access(server, key), "p/")
            entries = list(source.scan(Lane()))
            assert sorted(entry.info.key for entry in entries) == sorted(ODD_KEYS)
            for entry in entries:
                info = entry.info
                assert (await source.stat(info.key))[:4] == info[:4]
                assert bytes((await source.read(info, 0, info.size)).body) == info.key.encode()
            await source.close()


def test_the_marker_of_the_prefix_itself_is_excluded() -> None:
    with AzureServer() as server:
        server.put("box", "p/", b"")
        server.put("box", "p/a", b"")
        source = AzureSource(server_access(server), "p/")
        assert [(e.info.key, e.code) for e in source.scan(Lane())] == [
            ("", "PrefixMarker"),
            ("a", ""),
        ]
        asyncio.run(source.close())


def test_the_sdk_can_use_the_server_too() -> None:
    with AzureServer() as server:
        service = BlobServiceClient(server.domain, credential=server.key, retry_total=0)
        container = service.create_container("box")
        for key in ODD_KEYS[:4] + ODD_KEYS[8:]:
            container.upload_blob(key, key.encode(), metadata={"one": "two"})
        pages = container.list_blobs(results_per_page=3).by_page()
        names = [blob.name for page in pages for blob in page]
        assert sorted(names) == sorted(ODD_KEYS[:4] + ODD_KEYS[8:])
        folders = [item.name for item in container.walk_blobs()]
        assert {"/", "dir/"} <= set(folders)
        assert container.download_blob("dir/", offset=1, length=2).readall() == b"ir"
        properties = container.get_blob_client("dir/").get_blob_properties()
        assert properties.metadata == {"one": "two"}
        sas = sdk_sas(
            server.account,
            server.key,
            ResourceTypes(container=True, object=True),
            AccountSasPermissions(read=True, list=True),
            datetime.now(UTC) + timedelta(hours=1),
        )
        for credential in (sas, server.sas()):
            reader = BlobServiceClient(server.domain, credential=credential, retry_total=0)
            assert reader.get_container_client("box").download_blob("dir/").readall() == b"dir/"
        wrong = BlobServiceClient(server.domain, credential=secret(), retry_total=0)
        with pytest.raises(HttpResponseError):
            list(wrong.get_container_client("box").list_blobs())
        source = AzureSource(server_access(server, sas), "")
        assert len(list(source.scan(Lane()))) == len(names)
        asyncio.run(source.close())
        for client in (service, reader, wrong):
            client.close()


@pytest.mark.parametrize("is_utf16", [True, False])
def test_a_scan_that_is_killed_anywhere_goes_on_with_every_key_once(is_utf16: bool) -> None:
    choice = random.Random(7)
    keys = [f"{n % 5}/{n % 7}/{n:05d}" for n in range(600)] + ODD_KEYS
    with AzureServer() as server:
        server.is_utf16 = is_utf16
        for key in keys:
            server.put("box", key, b"")
        lanes, seen = [Lane()], []
        while lanes:
            lane = lanes.pop(choice.randrange(len(lanes)))
            source = AzureSource(server_access(server), "", depth=2, page_size=50)
            scan = source.scan(lane)
            for entry in scan:
                seen.append(entry.info.key)
                lane = Lane(entry.cursor, scan.until)
                if choice.random() < 0.02 and (given := scan.split()):
                    lanes.append(given)
                    lane = Lane(entry.cursor, scan.until)
                if choice.random() < 0.02:
                    lanes.append(lane)
                    break
            asyncio.run(source.close())
    assert sorted(seen) == sorted(keys)


# -- pages


def test_what_is_no_blob_of_now_is_not_listed() -> None:
    extra = "<Blob><Name>s</Name><Snapshot>2026</Snapshot></Blob>"
    extra += "<Blob><Name>d</Name><Deleted>true</Deleted></Blob>"
    extra += blob("dir").replace("<Etag>", "<ResourceType>directory</ResourceType><Etag>")
    text = (
        f"<EnumerationResults><Blobs>{extra}{blob('a')}</Blobs><NextMarker/></EnumerationResults>"
    )
    page = parse_blobs(text.encode())
    assert [info.key for info in page.blobs] == ["a"]
    assert page.marker == ""


def test_nothing_of_a_directory_is_said_of_the_blob_behind_it() -> None:
    folder = "<Properties><ResourceType>directory</ResourceType><Etag>D</Etag></Properties>"
    folder = f"<BlobPrefix><Name>dir/</Name>{folder}</BlobPrefix>"
    bare = blob("b").replace(f"<Etag>{ETAG}</Etag>", "")
    text = f"<EnumerationResults>{blob('a')}{folder}{bare}</EnumerationResults>"
    page = parse_blobs(text.encode())
    assert page.prefixes == ["dir/"]
    assert [(info.key, info.etag) for info in page.blobs] == [("a", ETAG), ("b", "")]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<EnumerationResults><Blobs>",
        "<html/>",
        "<!DOCTYPE x><EnumerationResults/>",
        "<EnumerationResults><Blobs><Blob><Name>a</Name></Blob></Blobs></EnumerationResults>",
        f"<EnumerationResults>{blob('a').replace('>10<', '>ten<')}</EnumerationResults>",
        f"<EnumerationResults>{blob('a').replace('<Name>a</Name>', '')}</EnumerationResults>",
    ],
)
def test_what_is_no_page_is_refused(text: str) -> None:
    with pytest.raises(NotAListing):
        parse_blobs(text.encode())
