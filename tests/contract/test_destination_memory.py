"""The destination in memory keeps the contract, and its own limits."""

import pytest

from ossimport.dest.base import OSS_LIMITS
from ossimport.dest.memory import MemoryDestination
from ossimport.model import Origin
from tests.contract.destination_contract import PLAIN, DestinationContract, Subject, refusal


class TestMemoryDestination(DestinationContract):
    """The contract, over memory."""

    @pytest.fixture
    def subject(self) -> Subject:
        dest = MemoryDestination()

        def read(key: str) -> tuple[bytes, dict[str, str]]:
            return dest.objects[key].body, dest.objects[key].headers

        return Subject(dest, read, "here/", "memory")


async def test_limits_can_be_smaller_than_those_of_oss() -> None:
    limits = OSS_LIMITS._replace(max_put_size=3, max_part_size=4, max_parts=2, max_copy_size=2)
    dest = MemoryDestination(limits=limits)
    stored = await dest.put("origin", b"123", PLAIN)
    origin = Origin("memory", "origin", stored.etag, 0, {})
    assert (await refusal(dest.copy_from("key", origin, {}))).code == "EntityTooLarge"
    assert (await refusal(dest.put("key", b"1234", PLAIN))).code == "EntityTooLarge"
    upload_id = await dest.start_upload("key", PLAIN)
    await dest.upload_part("key", upload_id, 2, b"1234")
    assert (await refusal(dest.upload_part("key", upload_id, 1, b"12345"))).code == "EntityTooLarge"
    assert (await refusal(dest.upload_part("key", upload_id, 3, b"1"))).code == "InvalidArgument"


async def test_objects_carry_the_time_of_the_clock() -> None:
    dest = MemoryDestination(clock=lambda: 1_700_000_000.9)
    await dest.put("key", b"", PLAIN)
    info = await dest.stat("key")
    assert info is not None
    assert info.mtime_ns == 1_700_000_000 * 10**9
