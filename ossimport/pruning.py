"""Delete at OSS what a job brought there and nobody needs: gone objects, unfinished uploads."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator, Sequence
from enum import StrEnum
from typing import NamedTuple

from ossimport import naming
from ossimport.budget import Budget
from ossimport.copying import Ends
from ossimport.dest.base import Destination
from ossimport.errors import Fatal, Permanent, StorageError, Transient
from ossimport.listed import together
from ossimport.model import Upload
from ossimport.patience import OUTAGE_S, End, Patience
from ossimport.sources.base import Source

IN_FLIGHT = 16
ATTEMPTS = 4  # per request; what is refused is tried again in the next round


class Pruned(StrEnum):
    """What became of an object that the source does not list any more."""

    DELETED = "Deleted"
    ABSENT = "Absent"  # OSS did not hold it either
    STILL_THERE = "StillThere"  # the source has it, though it was not listed
    NOT_OURS = "NotOurs"  # OSS holds another object there than the job brought
    REFUSED = "Refused"  # one of both did not let us look or delete


class Fate(NamedTuple):
    """What was done about one object, and why if it was refused."""

    key: str
    pruned: Pruned
    message: str = ""


class Gone(NamedTuple):
    """One that the source does not list any more."""

    key: str
    size: int  # as the job brought it
    is_begun: bool = False  # an attempt before was about to delete it


async def prune(
    source: Source,
    dest: Destination,
    prefix: str,
    gone: Sequence[Gone],
    begin: Callable[[Sequence[str]], None],
) -> list[Fate]:
    """Deal with these objects; their fates in the same order.

    One is deleted only if the source says, asked for it by name, that it has none, and OSS that it
    holds one of that size. `begin` is told of those that OSS holds, before the first is deleted:
    whoever does it again after a crash knows then that what is absent was deleted by us. Doing it
    again changes nothing else. Raises Fatal when an end refuses all.
    """
    patience = Patience(ATTEMPTS, random.random, outlast_s=OUTAGE_S)
    ends = Ends(
        source,
        dest,
        End("source", lambda: asyncio.to_thread(source.check), patience),
        End("destination", lambda: dest.list(prefix, "", 1), patience),
        Budget(1),
    )
    fates: dict[str, Fate] = {}
    held: set[str] = set()

    async def look(one: Gone) -> None:
        if await _is_held(ends, prefix, one):
            held.add(one.key)

    async def deal_with(one: Gone) -> None:
        if one.key not in fates:
            fates[one.key] = await _deal_with(ends, prefix, one)

    async def take(todo: Iterator[Gone], act: Callable[[Gone], Awaitable[None]]) -> None:
        for one in todo:
            try:
                await act(one)
            except (Permanent, Transient) as exc:
                fates[one.key] = Fate(one.key, Pruned.REFUSED, f"{exc.code}: {exc}")

    for act in (look, deal_with):
        todo = iter(gone)
        await together(take(todo, act) for _ in range(min(IN_FLIGHT, len(gone))))
        if act is look and held:
            begin([one.key for one in gone if one.key in held])
    return [fates[one.key] for one in gone]


async def abort(dest: Destination, uploads: Sequence[Upload]) -> list[tuple[Upload, StorageError]]:
    """Drop multipart uploads and their parts; return those that cannot be dropped, and why.

    An end that refuses all is not asked for each of them.
    """
    patience = Patience(ATTEMPTS, random.random)
    end = End("destination", lambda: dest.list(uploads[0].key, "", 1), patience)
    refused: dict[str, StorageError] = {}
    todo = iter(uploads)

    async def take() -> None:
        for upload in todo:
            try:
                await end.ask(dest.abort_upload, upload.key, upload.upload_id)
            except Fatal as exc:
                refused.update({each.upload_id: exc for each in (upload, *todo)})
            except StorageError as exc:
                refused[upload.upload_id] = exc

    await together(take() for _ in range(min(IN_FLIGHT, len(uploads))))
    return [(each, refused[each.upload_id]) for each in uploads if each.upload_id in refused]


async def _is_held(ends: Ends, prefix: str, one: Gone) -> bool:
    found = await ends.at_dest.ask(ends.dest.stat, naming.dest_key(prefix, one.key))
    return found is not None and found.size == one.size


async def _deal_with(ends: Ends, prefix: str, one: Gone) -> Fate:
    try:
        await ends.at_source.ask(ends.source.stat, one.key)
        return Fate(one.key, Pruned.STILL_THERE)
    except Permanent as exc:
        if exc.code != "NotFound":
            raise
    dest_key = naming.dest_key(prefix, one.key)
    found = await ends.at_dest.ask(ends.dest.stat, dest_key)
    if found is None and one.is_begun:
        return Fate(one.key, Pruned.DELETED, "before the master was started again")
    if found is None:
        return Fate(one.key, Pruned.ABSENT)
    if found.size != one.size:
        return Fate(one.key, Pruned.NOT_OURS)
    await ends.at_dest.ask(ends.dest.delete, dest_key)
    return Fate(one.key, Pruned.DELETED)
