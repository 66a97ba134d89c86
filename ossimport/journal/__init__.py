"""The record of a job on disk, which an operator reads and a lost ledger is rebuilt from."""

from ossimport.journal.digest import Summary
from ossimport.journal.limits import LimitsFile
from ossimport.journal.places import Place, worker_host
from ossimport.journal.rebuild import rebuild
from ossimport.journal.replay import StoredTask, Totals
from ossimport.journal.tree import Journal

__all__ = [
    "Journal",
    "LimitsFile",
    "Place",
    "StoredTask",
    "Summary",
    "Totals",
    "rebuild",
    "worker_host",
]
