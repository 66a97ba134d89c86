"""What all tests share: an environment without settings of ours, and repeatable examples in CI."""

import os

from hypothesis import HealthCheck, settings

for name in [name for name in os.environ if name.startswith("OSSIMPORT_")]:
    del os.environ[name]

# No deadlines: how long an example takes says more about the machine than about us.
settings.register_profile("anywhere", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("anywhere"), derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "anywhere")
