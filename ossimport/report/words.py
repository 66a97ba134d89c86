"""What outcomes are called: an audit copies nothing, so that it says other words."""

from ossimport.ledger.base import Snapshot
from ossimport.model import Tally
from ossimport.report.numbers import outcomes

_WORDS = {
    "audit": {"copied": "repaired", "skipped": "match", "failed": "unmatched"},
    "extra": {"skipped": "at the source", "failed": "unmatched"},
}


def terms(snapshot: Snapshot) -> dict[str, Tally]:
    """The terms that sum up to what is listed, in the words of the job's type."""
    words = _WORDS.get(snapshot.job.job_type, {})
    return {words.get(name, name): tally for name, tally in outcomes(snapshot.counts).items()}
