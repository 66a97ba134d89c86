"""Hosts to deploy to, and what to install there from: one of each for a file of tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.fleet import Fleet, fleet
from tests.servers.hosts import missing
from tests.servers.wheelhouse import make_wheelhouse

WHY_NOT = missing()


@pytest.fixture(scope="session")
def wheelhouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All that an installation needs, so that hosts need no index."""
    return make_wheelhouse(tmp_path_factory.mktemp("packages") / "wheelhouse")


@pytest.fixture(scope="module")
def one_host(tmp_path_factory: pytest.TempPathFactory, wheelhouse: Path) -> Iterator[Fleet]:
    """A master and `w1`, to which it has deployed."""
    if WHY_NOT:
        pytest.skip(WHY_NOT)
    with fleet(tmp_path_factory.mktemp("fleet"), "w1") as made:
        made.verb("deploy", "--wheelhouse", str(wheelhouse))
        yield made
