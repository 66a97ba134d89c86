"""The packages that this test runs with, as wheels again: an installation without any index."""

import re
import zipfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import NamedTuple


class Wanted(NamedTuple):
    """A package, and what is asked of it beside itself: `celery[redis]`."""

    name: str
    extras: frozenset[str] = frozenset()


def make_wheelhouse(place: Path) -> Path:
    """Pack what ossimport needs, and what that needs, into `place`."""
    place.mkdir()
    open_, seen = [Wanted("ossimport")], set[Wanted]()
    while open_:
        wanted = open_.pop()
        if wanted in seen:
            continue
        seen.add(wanted)
        try:
            found = metadata.distribution(wanted.name)
        except metadata.PackageNotFoundError:
            continue  # for another system or Python
        open_ += _needs(found, wanted.extras)
        if wanted.name != "ossimport":
            _pack(found, place)
    return place


def _needs(found: metadata.Distribution, extras: frozenset[str]) -> Iterator[Wanted]:
    for text in found.requires or ():
        extra = re.search(r"extra == ['\"]([^'\"]+)", text)
        parts = re.match(r"([A-Za-z0-9._-]+)(?:\[([^]]*)\])?", text)
        if parts and (extra is None or extra[1] in extras):
            asked = frozenset(filter(None, (parts[2] or "").replace(" ", "").split(",")))
            yield Wanted(_plain(parts[1]), asked)


def _pack(found: metadata.Distribution, place: Path) -> None:
    wheel = found.read_text("WHEEL") or ""
    tags = [tag.split("-") for tag in re.findall(r"^Tag: (\S+)", wheel, re.M)]
    tag = "-".join(".".join(sorted(set(parts))) for parts in zip(*tags, strict=True))
    path = place / f"{_plain(found.metadata['Name'])}-{found.version}-{tag}.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name in found.files or ():
            there = Path(str(name.locate()))
            if ".." not in name.parts and name.suffix != ".pyc" and there.is_file():
                archive.write(there, str(name))


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "_", name).lower()
