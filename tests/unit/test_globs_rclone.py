"""Our patterns take the names that rclone takes by them."""

import random
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ossimport import globs

RCLONE = shutil.which("rclone", path=str(Path(sys.executable).parent)) or shutil.which("rclone")

pytestmark = pytest.mark.skipif(RCLONE is None, reason="rclone is not installed")

PATTERNS = 50
NAMES = 400


def name(rng: random.Random) -> str:
    parts = ["".join(rng.choices("aab.-*[{é,", k=rng.randint(1, 3))) for _ in range(3)]
    return "/".join(parts[: rng.randint(1, 3)])


def pattern(rng: random.Random) -> str:
    def plain(depth: int) -> str:
        kinds = ["a", "b", ".", "é", "*", "**", "?", "/", "[ab]", "[^a]", "[a-c.]", r"\*", r"\["]
        if depth:
            kinds.append(f"{{{plain(0)},{plain(0)}}}")
        return "".join(rng.choices(kinds, k=rng.randint(1, 4)))

    return rng.choice(["", "", "/"]) + plain(1)


def left_by_rclone(root: Path, glob: str) -> set[str]:
    """What --exclude leaves. (--include may not look into directories that hold what it takes.)"""
    assert RCLONE is not None
    listed = subprocess.run(
        [RCLONE, "lsf", "-R", "--files-only", "--config", "", "--exclude", glob, str(root)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return set(listed.stdout.splitlines())


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made, rng = tmp_path_factory.mktemp("names"), random.Random(7)
    for _ in range(NAMES):
        path = made / name(rng)
        if path.name.strip(".") and not any(parent.is_file() for parent in path.parents):
            path.parent.mkdir(parents=True, exist_ok=True)
            if not path.exists():
                path.write_bytes(b"")
    return made


def test_random_patterns_take_what_rclone_takes(root: Path) -> None:
    rng = random.Random(12)
    names = {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}
    assert len(names) > NAMES // 3
    selective = 0
    for _ in range(PATTERNS):
        glob = pattern(rng)
        if "[^" in glob and "**" in glob:
            continue  # rclone leaves out whole directories if that matches the / behind their names
        try:
            expression = re.compile(globs.expression(glob))
        except globs.BadGlob:
            continue  # more than two * in a row, by chance
        ours = {each for each in names if expression.fullmatch(each)}
        assert left_by_rclone(root, glob) == names - ours, glob
        selective += 0 < len(ours) < len(names)
    assert selective > PATTERNS // 4
