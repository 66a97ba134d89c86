"""What every ledger promises about limits."""

import math
import random
import time
from itertools import count
from typing import Any

import pytest

from ossimport.errors import JobNotFound
from ossimport.ledger.base import Ledger
from ossimport.limits.leases import Ask, LimitTable, Shares
from ossimport.limits.limit import ALL, endpoint_scope, job_scope
from tests.contract.ledger_material import JOB, until

RATE = "all bytes"
LONG = 3000.0


def ask(ledger: Ledger, holder: str, *asks: Ask, lease_s: float = LONG) -> Shares:
    return ledger.lease_shares(JOB.name, ledger.limits().version, holder, lease_s, asks)


def share(ledger: Ledger, holder: str, limit: float, want: float, **more: Any) -> float:
    [found] = ask(ledger, holder, Ask(RATE, limit, want), **more).shares
    assert found is not None
    return found


class LimitsContract:
    def test_a_limit_is_set_changed_and_removed(self, ledger: Ledger) -> None:
        assert ledger.limits() == LimitTable(0, {})
        versions = [0]
        for scope in (ALL, endpoint_scope("example.com"), job_scope(JOB.name), ALL):
            ledger.set_limit(scope, f"of {scope} {len(versions)}")
            table = ledger.limits()
            assert table.texts[scope] == f"of {scope} {len(versions)}"
            versions.append(table.version)
        assert versions == sorted(set(versions))
        for scope in list(table.texts):
            ledger.set_limit(scope, "")
        assert ledger.limits().texts == {}
        assert ledger.limits().version > versions[-1]

    def test_a_job_that_is_not_there_has_no_limit(self, empty: Ledger) -> None:
        with pytest.raises(JobNotFound, match="photos"):
            empty.set_limit(job_scope(JOB.name), "text")
        assert empty.limits() == LimitTable(0, {})

    def test_a_limit_goes_with_its_job(self, ledger: Ledger) -> None:
        ledger.set_limit(job_scope(JOB.name), "text")
        ledger.forget_job(JOB.name)
        assert ledger.limits().texts == {}
        ledger.create_job(JOB)
        assert ledger.limits().texts == {}
        assert not ask(ledger, "w1").texts

    def test_who_does_not_know_the_limits_is_told_them_and_gets_nothing(
        self, ledger: Ledger
    ) -> None:
        ledger.set_limit(ALL, "of all")
        ledger.set_limit(job_scope(JOB.name), "of the job")
        version = ledger.limits().version
        told = ledger.lease_shares(JOB.name, 0, "w1", LONG, [Ask(RATE, 10.0, 5.0)])
        assert (told.version, told.shares) == (version, ())
        assert told.texts == {ALL: "of all", job_scope(JOB.name): "of the job"}
        other = ledger.lease_shares("another", -1, "w1", LONG, [])
        assert other.texts == {ALL: "of all"}
        assert ledger.in_force() == []
        known = ledger.lease_shares(JOB.name, version, "w1", LONG, [Ask(RATE, 10.0, 5.0)])
        assert (known.version, known.texts) == (version, None)
        assert abs(known.now_ms / 1000 - time.time()) < 60

    def test_limits_that_were_lost_are_put_back_once(self, empty: Ledger) -> None:
        table = LimitTable(7, {ALL: "of all", job_scope(JOB.name): "of the job"})
        empty.restore_limits(table)
        assert empty.limits() == LimitTable(7, {ALL: "of all"})  # there is no such job yet
        empty.create_job(JOB)
        assert empty.limits() == table
        empty.set_limit(ALL, "newer")
        newer = empty.limits()
        empty.restore_limits(table)
        empty.restore_limits(newer._replace(texts={}))
        assert empty.limits() == newer

    def test_one_holder_may_have_all_of_it(self, ledger: Ledger) -> None:
        assert share(ledger, "w1", 100.0, math.inf) == 100.0
        assert share(ledger, "w1", 100.0, 1.0) == 100.0
        [rate] = ledger.in_force()
        assert rate[:3] == (RATE, 100.0, 1)

    def test_hungry_holders_come_to_even_shares(self, ledger: Ledger) -> None:
        holders = [f"w{number}" for number in range(8)]
        for _ in range(2):
            for holder in holders:
                share(ledger, holder, 100.0, math.inf)
        assert [share(ledger, holder, 100.0, math.inf) for holder in holders] == [12.5] * 8

    def test_what_some_do_not_want_the_others_have(self, ledger: Ledger) -> None:
        wants = {"w1": 10.0, "w2": math.inf, "w3": 500.0, "w4": 0.0}
        for _ in range(3):
            shares = {holder: share(ledger, holder, 100.0, want) for holder, want in wants.items()}
        assert shares == {"w1": 10.0, "w2": 45.0, "w3": 45.0, "w4": 0.0}

    def test_a_limit_that_falls_is_obeyed_when_all_have_asked_twice(self, ledger: Ledger) -> None:
        holders = [f"w{number}" for number in range(5)]
        for limit in (1000.0, 10.0, 500.0):
            for _ in range(3):
                shares = [share(ledger, holder, limit, math.inf) for holder in holders]
            assert shares == [limit / 5] * 5

    def test_a_holder_that_is_gone_frees_its_share(self, ledger: Ledger) -> None:
        for attempt in count():
            asked = Ask(f"rate {attempt}", 100.0, math.inf)
            ends = time.monotonic() + 0.5
            ask(ledger, "w1", asked, lease_s=0.5)
            held = ask(ledger, "w2", asked).shares
            if time.monotonic() < ends:  # else the lease may have ended meanwhile
                break
        assert held == [0.0]
        until(lambda: ask(ledger, "w2", asked).shares == [100.0])
        assert ledger.in_force()[-1].holders == 1

    def test_shares_never_sum_up_to_more_than_the_limit(self, ledger: Ledger) -> None:
        rng = random.Random(7)
        limit, held = 1000.0, dict.fromkeys("abcdefg", 0.0)
        for _ in range(400):
            if rng.random() < 0.05:
                limit = rng.choice([3.0, 50.0, 1000.0, 12345.678])
            holder = rng.choice([*held])
            want = rng.choice([0.0, 0.5, limit / 7, limit, math.inf, rng.random() * limit])
            others = sum(amount for name, amount in held.items() if name != holder)
            held[holder] = share(ledger, holder, limit, want)
            assert held[holder] <= max(0.0, limit - others) + 1e-6
        assert ledger.in_force()[0].leased == pytest.approx(sum(held.values()))

    def test_rates_do_not_know_each_other(self, ledger: Ledger) -> None:
        asks = [Ask("job a bytes", 10.0, math.inf), Ask("job a requests", 2.5, math.inf)]
        assert ask(ledger, "w1", *asks).shares == [10.0, 2.5]
        assert ask(ledger, "w2", asks[1], Ask("all bytes", 7.0, math.inf)).shares == [0.0, 7.0]

    def test_an_endpoint_that_refuses_nothing_costs_nothing(self, ledger: Ledger) -> None:
        assert ask(ledger, "w1", Ask("slow e:80", None, math.inf, 1000.0)).shares == [None]
        assert ledger.in_force() == []

    def test_who_is_refused_slows_all_others_down(self, ledger: Ledger) -> None:
        def told(name: str, holder: str, used: float, refused: float = 0.0) -> float | None:
            return ask(ledger, holder, Ask(name, None, math.inf, used, refused)).shares[0]

        for attempt in count():
            name, began = f"slow e:{attempt}", time.monotonic()
            heard = [told(name, "w1", 400.0, 200.0), told(name, "w2", 600.0)]
            time.sleep(1.01)  # it takes a second to hear the others
            first = told(name, "w2", 600.0)
            [obeyed] = [each.obeyed for each in ledger.in_force() if each.rate == name]
            rest = told(name, "w1", 100.0)
            told(name, "w2", 600.0)
            even = told(name, "w1", 100.0)
            if time.monotonic() < began + 1.5:  # else it was heard too late, or the rate has risen
                break
        assert heard == [None, None]
        assert first is not None
        assert 670.0 < first < 760.0  # 0.85 times the 800 that were not refused
        assert obeyed == pytest.approx(first, rel=0.1)
        assert rest == pytest.approx(0.0, abs=60.0)  # the other one holds it all
        assert even == pytest.approx(first / 2, rel=0.1)

    def test_a_refusal_now_and_then_and_an_outage_slow_nobody_down(self, ledger: Ledger) -> None:
        for used, refused in ((1000.0, 10.0), (1000.0, 1000.0)):
            for _ in range(2):
                asked = Ask("slow e:80", None, math.inf, used, refused)
                assert ask(ledger, "w1", asked).shares == [None]
                time.sleep(0.6)
