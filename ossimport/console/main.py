"""Find the verb, run it, turn what it returns or raises into an exit code.

A verb's module is imported when the verb is used: `version` should not wait for Redis clients.
"""

import importlib
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import click

from ossimport.console.outcome import DECLINED, DONE, INTERRUPTED, STOPPED, code_for, explain
from ossimport.errors import OssImportError

# verb -> where its command is, and its line of the help text. The original's verbs come first.
VERBS = {
    "submit": ("ossimport.console.jobs:submit", "submit job"),
    "start": ("ossimport.console.services:start", "start import service"),
    "stop": ("ossimport.console.services:stop", "stop import service"),
    "clean": ("ossimport.console.jobs:clean", "clean old job"),
    "stat": ("ossimport.console.jobs:stat", "stat job"),
    "retry": ("ossimport.console.jobs:retry", "retry all failed tasks"),
    "version": ("ossimport.console.version:version", "ossimport version"),
    "pause": ("ossimport.console.steering:pause", "pause job"),
    "resume": ("ossimport.console.steering:resume", "let a paused job go on"),
    "priority": ("ossimport.console.steering:priority", "say whose tasks go first"),
    "deploy": ("ossimport.console.fleet:deploy", "bring this installation to the other hosts"),
    "import": ("ossimport.console.one_click:import_", "submit, start, watch, retry and report"),
    "audit": ("ossimport.console.audit:audit", "compare both ends, and say what does not match"),
    "throttle": ("ossimport.console.throttle:throttle", "show or change limits of speed"),
    "worker": ("ossimport.console.worker:worker", "run a worker in the foreground"),
    "master": ("ossimport.console.master:master", "run a master in the foreground"),
    "monitor": ("ossimport.console.monitor:monitor", "run Flower in the foreground"),
    "sandbox": ("ossimport.sandbox.command:sandbox_command", "run the local OSS endpoint"),
}


class Verbs(click.Group):
    """A group that imports a verb only when it is called, and takes `Start` for `start`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        name = cmd_name[:1].lower() + cmd_name[1:]
        if name not in VERBS:
            return None
        module, _, attribute = VERBS[name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        formatter.write(support())
        formatter.write("\nMore about one of them: VERB --help\n")


def support() -> str:
    """The list of verbs as the original prints it."""
    lines = [f"    {verb}: {text}" for verb, (_, text) in VERBS.items()]
    return "\n".join(["Support command:", *lines, ""])


@click.group(cls=Verbs)
def cli() -> None:
    """Moves objects into Alibaba Cloud OSS and proves that every one arrived."""


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one verb and return its exit code. A bug in this project raises."""
    try:
        return cli.main(arguments, prog_name="ossimport", standalone_mode=False) or DONE
    except click.UsageError as error:
        return _misused(error, sys.argv[1:] if arguments is None else arguments)
    except click.ClickException as error:
        click.echo(f"Error: {error.format_message()}", err=True)
        return STOPPED
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except OssImportError as error:
        click.echo(explain(error), err=True)
        return code_for(error)
    except OSError as error:
        return _system_refused(error)


def _misused(error: click.UsageError, arguments: Sequence[str]) -> int:
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        click.echo(support(), nl=False)
        return DECLINED
    # What click says of an option that lacks its value names no verb.
    verb = next((name for name in arguments[:1] if name[:1].lower() + name[1:] in VERBS), "")
    click.echo(f"Error: {f'ossimport {verb}'.rstrip()}: {error.format_message()}", err=True)
    if verb:
        # The list of all of them would hide the error.
        click.echo(f"    cure: bash console.sh {verb} --help", err=True)
    else:
        click.echo(f"\n{support()}", nl=False, err=True)
    return DECLINED


def _system_refused(error: OSError) -> int:
    if isinstance(error, BrokenPipeError):
        # The reader of our output has gone (`stat | head`); nothing more can be told to it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    elif isinstance(error, PermissionError) and error.filename:
        click.echo(
            f"Error: {error.filename}: {error.strerror}\n"
            f"    cure: run this as {_owner(Path(error.filename))}, or give all of the directory to"
            " this user (chown -R)",
            err=True,
        )
    else:
        click.echo(f"Error: {error}", err=True)
    return STOPPED


def _owner(path: Path) -> str:
    """Whose it is; a directory hides what is in it, then whose that is."""
    for each in (path, *path.parents):
        with suppress(OSError):
            return _user(each)
    return "another user"


def _user(path: Path) -> str:
    try:
        return f"{path.owner()}, to whom {path} belongs"
    except (KeyError, NotImplementedError):  # a user without a name; Windows
        return f"the user to whom {path} belongs"


def main() -> None:
    """Entry point of `ossimport` and `python -m ossimport`."""
    # What a verb does when it is interrupted it does when it is told to end, too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(run())
