"""What an operator reads of a job. Pure: snapshots in, text out.

`terminal.live` is not imported here: only a terminal needs rich, which takes long to import.
"""

from ossimport.report.cures import cure_for
from ossimport.report.limits import limits_json, limits_text
from ossimport.report.numbers import eta, human_bytes, human_time
from ossimport.report.progress import progress_line
from ossimport.report.stat import job_json, stat_json, stat_text
from ossimport.report.summary import summary_text

__all__ = [
    "cure_for",
    "eta",
    "human_bytes",
    "human_time",
    "job_json",
    "limits_json",
    "limits_text",
    "progress_line",
    "stat_json",
    "stat_text",
    "summary_text",
]
