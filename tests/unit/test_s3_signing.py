"""Our V4 signature equals the one that botocore makes, for anything that a source asks for."""

from datetime import UTC, datetime
from typing import NamedTuple
from unittest.mock import patch
from urllib.parse import quote

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ossimport.sources.s3_signing import SignerV4, encode_path, encode_query

SECRET = "made-up-secret"


class Case(NamedTuple):
    """One request, and who signs it when."""

    method: str = "GET"
    host: str = "bucket.s3.eu-west-1.amazonaws.com"
    key: str = "key"
    query: dict[str, str] = {}
    secret: str = SECRET
    token: str = ""
    region: str = "eu-west-1"
    now: int = 0


words = st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=24)
texts = st.text(st.characters(codec="utf-8"), max_size=40)
seconds = st.integers(0, 4_102_444_800)
cases = st.builds(
    Case,
    method=st.sampled_from(["HEAD", "GET"]),
    host=st.sampled_from(["127.0.0.1:9000", "bucket.s3.eu-west-1.amazonaws.com", "[::1]:80"]),
    key=texts,
    query=st.dictionaries(words | st.sampled_from(["start-after", "a b", "ü/"]), texts, max_size=4),
    secret=words,
    token=st.just("") | words,
    region=words,
    now=seconds,
)


def sign_with_botocore(case: Case) -> dict[str, str]:
    """Sign with botocore, which takes a request whose URL is encoded."""
    names = sorted((quote(k, safe=""), quote(v, safe="")) for k, v in case.query.items())
    query = "&".join(f"{name}={value}" for name, value in names)
    url = f"http://{case.host}/{quote(case.key)}" + (f"?{query}" if query else "")
    request = AWSRequest(case.method, url, headers={"host": case.host})
    with patch("botocore.auth.get_current_datetime") as clock:
        clock.return_value = datetime.fromtimestamp(case.now, UTC)
        credentials = Credentials("access", case.secret, case.token)
        S3SigV4Auth(credentials, "s3", case.region).add_auth(request)
    return {name.lower(): value for name, value in request.headers.items()}


def sign_with_ours(case: Case) -> dict[str, str]:
    signer = SignerV4(case.host, "access", case.secret, case.region, case.token)
    path, query = encode_path(f"/{case.key}"), encode_query(case.query)
    return signer.sign(case.method, path, query, case.now + 0.5)


@settings(max_examples=300)
@given(cases)
@example(Case(key="a/../b//é \U0001f600%+~", query={"prefix": "", "b": "~*' "}, token="t"))
def test_equals_botocore(case: Case) -> None:
    assert sign_with_ours(case) == sign_with_botocore(case)


@given(st.lists(seconds | st.integers(86_390, 86_410), min_size=2, max_size=6))
def test_one_signer_follows_the_clock_across_seconds_and_days(times: list[int]) -> None:
    case = Case()
    signer = SignerV4(case.host, "access", case.secret, case.region)
    for now in times:
        assert signer.sign("GET", "/key", "", now) == sign_with_botocore(case._replace(now=now))


def test_names_that_are_no_text_are_sent_as_the_bytes_they_were() -> None:
    assert encode_path("/not-utf8-\udcff") == "/not-utf8-%FF"
    assert encode_query({"prefix": "\udcff/"}) == "prefix=%FF%2F"


def test_secret_is_in_no_header_and_no_representation() -> None:
    signer = SignerV4("host", "access", SECRET, "us-east-1")
    assert SECRET not in repr(signer) + repr(signer.sign("GET", "/key", "", 0))
