"""Every Redis key of the ledger: its type, what it holds, who writes it and when it is freed.

All keys begin with `oi:`. Those of a job hold its name in braces, so that they share one slot of a
Redis Cluster; `oi:jobs`, `oi:workers` and what is known of limits stand apart. Of the scripts that
work on a job only those that create and forget one or set its limit touch any of these too.

| key | type | holds | written by | freed |
|---|---|---|---|---|
| `oi:jobs` | zset | job name, scored by created_ms | create_job | forget_job |
| `oi:workers` | zset | "slots worker", scored by the lease's end, server ms | enlist | enlist |
| `oi:{job}` | hash | the job, its counters, the scan's step number | everybody | forget_job |
| `oi:{job}:lanes` | hash | lane number -> packed Lane, unfinished ones | plan | lane finished |
| `oi:{job}:unlisted` | list | packed Lane of each scan failure | plan | rescan_failures |
| `oi:{job}:pending` | zset | task id, scored by plan order | plan, hand back | dispatch, claim |
| `oi:{job}:dispatched` | zset | task id, scored by server ms of sending | dispatch | claim |
| `oi:{job}:running` | zset | task id, scored by the lease's end, server ms | claim | finish |
| `oi:{job}:ended` | hash | task id -> "fence state log" of the last claim | finish | acknowledge |
| `oi:{job}:outbox` | stream | events not acknowledged | workers, take_back | acknowledge |
| `oi:{job}:uploading` | set | ids of tasks with an uploads hash | save_upload | with the hash |
| `oi:{job}:restored` | set | ids of the tasks rebuilt so far | restore | resume_at |
| `oi:{job}:hold` | string | the master that holds the job | hold_job | drop_job, or it expires |
| `oi:{job}:limits` | string | the job's limit | set_limit, restore_limits | forget_job |
| `oi:{job}:task:ID` | hash | one task that has not ended | plan, cut, worker | finish |
| `oi:{job}:uploads:ID` | hash | object index -> packed Upload | save_upload | forget_upload |
| `oi:{job}:lent:ID` | hash | the large object whose parts others may make | lend | lend, finish |
| `oi:{job}:offer:ID` | zset | its parts that nobody has | lend, repay | borrow, collect |
| `oi:{job}:returned:ID` | list | packed parts that others made of it | repay | lend, finish |
| `oi:limits` | hash | scope -> limit, and their version | set_limit, restore_limits | never |
| `oi:rates` | zset | rate, by the end of its last lease | lease_shares | two minutes unused |
| `oi:rate:NAME` | hash | who has which share of one rate | lease_shares | two minutes unused |
| `oi:rate:NAME:until` | zset | holder, by its lease's end | lease_shares | two minutes unused |

A task's state is where its id stands: in `pending`, `dispatched`, `running`, or nowhere (ended).

Fields of `oi:{job}`
    created fingerprint settings type state reason priority           as in `values.Job`
    retries retries_done incremental round next_round                 as in `values.Job`
    scan            1 when all lanes are finished
    seq             number of the last plan step
    lane            the next free lane number
    order           how many tasks were made pending for the first time; gives the plan order
    fence           the highest fence ever given for a task of the job
    ended           server ms at which the job closed; missing while it is open
    outage          server ms since which `reason` is that an end refuses everything
    objects_per_s, bytes_per_s                                        as the master measured them
    listed, copied, skipped, failed, vanished, excluded               objects; with `_bytes`, bytes
    proof1 proof2 proof3                                              objects copied with this proof
    unkept                                                            objects copied but for a part
    unchanged, unchanged_bytes                                        skipped by the scan itself
    tasks_succeed, tasks_failed                                       tasks that ended so

Fields of `oi:{job}:task:ID`
    manifest                 as planned
    objects bytes            as planned, without those that were given to another task
    order                    its score in `pending`, so that a task handed back goes to the front
    fence worker             of the last claim
    freed                    the last fence whose holder handed the task back of its own will
    claims                   how often it was claimed; all claims before a requeue count as one, so
                             do those that were handed back by an order, or as the job had to wait
    share share_until        how many workers would take a share of it, until which server ms
    marks                    one byte for each object; missing while none has an outcome
    marked, marked_bytes     objects and bytes that have an outcome
    moving                   bytes of unfinished large objects already at the destination
    flushes                  number of the last flush
    log                      bytes of audit.log text so far: the offset of the next
    offered helpers          parts of its large object that nobody has, workers that have some

Fields of `oi:{job}:lent:ID`. What is offered dies with the claim, what was returned does not
    claim                    fence of the holder's claim
    index upload             the object, packed Upload without parts
    LOAN (a fence)           "end of the lease in server ms, part numbers with commas, worker"

In `oi:{job}:offer:ID` a part is scored by its number; by its negative, if a borrower could not make
it: only the holder may then.

Fields of `oi:rate:NAME`, in thousandths per second. NAME is a scope, then ` bytes` or ` requests`;
or `slow HOST:PORT`: the requests to an endpoint that refuses some
    h:HOLDER                 "share want used refused", a want of -1: all there is
    leased wanted used refused                                        sums over the holders
    hungry                   how many want all there is
    suspect level since      as in `limits.slowdown.Slowdown`
"""

JOBS = "oi:jobs"
WORKERS = "oi:workers"
LIMITS = "oi:limits"
RATES = "oi:rates"
RATE_PREFIX = "oi:rate:"
UNTIL = ":until"


class JobKeys:
    """The keys of one job."""

    def __init__(self, name: str) -> None:
        self.job = f"oi:{{{name}}}"
        self.lanes = f"{self.job}:lanes"
        self.unlisted = f"{self.job}:unlisted"
        self.pending = f"{self.job}:pending"
        self.dispatched = f"{self.job}:dispatched"
        self.running = f"{self.job}:running"
        self.ended = f"{self.job}:ended"
        self.outbox = f"{self.job}:outbox"
        self.uploading = f"{self.job}:uploading"
        self.restored = f"{self.job}:restored"
        self.hold = f"{self.job}:hold"
        self.limits = f"{self.job}:limits"
        self.task_prefix = f"{self.job}:task:"
        self.uploads_prefix = f"{self.job}:uploads:"
        self.lent_prefix = f"{self.job}:lent:"
        self.offer_prefix = f"{self.job}:offer:"
        self.returned_prefix = f"{self.job}:returned:"

    def task(self, task_id: str) -> str:
        return self.task_prefix + task_id

    def uploads(self, task_id: str) -> str:
        return self.uploads_prefix + task_id

    def lending(self, task_id: str) -> list[str]:
        """What is lent of a task's object, on offer, returned."""
        return [
            self.lent_prefix + task_id,
            self.offer_prefix + task_id,
            self.returned_prefix + task_id,
        ]

    @property
    def lending_prefixes(self) -> list[str]:
        return self.lending("")
