"""Who may speak to the sandbox: V1 and V4 signatures in headers and URLs, made by stock oss2."""

import http.client
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import formatdate
from typing import Any
from unittest.mock import patch

import oss2
import pytest
import requests

from ossimport.sandbox.auth import Temporary
from tests.servers.sandbox import RunningSandbox, run_sandbox

VERSIONS = ["v1", "v4"]
QUARTER = 15 * 60  # seconds; the greatest skew that OSS accepts


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSandbox]:
    with run_sandbox(tmp_path_factory.mktemp("sandbox")) as running:
        bucket = running.oss2()
        bucket.put_object("a b+c/ü", b"body")
        bucket.session.session.close()
        yield running


def refusal(bucket: Any) -> oss2.exceptions.ServerError:
    with pytest.raises(oss2.exceptions.ServerError) as caught:
        bucket.put_object("refused", b"x" * 100_000)
    bucket.session.session.close()
    return caught.value


def shifted(seconds: float) -> Any:
    """oss2's clock, so many seconds off."""

    class Clock:
        @staticmethod
        def utcnow() -> datetime:
            return datetime.fromtimestamp(time.time() + seconds, UTC)

    def http_date(timeval: object = None) -> str:
        return formatdate(time.time() + seconds, usegmt=True)

    return patch.multiple("oss2.auth", datetime=Clock), patch("oss2.utils.http_date", http_date)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_wrong_secret_is_told_what_was_signed(sandbox: RunningSandbox, version: str) -> None:
    error = refusal(sandbox.oss2(version, secret_key="wrong"))
    assert (error.status, error.code) == (403, "SignatureDoesNotMatch")
    assert error.details["StringToSign"].startswith("PUT" if version == "v1" else "OSS4-HMAC")
    assert bytes.fromhex(error.details["StringToSignBytes"]).decode().splitlines() == (
        error.details["StringToSign"].splitlines()
    )
    assert error.details["SignatureProvided"]
    assert error.request_id


@pytest.mark.parametrize("version", VERSIONS)
def test_an_unknown_key_is_refused(sandbox: RunningSandbox, version: str) -> None:
    error = refusal(sandbox.oss2(version, access_key="nobody"))
    assert (error.status, error.code) == (403, "InvalidAccessKeyId")
    assert error.details["OSSAccessKeyId"] == "nobody"


def test_the_region_of_a_v4_signature_must_be_the_sandboxs(sandbox: RunningSandbox) -> None:
    error = refusal(sandbox.oss2("v4", region="cn-beijing"))
    assert (error.status, error.code) == (400, "InvalidArgument")
    assert error.message == "Invalid signing region in Authorization header."
    assert error.ec == "0002-00000226"


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("skew", [-QUARTER - 30, QUARTER + 30])
def test_a_clock_that_is_off_is_refused(sandbox: RunningSandbox, version: str, skew: int) -> None:
    v4_clock, v1_clock = shifted(skew)
    with v4_clock, v1_clock:
        error = refusal(sandbox.oss2(version))
    assert (error.status, error.code) == (403, "RequestTimeTooSkewed")
    assert error.details["MaxAllowedSkewMilliseconds"] == "900000"


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("skew", [-QUARTER + 60, QUARTER - 60])
def test_a_clock_that_is_a_little_off_is_accepted(
    sandbox: RunningSandbox, version: str, skew: int
) -> None:
    bucket = sandbox.oss2(version)
    v4_clock, v1_clock = shifted(skew)
    with v4_clock, v1_clock:
        bucket.put_object("k", b"")
    bucket.session.session.close()


@pytest.mark.parametrize("version", VERSIONS)
def test_temporary_keys_work_until_they_expire(sandbox: RunningSandbox, version: str) -> None:
    def bucket(life: float, **changed: str) -> oss2.Bucket:
        keys = Temporary(sandbox.secret_key).issue(time.time() + life) | changed
        three = keys["AccessKeyId"], keys["AccessKeySecret"], keys["SecurityToken"]
        auth = oss2.StsAuth(*three, auth_version=version)
        return oss2.Bucket(auth, sandbox.endpoint, sandbox.bucket, region=sandbox.region)

    bucket(60).put_object("temporary", b"x")
    assert sandbox.oss2().get_object("temporary").read() == b"x"
    assert refusal(bucket(-1)).code == "SecurityTokenExpired"
    assert refusal(bucket(60, SecurityToken="other")).code == "InvalidSecurityToken"
    assert refusal(bucket(60, AccessKeySecret="other")).code == "SignatureDoesNotMatch"
    assert refusal(bucket(60, AccessKeyId="STS.9999999999999")).code == "SignatureDoesNotMatch"


@pytest.mark.parametrize("version", [*VERSIONS, "v2"])
def test_a_token_beside_keys_that_last_and_v2_are_refused(
    sandbox: RunningSandbox, version: str
) -> None:
    auth = oss2.StsAuth(sandbox.access_key, sandbox.secret_key, "token", auth_version=version)
    bucket = oss2.Bucket(auth, sandbox.endpoint, sandbox.bucket, region=sandbox.region)
    expected = "InvalidArgument" if version == "v2" else "InvalidSecurityToken"
    assert refusal(bucket).code == expected


def test_without_a_signature_nothing_is_done(sandbox: RunningSandbox) -> None:
    bucket = oss2.Bucket(oss2.AnonymousAuth(), sandbox.endpoint, sandbox.bucket)
    with pytest.raises(oss2.exceptions.AccessDenied):
        bucket.put_object("k", b"")
    with pytest.raises(oss2.exceptions.AccessDenied):
        bucket.get_object("a b+c/ü")
    with pytest.raises(oss2.exceptions.AccessDenied):
        bucket.list_objects()
    with pytest.raises(oss2.exceptions.AccessDenied):
        bucket.delete_object("a b+c/ü")
    with pytest.raises(oss2.exceptions.AccessDenied):
        bucket.get_bucket_info()
    bucket.session.session.close()


def test_public_objects_may_be_read_by_all(sandbox: RunningSandbox) -> None:
    bucket = sandbox.oss2()
    bucket.put_object("public", b"body", headers={"x-oss-object-acl": "public-read"})
    anonymous = oss2.Bucket(oss2.AnonymousAuth(), sandbox.endpoint, sandbox.bucket)
    assert anonymous.get_object("public").read() == b"body"
    with pytest.raises(oss2.exceptions.AccessDenied):
        anonymous.put_object("public", b"")
    with pytest.raises(oss2.exceptions.AccessDenied):
        anonymous.get_object("k")
    bucket.put_bucket_acl("public-read-write")
    anonymous.put_object("by anyone", b"")
    with pytest.raises(oss2.exceptions.AccessDenied):
        anonymous.put_object("public", b"")  # its own list counts
    bucket.put_bucket_acl("private")
    with pytest.raises(oss2.exceptions.AccessDenied):
        anonymous.get_object("by anyone")
    bucket.session.session.close()
    anonymous.session.session.close()


@pytest.mark.parametrize("version", VERSIONS)
def test_signed_urls_do_what_they_say(sandbox: RunningSandbox, version: str) -> None:
    bucket = sandbox.oss2(version)
    for slash_safe in (False, True):
        url = bucket.sign_url("GET", "a b+c/ü", 60, slash_safe=slash_safe)
        assert requests.get(url, timeout=60).content == b"body"
        assert requests.put(url, timeout=60).status_code == 403
        headers = {"Content-Type": "text/plain", "x-oss-meta-a": "1"}
        url = bucket.sign_url("PUT", "by/url", 60, headers=headers, slash_safe=slash_safe)
        assert requests.put(url, b"data", headers=headers, timeout=60).status_code == 200
        assert b"SignatureDoesNotMatch" in requests.put(url, b"data", timeout=60).content
    params = {"response-content-type": "text/a b"}
    url = bucket.sign_url("GET", "by/url", 60, params=params)
    assert requests.get(url, timeout=60).headers["Content-Type"] == "text/a b"
    assert requests.get(url.replace("text", "next"), timeout=60).status_code == 403
    assert requests.get(re.sub("(?i)signature=", "no=", url), timeout=60).status_code == 403
    bucket.session.session.close()


def test_a_v4_url_may_sign_more_headers(sandbox: RunningSandbox) -> None:
    bucket = sandbox.oss2("v4")
    headers = {"Zz-Last": "1", "Range": "bytes=1-2", "Host": f"127.0.0.1:{sandbox.port}"}
    names = ["zz-last", "range", "host"]
    url = bucket.sign_url("GET", "a b+c/ü", 60, headers=headers, additional_headers=names)
    assert requests.get(url, headers=headers, timeout=60).content == b"od"
    other = headers | {"Range": "bytes=1-3"}
    assert requests.get(url, headers=other, timeout=60).status_code == 403
    bucket.session.session.close()


@pytest.mark.parametrize("version", VERSIONS)
def test_a_signed_url_expires(sandbox: RunningSandbox, version: str) -> None:
    bucket = sandbox.oss2(version)
    with patch("oss2.auth.time.time", time.monotonic):  # long ago, for V1
        v4_clock, _ = shifted(-3600)
        with v4_clock:
            url = bucket.sign_url("GET", "a b+c/ü", 60)
    answer = requests.get(url, timeout=60)
    assert answer.status_code == 403
    assert b"<Code>AccessDenied</Code><Message>Request has expired.</Message>" in answer.content
    bucket.session.session.close()


@pytest.mark.parametrize("life", [0, 604_801])
def test_a_v4_url_lives_for_a_week_at_most(sandbox: RunningSandbox, life: int) -> None:
    bucket = sandbox.oss2("v4")
    answer = requests.get(bucket.sign_url("GET", "a b+c/ü", life), timeout=60)
    assert b"InvalidArgument" in answer.content
    bucket.session.session.close()


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("host", ["oss-cn-hangzhou.aliyuncs.com", "oss.example"])
def test_a_bucket_in_the_host_name_is_found(
    sandbox: RunningSandbox, version: str, host: str
) -> None:
    bucket = sandbox.oss2(version, endpoint=f"http://{host}")
    proxy = {"http": sandbox.endpoint}  # requests then go in absolute form, and need no DNS
    bucket.session.session.proxies = proxy
    bucket.put_object("a/by host ü", b"body")
    assert bucket.get_object("a/by host ü").read() == b"body"
    assert [listed.key for listed in oss2.ObjectIterator(bucket, prefix="a/")] == ["a/by host ü"]
    bucket.session.session.close()
    by_path = sandbox.oss2(version)
    assert by_path.get_object("a/by host ü").read() == b"body"
    by_path.session.session.close()


@pytest.mark.parametrize("version", VERSIONS)
def test_a_host_header_names_the_bucket(sandbox: RunningSandbox, version: str) -> None:
    url = sandbox.oss2(version).sign_url("GET", "a b+c/ü", 60, slash_safe=True)
    path = url.removeprefix(sandbox.endpoint).replace(f"/{sandbox.bucket}/", "/", 1)
    connection = http.client.HTTPConnection("127.0.0.1", sandbox.port, timeout=60)
    for host in (f"{sandbox.bucket}.oss:80", f"{sandbox.bucket}.127.0.0.1:{sandbox.port}"):
        connection.request("GET", path, headers={"Host": host})
        assert connection.getresponse().read() == b"body"
    connection.close()


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Bearer x"},
        {"Authorization": "OSS4-HMAC-SHA256 Nonsense"},
        {"Authorization": "OSS4-HMAC-SHA256 Credential=a/b, Signature=c"},
        {"Authorization": "OSS nothing"},
        {"Authorization": "OSS a:b", "Date": "yesterday"},
        {"Authorization": "OSS a:\xff", "Date": "Fri, 24 Feb 2012 06:38:30 GMT"},
    ],
)
def test_broken_credentials_are_refused_in_words(
    sandbox: RunningSandbox, headers: dict[str, str]
) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", sandbox.port, timeout=60)
    connection.request("GET", f"/{sandbox.bucket}/k", headers=headers)
    answer = connection.getresponse()
    assert answer.status in {400, 403}
    assert b"<Code>" in answer.read()
    connection.close()
