"""job.json: the job, and what the operator has decided of it since it was submitted."""

from pathlib import Path

from ossimport.journal import files, texts
from ossimport.ledger.base import Job
from ossimport.model import JobState


class JobFile:
    """The file of one job. What is written is durable."""

    def __init__(self, root: Path) -> None:
        self.path = root / "job.json"
        self._decided: tuple[object, ...] | None = None  # what the file says

    def read(self) -> Job | None:
        """The job as the operator wants it, Running or Paused; None if there is none."""
        data = files.read(self.path)
        if data is None:
            return None
        job = texts.parse_job(self.path, data)
        if job.name != self.path.parent.name:
            raise files.damaged(self.path, f"it describes the job {job.name!r}")
        return job

    def keep(self, job: Job) -> None:
        """Write down the job as it is now. Idempotent."""
        decided = (
            job.settings,
            job.priority,
            job.state is JobState.PAUSED,
            job.created_ms,
            job.next_round_ms,
        )
        if decided != self._decided:
            files.write(self.path, texts.job_text(job))
            files.sync_dir(self.path.parent)
            self._decided = decided

    def forget(self) -> None:
        """Write the file anew when it is asked for."""
        self._decided = None
