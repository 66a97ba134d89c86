"""The worker's third of the Redis ledger. `base.WorkerLedger` says what each method promises."""

from ossimport.ledger import packing
from ossimport.ledger.arithmetic import add_returned, count_marked, milliseconds
from ossimport.ledger.base import Claim, Cut, Flush, Held, Job, Orders
from ossimport.ledger.keys import WORKERS, JobKeys
from ossimport.ledger.scripted import Argument, Scripted
from ossimport.model import JobState, TaskState, Upload


class WorkerPart(Scripted):
    def enlist(self, worker: str, slots: int, lease_s: float) -> None:
        args: list[Argument] = [f"{slots} {worker}", milliseconds(lease_s)]
        self._run("enlist", worker, [WORKERS], args)

    def settings(self, name: str) -> Job:
        fields = packing.to_fields(self._run("job", name, [JobKeys(name).job]))
        return packing.job_from(name, fields)

    def outage(self, name: str, reason: str) -> float:
        lasted_ms: int = self._run("outage", name, [JobKeys(name).job], [reason])
        return lasted_ms / 1000

    def claim(
        self, name: str, task_id: str, worker: str, lease_s: float, *, dead: int = 0
    ) -> Claim | Held | None:
        at = JobKeys(name)
        task, uploads = at.task(task_id), at.uploads(task_id)
        lent, _, returned = at.lending(task_id)
        keys = [at.job, at.pending, at.dispatched, at.running, task, uploads, at.outbox]
        keys += [lent, returned]
        args: list[Argument] = [task_id, worker, milliseconds(lease_s), dead]
        reply = self._run("claim", _about(name, task_id), keys, args)
        if reply is None:
            return None
        if reply[0] == b"held":
            return Held(worker=packing.to_text(reply[1]), fence=int(reply[2]))
        fields = packing.to_fields(reply[2])
        uploads_of = {
            int(index): packing.unpack_upload(packed)
            for index, packed in packing.to_fields(reply[3]).items()
        }
        index, upload = reply[4]
        if upload is not None:
            lent_of = packing.unpack_upload(upload)._replace(parts=packing.unpack_parts(reply[5]))
            add_returned(uploads_of, int(index), lent_of)
        return Claim(
            job=name,
            task_id=task_id,
            fence=int(reply[1]),
            worker=worker,
            manifest=fields["manifest"],
            marks=fields.get("marks") or bytes(int(fields["objects"])),
            uploads=uploads_of,
            flushes=int(fields.get("flushes", b"0")),
            claims=int(fields["claims"]),
        )

    def renew(self, claim: Claim, lease_s: float) -> None:
        at = JobKeys(claim.job)
        keys = [at.job, at.running, at.task(claim.task_id)]
        args: list[Argument] = [claim.task_id, claim.fence, milliseconds(lease_s)]
        self._run("renew", _about(*claim[:2]), keys, args)

    def orders(self, claim: Claim) -> Orders:
        at = JobKeys(claim.job)
        keys = [at.job, at.running, at.task(claim.task_id)]
        args: list[Argument] = [claim.task_id, claim.fence]
        state, share = self._run("orders", _about(*claim[:2]), keys, args)
        return Orders(JobState(packing.to_text(state)), share)

    def record(self, claim: Claim, flush: Flush) -> None:
        at = JobKeys(claim.job)
        keys = [at.job, at.running, at.task(claim.task_id), at.outbox]
        args = [*_flush_arguments(claim, flush), *_counters(flush)]
        self._run("record", _about(*claim[:2]), keys, args)

    def cut(self, claim: Claim, flush: Flush, cut: Cut) -> None:
        at, part = JobKeys(claim.job), cut.task.task_id
        keys = [
            *(at.job, at.running, at.task(claim.task_id), at.outbox, at.pending, at.task(part)),
            *(at.uploads(claim.task_id), at.uploads(part), at.uploading),
        ]
        args: list[Argument] = [
            *_flush_arguments(claim, flush),
            *cut.task,
            *(len(cut.uploads), *(number for pair in cut.uploads.items() for number in pair)),
            *_counters(flush),
        ]
        self._run("cut", _about(*claim[:2]), keys, args)

    def save_upload(self, claim: Claim, index: int, upload: Upload | None) -> None:
        at = JobKeys(claim.job)
        keys = [at.running, at.task(claim.task_id), at.uploads(claim.task_id), at.uploading]
        args: list[Argument] = [claim.task_id, claim.fence, index, packing.pack_upload(upload)]
        self._run("save_upload", _about(*claim[:2]), keys, args)

    def finish(self, claim: Claim, state: TaskState) -> None:
        at = JobKeys(claim.job)
        keys = [at.job, at.running, at.ended, at.task(claim.task_id), at.outbox]
        keys += at.lending(claim.task_id)
        args: list[Argument] = [claim.task_id, claim.fence, state]
        self._run("finish", _about(*claim[:2]), keys, args)

    def release(self, claim: Claim, *, counts: bool = True) -> None:
        at = JobKeys(claim.job)
        keys = [at.pending, at.running, at.task(claim.task_id), at.outbox]
        args: list[Argument] = [claim.task_id, claim.fence, int(counts)]
        self._run("release", _about(*claim[:2]), keys, args)

    def stop_job(self, claim: Claim, reason: str) -> None:
        at = JobKeys(claim.job)
        keys = [at.job, at.pending, at.running, at.task(claim.task_id), at.outbox]
        args: list[Argument] = [claim.task_id, claim.fence, reason]
        self._run("stop_job", _about(*claim[:2]), keys, args)


def _flush_arguments(claim: Claim, flush: Flush) -> list[Argument]:
    """What `check_flush` in prelude.lua takes."""
    return [
        *(claim.task_id, claim.fence, flush.number),
        *(flush.marks, count_marked(flush.marks)),
        *(sum(flush.objects.values()), sum(flush.bytes_.values()), flush.moving),
        *(flush.log, flush.log_size),
    ]


def _counters(flush: Flush) -> list[Argument]:
    return [*packing.tally_fields(flush.objects, flush.bytes_, flush.proof, flush.unkept)]


def _about(job: str, task_id: str) -> str:
    return f"task {task_id} of job {job}"
