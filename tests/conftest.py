"""What all tests share: an environment without settings of ours, and repeatable examples in CI."""

import os

from hypothesis import settings

for name in [name for name in os.environ if name.startswith("OSSIMPORT_")]:
    del os.environ[name]

settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    settings.load_profile("ci")
