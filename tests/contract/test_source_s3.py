"""The S3 source keeps the contract against two servers that are not ours, written to by boto3."""

from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest

from ossimport.sources.base import Source
from ossimport.sources.s3 import S3Source
from tests.contract.source_contract import SourceContract, World
from tests.servers.s3 import RunningS3, needs_rclone, run_moto, run_rclone

_numbers = count(1)


@pytest.fixture(scope="module")
def rclone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningS3]:
    with run_rclone(tmp_path_factory.mktemp("rclone") / "served") as running:
        yield running


@pytest.fixture(scope="module")
def moto() -> Iterator[RunningS3]:
    with run_moto() as running:
        yield running


class S3World(World):
    """A part of the server's bucket."""

    def __init__(self, service: RunningS3, page_size: int) -> None:
        self.service = service
        self.prefix = f"world-{next(_numbers)}/"
        self.client: Any = service.boto3()
        self._page_size = page_size

    def open(self) -> Source:
        return S3Source(self.service.access(), self.prefix, page_size=self._page_size)

    def put(self, key: str, body: bytes, mtime_ns: int) -> None:
        self.client.put_object(Bucket=self.service.bucket, Key=self.prefix + key, Body=body)

    def remove(self, key: str) -> None:
        self.client.delete_object(Bucket=self.service.bucket, Key=self.prefix + key)

    def broken(self) -> Source:
        return S3Source(self.service.access(secret_key="wrong-secret"), self.prefix)


class MotoWorld(S3World):
    """It takes any keys, so that a wrong bucket has to do."""

    def broken(self) -> Source:
        place = self.service.access().place._replace(bucket="no-such-bucket")
        return S3Source(self.service.access(place=place), self.prefix)


@needs_rclone
class TestAgainstRclone(SourceContract):
    @pytest.fixture(params=[2, 1000])
    def world(self, request: pytest.FixtureRequest, rclone: RunningS3) -> Iterator[S3World]:
        world = S3World(rclone, request.param)
        yield world
        world.client.close()


class TestAgainstMoto(SourceContract):
    @pytest.fixture
    def world(self, moto: RunningS3) -> Iterator[MotoWorld]:
        world = MotoWorld(moto, 3)
        yield world
        world.client.close()
