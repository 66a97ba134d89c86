"""What is stored with an object, however it is copied, and what a strict job refuses to lose."""

import random
from collections.abc import Mapping

import pytest

from ossimport.budget import Budget
from ossimport.copying import CopyPolicy, arriving_with, expected_headers
from ossimport.dest.base import OSS_LIMITS
from ossimport.dest.memory import MemoryDestination
from ossimport.engine import CopyEngine
from ossimport.errors import Permanent
from ossimport.fidelity.arriving import Keep
from ossimport.fidelity.tags import MOST, tagging
from ossimport.model import CopyResult, Lane, ObjectInfo, Origin, Outcome, Upload
from ossimport.sources.base import Checksum, Payload, Scan

HOUR_NS = 3600 * 10**9
SAID = {
    "content-type": "text/x-own",
    "cache-control": "no-cache",
    "x-amz-meta-color": "red",
    "x-amz-meta-a.b": "c",
    "x-amz-storage-class": "STANDARD_IA",
    "x-amz-tagging-count": "2",
    "etag": '"E"',
}
LOST = ("x-amz-tagging-count", "x-amz-meta-a.b", "x-amz-storage-class")
BODY, BIG = b"hello", b"parts" * 60
LIMITS = OSS_LIMITS._replace(min_part_size=10)


class Plain:
    """A source of two objects that says the same of both."""

    def __init__(self, said: Mapping[str, str] = SAID) -> None:
        self.said = said
        self.bodies = {"small": BODY, "big": BIG}

    def check(self) -> None:
        """Always there."""

    def scan(self, lane: Lane) -> Scan:
        raise AssertionError("the engine does not scan")

    async def stat(self, key: str) -> ObjectInfo:
        return ObjectInfo(key, len(self.bodies[key]), HOUR_NS)

    async def read(self, info: ObjectInfo, offset: int, length: int) -> Payload:
        body = self.bodies[info.key][offset : offset + length]
        return Payload(body, self.said, meta_prefix="x-amz-meta-")

    async def close(self) -> None:
        """Nothing to give back."""


class WithTags(Plain):
    """The same, and it tells tags."""

    held: Mapping[str, str] = {"team": "a b", "cost/centre": "1=2"}
    asked = 0

    async def tags(self, info: ObjectInfo) -> dict[str, str]:
        self.asked += 1
        return dict(self.held)


class AtOss(Plain):
    """A bucket of the destination's own service."""

    async def origin(self, info: ObjectInfo) -> Origin | None:
        said = {name.replace("x-amz-", "x-oss-"): value for name, value in self.said.items()}
        stored = await self.bucket.put(info.key, self.bodies[info.key], {})
        assert stored.crc64 is not None
        return Origin("from", info.key, stored.etag, stored.crc64, said)

    def __init__(self, said: Mapping[str, str] = SAID) -> None:
        super().__init__(said)
        self.bucket = MemoryDestination(limits=LIMITS)


class Bench:
    """An engine from one of them to memory."""

    def __init__(self, source: Plain, keep: Keep) -> None:
        self.dest = MemoryDestination(limits=LIMITS)
        inside = source if isinstance(source, AtOss) else None
        if inside is not None:
            self.dest.buckets["from"] = inside.bucket
        policy = CopyPolicy("to/", 100, 100, attempts=2, keep=keep)
        budget = Budget(10_000)
        self.engine = CopyEngine(
            source, self.dest, policy, budget, jitter=random.random, origins=inside
        )

    async def copy(self, key: str) -> CopyResult:
        body = BODY if key == "small" else BIG

        async def save(upload: Upload | None) -> None:
            """Nobody goes on with it."""

        return await self.engine.copy(ObjectInfo(key, len(body), HOUR_NS), save=save)

    def stored(self, key: str) -> dict[str, str]:
        return self.dest.objects[f"to/{key}"].headers


@pytest.mark.parametrize("key", ["small", "big"])
@pytest.mark.parametrize("kind", [Plain, AtOss])
async def test_a_job_says_what_arrives(kind: type[Plain], key: str) -> None:
    rules = "a.b -> a-b; Cache-Control -> was-cached; Content-Language=de"
    bench = Bench(kind(), Keep(meta_map=rules, storage_class="Archive", acl="private"))
    result = await bench.copy(key)
    assert (result.outcome, len(result.unkept)) == (Outcome.COPIED, 1)  # the tags
    assert bench.stored(key) == {
        "content-type": "text/x-own",
        "content-language": "de",
        "x-oss-meta-color": "red",
        "x-oss-meta-a-b": "c",
        "x-oss-meta-was-cached": "no-cache",
        "x-oss-meta-mtime": "3600",
        "x-oss-storage-class": "Archive",
        "x-oss-object-acl": "private",
    }


@pytest.mark.parametrize("key", ["small", "big"])
@pytest.mark.parametrize("kind", [Plain, AtOss])
async def test_user_metadata_is_encoded_and_other_headers_are_refused_where_http_cannot_carry_them(
    kind: type[Plain], key: str
) -> None:
    bench = Bench(kind({"x-amz-meta-name": "100% \u4e2d", "x-amz-meta-lines": "a\nb"}), Keep())
    assert (await bench.copy(key)).outcome is Outcome.COPIED
    stored = bench.stored(key)
    assert (stored["x-oss-meta-name"], stored["x-oss-meta-lines"]) == ("100%25 %E4%B8%AD", "a%0Ab")
    for value in ("\u4e2d\u6587", "a\r\nx-oss-object-acl: public-read"):
        bench = Bench(kind({"cache-control": value}), Keep())
        result = await bench.copy(key)
        assert (result.outcome, result.code) == (Outcome.FAILED, "InvalidArgument")
        assert f"'to/{key}': the value of cache-control has" in result.message
        assert not bench.dest.objects


async def test_nothing_but_the_bytes_if_a_job_says_so() -> None:
    bench = Bench(Plain(), Keep(headers=False, user=False, mtime=False, storage_class="source"))
    result = await bench.copy("small")
    assert result.unkept == ("x-amz-tagging-count",)
    assert bench.stored("small") == {
        "content-type": "application/octet-stream",
        "x-oss-storage-class": "IA",
    }


@pytest.mark.parametrize("key", ["small", "big"])
async def test_tags_go_along_if_a_job_says_so(key: str) -> None:
    source = WithTags()
    bench = Bench(source, Keep(tags=True))
    result = await bench.copy(key)
    assert (result.unkept, source.asked) == (LOST[1:], 1)
    assert bench.stored(key)["x-oss-tagging"] == "cost%2Fcentre=1%3D2&team=a%20b"


async def test_nobody_is_asked_for_tags_that_are_not_there_or_not_wanted() -> None:
    for said, keep in (({}, Keep(tags=True)), (SAID, Keep())):
        source = WithTags(said)
        bench = Bench(source, keep)
        assert (await bench.copy("small")).outcome is Outcome.COPIED
        assert source.asked == 0
        assert "x-oss-tagging" not in bench.stored("small")


async def test_tags_that_a_source_cannot_tell_are_lost_whatever_the_job_says() -> None:
    assert (await Bench(Plain(), Keep(tags=True)).copy("small")).unkept == LOST


async def test_tags_that_oss_does_not_take_are_named() -> None:
    source = WithTags()
    source.held = {"mail": "a@b", "\u4e2d": "x", "good": "1"}
    bench = Bench(source, Keep(tags=True))
    assert (await bench.copy("small")).unkept == (*LOST[1:], "tag:mail", "tag:%E4%B8%AD")
    assert bench.stored("small")["x-oss-tagging"] == "good=1"
    source.held = {"mail": "a@b"}
    await bench.copy("big")
    assert "x-oss-tagging" not in bench.stored("big")


def test_of_too_many_tags_the_first_are_kept() -> None:
    text, lost = tagging({f"t{number:02d}": "" for number in range(MOST + 2)})
    assert (text.count("&"), lost) == (MOST - 1, ("tag:t10", "tag:t11"))


async def test_a_refusal_to_tell_the_tags_fails_the_object() -> None:
    class Refusing(WithTags):
        async def tags(self, info: ObjectInfo) -> dict[str, str]:
            raise Permanent("the keys need GetObjectTagging", code="AccessDenied", op="tags")

    result = await Bench(Refusing(), Keep(tags=True)).copy("small")
    assert (result.outcome, result.code) == (Outcome.FAILED, "AccessDenied")


@pytest.mark.parametrize("key", ["small", "big"])
@pytest.mark.parametrize("kind", [Plain, AtOss])
async def test_a_strict_job_fails_what_would_lose_something(kind: type[Plain], key: str) -> None:
    bench = Bench(kind(), Keep(strict=True))
    result = await bench.copy(key)
    assert (result.outcome, result.code) == (Outcome.FAILED, "NotAllKept")
    assert "a.b" in result.message
    assert not bench.dest.objects
    bench = Bench(kind({"content-type": "a/b"}), Keep(strict=True))
    assert (await bench.copy(key)).outcome is Outcome.COPIED


def test_what_a_head_of_the_copy_must_say() -> None:
    policy = CopyPolicy("", 100, 100, keep=Keep(acl="private", storage_class="source"))
    said = {**SAID, "x-amz-meta-name": "\u4e2d"}
    payload = Payload(b"", said, Checksum("md5", ""), meta_prefix="x-amz-meta-")
    info = ObjectInfo("a", 1, HOUR_NS)
    assert arriving_with(policy, info, payload)[0]["x-oss-object-acl"] == "private"
    assert expected_headers(policy, info, payload) == {
        "content-type": "text/x-own",
        "cache-control": "no-cache",
        "x-oss-meta-color": "red",
        "x-oss-meta-name": "%E4%B8%AD",
        "x-oss-meta-mtime": "3600",
        "x-oss-storage-class": "IA",
    }
