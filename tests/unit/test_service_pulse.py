"""The word that a process works."""

from pathlib import Path

from ossimport.service.pulse import EVERY_S, READY_FILE, Pulse


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


def test_where_nobody_listens_nothing_is_due() -> None:
    pulse = Pulse({})
    assert not pulse.is_due
    pulse.beat()
