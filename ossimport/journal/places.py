"""Where the directory of a task stands. The place is the task's state."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ossimport.journal import files
from ossimport.model import TaskState

PENDING_FOLDER = "pending_tasks"
DISPATCHED_FOLDER = "dispatched"
ENDED_FOLDERS = {TaskState.FAILED: "failed_tasks", TaskState.SUCCEED: "succeed_tasks"}


def worker_host(worker: str) -> str:
    """The host part of a worker's id `host:pid:system:started`, fit for a path."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", worker.split(":", 1)[0]).lstrip(".") or "unknown"


class Place(NamedTuple):
    """A task's state as the tree knows it: PENDING, RUNNING (dispatched/), SUCCEED or FAILED."""

    task_id: str
    state: TaskState = TaskState.PENDING
    host: str = ""

    @property
    def ended(self) -> bool:
        """True in failed_tasks/ and succeed_tasks/."""
        return self.state in ENDED_FOLDERS

    @property
    def path(self) -> str:
        """Relative to the job's directory."""
        if self.state is TaskState.PENDING:
            return f"{PENDING_FOLDER}/{self.task_id}"
        if self.state is TaskState.RUNNING:
            return f"{DISPATCHED_FOLDER}/{self.host}/{self.task_id}"
        return f"{ENDED_FOLDERS[self.state]}/{self.task_id}@{self.host}"


def is_task(root: Path, place: Place) -> bool:
    """True if a task stands there; anything else in the tree is none of ours."""
    return files.is_file(root / place.path / "TASK")


def find(root: Path, task_id: str) -> Place | None:
    """Look at every place where the task could be. dispatched/ names all hosts there ever were."""
    hosts = files.names(root / DISPATCHED_FOLDER)
    states = (TaskState.RUNNING, *ENDED_FOLDERS)
    possible = [Place(task_id)] + [Place(task_id, s, host) for host in hosts for s in states]
    return next((place for place in possible if is_task(root, place)), None)


def unfinished(root: Path) -> Iterator[Place]:
    """Every task in pending_tasks/ and dispatched/, but those that went away meanwhile."""
    found = [Place(name) for name in files.names(root / PENDING_FOLDER)]
    for host in files.names(root / DISPATCHED_FOLDER):
        names = files.names(root / DISPATCHED_FOLDER / host)
        found += [Place(name, TaskState.RUNNING, host) for name in names]
    return (place for place in found if is_task(root, place))


def ended(root: Path, state: TaskState) -> Iterator[Place]:
    """Every task in failed_tasks/ or succeed_tasks/, but those that went away meanwhile."""
    names = (name.partition("@") for name in files.names(root / ENDED_FOLDERS[state]))
    found = (Place(task_id, state, host) for task_id, _, host in names if host)
    return (place for place in found if is_task(root, place))
