"""Kinds for places: buckets, endpoints, prefixes and paths."""

import os
import re
from pathlib import Path
from typing import NamedTuple

from ossimport.config.kinds import Mistake, Mistakes, plain, refuse_control
from ossimport.config.redis_url import read_redis_url
from ossimport.config.secret import Secret

_OSS_BUCKET = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?")
_REGION = re.compile(r"[a-z0-9][a-z0-9-]*")
_ENDPOINT = re.compile(
    r"(?:(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://)?(?P<host>[A-Za-z0-9_](?:[A-Za-z0-9._-]*))"
    r"(?::(?P<port>[0-9]{1,5}))?(?P<path>/.*)?"
)
_PORTS = range(1, 65536)
_DEFAULT_PORTS = {"http": 80, "https": 443}
_REGION_AS_HOST = re.compile(r"(?:oss-)?((?:cn|us|eu|ap|me|na|rg)-[a-z0-9-]+)")
_OSS_HOST = re.compile(r"(?:vpc100-)?oss-([a-z0-9-]+?)(?:-internal)?\.aliyuncs\.com")
_DUAL_STACK_HOST = re.compile(r"([a-z]+-[a-z0-9-]+)\.oss\.aliyuncs\.com")
_DRIVE = re.compile(r"[A-Za-z]:")
_MAX_KEY_BYTES = 1023  # OSS: object names are 1 to 1,023 bytes of UTF-8
_OSS_BUCKET_LENGTH = range(3, 64)


class Endpoint(NamedTuple):
    """Where a service listens."""

    scheme: str  # http or https
    host: str
    port: int


def oss_bucket(text: str) -> str:
    """A bucket of OSS: 3 to 63 lower-case letters, digits and -."""
    any_bucket(text)
    if text.lower() != text and _OSS_BUCKET.fullmatch(text.lower()):
        raise Mistake("a bucket name has no capital letters", f"write {text.lower()} if that is it")
    if len(text) not in _OSS_BUCKET_LENGTH:
        raise Mistake(
            "a bucket name has 3 to 63 characters", "write the name as the console has it"
        )
    if not _OSS_BUCKET.fullmatch(text):
        message = "a bucket name has only lower-case letters, digits and -, and no - at its ends"
        raise Mistake(message, "write the name as the OSS console shows it")
    return text


def any_bucket(text: str) -> str:
    """A bucket or container of a service whose naming rules are its own."""
    plain(text)
    if "/" in text or "\\" in text:
        message = "a bucket name has no / in it"
        raise Mistake(message, "write the bucket alone; a directory in it belongs in the prefix")
    return text


def region(text: str) -> str:
    """A region id such as cn-hangzhou."""
    plain(text)
    if not _REGION.fullmatch(text):
        raise Mistake("the value is not a region id", "write the region such as cn-hangzhou")
    return text.removeprefix("oss-")


def endpoint(text: str) -> Endpoint:
    """`host`, `host:port` or either behind http:// or https://. Without a scheme it is http."""
    found = _parse_endpoint(text)
    if (found["path"] or "/") != "/":
        raise Mistake("an endpoint has no path", f"write {text[: found.start('path')]}")
    scheme = (found["scheme"] or "http").lower()
    port = int(found["port"]) if found["port"] else _DEFAULT_PORTS[scheme]
    return Endpoint(scheme, found["host"].lower(), port)


def oss_endpoint(text: str) -> Endpoint:
    """An endpoint of OSS: of the region, without the bucket."""
    where = endpoint(text)
    bare = _REGION_AS_HOST.fullmatch(where.host)
    if bare:
        cure = f"write {where.scheme}://oss-{bare[1]}.aliyuncs.com"
        raise Mistake("the value is a region, not an endpoint", cure)
    bucket, _, rest = where.host.partition(".")
    if _OSS_HOST.fullmatch(rest):
        cure = f"write {where.scheme}://{rest} and the bucket {bucket} in its own key"
        raise Mistake("the endpoint has a bucket in it", cure)
    return where


def domain(text: str) -> str:
    """An endpoint as its source takes it: the text, checked."""
    endpoint(text)
    return text.rstrip("/")


def domains(text: str) -> str:
    """One endpoint, or several with commas between them, as text, checked."""
    return ",".join(domain(part) for part in text.split(","))


def oss_domain(text: str) -> str:
    """An endpoint of OSS as text, checked."""
    oss_endpoint(text)
    return text.rstrip("/")


def domain_with_path(text: str) -> str:
    """An endpoint that may have a path, as Azure's emulator has."""
    _parse_endpoint(text)
    return text.rstrip("/")


def endpoint_region(host: str) -> str:
    """The region that a host of Alibaba Cloud names; empty if it names none."""
    found = _OSS_HOST.fullmatch(host) or _DUAL_STACK_HOST.fullmatch(host)
    return found[1] if found and not found[1].startswith("accelerate") else ""


def broker_url(text: str) -> Secret:
    """A URL as `redis_url.py` describes it. It may hold a password."""
    read_redis_url(text)
    return Secret(text)


def dest_prefix(text: str) -> str:
    """What every key at the destination begins with."""
    refuse_control(text)
    if text[0] in "/\\":
        cure = f"write {text.lstrip('/' + chr(92))}" if text.strip("/\\") else "leave it empty"
        raise Mistake("OSS object names do not begin with / or \\", cure)
    if len(text.encode()) >= _MAX_KEY_BYTES:
        raise Mistake("OSS object names have at most 1023 bytes", "write a shorter prefix")
    return text


def key_prefix(text: str) -> str:
    """What every key to be read begins with: a directory of a bucket."""
    refuse_control(text)
    if not text.endswith("/"):
        message = "srcPrefix must end with /: it is a directory, never a single object"
        raise Mistake(message, f"write {text}/")
    return text


def oss_key_prefix(text: str) -> str:
    """A key prefix in OSS, where no key begins with /."""
    key_prefix(text)
    if text.startswith("/"):
        cure = f"write {text.lstrip('/')}" if text.strip("/") else "leave it empty for everything"
        raise Mistake("OSS object names do not begin with /", cure)
    return text


def rooted_key_prefix(text: str) -> str:
    """A key prefix that people write as a path: `/docs/` and `docs/` are the same keys."""
    return key_prefix(text).lstrip("/")


def local_directory(text: str, *, windows: bool = os.name == "nt") -> str:
    """An absolute directory with / between names and at the end; it exists and can be listed."""
    mistakes = _path_mistakes(text, windows)
    if not mistakes:
        if "//" in text:
            cure = f"write {re.sub('/+', '/', text)}"
            mistakes.append(Mistake("the path has // in it", cure))
        mistakes += _directory_mistakes(text)
    if mistakes:
        raise Mistakes(mistakes)
    return text


def local_file(text: str, *, windows: bool = os.name == "nt") -> str:
    """An absolute path of a file that can be read."""
    mistakes = _path_mistakes(text, windows)
    if mistakes:
        raise Mistakes(mistakes)
    if not os.path.isfile(text):
        raise Mistake("there is no file at this path", "mend the path")
    try:
        Path(text).open("rb").close()
    except OSError as exc:
        cure = "let the user who runs this read the file"
        raise Mistake(f"the file cannot be read: {exc.strerror}", cure) from None
    return text


def working_directory(text: str, *, windows: bool = os.name == "nt") -> str:
    """A directory, absolute or relative to the installation; it need not exist yet."""
    refuse_control(text)
    if _DRIVE.match(text) and not windows:
        raise Mistake("this is a path of Windows", "write a path of this machine")
    if text.startswith("~"):
        raise Mistake("~ is not expanded", "write the whole path")
    return text


def _path_mistakes(text: str, windows: bool) -> list[Mistake]:
    refuse_control(text)
    slashes = text.replace("\\", "/")
    if _DRIVE.match(text) and not windows:
        cure = "write a path of this machine, such as /data/"
        return [Mistake("this is a path of Windows and this machine is not", cure)]
    rooted = bool(_DRIVE.match(text)) or text.startswith("/")
    if "\\" in text and (windows or not rooted):
        return [Mistake("the path has \\ in it", f"write it with /: {slashes}")]
    if not rooted:
        return [Mistake("the path is not absolute", "write it from / on; ~ is not expanded")]
    return []


def _directory_mistakes(text: str) -> list[Mistake]:
    if os.path.isfile(text.rstrip("/")):
        cure = "write the directory; a single file cannot be a job"
        return [Mistake("srcPrefix is a file, not a directory", cure)]
    mistakes = []
    if not text.endswith("/"):
        mistakes.append(Mistake("srcPrefix must end with /", f"write {text}/"))
    try:
        with os.scandir(text) as entries:
            next(entries, None)
        os.stat(f"{text}/.")  # a directory that can be listed but not entered fails here
    except FileNotFoundError:
        cure = "mend the path, or mount what should be there"
        mistakes.append(Mistake("the directory does not exist", cure))
    except OSError as exc:
        cure = "let the user who runs this read and enter the directory"
        mistakes.append(Mistake(f"the directory cannot be read: {exc.strerror}", cure))
    return mistakes


def _parse_endpoint(text: str) -> re.Match[str]:
    plain(text)
    found = _ENDPOINT.fullmatch(text)
    cure = "write host, host:port, http://host or https://host"
    if found is None or "@" in text:
        raise Mistake("the value is not an endpoint", cure)
    if (found["scheme"] or "http").lower() not in _DEFAULT_PORTS:
        raise Mistake("an endpoint begins with http:// or https://, or with its host", cure)
    if found["port"] and int(found["port"]) not in _PORTS:
        raise Mistake("a port is a number from 1 to 65535", cure)
    return found
