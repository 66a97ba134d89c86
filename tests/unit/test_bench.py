"""The benchmark's own arithmetic: who is charged for what, and what the tables then say."""

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from tests.bench import measure, profiling, report
from tests.bench.bench import Bench
from tests.bench.cheap_server import CheapServer, Held, Stats
from tests.bench.figures import Results, Table, cells
from tests.bench.measure import Spent

BURN = "import time\nwhile time.process_time() < 0.3: pass\n"

on_linux = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")


class FakeServer(CheapServer):
    """Holds what the last copy says it has stored; has spent 10 us per object, in 2 ms each."""

    def __init__(self) -> None:
        super().__init__(0, None)
        self.objects = 0

    def reset(self) -> None:
        self.objects = 0

    def stats(self) -> Stats:
        return Stats({}, {"put": self.objects * 2e-3}, 1, self.objects * 1e-5)

    def forget(self, bucket: str) -> Held:
        return Held(self.objects, self.objects * 10)


def bench(directory: Path) -> Bench:
    return Bench(directory, Console(file=io.StringIO()), runs=2)


def test_a_start_is_charged_to_nobody(tmp_path: Path) -> None:
    server = FakeServer()

    def copy(all_of_it: bool, bucket: str) -> Spent:
        server.objects = 300 if all_of_it else 100
        cpu = 5.0 + server.objects * 40e-6
        return Spent(cpu, 1.0, {"worker": 4.0 + server.objects * 30e-6, "redis": 1.0})

    table = Table("name", "title")
    parts = bench(tmp_path).compare(server, {"client": copy}, (100, 300), 10, table)
    rounded = {
        column: [round(value, 3) for value in values]
        for column, values in table.rows["client"].items()
    }
    assert rounded == {
        "CPU us/object": [40.0, 40.0],
        "whole job, us/object": [round(5.012e6 / 300, 3)] * 2,
        "objects/s": [500.0, 500.0],
        "the server, us/object": [10.0, 10.0],
    }
    assert round(parts.rows["worker"]["CPU us/object"][0], 3) == 30.0
    assert round(parts.rows["redis"]["CPU us/object"][0], 3) == 0.0


def test_large_objects_are_charged_by_their_bytes(tmp_path: Path) -> None:
    server, size = FakeServer(), 10**8

    def copy(all_of_it: bool, bucket: str) -> Spent:
        server.objects = 3 if all_of_it else 1
        return Spent(server.objects * 0.05, 1.0)

    server.forget = lambda bucket: Held(server.objects, server.objects * size)  # type: ignore[method-assign]
    table = Table("name", "title")
    bench(tmp_path).compare(server, {"client": copy}, (1, 3), size, table)
    assert [round(v, 6) for v in table.rows["client"]["CPU s/GB"]] == [0.5, 0.5]


def test_a_copy_that_did_not_arrive_is_no_result(tmp_path: Path) -> None:
    server = FakeServer()
    copies = {"client": lambda all_of_it, bucket: Spent(1.0, 1.0)}
    with pytest.raises(RuntimeError, match="objects=0"):
        bench(tmp_path).compare(server, copies, (1, 2), 10, Table("name", "title"))


def test_a_tree_of_files_has_its_first_part(tmp_path: Path) -> None:
    first, all_of_it = bench(tmp_path).tree(10, 1001, 1003)
    assert sum(len(files) for _, _, files in os.walk(first)) == 1001
    assert sum(len(files) for _, _, files in os.walk(all_of_it)) == 1003


@on_linux
def test_children_that_have_ended_are_charged_to_their_parent() -> None:
    parent = (
        "import subprocess, sys\n"
        f"subprocess.run([sys.executable, '-c', {BURN!r}])\n"
        "print('done', flush=True)\nsys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", parent], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == "done\n"
        (found,) = measure.tree(process.pid)
        assert found.cpu >= 0.28  # /proc counts in hundredths
        assert [each.pid for each in measure.tree(os.getpid()) if each.pid == process.pid]
        now, most = measure.memory(process.pid)
        assert 1 << 20 < now <= most


@on_linux
def test_a_command_is_charged_for_its_children(tmp_path: Path) -> None:
    command = [sys.executable, "-c", f"import subprocess\nsubprocess.run({['true']})\n{BURN}"]
    assert measure.run(command, environment=os.environ, log=tmp_path / "log").cpu >= 0.3
    assert os.sched_getaffinity(0) == measure.ALL_CORES


def test_a_command_that_fails_is_no_result(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import sys; sys.exit('because')"]
    with pytest.raises(RuntimeError, match="because"):
        measure.run(command, environment=os.environ, log=tmp_path / "log")


def table() -> Table:
    made = Table("small", "files", compares=True, notes=["a note"])
    for ours, theirs in ((30.0, 100.0), (20.0, 50.0), (1000.0, 60.0)):
        made.add("ossimport", {"CPU": ours})
        made.add("peer", {"CPU": theirs, "else": 1.234})
    return made


def test_tables_show_medians_and_our_share() -> None:
    assert list(cells(table())) == [
        ["", "CPU", "else", "ossimport / it"],
        ["ossimport", "30.0 (20.0-1,000)", "", ""],
        ["peer", "60.0 (50.0-100)", "1.23 (1.23-1.23)", "0.50"],
    ]


def test_results_are_rendered_from_their_file(tmp_path: Path) -> None:
    results = Results({"cpu": "x"}, "bash tests/bench/run", [table()])
    results.tables.append(Table("bucket", "buckets", skipped="not yet"))
    results.save(tmp_path / "bench.json")
    found = Results.load(tmp_path / "bench.json")
    assert found == results
    text = report.markdown(found)
    assert "| peer | 60.0 (50.0-100) | 1.23 (1.23-1.23) | 0.50 |" in text
    assert "Skipped: not yet" in text
    assert "`bash tests/bench/run` on: cpu x." in text


def test_a_profile_begins_at_the_product_and_leaves_idle_threads_out() -> None:
    ours = "main (celery/__main__.py:15);copy (workers/tasks.py:80)"
    folded = (
        f"{ours};send (ossimport/oss/bucket.py:9) 3\n{ours} 1\n"
        "run (threading.py:982);_worker (concurrent/futures/thread.py:81) 40\n"
    )
    parts, functions, calls = profiling.tables(folded)
    assert {row: values["%"] for row, values in parts.rows.items()} == {
        "ossimport/oss": [75.0],
        "workers/tasks": [25.0],
    }
    assert list(functions.rows) == ["send (ossimport/oss/bucket.py)", "copy (workers/tasks.py)"]
    assert calls.rows["copy (workers/tasks.py)"]["%"] == [100.0]
