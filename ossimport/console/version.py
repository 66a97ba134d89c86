"""version."""

import click

from ossimport import __version__


@click.command()
def version() -> None:
    """Print the version."""
    click.echo(f"ossimport {__version__}")
