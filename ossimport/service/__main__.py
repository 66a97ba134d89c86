"""`python -m ossimport.service SYS_PROPERTIES`: the supervisor, as `start` runs it."""

import logging
import sys
from pathlib import Path

from ossimport.config import load_system
from ossimport.service import logs
from ossimport.service.supervisor import supervise

if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format=logs.LINE)  # stderr is logs/ossimport2.log
    supervise(load_system(Path(sys.argv[1])))
