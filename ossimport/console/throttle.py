"""throttle: show the limits, set them and remove them, while jobs run."""

import json
import re
import time
from collections.abc import Callable

import click
import tzlocal

from ossimport import report
from ossimport.config import JobConfig, SystemConfig
from ossimport.config.kinds import Mistake
from ossimport.config.places import endpoint
from ossimport.console.options import with_system
from ossimport.ledger.base import Ledger
from ossimport.limits.amounts import parse_bytes, parse_requests
from ossimport.limits.limit import (
    ALL,
    MOST_ENDPOINTS,
    Limit,
    endpoint_scope,
    host_of,
    job_scope,
)
from ossimport.limits.timetable import Rates, Timetable, parse_timetable
from ossimport.seal import cluster_key
from ossimport.service import borrow

_HOST = re.compile(r"([a-z0-9_][a-z0-9_.-]*|\[[0-9a-f:.]+\])(:\d{1,5})?", re.ASCII)
_SIDES = ("source", "destination")
_USUAL_PORTS = {80, 443}


@click.command()
@click.argument("job", required=False)
@click.option("--all", "of_all", is_flag=True, help="All jobs together.")
@click.option(
    "--endpoint",
    "host",
    metavar="HOST",
    help="One host, or all below a domain, for all jobs: its name, or, with JOB, source or"
    " destination.",
)
@click.option("--bytes", "bytes_", metavar="RATE", help="Such as 50MB/s; or unlimited.")
@click.option("--qps", metavar="RATE", help="Requests per second, such as 2000; or unlimited.")
@click.option(
    "--schedule",
    metavar="TIMETABLE",
    help="Such as '09:00-18:00=20MB/s, weekends=unlimited'; '' removes it.",
)
@click.option("--zone", metavar="ZONE", help="Of the timetable, such as Europe/Berlin.")
@click.option("--off", is_flag=True, help="Remove the whole limit.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@with_system
def throttle(
    *,
    system: SystemConfig,
    job: str | None,
    of_all: bool,
    host: str | None,
    bytes_: str | None,
    qps: str | None,
    schedule: str | None,
    zone: str | None,
    off: bool,
    as_json: bool,
) -> None:
    """Show or change how fast all workers go together. What is not named stays as it is.

    A change is in force everywhere within two seconds.
    """
    changes = {"--bytes": bytes_, "--qps": qps, "--schedule": schedule, "--zone": zone}
    named = [name for name, value in changes.items() if value is not None]
    if off and named:
        raise click.UsageError(f"--off removes the whole limit: leave out {' '.join(named)}.")
    if of_all and (job or host):
        raise click.UsageError("--all is of all jobs and endpoints: leave it out, or the others.")
    if (named or off) and not (job or of_all or host):
        raise click.UsageError("Say whose limit it is: name a job, or --all, or --endpoint HOST.")
    with borrow.ledger(system) as ledger:
        if named or off:
            scope = _scope(system, ledger, job, host)
            old = ledger.limits().texts
            new = Limit() if off else _changed(old.get(scope, ""), bytes_, qps, schedule, zone)
            _set(ledger, scope, new)
        _show(ledger, as_json=as_json)


def _scope(system: SystemConfig, ledger: Ledger, job: str | None, host: str | None) -> str:
    if host is None:
        return job_scope(job) if job else ALL
    if job is None:
        if host in _SIDES:
            raise click.UsageError(f"--endpoint {host}: of which job? Name it, or the host.")
        return endpoint_scope(_host(host))
    if host not in _SIDES:
        raise click.UsageError(
            f"--endpoint {host}: a host is limited for all jobs, so leave out {job};"
            f" or write --endpoint source or --endpoint destination for those of {job}."
        )
    settings = cluster_key(system.home).unseal(ledger.job(job).settings)
    return endpoint_scope(_end_of(JobConfig.from_json(settings), host))


def _host(text: str) -> str:
    name = text.lower()
    if not _HOST.fullmatch(name):
        raise click.UsageError(
            f"--endpoint {text}: this is no host: write oss-cn-hangzhou.aliyuncs.com,"
            " 10.0.0.7:9000 or [fd00::7]:9000, without http:// and without a path."
        )
    return name


def _end_of(config: JobConfig, side: str) -> str:
    """The host of one end of a job, with the port if it is an unusual one."""
    if side == "destination":
        where = endpoint(f"{config.dest.scheme}://{config.dest.host}:{config.dest.port}")
    else:
        try:
            where = endpoint(config.source.domain)
        except (Mistake, TypeError):
            raise click.UsageError(
                f"The job file of {config.name} names no host of its source"
                f" (srcType={config.source.type}): write --endpoint HOST without the job; local"
                " files are limited by --bytes of the job."
            ) from None
    name = f"[{where.host}]" if ":" in where.host else where.host
    return where.host if where.port in _USUAL_PORTS else f"{name}:{where.port}"


def _changed(
    old: str, bytes_: str | None, qps: str | None, schedule: str | None, zone: str | None
) -> Limit:
    """The limit with what was named. Raises UsageError for what is no rate or no timetable."""
    try:
        limit = Limit.from_json(old) if old else Limit()
    except ValueError as exc:
        raise click.UsageError(f"The present limit cannot be read: {exc}; use --off.") from None
    rates, timetable = limit
    if bytes_ is not None:
        rates = rates._replace(bytes=_parsed("--bytes", parse_bytes, bytes_))
    if qps is not None:
        rates = rates._replace(requests=_parsed("--qps", parse_requests, qps))
    if schedule is not None or zone is not None:
        timetable = _timetable(timetable, schedule, zone)
    return Limit(Rates(*rates), timetable)


def _parsed(option: str, parse: Callable[[str], float], text: str) -> float:
    try:
        return parse(text)
    except ValueError as exc:
        raise click.UsageError(f"{option}: {exc}.") from None


def _timetable(old: Timetable | None, schedule: str | None, zone: str | None) -> Timetable | None:
    if schedule is None:
        if old is None:
            raise click.UsageError("--zone is of a timetable: give --schedule with it.")
        schedule = old.text
    if not schedule.strip():
        return None
    if zone is None:
        zone = old.zone.key if old is not None else _local_zone()
    try:
        return parse_timetable(schedule, zone)
    except ValueError as exc:
        raise click.UsageError(f"The timetable: {exc}") from None


def _local_zone() -> str:
    """The name of the zone of this host. Raises UsageError where it has none."""
    try:
        name: str | None = tzlocal.get_localzone_name()
    except (LookupError, ValueError, OSError):
        name = None
    if not name:
        raise click.UsageError("The time zone of this host has no name: add --zone, such as UTC.")
    return name


def _set(ledger: Ledger, scope: str, limit: Limit) -> None:
    known = [each for each in ledger.limits().texts if host_of(each) and each != scope]
    if host_of(scope) and len(known) >= MOST_ENDPOINTS:
        raise click.UsageError(
            f"{MOST_ENDPOINTS} endpoints have a limit, and more are not possible: remove one"
            " with --endpoint HOST --off, or limit a domain that holds several."
        )
    ledger.set_limit(scope, "" if limit.is_empty() else limit.to_json())


def _show(ledger: Ledger, *, as_json: bool) -> None:
    table, shared, now = ledger.limits(), ledger.in_force(), time.time()
    if as_json:
        click.echo(json.dumps(report.limits_json(table, shared, now)))
    else:
        lines = report.limits_text(table, shared, now)
        click.echo("\n".join(lines) or "Nothing is limited.")
