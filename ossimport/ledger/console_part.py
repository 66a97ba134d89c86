"""The operator's third of the Redis ledger. `base.ConsoleLedger` says what each method promises."""

from ossimport.ledger import packing
from ossimport.ledger.base import SHOWN_RUNNING, Job, Snapshot
from ossimport.ledger.keys import JOBS, JobKeys
from ossimport.ledger.scripted import Scripted
from ossimport.model import Upload


class ConsolePart(Scripted):
    def create_job(self, job: Job) -> None:
        fields = packing.job_fields(job)
        keys = [JobKeys(job.name).job, JOBS]
        self._run("create_job", job.name, keys, [job.name, job.created_ms, *fields])

    def jobs(self) -> list[str]:
        return [packing.to_text(name) for name in self._run("jobs", "", [JOBS])]

    def job(self, name: str) -> Job:
        fields = packing.to_fields(self._run("job", name, [JobKeys(name).job]))
        return packing.job_from(name, fields)

    def snapshot(self, name: str) -> Snapshot:
        at = JobKeys(name)
        keys = [at.job, at.pending, at.dispatched, at.running]
        reply = self._run("snapshot", name, keys, [at.task_prefix, SHOWN_RUNNING])
        fields, waiting, now_ms, rows = reply
        running = tuple(packing.running_from(row) for row in rows)
        return packing.snapshot_from(name, packing.to_fields(fields), waiting, now_ms, running)

    def request_retry(self, name: str) -> int:
        at = JobKeys(name)
        keys = [at.job, at.pending, at.dispatched, at.running]
        return int(self._run("request_retry", name, keys))

    def pause(self, name: str) -> bool:
        at = JobKeys(name)
        keys = [at.job, at.pending, at.dispatched]
        return bool(self._run("pause", name, keys, [at.task_prefix]))

    def set_priority(self, name: str, priority: int) -> None:
        self._run("set_priority", name, [JobKeys(name).job], [priority])

    def reseal(self, name: str, settings: bytes) -> None:
        self._run("reseal", name, [JobKeys(name).job], [settings])

    def uploads(self, name: str) -> list[Upload]:
        at = JobKeys(name)
        packed = self._run("uploads", name, [at.job, at.uploading], [at.uploads_prefix])
        return [packing.unpack_upload(upload) for upload in packed]

    def forget_job(self, name: str) -> None:
        at = JobKeys(name)
        indexes = [at.pending, at.dispatched, at.running, at.uploading]
        others = [
            at.job,
            at.lanes,
            at.unlisted,
            at.ended,
            at.outbox,
            at.restored,
            at.hold,
            at.limits,
        ]
        args = [name, at.uploads_prefix, at.task_prefix, *at.lending_prefixes]
        self._run("forget_job", name, [JOBS, *indexes, *others], args)
