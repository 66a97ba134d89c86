"""The UPYUN source keeps the contract against a server that verifies its signatures."""

from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest

from ossimport.model import Lane
from ossimport.sources.base import Source
from ossimport.sources.youpai import Access, YoupaiSource
from ossimport.transport import Endpoint
from tests.contract.source_contract import SourceContract, World
from tests.servers.youpai import YoupaiServer

_check: type[Source] = YoupaiSource
_numbers = count(1)


@pytest.fixture(scope="module")
def service() -> Iterator[YoupaiServer]:
    with YoupaiServer().running() as server:
        yield server


def access_to(server: YoupaiServer, **changed: Any) -> Access:
    """The server's service with the right settings, but for those that are `changed`."""
    endpoint = Endpoint("http", "127.0.0.1", server.port)
    return Access(endpoint, server.service, server.operator, "pass word")._replace(**changed)


class YoupaiWorld(World):
    """A directory of the service."""

    def __init__(self, service: YoupaiServer, page_size: int) -> None:
        self.service = service
        self.prefix = f"world-{next(_numbers)}/"
        self._page_size = page_size

    def open(self) -> Source:
        return YoupaiSource(
            access_to(self.service), self.prefix, depth=9, page_size=self._page_size
        )

    def put(self, key: str, body: bytes, mtime_ns: int) -> None:
        self.service.put(self.prefix + key, body, mtime_ns // 10**9)

    def remove(self, key: str) -> None:
        del self.service.files[self.prefix + key]

    def broken(self) -> Source:
        return YoupaiSource(access_to(self.service, password="wrong"), self.prefix)


class TestYoupaiSource(SourceContract):
    def test_the_cursor_of_a_removed_object_still_works(self, full: World) -> None:
        """Later pages begin elsewhere then, so the cursors differ, and nothing else does."""
        entries = list(full.open().scan(Lane()))
        for index, entry in enumerate(entries):
            full.remove(entry.info.key)
            rest = list(full.open().scan(Lane(entry.cursor)))
            assert [e.info for e in rest] == [e.info for e in entries[index + 1 :]]

    @pytest.fixture(params=[1, 2, 1000])
    def world(self, request: pytest.FixtureRequest, service: YoupaiServer) -> YoupaiWorld:
        return YoupaiWorld(service, request.param)
