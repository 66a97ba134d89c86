"""Whether the tasks of a worker's processes go on. What Redis has to do with it: tests/deploy."""

import importlib
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture
def liveness(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module, which is a worker's and wants its settings."""
    (tmp_path / "sys.properties").write_text("redisUrl=redis://127.0.0.1:1/0\n")
    monkeypatch.setenv("OSSIMPORT_SYS", str(tmp_path / "sys.properties"))
    return importlib.import_module("workers.liveness")


def test_a_process_that_is_silent_with_a_task_hangs(
    liveness: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, index = 1000.0, 0
    monkeypatch.setattr(liveness, "current_process_index", lambda base: index + base)
    tasks = liveness.Tasks(2, clock=lambda: now)
    tasks.heard()
    index = 1
    tasks.heard()
    now += liveness.SILENT_S - 1
    assert tasks.all_go_on
    tasks.heard()
    now += 1
    assert not tasks.all_go_on  # process 0
    index = 0
    tasks.heard()
    assert tasks.all_go_on
    tasks.ended()
    now += liveness.SILENT_S - 1
    assert not tasks.all_go_on  # process 1
    index = 1
    tasks.ended()
    now += 1000
    assert tasks.all_go_on
