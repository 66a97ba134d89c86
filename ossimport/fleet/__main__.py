"""`python -m ossimport.fleet SYS_PROPERTIES`: what this host says of itself, for `look`."""

import sys
from pathlib import Path

from ossimport.config import load_system
from ossimport.fleet.here import describe

if __name__ == "__main__":
    sys.stdout.write(f"{describe(load_system(Path(sys.argv[1])))}\n")
