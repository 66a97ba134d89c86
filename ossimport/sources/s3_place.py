"""Where a bucket of an S3-compatible store is: host, path and region, as far as names say it."""

import re
from typing import NamedTuple
from urllib.parse import quote

from ossimport.config.places import endpoint
from ossimport.sources.over_http.addressing import Address, is_plain
from ossimport.transport import Endpoint

_DEFAULT_REGION = "us-east-1"  # of s3.amazonaws.com, and what most other servers go by
_AWS = re.compile(
    r"(?P<head>(?:.+\.)?s3(?:-fips)?(?:\.dualstack)?[.-])(?P<region>[a-z]{2,}(?:-[a-z]+)+-\d+)"
    r"(?P<tail>(?:\.vpce)?\.amazonaws\.com(?:\.cn)?)"
)
_AWS_GLOBAL = "s3.amazonaws.com"
_OTHERS = re.compile(  # s3.eu-central-1.wasabisys.com, s3.oss-cn-beijing.aliyuncs.com
    r"(?:.+\.)?(?:s3|cos|obs|tos-s3)[.-]([a-z]{2,}(?:-[a-z0-9]+)+)\..+"
)
_BOS = re.compile(r"(?:.+\.)?s3\.([a-z]+)\.bcebos\.com")
_ANY_REGION = {"r2.cloudflarestorage.com", "storage.googleapis.com"}
_PORT = re.compile(r":\d+/?")
_DNS_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")


class Place(NamedTuple):
    """Where one bucket is."""

    endpoint: Endpoint  # without the bucket
    bucket: str
    region: str  # what requests are signed for
    in_path: bool  # the bucket's name is in the path, else in front of the host's

    def address(self) -> Address:
        """Where its keys are."""
        if self.in_path:
            return Address(self.endpoint, f"/{quote(self.bucket, safe='')}/")
        return Address(self.endpoint._replace(host=f"{self.bucket}.{self.endpoint.host}"), "/")

    def in_region(self, region: str) -> "Place":
        """The same bucket, which is in `region`. Only AWS has a host for each of its regions."""
        host = self.endpoint.host
        if aws := _AWS.fullmatch(host):
            host = f"{aws['head']}{region}{aws['tail']}"
        elif host == _AWS_GLOBAL:
            host = f"s3.{region}.amazonaws.com"
        return self._replace(endpoint=self.endpoint._replace(host=host), region=region)


def find(domain: str, bucket: str, region: str = "") -> Place:
    """The bucket at srcDomain, in `region`, else in the one that its name says.

    A bucket that srcDomain has in front of a host that can be told without it is passed over. It is
    in the path if the host is an IP address or `localhost`, if a port is written (private stores
    seldom have names for their buckets), and if its name cannot be in a host's: no certificate is
    for a name with dots.
    """
    where = endpoint(domain)
    rest = where.host.removeprefix(f"{bucket}.")
    if rest == _AWS_GLOBAL or _AWS.fullmatch(rest) or _OTHERS.fullmatch(rest):
        where = where._replace(host=rest)
    in_path = (
        is_plain(where.host)
        or _PORT.search(domain) is not None
        or not _DNS_NAME.fullmatch(bucket)
        or (where.scheme == "https" and "." in bucket)
    )
    return Place(Endpoint(*where), bucket, region or _region_of(where.host), in_path)


def _region_of(host: str) -> str:
    if aws := _AWS.fullmatch(host):
        return aws["region"]
    if other := _OTHERS.fullmatch(host) or _BOS.fullmatch(host):
        return other[1]
    if any(host == name or host.endswith(f".{name}") for name in _ANY_REGION):
        return "auto"
    return _DEFAULT_REGION
