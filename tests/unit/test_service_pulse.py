"""The word that a process works."""

import sys
from pathlib import Path

import pytest

from ossimport.service.pulse import EVERY_S, NOTIFY_SOCKET, READY_FILE, Pulse


def test_a_word_is_given_at_once_and_then_after_a_while_again(tmp_path: Path) -> None:
    now, file = 100.0, tmp_path / "ready"
    pulse = Pulse({READY_FILE: str(file)}, clock=lambda: now)
    assert not file.exists()
    pulse.beat()
    file.unlink()
    now += EVERY_S - 1
    assert not pulse.is_due
    pulse.beat()
    assert not file.exists()
    now += 1
    assert pulse.is_due
    pulse.beat()
    assert file.exists()


@pytest.mark.skipif(sys.platform != "linux", reason="systemd is Linux's")
def test_who_cannot_say_it_goes_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    Pulse({READY_FILE: str(tmp_path / "gone" / "ready")}).beat()
    Pulse({NOTIFY_SOCKET: str(tmp_path / "gone")}).beat()
    assert len(caplog.messages) == 2


def test_where_nobody_listens_nothing_is_due() -> None:
    pulse = Pulse({})
    assert not pulse.is_due
    pulse.beat()
