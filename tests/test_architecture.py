"""Imports run one way. Each rule says why."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ossimport.sources import _MODULES as SOURCE_MODULES

ROOT = Path(__file__).parents[1]

# A module may import from its own layer and from those above it in this list. Packages that are
# peers do not know each other.
LAYERS = [
    {"errors", "model", "identity", "__init__"},
    {
        "config",
        "seal",
        "crc64",
        "credentials",
        "qetag",
        "answers",
        "content_type",
        "filters",
        "globs",
        "http_date",
        "listing",
        "listing_xml",
        "fidelity",
        "naming",
        "wording",
        "manifest",
        "auditlog",
        "planner",
        "throttle",
        "v4_signing",
        "limits",
        "budget",
        "patience",
    },
    {"transport"},
    {"oss"},
    {"sources", "dest", "ledger"},
    {"listed", "limiter"},
    {
        "copying",
        "part_making",
        "pieces",
        "parts",
        "server_copy",
        "engine",
        "audit",
        "journal",
        "report",
        "scanning",
        "pruning",
    },
    {"outbox", "queue", "rounds", "scan_steps", "dispatch", "driver", "master"},
    {"sandbox", "console", "service", "fleet", "tracker", "__main__"},
]
LAYERS_OF_PEERS = [{"sources", "dest", "ledger"}]

# Whoever else imports one of these would couple the whole tree to a library that one module hides.
ONLY = {
    "celery": {"ossimport/queue.py", "workers/"},
    "kombu": {"ossimport/queue.py", "workers/"},
    "redis": {"ossimport/ledger/"},
    "oss2": {"ossimport/dest/oss.py"},
    "fastcrc": {"ossimport/crc64.py", "ossimport/sandbox/"},
    "httptools": {"ossimport/transport/"},
    "cryptography": {"ossimport/seal.py"},
    "tornado": {"ossimport/sandbox/", "ossimport/tracker/"},
    "rich": {"ossimport/report", "ossimport/console/"},
    "click": {"ossimport/console/", "ossimport/sandbox/command.py"},
}


def sources() -> list[Path]:
    """Every module of the product."""
    return sorted([*(ROOT / "ossimport").rglob("*.py"), *(ROOT / "workers").rglob("*.py")])


def imported(path: Path) -> Iterator[str]:
    """Dotted names that a module imports, wherever in the module."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            assert node.module is not None
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def part_of(name: str) -> str | None:
    """`ossimport.dest.base` -> `dest`; None for names outside the package."""
    first, _, rest = name.partition(".")
    return rest.partition(".")[0] if first == "ossimport" and rest else None


def level(part: str) -> int:
    """The layer that a part of the package belongs to."""
    levels = [index for index, layer in enumerate(LAYERS) if part in layer]
    assert levels, f"ossimport.{part} has no layer: add it to LAYERS"
    return levels[0]


@pytest.mark.parametrize("path", sources(), ids=lambda p: str(p.relative_to(ROOT)))
def test_a_module_imports_only_from_its_layer_and_below(path: Path) -> None:
    relative = path.relative_to(ROOT)
    names = [name for name in imported(path)]
    if relative.parts[0] == "workers":
        return
    assert not [name for name in names if name.split(".")[0] == "workers"]
    own = relative.parts[1].removesuffix(".py")
    for name in names:
        part = part_of(name)
        known = {p for layer in LAYERS for p in layer}
        if part is None or (part not in known and name.count(".") == 1):
            continue  # `from ossimport import __version__`
        assert level(part) <= level(own), f"{relative} imports {name}"
        for peers in LAYERS_OF_PEERS:
            if own in peers and part in peers:
                assert part == own, f"{relative} imports its sibling {name}"


@pytest.mark.parametrize("path", sources(), ids=lambda p: str(p.relative_to(ROOT)))
def test_a_library_is_imported_only_where_it_is_hidden(path: Path) -> None:
    relative = path.relative_to(ROOT).as_posix()
    for name in imported(path):
        places = ONLY.get(name.split(".")[0])
        if places is not None:
            assert any(relative.startswith(place) for place in places), f"{relative}: {name}"


# What only one source needs, by what the names of its modules begin with.
OF_SOURCES = {
    "azure": ("azure",),
    "bos": ("bos",),
    "cos": ("cos",),
    "http": ("http_list", "http_fetch", "http_url", "list_lines", "list_scan"),
    "ks3": ("ks3",),
    "local": ("local",),
    "memory": ("memory",),
    "oss": ("oss",),
    "qiniu": ("qiniu",),
    "s3": ("s3",),
    "youpai": ("youpai",),
}


def source_of(module: str) -> str | None:
    """`s3_signing` -> `s3`; None for what sources share."""
    return next((name for name, begins in OF_SOURCES.items() if module.startswith(begins)), None)


def test_every_source_is_known_here() -> None:
    assert {*OF_SOURCES} == {*SOURCE_MODULES, "memory"}
    for name, module in SOURCE_MODULES.items():
        assert source_of(module.rpartition(".")[2]) == name


SOURCES = sorted((ROOT / "ossimport/sources").rglob("*.py"))


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: p.stem)
def test_no_source_imports_another_one_and_none_an_sdk(path: Path) -> None:
    own = source_of(path.stem)
    for name in imported(path):
        first = name.partition(".")[0]
        assert first == "ossimport" or first in sys.stdlib_module_names, f"{path.stem}: {name}"
        if name.startswith("ossimport.sources."):
            other = source_of(name.split(".")[2])
            assert other in {None, own}, f"{path.stem} imports {name}"


# Vendors' and whatever takes long to import, and what comes with them.
SLOW = {
    *("oss2", "aliyunsdkcore", "boto3", "botocore", "azure", "qcloud_cos", "qiniu", "baidubce"),
    *("ks3", "upyun", "requests", "urllib3", "celery", "kombu", "redis", "flower", "tornado"),
}
WITHOUT_SDK = ["ossimport", "ossimport.config", "ossimport.console.main", "ossimport.sources"]


@pytest.mark.parametrize("module", [*WITHOUT_SDK, *SOURCE_MODULES.values()])
def test_what_is_imported_often_imports_no_sdk(module: str) -> None:
    code = f"import sys, {module}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    said = subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, capture_output=True)
    assert not SLOW.intersection(said.stdout.decode().split())


def test_sources_are_imported_when_they_are_opened_and_not_before() -> None:
    code = "import sys, ossimport.sources, ossimport.console.main; print(*sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, capture_output=True)
    assert not {*SOURCE_MODULES.values()}.intersection(said.stdout.decode().split())
