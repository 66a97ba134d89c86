"""The COS source against answers that no healthy service gives, and what it really sends."""

from urllib.parse import quote

import pytest

from ossimport.errors import Fatal, Transient
from ossimport.sources.base import Source
from ossimport.sources.cos import Access, CosSource
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


class TestCosAnswers(BucketAnswers):
    target_of_listing = "/bucket-1/?encoding-type=url&max-keys=1000&prefix=a%2F"
    target_of_next = "/bucket-1/?encoding-type=url&max-keys=1000&marker=a%2Fb%20c&prefix=a%2F"
    signature = "q-sign-algorithm=sha1&q-ak=the-id&q-sign-time="
    token = "x-cos-security-token"
    request_id = "x-cos-request-id"
    list_permission = "name/cos:GetBucket"
    read_permission = "name/cos:GetObject"

    def source(self, endpoint: Endpoint, prefix: str, transport: Transport | None) -> Source:
        return CosSource(access(endpoint), prefix, transport)

    def page(self, *keys: str, truncated: bool = True, marker: str = "") -> bytes:
        contents = "".join(
            f"<Contents><Key>{quote(key)}</Key><LastModified>2024-01-01T00:00:00.000Z"
            f'</LastModified><ETag>"{ETAG}"</ETag><Size>10</Size></Contents>'
            for key in keys
        )
        next_marker = f"<NextMarker>{marker}</NextMarker>" if marker else ""
        head = (
            f"<EncodingType>url</EncodingType><IsTruncated>{str(truncated).lower()}</IsTruncated>"
        )
        text = f"<ListBucketResult>{head}{next_marker}{contents}</ListBucketResult>"
        return answer("200 OK", text.encode())

    def error(self, code: str) -> bytes:
        return f"<Error><Code>{code}</Code><Message>Words</Message></Error>".encode()

    @pytest.mark.parametrize("status", ["403 No", "400 No"])
    async def test_an_expired_request_is_one_of_a_wrong_clock(self, status: str) -> None:
        body = b"<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>"
        with answering(answer(status, body)) as (server, _):
            fault = await self.read_failure(server.endpoint)
        assert isinstance(fault, Transient)
        assert "set this host's clock" in str(fault)

    @pytest.mark.parametrize(
        ("key", "target"),
        [
            (".", "/bucket-1/%2E"),
            ("..", "/bucket-1/%2E%2E"),
            ("/a", "/bucket-1/%2Fa"),
            ("//", "/bucket-1/%2F%2F"),
            ("a//b", "/bucket-1/a%2F%2Fb"),
            ("a/../b", "/bucket-1/a%2F..%2Fb"),
            ("a/b c+d%", "/bucket-1/a/b%20c%2Bd%25"),
            ("a\r\nb?c#d", "/bucket-1/a%0D%0Ab%3Fc%23d"),
            ("not-utf8-\udcff", "/bucket-1/not-utf8-%FF"),
        ],
    )
    async def test_no_proxy_can_make_another_key_of_the_path(self, key: str, target: str) -> None:
        with answering(answer("200 OK", BODY)) as (server, heads):
            source = self.source(server.endpoint, "", None)
            await source.read(INFO._replace(key=key), 0, 10)
            await source.close()
        assert heads[0].split(" ")[1] == target

    async def test_the_checksum_is_what_the_service_says_of_all_the_bytes(self) -> None:
        md5 = "781e5e245d69b566979b86e28d23f2c7"
        encrypted = "x-cos-server-side-encryption: AES256"
        for headers, value in (
            (("x-cos-hash-crc64ecma: 7", f'ETag: "{md5}"'), ("crc64", "7")),
            ((f'ETag: "{md5}"',), ("md5", md5)),
            ((f'ETag: "{md5}"', encrypted), None),
            ((f'ETag: "{md5}-2"',), None),
            (("x-cos-hash-crc64ecma: ?",), None),
            ((), None),
        ):
            with answering(answer("200 OK", BODY, *headers)) as (server, _):
                source = self.source(server.endpoint, "", None)
                info = INFO._replace(etag="")
                assert (await source.read(info, 0, 10)).checksum == value
                await source.close()


@pytest.mark.parametrize("name", ["a/b", "", "a..b", "Bucket-1", "-a", "a-"])
def test_a_bucket_name_that_would_lead_astray_is_refused(name: str) -> None:
    with pytest.raises(Fatal, match="Cure: check srcBucket"):
        CosSource(access(Endpoint("http", "127.0.0.1", 1))._replace(bucket=name), "")


def test_settings_are_shown_without_secrets() -> None:
    shown = repr(access(Endpoint("http", "127.0.0.1", 1)))
    assert SECRET not in shown
    assert TOKEN not in shown
