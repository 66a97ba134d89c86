"""Where a bucket of S3 is taken to be, from what srcDomain and srcBucket say."""

import pytest

from ossimport.sources.s3_place import find
from ossimport.transport import Endpoint


@pytest.mark.parametrize(
    ("domain", "bucket", "url", "region"),
    [
        ("s3.eu-x-1.amazonaws.com", "b-1", "http://b-1.s3.eu-x-1.amazonaws.com:80/", "eu-x-1"),
        ("https://s3.amazonaws.com", "b-1", "https://b-1.s3.amazonaws.com:443/", "us-east-1"),
        ("https://s3-eu-west-1.amazonaws.com", "b-1", None, "eu-west-1"),
        ("https://s3.dualstack.us-gov-west-1.amazonaws.com", "b-1", None, "us-gov-west-1"),
        ("https://s3-fips.dualstack.us-west-2.amazonaws.com", "b-1", None, "us-west-2"),
        ("https://s3.cn-north-1.amazonaws.com.cn", "b-1", None, "cn-north-1"),
        ("https://bucket.vpce-1a-2b.s3.us-west-2.vpce.amazonaws.com", "b-1", None, "us-west-2"),
        ("https://s3-accelerate.amazonaws.com", "b-1", None, "us-east-1"),
        ("https://s3.eu-central-1.wasabisys.com", "b-1", None, "eu-central-1"),
        ("https://s3.us-west-004.backblazeb2.com", "b-1", None, "us-west-004"),
        ("https://s3.oss-cn-beijing.aliyuncs.com", "b-1", None, "oss-cn-beijing"),
        ("https://cos.ap-shanghai.myqcloud.com", "b-1", None, "ap-shanghai"),
        ("b-1.s3.amazonaws.com", "b-1", "http://b-1.s3.amazonaws.com:80/", "us-east-1"),
        ("b-1.s3.eu-a-1.wasabi.com", "b-1", "http://b-1.s3.eu-a-1.wasabi.com:80/", "eu-a-1"),
        ("s3.eu-a-1.wasabi.com", "s3", "http://s3.eu-a-1.wasabi.com:80/s3/", "eu-a-1"),
        ("b-1.example.com", "b-1", "http://b-1.b-1.example.com:80/", "us-east-1"),
        ("https://s3.bj.bcebos.com", "b-1", None, "bj"),
        ("https://0a1b.r2.cloudflarestorage.com", "b-1", None, "auto"),
        ("https://storage.googleapis.com", "b-1", None, "auto"),
        ("https://s3.example.com", "b-1", "https://b-1.s3.example.com:443/", "us-east-1"),
        ("https://s3.wasabisys.com", "b-1", None, "us-east-1"),
        ("https://m.example.com:9000/", "b-1", "https://m.example.com:9000/b-1/", "us-east-1"),
        ("https://m.example.com:443", "b-1", "https://m.example.com:443/b-1/", "us-east-1"),
        ("127.0.0.1", "b-1", "http://127.0.0.1:80/b-1/", "us-east-1"),
        ("http://localhost", "b-1", "http://localhost:80/b-1/", "us-east-1"),
        ("s3.example.com", "b.1", "http://b.1.s3.example.com:80/", "us-east-1"),
        ("https://s3.example.com", "b.1", "https://s3.example.com:443/b.1/", "us-east-1"),
        ("s3.example.com", "B_1", "http://s3.example.com:80/B_1/", "us-east-1"),
        ("s3.example.com", "a b?", "http://s3.example.com:80/a%20b%3F/", "us-east-1"),
    ],
)  # fmt: skip
def test_names_say_where_a_bucket_is(
    domain: str, bucket: str, url: str | None, region: str
) -> None:
    place = find(domain, bucket)
    assert place.region == region
    endpoint, root = place.address()
    if url is None:
        host = domain.removeprefix("https://")
        url = f"https://{bucket}.{host}:443/"
    assert f"{endpoint}{root}" == url


@pytest.mark.parametrize(
    ("host", "there"),
    [
        ("s3.amazonaws.com", "s3.eu-west-1.amazonaws.com"),
        ("s3.us-east-1.amazonaws.com", "s3.eu-west-1.amazonaws.com"),
        ("s3-us-east-1.amazonaws.com", "s3-eu-west-1.amazonaws.com"),
        ("s3-fips.dualstack.us-west-2.amazonaws.com", "s3-fips.dualstack.eu-west-1.amazonaws.com"),
        ("s3-accelerate.amazonaws.com", "s3-accelerate.amazonaws.com"),
        ("s3.eu-central-1.wasabisys.com", "s3.eu-central-1.wasabisys.com"),
        ("s3.us-east-1.amazonaws.com.evil.example", "s3.us-east-1.amazonaws.com.evil.example"),
        ("m.example.com", "m.example.com"),
    ],
)
def test_only_amazons_hosts_change_with_the_region(host: str, there: str) -> None:
    place = find(f"https://{host}", "b-1").in_region("eu-west-1")
    assert place.endpoint == Endpoint("https", there, 443)
    assert (place.region, place.bucket) == ("eu-west-1", "b-1")


def test_a_region_that_is_written_is_believed() -> None:
    assert find("http://10.0.0.7:9000", "b", "eu-own-1").region == "eu-own-1"
    assert find("https://s3.eu-west-1.amazonaws.com", "b", "eu-north-1").region == "eu-north-1"
