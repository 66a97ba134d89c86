"""One process that is kept running: started, watched, started again after a pause, ended."""

import logging
import math
import subprocess
from collections import deque
from pathlib import Path
from typing import IO, Any

from ossimport.errors import OssImportError
from ossimport.service.processes import PidFile
from ossimport.service.programs import GRACE_S, Program

STARTUP_S = 60.0  # a process that is not ready by then hangs, or the machine is slow:
LONGEST_STARTUP_S = 600.0  # so it has twice as long each time, up to this
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 30.0
HEALTHY_S = 60.0  # who stays up this long has its earlier deaths forgiven
FAILING_DEATHS = 5

log = logging.getLogger("ossimport.service")


class Watched:
    """A program and the process that runs it now, if one does. Times are monotonic seconds."""

    def __init__(self, program: Program, working_dir: Path, output: IO[str]) -> None:
        self.program = program
        self.ready = False
        self._starts = 0
        self.early_deaths = 0  # before it was ready even once
        self.trouble = ""  # how it ended last
        self._deaths: deque[float] = deque(maxlen=FAILING_DEATHS)
        self._was_ready = False
        self._output = output
        self._pid_file = PidFile(working_dir, program.name)
        self._process: subprocess.Popen[bytes] | None = None
        self._since = 0.0  # when it was started last
        self._next = 0.0  # when it may be started again
        self._pause = FIRST_PAUSE_S
        self._startup = STARTUP_S  # how long the next one may take to become ready
        self._hangs_at = math.inf  # when the present one has taken too long

    def look(self, now: float) -> None:
        """Notice that it died or became ready; start it when it is time."""
        if self._process is None:
            if now >= self._next:
                self._start(now)
        elif (code := self._process.poll()) is not None:
            self._mourn(now, f"ended with exit code {code}")
        elif not self.ready:
            self._await(now)
        elif now - self._since > HEALTHY_S:
            self._pause, self._startup = FIRST_PAUSE_S, STARTUP_S
            self._deaths.clear()

    def status(self) -> dict[str, Any]:
        """What `run/status.json` says of it."""
        failing = len(self._deaths) == FAILING_DEATHS
        state = "running" if self.ready else "failing" if failing else "starting"
        return {
            "state": state,
            "pid": self._process.pid if self._process else 0,
            "restarts": max(self._starts - 1, 0),
            "trouble": self.trouble,
        }

    def ask_to_end(self) -> None:
        """Send SIGTERM."""
        if self._process:
            self._process.terminate()

    def wait_for_end(self) -> None:
        """Wait as long as the program may need to end in order, then kill it."""
        if self._process:
            grace = GRACE_S[self.program.name]
            try:
                self._process.wait(grace)
            except subprocess.TimeoutExpired:
                log.warning("%s did not end within %g s: killed", self.program.name, grace)
                self._process.kill()
                self._process.wait()
            log.info("%s ended, exit code %d", self.program.name, self._process.returncode)
            self._process = None
        self._pid_file.remove()

    def _start(self, now: float) -> None:
        self._starts += 1
        self._since, self._hangs_at = now, now + self._startup
        try:
            self._process = self.program.spawn(self._output)
        except (OSError, OssImportError) as error:
            self._mourn(now, f"cannot be started: {error}")
            return
        log.info("%s started, pid %d", self.program.name, self._process.pid)
        try:
            self._pid_file.write(self._process.pid)
        except OSError as error:
            log.error("the pid of %s cannot be noted: %s", self.program.name, error)

    def _await(self, now: float) -> None:
        if self.program.ready():
            self.ready = self._was_ready = True
            log.info("%s is ready after %.1f s", self.program.name, now - self._since)
        elif now > self._hangs_at and not self.program.loading() and self._process:
            self._process.kill()  # one of the next looks finds it dead
            log.error("%s was not ready within %g s: killed", self.program.name, self._startup)
            self._hangs_at = math.inf
            self._startup = min(self._startup * 2, LONGEST_STARTUP_S)

    def _mourn(self, now: float, trouble: str) -> None:
        log.error("%s %s; next start in %g s", self.program.name, trouble, self._pause)
        self._process = None
        self.ready = False
        self.trouble = trouble
        self.early_deaths += not self._was_ready
        self._deaths.append(now)
        self._next = now + self._pause
        self._pause = min(self._pause * 2, LONGEST_PAUSE_S)
