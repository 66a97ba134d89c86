"""What all tests share: an environment without settings of ours, and repeatable examples in CI."""

import os

from hypothesis import settings

for name in [name for name in os.environ if name.startswith("OSSIMPORT_")]:
    del os.environ[name]

# No deadlines: how long an example takes says more about the machine than about us.
settings.register_profile("anywhere", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "anywhere")
