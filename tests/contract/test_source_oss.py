"""The OSS source keeps the contract against the sandbox: a real process, real sockets, V4 verified.

Its objects are written by stock oss2.
"""

from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest

from ossimport.oss.bucket import Access
from ossimport.sources.base import Source
from ossimport.sources.oss import OssSource
from ossimport.transport import Endpoint
from tests.contract.source_contract import SourceContract, World
from tests.servers.sandbox import RunningSandbox, run_sandbox

_check: type[Source] = OssSource
_numbers = count(1)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSandbox]:
    with run_sandbox(tmp_path_factory.mktemp("sandbox")) as running:
        yield running


def access_to(service: RunningSandbox, **changed: Any) -> Access:
    """The sandbox's bucket with the right settings, but for those that are `changed`."""
    access = Access(
        endpoint=Endpoint("http", "127.0.0.1", service.port),
        bucket=service.bucket,
        region=service.region,
        access_key=service.access_key,
        secret_key=service.secret_key,
    )
    return access._replace(**changed)


class OssWorld(World):
    """A part of the sandbox's bucket."""

    def __init__(self, service: RunningSandbox, page_size: int) -> None:
        self.service = service
        self.prefix = f"world-{next(_numbers)}/"
        self.bucket = service.oss2()
        self._page_size = page_size

    def open(self) -> Source:
        return OssSource(access_to(self.service), self.prefix, page_size=self._page_size)

    def put(self, key: str, body: bytes, mtime_ns: int) -> None:
        self.bucket.put_object(self.prefix + key, body)

    def remove(self, key: str) -> None:
        self.bucket.delete_object(self.prefix + key)

    def broken(self) -> Source:
        return OssSource(access_to(self.service, secret_key="wrong"), self.prefix)


class TestOssSource(SourceContract):
    @pytest.fixture(params=[2, 1000])
    def world(self, request: pytest.FixtureRequest, service: RunningSandbox) -> Iterator[OssWorld]:
        world = OssWorld(service, request.param)
        yield world
        world.bucket.session.session.close()
