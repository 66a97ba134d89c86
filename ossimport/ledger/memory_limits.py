"""The limits in the ledger in memory."""

import math
from collections.abc import Sequence

from ossimport.errors import JobNotFound
from ossimport.ledger.arithmetic import milliseconds, thousandths
from ossimport.ledger.memory_shelf import Shelf
from ossimport.limits.leases import Ask, InForce, LimitTable, Shares
from ossimport.limits.limit import job_of
from ossimport.limits.sharing import ALL_THERE_IS, Holder, Sharing


class MemoryLimitsPart(Shelf):
    def set_limit(self, scope: str, text: str) -> None:
        with self._lock:
            job = job_of(scope)
            if job and job not in self._records:
                raise JobNotFound(
                    f"There is no job of the name {job}; bash console.sh stat names all."
                )
            self._limits[scope] = text
            if not text:
                del self._limits[scope]
            self._limits_version = max(self._limits_version + 1, self._now_ms())

    def limits(self) -> LimitTable:
        with self._lock:
            jobs = {"", *self._records}
            texts = {s: text for s, text in self._limits.items() if job_of(s) in jobs}
            return LimitTable(self._limits_version, texts)

    def restore_limits(self, table: LimitTable) -> None:
        with self._lock:
            if self._limits_version < table.version:
                self._limits, self._limits_version = dict(table.texts), table.version

    def in_force(self) -> list[InForce]:
        with self._lock:
            found = []
            for name, sharing in self._sharing.items():
                sharing.expire(self._now_ms())
                if sharing.holders:
                    leased = sum(holder.share for holder in sharing.holders.values()) / 1000
                    obeyed = sharing.slowdown.rate(self._now_ms())
                    told = None if obeyed is None else obeyed / 1000
                    found.append(InForce(name, leased, len(sharing.holders), told))
            return found

    def lease_shares(
        self, job: str, version: int, holder: str, lease_s: float, asks: Sequence[Ask]
    ) -> Shares:
        with self._lock:
            now_ms, present = self._now_ms(), self._limits_version
            if version != present:
                texts = {s: text for s, text in self._limits.items() if job_of(s) in {"", job}}
                return Shares(present, now_ms, texts=texts)
            shares = [self._lease(ask, now_ms, holder, milliseconds(lease_s)) for ask in asks]
            return Shares(present, now_ms, shares)

    def _lease(self, ask: Ask, now_ms: int, name: str, lease_ms: int) -> float | None:
        if ask.limit is None and not ask.refused and ask.rate not in self._sharing:
            return None
        sharing = self._sharing.setdefault(ask.rate, Sharing())
        sharing.expire(now_ms)
        used, refused = thousandths(ask.used), thousandths(ask.refused)
        rate: int | None
        if ask.limit is not None:
            rate = thousandths(ask.limit)
        else:
            sharing.hear(now_ms, name, used, refused)
            if sharing.slowdown.is_over(now_ms):
                del self._sharing[ask.rate]
                return None
            rate = sharing.slowdown.rate(now_ms)
        share, want = 0, 0
        if rate is not None:
            wanted = ALL_THERE_IS if ask.want == math.inf else thousandths(ask.want)
            share, want = sharing.lease(name, rate, wanted)
        sharing.holders[name] = Holder(share, want, used, refused, now_ms + lease_ms)
        return None if rate is None else share / 1000
