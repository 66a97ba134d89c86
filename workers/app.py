"""The Celery application: `celery -A workers.app worker`.

`OSSIMPORT_SYS` names the sys.properties to use; `python -m ossimport worker` sets it.
"""

import os
from pathlib import Path

from ossimport.config import load_system
from ossimport.queue import make_app
from ossimport.service import redis_url

system = load_system(Path(os.environ.get("OSSIMPORT_SYS", "conf/sys.properties")))
app = make_app(redis_url(system))
app.conf.update(worker_concurrency=system.worker_processes, imports=["workers.tasks"])
