"""Flower with our settings: who works on which task, and how each one ended.

It only looks (`read_only`): jobs are steered from the console, because the record of a task is in
the ledger, where a revoked message would change nothing. Flower itself forgets; `--max-tasks` rows
are kept, and survive a restart.
"""

import os
import secrets
import sys
from pathlib import Path
from typing import NoReturn

from ossimport.config import SystemConfig

USER = "ossimport"
MAX_TASKS = 20_000  # Flower keeps them in memory
SAVE_INTERVAL_MS = 30_000
# `result` shows the progress of a running task, and how an ended one ended.
COLUMNS = "uuid,args,state,result,worker,started,runtime"


def password_file(system: SystemConfig) -> Path:
    """Where the password stands: in the file that OSSIMPORT_FLOWER_PASSWORD_FILE names, else in
    one that `password` makes."""
    given = os.environ.get("OSSIMPORT_FLOWER_PASSWORD_FILE")
    return Path(given) if given else system.working_dir / "run" / "flower.password"


def password(system: SystemConfig) -> str:
    """The tracker's password, made on first use and readable by its owner only."""
    path = password_file(system)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_text().strip()
    made = secrets.token_urlsafe(12)
    with os.fdopen(descriptor, "w") as file:
        file.write(made + "\n")
    return made


def port_of(system: SystemConfig) -> int:
    """Where it listens when it is run."""
    return system.flower_port or 5555


def run_monitor(system: SystemConfig) -> NoReturn:
    """Become Flower. The process list shows no secret: all settings go through a private file."""
    settings = {
        "address": os.environ.get("FLOWER_ADDRESS", "127.0.0.1"),
        "port": port_of(system),
        "basic_auth": [f"{USER}:{password(system)}"],
        "db": str(system.working_dir / "data" / "flower.db"),
        "persistent": True,
        "state_save_interval": SAVE_INTERVAL_MS,
        "max_tasks": MAX_TASKS,
        "tasks_columns": COLUMNS,
        "read_only": True,
    }
    path = system.working_dir / "run" / "flower.conf.py"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.writelines(f"{name} = {value!r}\n" for name, value in settings.items())
        # Flower runs this file once its own log is set up.
        file.write("from ossimport.service.logs import to_standard_output\nto_standard_output()\n")
    command = ["-m", "celery", "-A", "workers.app", "flower", f"--conf={path}"]
    environment = {**os.environ, "OSSIMPORT_SYS": str(system.path)}
    os.execve(sys.executable, [sys.executable, *command], environment)  # noqa: S606 -- no shell
