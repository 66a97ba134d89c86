"""What is looked for before a job starts: beside files, in buckets, in the first objects."""

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from ossimport.config import DestConfig, JobConfig, SourceConfig, SystemConfig, load_system
from ossimport.config.secret import Secret
from ossimport.console import losses
from ossimport.errors import Permanent, PreflightError, Transient
from ossimport.model import Lane, ObjectInfo
from ossimport.sources.base import Payload, Source
from ossimport.sources.local import LocalSource
from ossimport.sources.local_beside import ATTRIBUTES, LINKS, count_beside
from ossimport.sources.memory import MemorySource


@pytest.fixture
def tree(tmp_path: Path) -> str:
    root = tmp_path / "tree"
    (root / "sub").mkdir(parents=True)
    for name in ("a", "sub/b"):
        (root / name).write_bytes(b"body")
    (root / "to-file").symlink_to("a")
    (root / "sub" / "to-directory").symlink_to("..")
    (root / "broken").symlink_to("nowhere")
    return f"{root}/"


def test_links_that_nobody_follows_are_counted(tree: str) -> None:
    assert count_beside(tree, 1000, allow_symlinks=False) == {LINKS: 3}
    assert count_beside(tree, 1000, allow_symlinks=True) == {LINKS: 1}
    assert count_beside(tree, 0, allow_symlinks=False) == {}
    assert count_beside(f"{tree}none/", 1000, allow_symlinks=False) == {}


async def test_files_with_attributes_are_counted_but_not_those_of_the_system(
    tree: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = {"a": ["security.selinux"], "b": ["security.selinux", "user.color"]}

    def listxattr(path: str, *, follow_symlinks: bool) -> list[str]:
        assert not follow_symlinks
        return held[os.path.basename(path)]

    monkeypatch.setattr(os, "listxattr", listxattr, raising=False)
    source = LocalSource(root=tree, allow_symlinks=True, split_depth=1)
    assert await source.untold(1000) == {LINKS: 1, ATTRIBUTES: 1}
    await source.close()


# -- what is said of it ----------------------------------------------------------------------------


class Told(MemorySource):
    """Objects of which each says something else."""

    def __init__(self, said: Mapping[str, Mapping[str, str]]) -> None:
        super().__init__()
        self.said = said
        self.failing: Exception | None = None
        for key in said:
            self.put(key, b"body")

    async def read(self, info: ObjectInfo, offset: int, length: int) -> Payload:
        if self.failing is not None:
            raise self.failing
        assert (offset, length) == (0, 0)
        return Payload(b"", self.said[info.key], meta_prefix="x-amz-meta-")


def job(*, strict: bool = False, preserve: str = "headers,user,mtime") -> JobConfig:
    dest = DestConfig(
        access_key="a", secret_key=Secret("s"), host="h", bucket="bbb", preserve=preserve
    )
    return JobConfig(name="test", source=SourceConfig(type="s3"), dest=dest, strict=strict)


@pytest.fixture
def system(tmp_path: Path) -> SystemConfig:
    (tmp_path / "sys.properties").write_text("workingDir=.\n")
    return load_system(tmp_path / "sys.properties")


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Told:
    """Every other object has tags and a name that OSS does not have."""
    source = Told(
        {
            f"k{number:03d}": {"x-amz-tagging-count": "1", "x-amz-meta-a.b": "c"}
            if number % 2
            else {}
            for number in range(57)
        }
    )

    def opened(*_: object, **__: object) -> Source:
        return source

    monkeypatch.setattr(losses, "open_source", opened)
    monkeypatch.setattr(losses, "open_listing", opened)
    return source


def test_a_sample_of_the_first_objects_is_asked(
    told: Told, system: SystemConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    losses.tell_losses(system, job(preserve="user"))
    said = capsys.readouterr().err
    assert "Warning: 9 of 19 objects looked at would lose x-amz-meta-a.b. Cure: metaMap" in said
    assert (
        "9 of 19 objects looked at would lose x-amz-tagging-count. Cure: preserveMeta=user,tags"
        in said
    )
    assert "Note: never copied, and not counted: ACL, encryption; see docs/fidelity.md" in said


def test_a_strict_job_is_refused_with_all_of_it(told: Told, system: SystemConfig) -> None:
    with pytest.raises(
        PreflightError, match="(?s)is strict.*a.b.*tagging-count.*headers,user,mtime,tags"
    ):
        losses.tell_losses(system, job(strict=True))
    told.said = dict.fromkeys(told.said, {})
    losses.tell_losses(system, job(strict=True))


@pytest.mark.parametrize("code", ["AccessDenied", "SourceChanged"])
def test_what_cannot_be_read_is_left_to_the_job(
    told: Told, system: SystemConfig, code: str, capsys: pytest.CaptureFixture[str]
) -> None:
    told.failing = Permanent("no", code=code)
    losses.tell_losses(system, job(strict=True))
    assert "Warning" not in capsys.readouterr().err


def test_that_nothing_could_be_seen_is_said(
    told: Told,
    system: SystemConfig,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def scan(lane: Lane) -> None:
        raise Transient("the network is down", code="ConnectionFailed")

    monkeypatch.setattr(told, "scan", scan)
    losses.tell_losses(system, job(strict=True))
    assert "could not be seen: the network is down" in capsys.readouterr().err
