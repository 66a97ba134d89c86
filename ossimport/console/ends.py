"""Look at both ends of a job before it is submitted, and clear away what a job left at OSS."""

import asyncio
import logging
from collections.abc import Sequence

from ossimport import credentials
from ossimport.config import DestConfig, JobConfig, SystemConfig
from ossimport.console.losses import tell_losses
from ossimport.errors import PreflightError, StorageError
from ossimport.model import Upload
from ossimport.pruning import IN_FLIGHT, abort
from ossimport.service.borrow import sandbox_for
from ossimport.sources import open_listing

# What a verb cannot do for want of credentials, its error says; a log that nobody has set up would
# print it once more. Masters and workers do set it up.
logging.getLogger(credentials.__name__).addHandler(logging.NullHandler())

# The transport cannot know who chose its address: here it is the job file.
_CURES = {
    "ConnectionFailed": "check host and port in {domain}, and the network",
    "ConnectionRefused": "check host and port in {domain}, and that the server runs",
    "ConnectionReset": "check host and port in {domain}, and firewalls and proxies on the way",
    "DnsFailure": "check {domain}, and the name servers of this machine",
    "ServerError": "try again later; quote the request id to the service's support",
    "Timeout": "check host and port in {domain}, and firewalls and proxies on the way",
    "TlsError": "check the host in {domain}, and write http:// there if it has no TLS",
}


def preflight(system: SystemConfig, job: JobConfig) -> None:
    """See that the source can be read, and the bucket written if the job writes; else read.

    Raises PreflightError with what is wrong at both ends.
    """
    for end, key in ((job.source, "srcCredentials"), (job.dest, "destCredentials")):
        credentials.keys_of(end, key).wait_no_more()  # who looks on can mend it at once
    wrong = []
    at = "the URLs of the list" if job.source.type == "http" else "srcDomain"
    try:
        _check_source(system, job)
    except StorageError as error:
        wrong.append(f"The source ({job.source.type}) cannot be used: {_told(error, at)}")
    try:
        with sandbox_for(system, job.dest.host, job.dest.port):
            asyncio.run(_check_dest(job))
    except StorageError as error:
        told = _told(error, "destDomain")
        wrong.append(f"The destination (bucket {job.dest.bucket}) cannot be used: {told}")
    if wrong:
        raise PreflightError("\n".join(wrong))
    if job.writes:
        tell_losses(system, job)


def abort_uploads(
    system: SystemConfig, dest: DestConfig, uploads: Sequence[Upload]
) -> list[tuple[Upload, str]]:
    """Drop these multipart uploads at OSS; return those that could not be dropped, and why."""
    with sandbox_for(system, dest.host, dest.port):
        return asyncio.run(_abort(dest, uploads))


def _check_source(system: SystemConfig, job: JobConfig) -> None:
    scratch = system.working_dir / "run"
    source = open_listing(job.source, scan_depth=job.scan_depth, scratch=scratch)
    try:
        source.check()
    finally:
        asyncio.run(source.close())


async def _check_dest(job: JobConfig) -> None:
    from ossimport.dest.opening import opened  # noqa: PLC0415 -- oss2 is slow to import

    async with opened(job.dest) as dest:
        if job.writes:
            await dest.check(job.dest.prefix)
            return
        for info in await dest.list(job.dest.prefix, "", 1):
            await dest.stat(info.key)


async def _abort(config: DestConfig, uploads: Sequence[Upload]) -> list[tuple[Upload, str]]:
    from ossimport.dest.opening import opened  # noqa: PLC0415 -- oss2 is slow to import

    async with opened(config, IN_FLIGHT) as dest:
        left = await abort(dest, uploads)
    return [(upload, _told(error, "destDomain")) for upload, error in left]


def _told(error: StorageError, domain: str) -> str:
    """The error, and its cure if whoever raised it knew none; `domain` is where its host is set."""
    told = f"{error.code}: {error}"
    cure = _CURES.get(error.code)
    if cure is None or "Cure: " in told:
        return told
    return f"{told}. Cure: {cure.format(domain=domain)}"
