"""What headers say of whole objects, and what they do not."""

import base64
import hashlib

import pytest

from ossimport.sources.base import Checksum
from ossimport.sources.over_http.checksums import md5_of_etag, stated_crc64, stated_md5

MD5 = hashlib.md5(b"x")


def test_checksums_are_read_as_services_write_them() -> None:
    assert stated_crc64("18446744073709551615") == Checksum("crc64", "18446744073709551615")
    expected = Checksum("md5", MD5.hexdigest())
    assert stated_md5(base64.b64encode(MD5.digest()).decode()) == expected
    assert md5_of_etag(f'"{MD5.hexdigest()}"') == md5_of_etag(MD5.hexdigest().upper()) == expected


@pytest.mark.parametrize(
    "text",
    ["", "-1", "1.0", "9" * 5000, "\xe4", "\xb2", "====", "eA==", f'"{"a" * 32}-2"', 'W/"a"'],
)
def test_anything_else_is_none(text: str) -> None:
    assert stated_crc64(text) is stated_md5(text) is md5_of_etag(text) is None
