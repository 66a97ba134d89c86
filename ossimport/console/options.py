"""What several verbs take: `--sys FILE`, and where files are that were not named."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from ossimport.config import SystemConfig, load_system
from ossimport.errors import ConfigError, Problem

Command = Callable[..., Any]


def default_file(name: str) -> Path:
    """A file of the installation (`OSS_IMPORT_HOME`, set by console.sh), else of this directory."""
    return Path(os.environ.get("OSS_IMPORT_HOME", "."), "conf", name)


def sys_hint(system: SystemConfig) -> str:
    """What a command that we propose needs behind it to mean this installation."""
    usual = default_file("sys.properties").absolute() == system.path.absolute()
    return "" if usual else f" --sys {system.path}"


def load_sys(ctx: click.Context, parameter: click.Parameter, value: Path | None) -> SystemConfig:
    """Load sys.properties and show its warnings. Raises ConfigError."""
    path = value or default_file("sys.properties")
    if value is None and not path.exists():
        message = "no installation is here"
        cure = "use the console.sh of the installation, or --sys FILE with its sys.properties"
        raise ConfigError([Problem(str(path.absolute()), 0, "", "", message, cure)])
    system = load_system(path)
    for warning in system.warnings:
        click.echo(f"Warning: {warning}", err=True)
    return system


def with_strict(command: Command) -> Command:
    """Give the command `--strict`."""
    text = "Refuse what would lose metadata: the job if its first objects would, else each object."
    return click.option("--strict", is_flag=True, help=text)(command)


def with_system(command: Command) -> Command:
    """Give the command `--sys FILE`; it gets the loaded settings as `system`."""
    return click.option(
        "--sys",
        "system",
        type=click.Path(path_type=Path),
        callback=load_sys,
        help="sys.properties of the installation; default conf/sys.properties.",
    )(command)
