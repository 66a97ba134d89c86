"""The KS3 source against answers that no healthy service gives, and what it really sends."""

from urllib.parse import quote

import pytest

from ossimport.errors import Fatal, Permanent, StorageError
from ossimport.sources.base import Source
from ossimport.sources.ks3 import Access, Ks3Source
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
from tests.servers.raw_http import Peer, RawServer


def access(endpoint: Endpoint) -> Access:
    return Access(endpoint, "bucket-1", "the-id", SECRET, TOKEN)


class TestKs3Answers(BucketAnswers):
    target_of_listing = "/bucket-1/?encoding-type=url&max-keys=1000&prefix=a%2F"
    target_of_next = "/bucket-1/?encoding-type=url&max-keys=1000&marker=a%2Fb%20c&prefix=a%2F"
    signature = "KSS the-id:"
    token = "x-kss-security-token"
    request_id = "x-kss-request-id"
    list_permission = "ks3:ListBucket"
    read_permission = "ks3:GetObject"

    def source(self, endpoint: Endpoint, prefix: str, transport: Transport | None) -> Source:
        return Ks3Source(access(endpoint), prefix, transport)

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

    @pytest.mark.parametrize(
        ("key", "target"),
        [
            (".", "/bucket-1/."),
            ("/a", "/bucket-1/%2Fa"),
            ("//", "/bucket-1/%2F/"),
            ("a///b", "/bucket-1/a/%2F/b"),
            ("dir//", "/bucket-1/dir/%2F"),
            ("a/../b", "/bucket-1/a/../b"),
            ("a/b c+d%~", "/bucket-1/a/b%20c%2Bd%25~"),
            ("a\r\nb?c#d", "/bucket-1/a%0D%0Ab%3Fc%23d"),
            ("not-utf8-\udcff", "/bucket-1/not-utf8-%FF"),
        ],
    )
    async def test_a_key_is_sent_as_it_is_signed(self, key: str, target: str) -> None:
        with answering(answer("200 OK", BODY)) as (server, heads):
            source = self.source(server.endpoint, "", None)
            await source.read(INFO._replace(key=key), 0, 10)
            await source.close()
        assert heads[0].split(" ")[1] == target

    async def test_the_checksum_is_what_the_service_says_of_all_the_bytes(self) -> None:
        md5 = "781e5e245d69b566979b86e28d23f2c7"
        encrypted = "x-kss-server-side-encryption: AES256"
        for headers, value in (
            (("x-kss-checksum-crc64ecma: 7", f'ETag: "{md5}"'), ("crc64", "7")),
            ((f'ETag: "{md5}"',), ("md5", md5)),
            ((f'ETag: "{md5}"', encrypted), None),
            ((f'ETag: "{md5}-2"',), None),
            (("x-kss-checksum-crc64ecma: ?",), None),
            ((), None),
        ):
            with answering(answer("200 OK", BODY, *headers)) as (server, _):
                source = self.source(server.endpoint, "", None)
                info = INFO._replace(etag="")
                assert (await source.read(info, 0, 10)).checksum == value
                await source.close()

    def test_a_bucket_that_is_elsewhere_is_told_with_the_place(self) -> None:
        for location, said in (
            ("http://bucket-1.ks3-cn-shanghai.ksyuncs.com/a?b", "at ks3-cn-shanghai.ksyuncs.com"),
            ("https://ks3-cn-shanghai.ksyuncs.com/", "at ks3-cn-shanghai.ksyuncs.com"),
            ("/elsewhere", "HTTP301. Cure: "),
            ("http://[::1]/", "HTTP301. Cure: "),
        ):
            with answering(answer("301 Moved", b"", f"Location: {location}")) as (server, _):
                fault = self.scan_failure(server.endpoint)
            assert isinstance(fault, Fatal)
            assert said in str(fault)
            assert "srcDomain" in str(fault)

    @pytest.mark.parametrize(
        ("status", "code", "kind"),
        [
            ("403 No", "SignatureDoesNotMatch", Fatal),
            ("403 No", "AccessDenied", Permanent),
            ("400 No", "InvalidSecurityToken", Fatal),
        ],
    )
    async def test_why_a_head_is_refused_a_get_says(
        self, status: str, code: str, kind: type[StorageError]
    ) -> None:
        methods: list[bytes] = []

        def script(peer: Peer) -> None:
            while head := peer.read_request()[0]:
                methods.append(head.split(b" ")[0])
                text = self.refusal(status, code)
                peer.send(text if methods[-1] == b"GET" else answer(status))

        with RawServer(script) as server:
            source = self.source(server.endpoint, "", None)
            with pytest.raises(StorageError) as caught:
                await source.stat("key")
            await source.close()
        assert methods == [b"HEAD", b"GET"]
        assert (type(caught.value), caught.value.code) == (kind, code)

    async def test_a_head_that_is_refused_where_a_get_is_not_stays_refused(self) -> None:
        def script(peer: Peer) -> None:
            while head := peer.read_request()[0]:
                is_get = head.startswith(b"GET")
                peer.send(answer("200 OK", b"0") if is_get else answer("403 No"))

        with RawServer(script) as server:
            source = self.source(server.endpoint, "", None)
            with pytest.raises(Permanent) as caught:
                await source.stat("key")
            await source.close()
        assert caught.value.code == "AccessDenied"

    @pytest.mark.parametrize("key", [".", "a/../b", "./a"])
    async def test_a_name_that_is_tidied_up_on_the_way_does_not_stop_the_job(
        self, key: str
    ) -> None:
        with answering(self.refusal("403 No", "SignatureDoesNotMatch")) as (server, _):
            source = self.source(server.endpoint, "", None)
            with pytest.raises(Permanent, match="rename the object"):
                await source.read(INFO._replace(key=key), 0, 10)
            with pytest.raises(Fatal):
                await source.read(INFO, 0, 10)
            await source.close()


@pytest.mark.parametrize("name", ["a/b", "", "ab", "Bucket-1", "-abc", "abc-", "a" * 64])
def test_a_bucket_name_that_would_lead_astray_is_refused(name: str) -> None:
    with pytest.raises(Fatal, match="Cure: check srcBucket"):
        Ks3Source(access(Endpoint("http", "127.0.0.1", 1))._replace(bucket=name), "")


def test_settings_are_shown_without_secrets() -> None:
    shown = repr(access(Endpoint("http", "127.0.0.1", 1)))
    assert SECRET not in shown
    assert TOKEN not in shown
