"""Exit codes, and errors in the operator's words."""

from ossimport.errors import ConfigError, JobError, OssImportError, PreflightError

CURE = "\n    cure: "  # on a line of its own, whoever says it

DONE = 0
DECLINED = 1  # wrong usage, or the user would neither clean nor resume
FAILED_TASKS = 2  # failed tasks remain
BAD_CONFIGURATION = 3  # or an end that does not answer as configured
STOPPED = 4  # the job or the service did
INTERRUPTED = 130


def code_for(error: OssImportError) -> int:
    """The exit code of a verb that ends with this error."""
    if isinstance(error, ConfigError | PreflightError):
        return BAD_CONFIGURATION
    return DECLINED if isinstance(error, JobError) else STOPPED


def explain(error: OssImportError) -> str:
    """What to print for it."""
    if isinstance(error, ConfigError):
        count = len(error.problems)
        what = "a mistake" if count == 1 else f"{count} mistakes"
        return f"Error: the configuration has {what}:\n{error}"
    return f"Error: {error}".replace(". Cure: ", CURE)
