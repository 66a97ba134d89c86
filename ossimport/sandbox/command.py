"""`ossimport sandbox`: a local OSS endpoint from the command line."""

from pathlib import Path

import click

from ossimport.errors import ServiceError
from ossimport.sandbox.server import serve

LOOPBACK = ("127.0.0.1", "::1", "localhost")


@click.command("sandbox")
@click.option("--port", default=9580, show_default=True, help="Port to listen on; 0: a free one.")
@click.option(
    "--dir",
    "directory",
    type=click.Path(path_type=Path),
    default=Path("sandbox"),
    show_default=True,
    help="Where to keep the objects.",
)
@click.option(
    "--access-key",
    required=True,
    envvar="OSSIMPORT_SANDBOX_ACCESS_KEY",
    help="The owner's; with -reader behind it, and the same secret, a user may only read.",
)
@click.option(
    "--secret-key",
    required=True,
    envvar="OSSIMPORT_SANDBOX_SECRET_KEY",
    help="Better given by OSSIMPORT_SANDBOX_SECRET_KEY: a process list shows arguments.",
)
@click.option("--bucket", "buckets", multiple=True, help="Bucket to make; may be repeated.")
@click.option(
    "--address",
    default="127.0.0.1",
    show_default=True,
    help="Address to listen on; other than loopback only where nobody else can reach it.",
)
@click.option("--region", default="cn-hangzhou", show_default=True, help="Region of V4 signatures.")
def sandbox_command(
    *,
    port: int,
    directory: Path,
    access_key: str,
    secret_key: str,
    buckets: tuple[str, ...],
    address: str,
    region: str,
) -> None:
    """Run a local OSS endpoint, to try a migration. It is not a storage product."""
    if address not in LOOPBACK:
        click.echo(
            f"Warning: the sandbox listens on {address}, where other hosts may reach it. It is for"
            " trying things out: it has no TLS, and nothing that matters should be kept in it.",
            err=True,
        )
    try:
        serve(
            port=port,
            directory=directory,
            access_key=access_key,
            secret_key=secret_key,
            buckets=buckets,
            address=address,
            region=region,
        )
    except ServiceError as exc:
        raise click.ClickException(str(exc)) from exc
