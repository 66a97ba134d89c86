"""Yes-or-no questions, worded and answered as the original's; never asked of a closed input."""

import sys
from enum import Enum

import click

YES = frozenset(("y", "Y", "yes", "Yes", "YES"))
NO = frozenset(("n", "N", "no", "No", "NO"))


class Manner(Enum):
    """Who answers."""

    ASK = "ask"  # whoever is at the other end of standard input, terminal or pipe
    YES = "yes"  # nobody: whatever finishes the migration
    NO_INPUT = "no-input"  # nobody: whatever destroys nothing


def ask(question: str) -> bool | None:
    """Put the question until it is answered; None when standard input has ended."""
    while True:
        click.echo(f"{question}, Yes or No: ", nl=False)
        line = sys.stdin.readline() if sys.stdin else ""
        if not line:
            click.echo()
            return None
        answer = line.strip()
        if answer in YES | NO:
            return answer in YES
        click.echo("Answer yes or no")
