"""Before a job starts: what its objects would lose, as far as the first of them tell."""

import asyncio
from collections import Counter
from itertools import islice
from typing import NamedTuple

import click

from ossimport.config import JobConfig, SystemConfig
from ossimport.copying import possible
from ossimport.errors import OssImportError, Permanent, PreflightError, StorageError
from ossimport.fidelity.arriving import Keep, arriving, is_tag_count, keep_of
from ossimport.fidelity.classes import CLASSES
from ossimport.fidelity.table import TELLS_TAGS, untold
from ossimport.filters import Filters
from ossimport.model import Lane, ObjectInfo, Verdict
from ossimport.sources import open_listing, open_source
from ossimport.sources.base import Payload, Source, Untold
from ossimport.transport import Transport
from ossimport.wording import counted

AMONG = 1000  # entries at the beginning of the source
SAMPLE = 20  # objects among them that are asked for what they have beside their bytes
PATIENCE_S = 30.0

_DOCS = "see docs/fidelity.md"


class Losses(NamedTuple):
    """What was seen."""

    looked_at: int  # objects
    headers: Counter[str]  # the source's name of what is lost -> by how many of them
    untold: dict[str, int]  # in words -> how often among about AMONG entries


def tell_losses(system: SystemConfig, job: JobConfig) -> None:
    """Warn of what objects would lose. Raises PreflightError if the job is strict."""
    try:
        losses = asyncio.run(asyncio.wait_for(_look(system, job), PATIENCE_S))
    except (OssImportError, TimeoutError) as exc:
        why = str(exc) or f"no answer within {PATIENCE_S:g} s"
        click.echo(f"Warning: what the objects would lose could not be seen: {why}", err=True)
        return
    lines = _lines(job, losses)
    if lines and job.strict:
        text = "\n    ".join(lines)
        raise PreflightError(
            f"The job is strict, and its objects would lose something:\n    {text}"
        )
    for line in lines:
        click.echo(f"Warning: {line}", err=True)
    if never := untold(job.source.type):
        click.echo(f"Note: never copied, and not counted: {', '.join(never)}; {_DOCS}", err=True)


def _lines(job: JobConfig, losses: Losses) -> list[str]:
    lines = [
        f"{number} of {counted(losses.looked_at, 'object')} looked at would lose {name}. Cure: "
        f"{_cure(job, name)}"
        for name, number in sorted(losses.headers.items())
    ]
    lines += [
        f"among the first {AMONG} entries: {what} ({number}), which OSS does not get; {_DOCS}"
        for what, number in losses.untold.items()
    ]
    return lines


def _cure(job: JobConfig, name: str) -> str:
    if is_tag_count(name) and job.source.type in TELLS_TAGS:
        return f"preserveMeta={job.dest.preserve or 'none'},tags".replace("none,", "")
    if name in CLASSES:
        return "destStorageClass=source, or the class that they shall have"
    if "-meta-" in name:
        return "metaMap, to rename or drop it"
    return f"none; {_DOCS}"


async def _look(system: SystemConfig, job: JobConfig) -> Losses:
    scratch = system.working_dir / "run"
    transport = Transport(max_connections=SAMPLE)
    source = open_source(
        job.source, scan_depth=job.scan_depth, scratch=scratch, transport=transport
    )
    try:
        beside = await source.untold(AMONG) if isinstance(source, Untold) else {}
        if job.source.type == "local":  # files say nothing in headers
            return Losses(0, Counter(), beside)
        found = await asyncio.to_thread(_first, system, job)
        sample = found[:: -(-len(found) // SAMPLE) or 1]
        asked = await asyncio.gather(*(_about(source, info) for info in sample))
    finally:
        await source.close()
        await transport.close()
    keep: Keep = possible(keep_of(job), source)
    told = [about for about in asked if about is not None]
    lost = [arriving(keep, about.meta_prefix, about.headers).unkept for about in told]
    return Losses(len(told), Counter(name for names in lost for name in names), beside)


def _first(system: SystemConfig, job: JobConfig) -> list[ObjectInfo]:
    """The first objects that the job would copy."""
    select = Filters(job.filter, import_since=job.import_since).select
    listing = open_listing(
        job.source, scan_depth=job.scan_depth, scratch=system.working_dir / "run"
    )
    try:
        entries = islice(select(listing.scan(Lane())), AMONG)
        return [entry.info for entry in entries if entry.verdict is Verdict.COPY]
    finally:
        asyncio.run(listing.close())


async def _about(source: Source, info: ObjectInfo) -> Payload | None:
    """What there is beside the bytes; None if that cannot be had, which the job will say."""
    try:
        return await source.read(info, 0, 0)
    except Permanent as exc:
        if exc.code != "SourceChanged":
            return None
    except StorageError:
        return None
    try:
        return await source.read(await source.stat(info.key), 0, 0)
    except StorageError:
        return None
