"""This installation as a wheel: what runs here is what runs there.

It is packed from the files that this process is made of, be they a checkout's or an installed
wheel's, so that no build tool and no index is needed. The same files make the same bytes, whose
hash names the build.
"""

import base64
import hashlib
import io
import zipfile
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import ossimport
from ossimport import __version__

PACKAGES = ("ossimport", "workers")
WHEEL = f"ossimport-{__version__}-py3-none-any.whl"
CONSTRAINTS = "constraints.txt"
_INFO = f"ossimport-{__version__}.dist-info"
_LEFT_OUT = ("__pycache__",)
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest that a zip can hold
_WHEEL_TEXT = "Wheel-Version: 1.0\nGenerator: ossimport\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
_ENTRY_POINTS = "[console_scripts]\nossimport = ossimport.console.main:main\n"


@dataclass(frozen=True)
class Package:
    """A wheel, and the versions of all that it stands on."""

    build: str  # version and hash: the name of the directory it is installed in
    wheel: bytes
    constraints: bytes


def pack() -> Package:
    """Pack what runs here."""
    wheel, constraints = _wheel(), _constraints()
    digest = hashlib.sha256(wheel + constraints).hexdigest()
    return Package(f"{__version__}-{digest[:10]}", wheel, constraints)


def version_of(build: str) -> str:
    """The version in a build's name."""
    return build.rpartition("-")[0]


def _wheel() -> bytes:
    files = _sources() | {
        f"{_INFO}/METADATA": _metadata().encode(),
        f"{_INFO}/WHEEL": _WHEEL_TEXT.encode(),
        f"{_INFO}/entry_points.txt": _ENTRY_POINTS.encode(),
    }
    record = "".join(f"{name},{_hash(data)},{len(data)}\n" for name, data in files.items())
    files[f"{_INFO}/RECORD"] = f"{record}{_INFO}/RECORD,,\n".encode()
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, data)
    return packed.getvalue()


def _sources() -> dict[str, bytes]:
    root = Path(ossimport.__file__).parents[1]
    paths = sorted(path for name in PACKAGES for path in (root / name).rglob("*"))
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in paths
        if path.is_file() and not set(_LEFT_OUT).intersection(path.parts)
    }


def _metadata() -> str:
    own = metadata.metadata("ossimport")
    needed = [text for text in own.get_all("Requires-Dist", []) if "extra ==" not in text]
    lines = ["Metadata-Version: 2.1", "Name: ossimport", f"Version: {__version__}"]
    lines += [f"Requires-Python: {own['Requires-Python']}"]
    return "".join(f"{line}\n" for line in (*lines, *(f"Requires-Dist: {n}" for n in needed)))


def _constraints() -> bytes:
    """The version of everything here; what a host does not need of it is not installed there."""
    here = {dist.metadata["Name"]: dist.version for dist in metadata.distributions()}
    lines = [f"{name}=={version}\n" for name, version in here.items() if name != "ossimport"]
    return "".join(sorted(lines)).encode()


def _hash(data: bytes) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")
    return f"sha256={digest}"
