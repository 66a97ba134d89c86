"""Tags, from stores that verify the signature of the question, and answers that are none."""

import pytest

from ossimport.errors import Permanent, StorageError, Transient
from ossimport.model import ObjectInfo
from ossimport.sources.azure import AzureSource
from ossimport.sources.base import Source, Tagged
from ossimport.sources.cos import CosSource
from ossimport.sources.over_http.tags import read_tags
from ossimport.transport import Response
from tests.contract.test_source_azure import access_to as azure_access
from tests.contract.test_source_cos import access_to as cos_access
from tests.servers.azure import AzureServer
from tests.servers.cos import CosServer

TAGS = {"team": "a & b", "empty": "", "cost/centre": "<1>"}


async def tags_of(source: Source, key: str) -> dict[str, str]:
    assert isinstance(source, Tagged)
    try:
        return await source.tags(ObjectInfo(key, 4))
    finally:
        await source.close()


async def test_cos_tells_tags() -> None:
    with CosServer() as service:
        service.put("archive-1250000000", "in/k e", b"body").tags = TAGS
        access = cos_access(service, bucket="archive-1250000000")
        assert await tags_of(CosSource(access, "in/"), "k e") == TAGS
        with pytest.raises(Permanent) as caught:
            await tags_of(CosSource(access, "in/"), "gone")
    assert (caught.value.code, caught.value.op, caught.value.key) == ("NotFound", "tags", "gone")


@pytest.mark.parametrize("way", ["key", "sas"])
async def test_azure_tells_tags(way: str) -> None:
    with AzureServer() as service:
        service.put("box", "in/k e", b"body").tags = TAGS
        secret = service.key if way == "key" else service.sas("rlt")
        access = azure_access(service.port, service.account, "box", secret)
        assert await tags_of(AzureSource(access, "in/"), "k e") == TAGS
        access = azure_access(service.port, service.account, "box", service.sas("rl"))
        with pytest.raises(StorageError) as caught:
            await tags_of(AzureSource(access, "in/"), "k e")
    assert caught.value.code == "AccessDenied"


class Saying:
    """A store that answers every question for tags with the same words."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    async def ask_tags(self, key: str) -> Response:
        return Response(200, {}, self._body)

    def refused(self, response: Response, op: str, key: str) -> StorageError:
        raise AssertionError("nothing was refused")


@pytest.mark.parametrize("body", [b"<TagSet/>", b"<TagSet></TagSet>", b"<T>\n<TagSet >\n</TagSet>"])
async def test_no_tags_are_an_answer(body: bytes) -> None:
    assert await read_tags(Saying(body), ObjectInfo("a", 1)) == {}


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"<TagSet><Tag><Key>a</Key></Tag></TagSet>", b"<TagSet><Tag><Key>a</Key>"],
)
async def test_what_are_no_tags_is_not_taken_for_none(body: bytes) -> None:
    with pytest.raises(Transient, match="tags of a is not usable"):
        await read_tags(Saying(body), ObjectInfo("a", 1))
