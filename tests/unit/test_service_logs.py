"""Where logs go, and how they are rotated."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from ossimport.service import logs


def test_a_log_moves_away_when_it_is_too_long_and_the_oldest_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "import.log"
    logs.rotate(path)
    path.write_text("short")
    logs.rotate(path, over=5)
    assert path.read_text() == "short"
    for number in range(8):
        path.write_text(f"{number}" * 6)
        logs.rotate(path, over=5)
    assert not path.exists()
    kept = {p.name: p.read_text()[0] for p in tmp_path.iterdir()}
    assert kept == {f"import.log.{n}": str(8 - n) for n in range(1, 6)}


def test_the_tail_shows_the_last_lines_and_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "ossimport2.log").write_text("".join(f"line {n}\n" for n in range(40)))
    tail = logs.tail(tmp_path)
    assert "line 39" in tail
    assert "line 24" not in tail
    assert str(tmp_path / "logs" / "ossimport2.log") in tail


@pytest.fixture
def fresh_logging(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What is set up here is gone afterwards."""
    monkeypatch.setattr(logging.root, "handlers", [])
    monkeypatch.setattr(logging.root, "level", logging.WARNING)
    yield
    logging.captureWarnings(False)


@pytest.mark.usefixtures("fresh_logging")
def test_json_is_one_object_per_line_whatever_is_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(logs.WHERE, "json")
    logs.log_to(tmp_path / "logs" / "import.log")
    try:
        raise ValueError("why")
    except ValueError:
        logging.getLogger("a.b").exception("two\nlines of %s", "\udc80 中")
    (line,) = capsys.readouterr().out.splitlines()
    told = json.loads(line)
    assert line.isascii()
    assert (told["level"], told["logger"]) == ("ERROR", "a.b")
    assert told["message"] == "two\nlines of \udc80 中"
    assert told["exception"].endswith("ValueError: why")
    assert not (tmp_path / "logs").exists()
