"""submit --dry-run: scan the source as the job would, and say what it would do. Changes nothing."""

import asyncio
import json
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory

import click
from rich.console import Console
from rich.status import Status

from ossimport import planner
from ossimport.config import JobConfig, SystemConfig
from ossimport.console.outcome import DONE, FAILED_TASKS, INTERRUPTED, STOPPED
from ossimport.dest.base import OSS_LIMITS
from ossimport.errors import StorageError
from ossimport.filters import Filters
from ossimport.model import Lane
from ossimport.planner import TaskLimits
from ossimport.report.forecast import Forecast
from ossimport.report.numbers import human_bytes
from ossimport.scanning import Ended, Found, ScanThreads, Split
from ossimport.sources import open_listing
from ossimport.wording import plural

_MOVES = 16
_WAIT_S = 0.5
_LOOK_S = 0.2


def dry_run(system: SystemConfig, job: JobConfig, *, as_json: bool) -> int:
    """Print the forecast; return 0, 2 if objects would fail, 4 or 130 if the scan has not ended.

    Reads the source's listing and nothing else. The destination is not asked.
    """
    forecast = Forecast(
        job.name,
        job.dest.prefix,
        parts_above=job.multipart_threshold,
        largest=OSS_LIMITS.max_object_size,
    )
    code = DONE
    try:
        with TemporaryDirectory() as scratch, _progress() as status:
            _scan(system, job, forecast, Path(scratch), _teller(status))
    except StorageError as error:
        click.echo(f"Error: the scan stopped: {error.code}: {error}", err=True)
        code = STOPPED
    except KeyboardInterrupt:
        code = INTERRUPTED
    if as_json:
        click.echo(json.dumps(forecast.as_json(complete=code == DONE)))
    else:
        click.echo(forecast.text(complete=code == DONE))
        if job.skip_existing:
            click.echo("  (isSkipExistFile: what is at the destination already was not looked at)")
    return code or (FAILED_TASKS if forecast.failing else DONE)


def _scan(
    system: SystemConfig,
    job: JobConfig,
    forecast: Forecast,
    scratch: Path,
    tell: Callable[[Forecast], None],
) -> None:
    """Walk all lanes. Raises the first error of one."""
    source = open_listing(job.scanned, scan_depth=job.scan_depth, scratch=scratch)

    def limits(objects: int, bytes_: int) -> TaskLimits:
        slots = system.worker_processes
        return planner.limits_for(objects, bytes_, slots, job.task_objects, job.task_bytes)

    select = Filters(job.filter, import_since=job.import_since).select
    threads = ScanThreads(source, threads=job.scan_threads, limits=limits, select=select)
    try:
        source.check()
        threads.walk({0: Lane()})
        lanes, count = {0}, 1
        while lanes:
            for move in threads.moves(_MOVES, _WAIT_S):
                match move:
                    case Found(_, batch):
                        forecast.add(batch)
                    case Split(_, _, rest):
                        lanes.add(count)
                        threads.walk({count: rest})
                        count += 1
                    case Ended(_, StorageError() as error):
                        raise error
                    case Ended(lane, None):
                        lanes.remove(lane)
            tell(forecast)
    finally:
        threads.close()
        asyncio.run(source.close())


def _progress() -> "Status | nullcontext[None]":
    """A line on a terminal; none elsewhere."""
    if not sys.stderr.isatty():
        return nullcontext()
    return Status("scanning", console=Console(stderr=True))


def _teller(status: Status | None) -> Callable[[Forecast], None]:
    told_at = 0.0

    def tell(forecast: Forecast) -> None:
        nonlocal told_at
        if status is not None and time.monotonic() - told_at >= _LOOK_S:
            told_at = time.monotonic()
            listed = forecast.listed
            word = plural(listed.objects, "object")
            status.update(f"scanning: {listed.objects:,} {word}, {human_bytes(listed.bytes)}")

    return tell
