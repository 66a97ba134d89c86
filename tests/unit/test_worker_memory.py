"""A worker's process reuses its buffers."""

import platform
import subprocess
import sys

import pytest

PROGRAM = """
import gc, resource, threading
from workers import memory

def faults_of_buffers():
    def read():
        bytes(bytearray(b"x") * (8 << 20))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        thread = threading.Thread(target=read)
        thread.start()
        thread.join()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

by_itself = faults_of_buffers()
memory.settle()
faults_of_buffers()
print(by_itself, faults_of_buffers(), gc.get_freeze_count())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="there is nothing to set")
def test_buffers_are_not_mapped_anew_each_time() -> None:
    told = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True
    ).stdout
    by_itself, settled, frozen = map(int, told.split())
    assert settled < by_itself / 10
    assert frozen > 0
