"""Delete at OSS what a job brought there and what is gone from its source."""

import asyncio
import random
from collections.abc import Sequence
from enum import StrEnum
from functools import partial
from typing import NamedTuple

from ossimport import naming
from ossimport.budget import Budget
from ossimport.copying import Ends
from ossimport.dest.base import Destination
from ossimport.errors import Permanent, Transient
from ossimport.listed import together
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


async def prune(
    source: Source, dest: Destination, prefix: str, gone: Sequence[tuple[str, int]]
) -> list[Fate]:
    """Deal with objects (key, size as the job brought it); their fates in the same order.

    One is deleted only if the source says, asked for it by name, that it has none, and OSS that it
    holds one of that size. Doing it again changes nothing. Raises Fatal when an end refuses all.
    """
    ends = Ends(
        source,
        dest,
        End("source", lambda: asyncio.to_thread(source.check)),
        End("destination", lambda: dest.list(prefix, "", 1)),
        Patience(ATTEMPTS, jitter=random.random, outlast_s=OUTAGE_S),
        Budget(1),
    )
    fates: dict[str, Fate] = {}
    todo = iter(gone)

    async def take() -> None:
        for key, size in todo:
            try:
                fates[key] = Fate(key, await _deal_with(ends, prefix, key, size))
            except (Permanent, Transient) as exc:
                fates[key] = Fate(key, Pruned.REFUSED, f"{exc.code}: {exc}")

    await together(take() for _ in range(min(IN_FLIGHT, len(gone))))
    return [fates[key] for key, _ in gone]


async def _deal_with(ends: Ends, prefix: str, key: str, size: int) -> Pruned:
    try:
        await ends.ask_source(partial(ends.source.stat, key))
        return Pruned.STILL_THERE
    except Permanent as exc:
        if exc.code != "NotFound":
            raise
    dest_key = naming.dest_key(prefix, key)
    found = await ends.ask_dest(partial(ends.dest.stat, dest_key))
    if found is None:
        return Pruned.ABSENT
    if found.size != size:
        return Pruned.NOT_OURS
    await ends.ask_dest(partial(ends.dest.delete, dest_key))
    return Pruned.DELETED
