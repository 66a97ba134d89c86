"""Every error that crosses a module boundary. The class says what to do, `code` says what happened.

OssImportError
├─ ConfigError            the operator must edit a file in conf/      exit 3
├─ PreflightError         an end does not answer as configured        exit 3
├─ JobError               JobExists, JobNotFound, JobNotReady
├─ ServiceError           a process of the service cannot run here
├─ StorageError           op, key, code, request_id
│   ├─ Transient          the engine tries again, with backoff
│   ├─ Permanent          this object fails; the next one goes on
│   └─ Fatal              the job stops; the ledger keeps the reason  exit 4
│       └─ Waiting        the job waits, and goes on by itself
└─ LedgerError
    ├─ LedgerUnavailable  Redis does not answer; wait and try again
    ├─ LedgerBehind       the ledger lost steps the journal has; replay them
    └─ StaleClaim         somebody else owns the task now; drop it
"""

from collections.abc import Sequence
from typing import NamedTuple


class OssImportError(Exception):
    """Base of all errors this project raises on purpose. `str()` is fit for an operator."""


class Problem(NamedTuple):
    """One mistake in a configuration file: where it is, what is wrong, and how to mend it."""

    file: str
    line: int  # 1-based; 0 when the key is missing from the file
    key: str
    value: str  # "**redacted**" for secrets
    message: str
    cure: str

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line else self.file
        what = f": {self.key}={self.value}" if self.key else ""  # a whole file has no key
        return f"{where}{what}\n    {self.message}\n    cure: {self.cure}"


class ConfigError(OssImportError):
    """The configuration has mistakes; all of them are in `problems`."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(p) for p in self.problems))


class PreflightError(OssImportError):
    """The source or the destination does not answer as configured."""


class JobError(OssImportError):
    """A job is not in the state that the command needs."""


class JobExists(JobError):
    """A job of this name is there already, please clean it first."""


class JobNotReady(JobError):
    """A job is paused, or has not ended."""


class JobNotFound(JobError):
    """There is no job of this name."""


class ServiceError(OssImportError):
    """A process of the service cannot be started or does not behave."""


class StorageError(OssImportError):
    """A source or a destination refused or broke an operation.

    `code` is the service's own code where it sent one (`NoSuchKey`), else one of ours:
    NotFound, AccessDenied, SourceChanged, SIZE_NOT_MATCH, ChecksumMismatch, InvalidKey,
    Timeout, ConnectionReset, Throttled, ServerError, NoSuchBucket, BadCredentials, DiskFull.
    `request_id` is what to quote to the service's support.
    """

    def __init__(
        self, message: str, *, code: str, op: str = "", key: str = "", request_id: str = ""
    ) -> None:
        super().__init__(message)
        self.code = code
        self.op = op
        self.key = key
        self.request_id = request_id


class Transient(StorageError):
    """Worth trying again. `retry_after` is the service's own wish in seconds, 0 if it had none."""

    def __init__(
        self,
        message: str,
        *,
        code: str,
        op: str = "",
        key: str = "",
        request_id: str = "",
        retry_after: float = 0.0,
    ) -> None:
        super().__init__(message, code=code, op=op, key=key, request_id=request_id)
        self.retry_after = retry_after


class Permanent(StorageError):
    """Trying this object again would end the same way."""


class Fatal(StorageError):
    """No object of the job can succeed until the operator mends something."""


class Waiting(Fatal):
    """No object of the job can succeed until something appears; the job then goes on by itself."""


class LedgerError(OssImportError):
    """The ledger cannot do what was asked."""


class LedgerUnavailable(LedgerError):
    """Redis does not answer."""


class LedgerBehind(LedgerError):
    """The ledger has not seen the steps before this one; replay them from the journal."""


class StaleClaim(LedgerError):
    """The claim is not the task's live one any more."""
