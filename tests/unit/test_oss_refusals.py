"""What each refusal of OSS means: wait, give the object up, or stop the job."""

import base64

import pytest

from ossimport.errors import Fatal, Permanent, StorageError, Transient
from ossimport.oss.refusals import DESTINATION, SOURCE, Role, read_refusal, translate


def error_xml(code: str, extra: str = "") -> bytes:
    return (
        f"<?xml version='1.0' encoding='UTF-8'?>\n<Error>\n  <Code>{code}</Code>\n"
        f"  <Message>Words of the service.</Message>\n  <RequestId>5C3D</RequestId>\n{extra}"
        "  <EC>0002-00000040</EC>\n</Error>"
    ).encode()


def refuse(
    status: int, code: str, op: str = "put", extra: str = "", role: Role = DESTINATION
) -> StorageError:
    refusal = read_refusal(status, {}, error_xml(code, extra))
    return translate(refusal, role, op=op, bucket="bucket", key="" if op == "check" else "a/b")


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (403, "InvalidAccessKeyId"),
        (403, "SignatureDoesNotMatch"),
        (403, "InvalidSecurityToken"),
        (403, "SecurityTokenExpired"),
        (403, "UserDisable"),
        (403, "SecondLevelDomainForbidden"),
        (404, "NoSuchBucket"),
        (400, "InvalidBucketName"),
        (301, "MovedPermanently"),
        (307, "TemporaryRedirect"),
    ],
)
def test_what_would_be_refused_for_every_object_stops_the_job(status: int, code: str) -> None:
    for op in ("put", "check", "list", "finish_upload"):
        error = refuse(status, code, op)
        assert isinstance(error, Fatal)
        assert error.code == code
        assert "Cure: " in str(error)


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (500, "InternalError"),
        (503, "ServiceUnavailable"),
        (503, "UploadTrafficRateLimitExceeded"),
        (507, "InsufficientStorage"),
        (429, "QpsLimitExceeded"),
        (408, "RequestTimeout"),
        (400, "RequestTimeout"),
        (400, "BadRequest"),
        (400, "InvalidDigest"),
        (401, "Unauthorized"),
        (403, "RequestTimeTooSkewed"),
    ],
)
def test_what_passes_is_tried_again(status: int, code: str) -> None:
    for op in ("put", "check", "list"):
        error = refuse(status, code, op)
        assert isinstance(error, Transient)
        assert error.code == code


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "InvalidObjectName"),
        (400, "EntityTooLarge"),
        (400, "InvalidPart"),
        (400, "NeverHeardOf"),
        (403, "InvalidObjectState"),
        (404, "NoSuchUpload"),
        (409, "FileAlreadyExists"),
        (412, "PreconditionFailed"),
    ],
)
def test_what_is_wrong_with_one_object_fails_that_object(status: int, code: str) -> None:
    error = refuse(status, code)
    assert isinstance(error, Permanent)
    assert error.code == code


def test_access_denied_stops_the_job_only_for_the_bucket() -> None:
    assert isinstance(refuse(403, "AccessDenied", "put"), Permanent)
    for op in ("check", "list"):
        error = refuse(403, "AccessDenied", op)
        assert isinstance(error, Fatal)
        assert "oss:ListObjects" in str(error)


def test_a_bucket_of_another_region_stops_the_job_and_names_its_endpoint() -> None:
    error = refuse(403, "AccessDenied", "put", "<Endpoint>oss-cn-beijing.aliyuncs.com</Endpoint>")
    assert isinstance(error, Fatal)
    assert "set destDomain to oss-cn-beijing.aliyuncs.com" in str(error)


@pytest.mark.parametrize(
    ("status", "code", "op", "cure"),
    [
        (403, "InvalidAccessKeyId", "read", "srcAccessKey and srcSecretKey"),
        (403, "SignatureDoesNotMatch", "read", "srcRegion"),
        (403, "SecurityTokenExpired", "read", "srcSecurityToken"),
        (404, "NoSuchBucket", "scan", "srcBucket"),
        (403, "SecondLevelDomainForbidden", "scan", "srcDomain"),
        (307, "TemporaryRedirect", "read", "srcDomain"),
        (403, "AccessDenied", "scan", "oss:ListObjects"),
        (403, "AccessDenied", "read", "oss:GetObject"),
    ],
)
def test_a_cure_names_the_keys_of_the_end_that_was_refused(
    status: int, code: str, op: str, cure: str
) -> None:
    text = str(refuse(status, code, op, role=SOURCE))
    assert cure in text
    assert "dest" not in text
    other = str(refuse(status, code, op))
    assert "src" not in other


def test_no_text_of_the_service_is_taken_for_a_placeholder() -> None:
    for endpoint in ("{role}", "{0}", "a b"):
        error = refuse(403, "AccessDenied", "read", f"<Endpoint>{endpoint}</Endpoint>")
        assert isinstance(error, Permanent)
    assert "{odd}" in str(refuse(400, "{odd}", "read"))


def test_the_error_tells_an_operator_what_where_and_what_to_quote() -> None:
    error = refuse(403, "AccessDenied")
    assert (error.op, error.key, error.request_id) == ("put", "a/b", "5C3D")
    text = str(error)
    for part in ("put", "'a/b'", "'bucket'", "HTTP 403 AccessDenied", "Words of the service"):
        assert part in text
    assert "request id 5C3D, EC 0002-00000040" in text
    assert "put of bucket" not in text
    assert "check of bucket 'bucket'" in str(refuse(403, "AccessDenied", "check"))


def test_nothing_of_the_signature_is_repeated() -> None:
    extra = (
        "<OSSAccessKeyId>the-access-key</OSSAccessKeyId><SignatureProvided>signed</SignatureProvided>"
        "<StringToSign>x-oss-security-token:the-token</StringToSign>"
    )
    error = refuse(403, "SignatureDoesNotMatch", "put", extra)
    assert not {"the-access-key", "signed", "the-token"} & set(str(error).replace(":", " ").split())


def test_the_answer_to_head_carries_its_error_in_a_header() -> None:
    headers = {"x-oss-err": base64.b64encode(error_xml("NoSuchKey")).decode(), "x-oss-ec": "0026"}
    refusal = read_refusal(404, headers, b"")
    assert (refusal.code, refusal.message) == ("NoSuchKey", "Words of the service.")
    assert read_refusal(404, {"x-oss-err": "%%%", "x-oss-ec": "0026"}, b"").ec == "0026"


@pytest.mark.parametrize(
    ("status", "kind", "code"),
    [
        (500, Transient, "ServerError"),
        (502, Transient, "ServerError"),
        (429, Transient, "Throttled"),
        (408, Transient, "Timeout"),
        (403, Permanent, "AccessDenied"),
        (404, Permanent, "HTTP404"),
        (418, Permanent, "HTTP418"),
        (302, Fatal, "HTTP302"),
    ],
)
def test_an_answer_without_a_code_is_judged_by_its_status(
    status: int, kind: type[StorageError], code: str
) -> None:
    for body in (b"", b"<html>proxy \xff error</html>", b"<Error><Code>cut o"):
        error = translate(
            read_refusal(status, {}, body), DESTINATION, op="put", bucket="b", key="k"
        )
        assert type(error) is kind
        assert error.code == code


@pytest.mark.parametrize(("wish", "seconds"), [("7", 7.0), ("", 0.0), ("soon", 0.0), ("²", 0.0)])
def test_retry_after_is_handed_on(wish: str, seconds: float) -> None:
    refusal = read_refusal(503, {"retry-after": wish}, error_xml("ServiceUnavailable"))
    error = translate(refusal, DESTINATION, op="put", bucket="b", key="k")
    assert isinstance(error, Transient)
    assert error.retry_after == seconds


def test_a_message_is_one_line_of_bounded_length() -> None:
    body = error_xml("Odd").replace(b"Words", b"a\n\x1b[31m&lt;b&gt;" + b"c" * 5000)
    error = translate(read_refusal(400, {}, body), DESTINATION, op="put", bucket="b", key="k")
    assert "\n" not in str(error)
    assert "\x1b" not in str(error)
    assert "a [31m<b>ccc" in str(error)
    assert len(str(error)) < 500


def test_an_error_that_was_cut_off_behind_its_code_is_still_read() -> None:
    assert read_refusal(403, {}, error_xml("SignatureDoesNotMatch")[:120]).code != ""


def test_a_wrong_region_in_the_signature_names_the_key_to_mend() -> None:
    body = (
        b"<Error><Code>InvalidArgument</Code><Message>Invalid signing region in Authorization"
        b" header.</Message><EC>0002-00000226</EC></Error>"
    )
    error = translate(read_refusal(400, {}, body), DESTINATION, op="put", bucket="b", key="k")
    assert isinstance(error, Fatal)
    assert "destRegion" in str(error)
