"""An installation in a directory of its own, used through its console as an operator uses it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.installation import Installation


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    """Nothing of it runs before the test and after it."""
    made = Installation(tmp_path)
    yield made
    made.clear()
