"""The BOS source against answers that no healthy service gives, and what it really sends."""

import base64
import json

import pytest

from ossimport.errors import Fatal, Transient
from ossimport.sources.base import Source
from ossimport.sources.bos import Access, BosSource
from ossimport.transport import Endpoint, Transport
from tests.contract.bucket_answers import (
    BODY,
    ETAG,
    INFO,
    SECRET,
    TOKEN,
    BucketAnswers,
    answer,
    answering,
)


def access(endpoint: Endpoint) -> Access:
    return Access(endpoint, "bucket-1", "the-id", SECRET, TOKEN)


class TestBosAnswers(BucketAnswers):
    target_of_listing = "/bucket-1/?maxKeys=1000&prefix=a%2F"
    target_of_next = "/bucket-1/?marker=a%2Fb%20c&maxKeys=1000&prefix=a%2F"
    signature = "bce-auth-v1/the-id/"
    token = "x-bce-security-token"
    request_id = "x-bce-request-id"
    list_permission = "LIST or ListBucket"
    read_permission = "READ or GetObject"

    def source(self, endpoint: Endpoint, prefix: str, transport: Transport | None) -> Source:
        return BosSource(access(endpoint), prefix, transport)

    def page(self, *keys: str, truncated: bool = True, marker: str = "") -> bytes:
        contents = [
            {"key": key, "lastModified": "2024-01-01T00:00:00Z", "eTag": ETAG, "size": 10}
            for key in keys
        ]
        page = {"isTruncated": truncated, "contents": contents, "nextMarker": marker}
        return answer("200 OK", json.dumps(page).encode())

    def error(self, code: str) -> bytes:
        return json.dumps({"code": code, "message": "Words", "requestId": "Q"}).encode()

    async def test_an_expired_request_is_one_of_a_wrong_clock(self) -> None:
        with answering(self.refusal("400 No", "RequestExpired")) as (server, _):
            fault = await self.read_failure(server.endpoint)
        assert (type(fault), fault.code, fault.request_id) == (Transient, "RequestExpired", "Q")
        assert "set this host's clock" in str(fault)

    @pytest.mark.parametrize(
        "body",
        [b"[]", b"7", b'"x"', b"null", b'{"code": null, "message": {"a": "\\n"}}', b"[" * 9999],
    )
    async def test_a_refusal_in_odd_json_is_one_without_a_code(self, body: bytes) -> None:
        with answering(answer("404 No", body)) as (server, _):
            assert (await self.read_failure(server.endpoint)).code == "NotFound"

    @pytest.mark.parametrize(
        ("key", "target"),
        [
            (".", "/bucket-1/."),
            ("/a", "/bucket-1//a"),
            ("a/../b", "/bucket-1/a/../b"),
            ("a/b c+d%~", "/bucket-1/a/b%20c%2Bd%25~"),
            ("a\r\nb?c#d", "/bucket-1/a%0D%0Ab%3Fc%23d"),
        ],
    )
    async def test_what_is_sent_is_what_is_signed(self, key: str, target: str) -> None:
        with answering(answer("200 OK", BODY)) as (server, heads):
            source = self.source(server.endpoint, "", None)
            await source.read(INFO._replace(key=key), 0, 10)
            await source.close()
        assert heads[0].split(" ")[1] == target

    async def test_the_checksum_is_what_the_service_says_of_all_the_bytes(self) -> None:
        md5 = "781e5e245d69b566979b86e28d23f2c7"
        header = f"Content-MD5: {base64.b64encode(bytes.fromhex(md5)).decode()}"
        crc = "x-bce-content-crc64ecma: 7"
        for headers, value in (
            ((crc, header, f'ETag: "{md5}"'), ("crc64", "7")),
            ((f'ETag: "{md5}"',), ("md5", md5)),
            ((f'ETag: "-{md5}"', "x-bce-content-crc32: 7"), None),
            ((f'ETag: "-{md5}"', header), ("md5", md5)),
            ((f'ETag: "{md5}"', header, "x-bce-object-type: Appendable"), None),
            (("Content-MD5: ???",), None),
            (("Content-MD5: AAAA",), None),
            ((), None),
        ):
            with answering(answer("200 OK", BODY, *headers)) as (server, _):
                source = self.source(server.endpoint, "", None)
                info = INFO._replace(etag="")
                assert (await source.read(info, 0, 10)).checksum == value
                await source.close()
        part = ("Content-Range: bytes 0-1/10", header)
        with answering(answer("206 Partial", BODY[:2], *part)) as (server, _):
            source = self.source(server.endpoint, "", None)
            assert (await source.read(INFO, 0, 2)).checksum is None  # of the part, perhaps
            await source.close()


@pytest.mark.parametrize("name", ["a/b", "", "a..b", "Bucket-1", "-a", "a-", "ab"])
def test_a_bucket_name_that_would_lead_astray_is_refused(name: str) -> None:
    with pytest.raises(Fatal, match="Cure: check srcBucket"):
        BosSource(access(Endpoint("http", "127.0.0.1", 1))._replace(bucket=name), "")


def test_settings_are_shown_without_secrets() -> None:
    shown = repr(access(Endpoint("http", "127.0.0.1", 1)))
    assert SECRET not in shown
    assert TOKEN not in shown
