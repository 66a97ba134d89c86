"""`sys.properties` and `workers`: what one installation is."""

import os
import re
from dataclasses import dataclass, field
from pathlib import Path

from ossimport.config.keys import JOB_KEYS, SYSTEM_KEYS, SYSTEM_SLIPS
from ossimport.config.kinds import KIB, Mistake
from ossimport.config.places import broker_url
from ossimport.config.properties import Findings, read_lines
from ossimport.config.reading import Reading
from ossimport.config.redis_url import read_redis_url
from ossimport.config.secret import Secret

REDIS_URL_VARIABLE = "OSSIMPORT_REDIS_URL"

_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?|[0-9A-Fa-f]*:[0-9A-Fa-f:.]+")


NO_LIMIT_KIB = 100_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class SystemConfig:
    """One `sys.properties`, validated."""

    path: Path  # the file itself, absolute
    home: Path  # the installation: conf/ and what belongs to it
    working_dir: Path  # absolute
    redis_url: Secret = Secret()  # empty: the embedded server
    host_role: str = "master"  # what start runs here: all of it, or with `worker` that alone
    flower_port: int | None = None  # None: not started
    sandbox_port: int | None = None
    worker_processes: int = 1
    task_threads: int = 240  # at most in flight per worker, shared by its processes
    throughput: int = 0  # bytes/s per worker; 0 = unlimited
    abort_on_uncaught: bool = False
    record_md5: bool = False
    buffer_bytes: int = 1 << 30  # javaHeapMaxSize
    ssh_user: str = ""
    ssh_password: Secret = field(default_factory=Secret)
    ssh_key: str = ""
    ssh_port: int = 22
    warnings: tuple[str, ...] = ()


def load_system(path: Path) -> SystemConfig:
    """Read `sys.properties`. Raises ConfigError with every mistake in it.

    The installation is the directory above the file's when that one is called `conf`, else the
    file's own; a relative workingDir begins there. OSSIMPORT_REDIS_URL goes before redisUrl.
    """
    job_names = {key.name for key in JOB_KEYS}
    reading = Reading(
        path, "system configuration", SYSTEM_KEYS, SYSTEM_SLIPS, ("the job file", job_names)
    )
    file = path.absolute()
    home = file.parent.parent if file.parent.name == "conf" else file.parent
    working_dir = _working_dir(reading, home)
    redis_url = _redis_url(reading)
    value = {key.name: reading.get(key.name) for key in SYSTEM_KEYS if key.name != "redisUrl"}
    if value["flowerPort"] is not None and value["flowerPort"] == value["sandboxPort"]:
        reading.problem("sandboxPort", "flowerPort has the same number", "choose another port")
    if value["hostRole"] == "worker" and not redis_url:
        message = "a worker alone has no Redis of its own; it needs the one of its master"
        reading.problem("hostRole", message, "set redisUrl, or leave hostRole out")
    return SystemConfig(
        path=file,
        home=home,
        working_dir=working_dir,
        redis_url=redis_url,
        host_role=value["hostRole"],
        flower_port=value["flowerPort"],
        sandbox_port=value["sandboxPort"],
        worker_processes=value["workerProcessNum"],
        task_threads=value["workerTaskThreadNum"],
        throughput=_rate(value["workerMaxThroughput(KB/s)"]),
        abort_on_uncaught=value["workerAbortWhenUncatchedException"],
        record_md5=value["workerRecordMd5"],
        buffer_bytes=value["javaHeapMaxSize"],
        ssh_user=value["workerUserName"],
        ssh_password=value["workerPassword"],
        ssh_key=value["privateKeyFile"],
        ssh_port=value["sshPort"],
        warnings=reading.findings.close(),
    )


def load_workers(path: Path) -> tuple[str, ...]:
    """Read `workers`: a host per line, the master's first. Raises ConfigError."""
    findings = Findings(str(path), frozenset({"host"}))
    hosts: dict[str, int] = {}
    for number, line in read_lines(path, "workers file"):
        host = line.decode("utf-8", errors="replace")
        if not _HOST.fullmatch(host):
            cure = "write one host name or address per line, nothing else"
            findings.problem(number, "host", host, "the line is not a host", cure)
        elif host in hosts:
            message = f"the host is on line {hosts[host]} already"
            findings.problem(number, "host", host, message, "remove the line")
        else:
            hosts[host] = number
    if not hosts:
        findings.problem(0, "host", "", "the file names no host", "write the master's address")
    findings.close()
    return tuple(hosts)


def _working_dir(reading: Reading, home: Path) -> Path:
    directory = Path(os.path.normpath(home / reading.get("workingDir")))
    if os.path.exists(directory) and not os.path.isdir(directory):
        reading.problem("workingDir", "this is a file, not a directory", "name a directory")
    reading.variables["workingDir"] = str(directory)
    return directory


def _redis_url(reading: Reading) -> Secret:
    text = os.environ.get(REDIS_URL_VARIABLE, "")
    try:
        url: Secret = broker_url(text) if text else reading.get("redisUrl")
    except Mistake as mistake:
        message = f"the environment variable {REDIS_URL_VARIABLE}: {mistake.message}"
        reading.problem("redisUrl", message, mistake.cure)
        return Secret()
    if url:
        for warning in read_redis_url(url.reveal()).warnings:
            reading.warn("redisUrl", warning)
    return url


def _rate(kib: int) -> int:
    """Bytes per second. The original shipped 100000000 for "no limit", which pacing each write at
    100 GB/s would only make slower."""
    return 0 if kib >= NO_LIMIT_KIB else kib * KIB
