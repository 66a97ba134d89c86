"""The local source keeps the contract, with directories in memory and sorted on disk."""

import os
from pathlib import Path

import pytest

from ossimport.sources import local_names
from ossimport.sources.base import Source
from ossimport.sources.local import LocalSource
from tests.contract.source_contract import SourceContract, World

_check: type[Source] = LocalSource


class LocalWorld(World):
    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir()

    def open(self, below: str = "") -> Source:
        root = f"{self.root}/{below}"
        return LocalSource(root=root, allow_symlinks=False, split_depth=2, scratch=self.root.parent)

    def put(self, key: str, body: bytes, mtime_ns: int) -> None:
        path = self.root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
        os.utime(path, ns=(mtime_ns, mtime_ns))

    def remove(self, key: str) -> None:
        (self.root / key).unlink()

    def broken(self) -> Source:
        return self.open("missing/")


class TestLocalSource(SourceContract):
    @pytest.fixture(params=[100_000, 2], ids=["in memory", "sorted on disk"])
    def world(
        self, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> World:
        monkeypatch.setattr(local_names, "NAMES_IN_MEMORY", request.param)
        return LocalWorld(tmp_path / "root")
