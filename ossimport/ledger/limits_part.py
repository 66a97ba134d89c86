"""The limits in the Redis ledger. `base.LimitsLedger` says what each method promises."""

import math
from collections.abc import Sequence

from ossimport.ledger import packing
from ossimport.ledger.arithmetic import milliseconds, thousandths
from ossimport.ledger.keys import JOBS, LIMITS, RATE_PREFIX, RATES, UNTIL, JobKeys
from ossimport.ledger.scripted import Argument, Scripted
from ossimport.limits.leases import Ask, InForce, LimitTable, Shares
from ossimport.limits.limit import job_of, job_scope
from ossimport.limits.sharing import ALL_THERE_IS
from ossimport.limits.slowdown import Slowdown

_BY_REFUSALS = -1
_VERSION = "version"


class LimitsPart(Scripted):
    def set_limit(self, scope: str, text: str) -> None:
        job = job_of(scope)
        at = JobKeys(job)
        self._run("set_limit", job, [LIMITS, at.job, at.limits], ["" if job else scope, text])

    def limits(self) -> LimitTable:
        before, behind = JobKeys("\0").limits.split("\0")
        common, of_jobs = self._run("limits", "", [LIMITS, JOBS], [before, behind])
        version, texts = _table(common)
        for name, text in packing.to_fields(of_jobs).items():
            texts[job_scope(name)] = packing.to_text(text)
        return LimitTable(version, texts)

    def restore_limits(self, table: LimitTable) -> None:
        of_jobs = {job_of(scope): text for scope, text in table.texts.items() if job_of(scope)}
        common = [item for scope, text in table.texts.items() if not job_of(scope)
                  for item in (scope, text)]  # fmt: skip
        keys = [LIMITS, *(JobKeys(name).limits for name in of_jobs)]
        args: list[Argument] = [table.version, len(common) // 2, *common, *of_jobs.values()]
        self._run("restore_limits", "", keys, args)

    def in_force(self) -> list[InForce]:
        *rows, now_ms = self._run("in_force", "", [RATES], [RATE_PREFIX, UNTIL])
        found = []
        for name, leased, holders, *state in rows:
            obeyed = Slowdown(*(int(float(each)) for each in state)).rate(now_ms)
            found.append(
                InForce(
                    packing.to_text(name),
                    int(leased) / 1000,
                    holders,
                    None if obeyed is None else obeyed / 1000,
                )
            )
        return found

    def lease_shares(
        self, job: str, version: int, holder: str, lease_s: float, asks: Sequence[Ask]
    ) -> Shares:
        keys = [LIMITS, JobKeys(job).limits, RATES]
        args: list[Argument] = [version, holder, milliseconds(lease_s)]
        for ask in asks:
            keys += [RATE_PREFIX + ask.rate, RATE_PREFIX + ask.rate + UNTIL]
            args += [
                ask.rate,
                _BY_REFUSALS if ask.limit is None else thousandths(ask.limit),
                ALL_THERE_IS if ask.want == math.inf else thousandths(ask.want),
                thousandths(ask.used),
                thousandths(ask.refused),
            ]
        present, now_ms, shares, *of_job = self._run("lease_shares", job, keys, args)
        if not of_job:
            return Shares(present, now_ms, [None if n < 0 else n / 1000 for n in shares])
        _, texts = _table(shares)
        if of_job[0]:
            texts[job_scope(job)] = packing.to_text(of_job[0])
        return Shares(present, now_ms, texts=texts)


def _table(flat: Sequence[bytes]) -> tuple[int, dict[str, str]]:
    texts = {scope: packing.to_text(text) for scope, text in packing.to_fields(flat).items()}
    return int(texts.pop(_VERSION, "0")), texts
