"""Questions."""

import io
import sys

import pytest

from ossimport.console.ask import ask


@pytest.mark.parametrize("word", ["y", "Y", "yes", "Yes", "YES", " yes \r"])
def test_yes_has_five_spellings(monkeypatch: pytest.MonkeyPatch, word: str) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{word}\n"))
    assert ask("Clean the previous job") is True


@pytest.mark.parametrize("word", ["n", "N", "no", "No", "NO"])
def test_no_has_five_spellings(monkeypatch: pytest.MonkeyPatch, word: str) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{word}\n"))
    assert ask("Clean the previous job") is False


def test_another_answer_is_refused_and_the_question_put_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("maybe\nyEs\n\nno\n"))
    assert ask("Retry the failed tasks") is False
    question = "Retry the failed tasks, Yes or No: "
    assert capsys.readouterr().out == (question + "Answer yes or no\n") * 3 + question


def test_nobody_answers_when_the_input_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("maybe\n"))
    assert ask("Stop import service") is None
    monkeypatch.setattr(sys, "stdin", None)
    assert ask("Stop import service") is None
