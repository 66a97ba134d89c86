"""Private files and the lock of a working directory."""

import subprocess
import sys
from pathlib import Path

from ossimport.service.files import Lock, read_json, write_private

HOLD_LOCK = """
import sys, time
from pathlib import Path
from ossimport.service.files import Lock
lock = Lock(Path(sys.argv[1]))
print(lock.take(), flush=True)
time.sleep(60)
"""


def test_a_private_file_is_readable_by_its_owner_only_also_when_it_is_replaced(
    tmp_path: Path,
) -> None:
    path = tmp_path / "secret"
    path.write_text("old")
    path.chmod(0o644)
    write_private(path, "new")
    assert path.read_text() == "new"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [p.name for p in tmp_path.iterdir()] == ["secret"]


def test_a_file_that_a_crash_left_half_written_counts_as_none(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    assert read_json(path) == {}
    for damaged in ("", '{"port": 1', "[]"):
        path.write_text(damaged)
        assert read_json(path) == {}


def test_the_lock_has_one_holder_and_is_free_again_when_that_process_is_killed(
    tmp_path: Path,
) -> None:
    path = tmp_path / "lock"
    with subprocess.Popen(
        [sys.executable, "-c", HOLD_LOCK, str(path)], stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "True\n"
        with Lock(path) as lock:
            assert not lock.take()
            assert not lock.held
        holder.kill()
    with Lock(path) as lock:
        assert lock.take()
        assert lock.take()  # keeping it is no second taking
        assert not Lock(path).take()
    assert Lock(path).take()
