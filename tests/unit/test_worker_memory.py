"""A worker's process reuses its buffers."""

import platform
import subprocess
import sys

import pytest

PROGRAM = """
import ctypes, gc, resource, sys, threading
from workers import memory

ctypes.CDLL(None).prctl(41, 1, 0, 0, 0)  # PR_SET_THP_DISABLE: let all pages be of one size

def faults_of_buffers():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(5):
        thread = threading.Thread(target=lambda: b"x" * (40 << 20))
        thread.start()
        thread.join()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

if sys.argv[1:]:
    memory.settle()
faults_of_buffers()
print(faults_of_buffers(), gc.get_freeze_count())
"""


def run(*arguments: str) -> tuple[int, int]:
    """Page faults of allocating 200 MiB, and objects that the collector leaves alone."""
    command = [sys.executable, "-c", PROGRAM, *arguments]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    faults, frozen = map(int, told.split())
    return faults, frozen


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="there is nothing to set")
def test_buffers_are_not_mapped_anew_each_time() -> None:
    by_itself, _ = run()
    settled, frozen = run("settled")
    assert settled < by_itself / 10
    assert frozen > 0
