"""The operator's third of the ledger in memory."""

from dataclasses import replace

from ossimport.errors import JobExists
from ossimport.ledger.base import Job, Snapshot
from ossimport.ledger.memory_shelf import Shelf
from ossimport.ledger.records import JobRecord
from ossimport.limits.limit import job_scope
from ossimport.model import JobState, TaskState, Upload


class MemoryConsolePart(Shelf):
    def create_job(self, job: Job) -> None:
        with self._lock:
            known = self._records.get(job.name)
            if known is not None and known.job.created_ms != job.created_ms:
                raise JobExists(
                    f"A job of the name {job.name} is there already, please clean it first."
                )
            if known is None:
                self._records[job.name] = JobRecord(job)

    def jobs(self) -> list[str]:
        with self._lock:
            return sorted(self._records, key=lambda name: self._records[name].job.created_ms)

    def job(self, name: str) -> Job:
        with self._record(name) as record:
            return record.job

    def snapshot(self, name: str) -> Snapshot:
        with self._record(name) as record:
            return record.snapshot(self._now_ms())

    def request_retry(self, name: str) -> int:
        with self._record(name) as record:
            job, counts = record.job, record.counts()
            redo = counts.failed.objects + counts.left.objects
            if job.state is JobState.PAUSED:
                return 0
            if job.state is JobState.RUNNING:
                return redo if job.retries > job.retries_done else 0
            if not redo and not record.tasks and job.scan_finished:
                return 0
            retries = job.retries + 1
            record.job = replace(job, state=JobState.RUNNING, reason="", retries=retries)
            record.ended_ms = 0
            return redo

    def pause(self, name: str) -> bool:
        with self._record(name) as record:
            if record.job.state is not JobState.RUNNING:
                return False
            record.job = replace(record.job, state=JobState.PAUSED)
            record.speed = (0.0, 0.0)
            for _, task in record.in_state(TaskState.DISPATCHED):
                task.state = TaskState.PENDING
            return True

    def set_priority(self, name: str, priority: int) -> None:
        with self._record(name) as record:
            record.job = replace(record.job, priority=priority)

    def reseal(self, name: str, settings: bytes) -> None:
        with self._record(name) as record:
            record.job = replace(record.job, settings=settings)

    def uploads(self, name: str) -> list[Upload]:
        with self._record(name) as record:
            return [upload for of_task in record.uploads.values() for upload in of_task.values()]

    def forget_job(self, name: str) -> None:
        with self._lock:
            self._records.pop(name, None)
            self._limits.pop(job_scope(name), None)
