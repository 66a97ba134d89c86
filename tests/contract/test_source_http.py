"""The list of URLs keeps the contract, with nginx behind it.

A list says little of its objects, so a worker asks the server before it reads one in parts. Here
the scan shows each object as it is once the server has been asked.
"""

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from ossimport.model import Lane, ObjectInfo, Scanned
from ossimport.sources.base import Scan, Source
from ossimport.sources.http_list import HttpListSource
from ossimport.sources.http_url import encode_name
from ossimport.sources.list_lines import Columns
from ossimport.sources.over_http.side_loop import SideLoop
from tests.contract.source_contract import SourceContract, World
from tests.servers.nginx import RunningNginx, run_nginx

_check: type[Source] = HttpListSource
_numbers = count(1)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNginx]:
    with run_nginx(tmp_path_factory.mktemp("nginx")) as running:
        yield running


@pytest.fixture(scope="module")
def side() -> Iterator[SideLoop]:
    loop = SideLoop()
    yield loop
    loop.close()


class AskedScan:
    """A scan whose objects have been asked about."""

    def __init__(self, scan: Scan, source: "AskedSource") -> None:
        self._scan = scan
        self._source = source

    @property
    def until(self) -> str:
        return self._scan.until

    def split(self) -> Lane | None:
        return self._scan.split()

    def __iter__(self) -> Iterator[Scanned]:
        for entry in self._scan:
            yield entry._replace(info=self._source.ask(entry.info.key))


class AskedSource(HttpListSource):
    """What the engine sees after it has followed a change."""

    def __init__(self, path: Path, side: SideLoop, window: int) -> None:
        super().__init__(path, Columns(), window=window)
        self._asking = side
        self._plain = HttpListSource(path, Columns(), side.transport)

    def scan(self, lane: Lane) -> AskedScan:
        return AskedScan(super().scan(lane), self)

    def ask(self, key: str) -> ObjectInfo:
        return self._asking.start(self._plain.stat(key)).result()

    def _find(self, key: str) -> object:  # type: ignore[override]
        return self._plain._find(key)


class HttpWorld(World):
    """A directory of the server, and a list of what is in it."""

    def __init__(self, service: RunningNginx, side: SideLoop, home: Path, window: int) -> None:
        self.service = service
        self.side = side
        self.name = f"world-{next(_numbers)}"
        self.path = home / "http.list"
        self.path.touch()
        self.keys: dict[str, bool] = {}
        self._window = window

    def open(self) -> Source:
        return AskedSource(self.path, self.side, self._window)

    def put(self, key: str, body: bytes, mtime_ns: int) -> None:
        self.service.put(f"{self.name}/{key}", body, mtime_ns)
        self.keys[key] = True
        self._write()

    def remove(self, key: str) -> None:
        (self.service.root / self.name / key).unlink()
        self.keys[key] = False
        self._write()

    def _write(self) -> None:
        """Lines of what is removed become blank: a list that is being walked keeps its places."""
        prefix = f"{self.service.url()}{self.name}/"
        lines = {key: f"{prefix}\t{encode_name(key)}" for key in self.keys}
        shown = (line if self.keys[key] else " " * len(line) for key, line in lines.items())
        self.path.write_text("".join(f"{line}\n" for line in shown))

    def broken(self) -> Source:
        return AskedSource(self.path.with_name("none"), self.side, self._window)


class TestHttpListSource(SourceContract):
    @pytest.fixture(params=[200, 1 << 20])
    def world(
        self, request: pytest.FixtureRequest, service: RunningNginx, side: SideLoop, tmp_path: Path
    ) -> HttpWorld:
        return HttpWorld(service, side, tmp_path, request.param)
