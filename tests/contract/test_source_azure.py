"""The Azure source keeps the contract: against Azurite where it is, and a protocol server anywhere.

Blobs of Azurite are written by the service's own SDK.
"""

from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest
from azure.storage.blob import ContainerClient

from ossimport.errors import Permanent
from ossimport.model import Lane
from ossimport.sources.azure import Access, AzureSource
from ossimport.sources.base import Source
from ossimport.transport import Endpoint
from tests.contract.at_oss import at_oss
from tests.contract.source_contract import SourceContract, World, keys_of
from tests.servers.azure import AzureServer
from tests.servers.azurite import ACCOUNT, KEY, RunningAzurite, run_azurite

_check: type[Source] = AzureSource
_numbers = count(1)
PAGES = [3, 5000]


def access_to(port: int, account: str, container: str, secret: str) -> Access:
    endpoint = Endpoint("http", "127.0.0.1", port)
    return Access(endpoint, f"/{account}", account, container, secret)


class AzuriteWorld(World):
    """A container of its own."""

    def __init__(self, azurite: RunningAzurite, container: ContainerClient, page_size: int) -> None:
        self.azurite = azurite
        self.container = container
        self._page_size = page_size

    def access(self, **changed: Any) -> Access:
        name = str(self.container.container_name)
        return access_to(self.azurite.port, ACCOUNT, name, KEY)._replace(**changed)

    def open(self) -> Source:
        return AzureSource(self.access(), "pre/", depth=9, page_size=self._page_size)

    def put(self, key: str, body: bytes, mtime_ns: int) -> None:
        self.container.upload_blob(f"pre/{key}", body, overwrite=True)

    def remove(self, key: str) -> None:
        self.container.delete_blob(f"pre/{key}")

    def broken(self) -> Source:
        return AzureSource(self.access(secret="d3Jvbmc="), "pre/")


@pytest.fixture(scope="module")
def azurite() -> Iterator[RunningAzurite]:
    with run_azurite() as running:
        yield running


class TestAzureSourceOnAzurite(SourceContract):
    @pytest.fixture(params=PAGES)
    def world(
        self, request: pytest.FixtureRequest, azurite: RunningAzurite
    ) -> Iterator[AzuriteWorld]:
        with azurite.sdk() as service:
            container = service.create_container(f"world-{next(_numbers)}")
            yield AzuriteWorld(azurite, container, request.param)

    async def test_a_removed_object_is_not_found(self, full: World) -> None:
        """Azurite looks at If-Match before it looks for the blob; the service does not."""
        source = full.open()
        infos = [entry.info for entry in source.scan(Lane())]
        for info in infos:
            full.remove(info.key)
            await self.refused(source, info, 0, info.size, code="SourceChanged")
            with pytest.raises(Permanent) as caught:
                await source.stat(info.key)
            assert (caught.value.code, caught.value.key) == ("NotFound", info.key)
        await source.close()


class ServerWorld(World):
    def __init__(self, server: AzureServer, page_size: int, sas: str) -> None:
        self.server = server
        self._page_size = page_size
        self._secret = sas or server.key
        server.buckets["box"] = {}

    def access(self, **changed: Any) -> Access:
        server = self.server
        access = access_to(server.port, server.account, "box", self._secret)
        return access._replace(**changed)

    def open(self) -> Source:
        return AzureSource(self.access(), "pre/", depth=9, page_size=self._page_size)

    def put(self, key: str, body: bytes, mtime_ns: int) -> None:
        self.server.put("box", f"pre/{key}", body, mtime=mtime_ns // 10**9)

    def remove(self, key: str) -> None:
        del self.server.buckets["box"][f"pre/{key}"]

    def broken(self) -> Source:
        return AzureSource(self.access(container="other"), "pre/")


class TestAzureSource(SourceContract):
    @pytest.fixture(
        params=[(3, True), (3, False), (5000, False)],
        ids=["3-by-key", "3-by-sas-directories", "5000-by-sas-directories"],
    )
    def world(self, request: pytest.FixtureRequest) -> Iterator[ServerWorld]:
        page_size, is_utf16 = request.param
        with AzureServer() as server:
            server.is_utf16 = is_utf16
            yield ServerWorld(server, page_size, "" if is_utf16 else "?" + server.sas())


async def test_block_append_and_page_blobs_are_read_alike(azurite: RunningAzurite) -> None:
    with azurite.sdk() as service:
        container = service.create_container(f"world-{next(_numbers)}")
        blobs = {"append": b"one" * 100, "block": b"two" * 100, "page": b"x" * 512 + bytes(512)}
        for name, body in blobs.items():
            container.upload_blob(name, body, blob_type=f"{name.capitalize()}Blob")
        container.get_blob_client("block").create_snapshot()
        secret = KEY
        name = str(container.container_name)
    source = AzureSource(access_to(azurite.port, ACCOUNT, name, secret), "")
    entries = list(source.scan(Lane()))
    assert keys_of(entries) == [*blobs]
    for entry in entries:
        body = blobs[entry.info.key]
        payload = await source.read(entry.info, 0, len(body))
        assert bytes(payload.body) == body
        part = await source.read(entry.info, 2, 7)
        assert bytes(part.body) == body[2:9]
        assert (payload.checksum is not None) == (entry.info.key == "block")
    await source.close()


async def test_headers_and_metadata_go_with_a_blob(azurite: RunningAzurite) -> None:
    from azure.storage.blob import ContentSettings

    settings = ContentSettings(
        content_type="text/x",
        content_encoding="gzip",
        content_language="de",
        content_disposition='attachment; filename="x"',
        cache_control="max-age=5",
    )
    with azurite.sdk() as service:
        container = service.create_container(f"world-{next(_numbers)}")
        meta = {"Mixed_Case": "two words"}
        container.upload_blob("a", b"body", content_settings=settings, metadata=meta)
        access = access_to(azurite.port, ACCOUNT, str(container.container_name), KEY)
    source = AzureSource(access, "")
    [entry] = source.scan(Lane())
    for payload in [await source.read(entry.info, 0, 4), await source.read(entry.info, 0, 0)]:
        assert at_oss(payload) == {
            "Content-Type": "text/x",
            "Content-Encoding": "gzip",
            "Content-Language": "de",
            "Content-Disposition": 'attachment; filename="x"',
            "Cache-Control": "max-age=5",
            "x-oss-meta-mixed-case": "two words",
        }
        assert payload.checksum is not None
        assert payload.checksum.algorithm == "md5"
    await source.close()
