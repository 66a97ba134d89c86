"""How a key is written into the path of a request."""

from urllib.parse import quote, unquote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ossimport.credentials import Keys
from ossimport.oss.bucket import Access, OssBucket
from ossimport.oss.refusals import DESTINATION
from ossimport.transport import Endpoint, Response, Transport


class Noting(Transport):
    """Sends nothing, and notes the target of each request."""

    def __init__(self) -> None:
        super().__init__()
        self.target = ""

    async def request(
        self, endpoint: Endpoint, method: str, target: str, *_: object, **__: object
    ) -> Response:
        self.target = target
        return Response(200, {}, b"")


def sent(key: str) -> str:
    """What stands behind the bucket in the request's target."""
    transport = Noting()
    access = Access(Endpoint("http", "127.0.0.1", 80), "bucket", "cn-hangzhou", "", "")
    bucket = OssBucket(access._replace(keys=Keys.fixed("ak", "sk", "")), transport, DESTINATION)
    sending = bucket.send("GET", "stat", key)
    with pytest.raises(StopIteration):
        sending.send(None)
    return transport.target.removeprefix("/bucket/")


# Few letters, so that what matters meets often.
keys = st.text(st.sampled_from("ab./~-_% +\u4e2d?&"), min_size=1, max_size=8)


@given(keys)
@example("a/b.c/")
@example("a/.b")
@example("a//b")
@example("/a")
@example("..")
@example("a\n")
def test_a_path_names_the_key_and_holds_nothing_that_is_tidied_up_on_the_way(key: str) -> None:
    path = sent(key)
    assert unquote(path) == key
    assert path.isascii()
    assert "//" not in path
    assert "/." not in path
    assert path[0] != "/"
    assert path not in {".", ".."}


@given(st.from_regex(r"[a-c][a-c.~_-]*(/[a-c][a-c.]*){0,3}", fullmatch=True))
def test_a_plain_path_is_the_key_itself(key: str) -> None:
    assert sent(key) == key == quote(key)
