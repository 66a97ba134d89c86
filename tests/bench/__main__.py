"""The benchmark: `bash tests/bench/run [what...]`."""

import os
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import click
from rich.console import Console

from tests.bench import footprint, report, requests, scanning, startup, uploads
from tests.bench.bench import Bench
from tests.bench.figures import Results, Table
from tests.bench.measure import machine

CASES: dict[str, Callable[[Bench], list[Table]]] = {
    "small": uploads.small,
    "medium": uploads.medium,
    "large": uploads.large,
    "bucket": uploads.bucket,
    "latency": uploads.latency,
    "tls": uploads.tls,
    "import": startup.import_,
    "scan": scanning.scan,
    "requests": requests.requests,
    "memory": footprint.memory,
}


@click.command()
@click.argument("cases", nargs=-1, type=click.Choice(list(CASES)), metavar="[CASE]...")
@click.option("--runs", default=3, show_default=True, help="How often each is measured, in turn.")
@click.option(
    "--objects",
    nargs=2,
    type=int,
    default=(20_000, 120_000),
    show_default=True,
    help="4 KiB objects in the smaller and the larger job.",
)
@click.option("--delay-ms", default=0.0, help="Have the server answer so much later.")
@click.option("--tls", is_flag=True, help="Have the server speak TLS.")
@click.option(
    "--most-objects",
    default=1_000_000,
    show_default=True,
    help="Of the longest run of `memory`; 10000000 takes a quarter of an hour.",
)
@click.option(
    "--json",
    "json_file",
    default="build/bench.json",
    show_default=True,
    type=click.Path(path_type=Path),
    help="Where the figures go.",
)
def main(
    *,
    cases: tuple[str, ...],
    runs: int,
    objects: tuple[int, int],
    delay_ms: float,
    tls: bool,
    most_objects: int,
    json_file: Path,
) -> None:
    """Measure the product and its peers and print what was found.

    Cases: small, medium, large, bucket, latency, tls, import, scan, memory, requests. Default: all.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that everything is ended
    console = Console()
    if not console.is_terminal:
        console.width = 120
    command = " ".join(["bash tests/bench/run", *sys.argv[1:]])
    results = Results({**machine(), "load before": f"{os.getloadavg()[0]:.1f}"}, command)
    with tempfile.TemporaryDirectory(prefix="ossimport-bench-") as directory:
        few, many = objects
        bench = Bench(Path(directory), console, runs, few, many, delay_ms, tls, most_objects)
        for name in cases or CASES:
            for table in CASES[name](bench):
                results.tables.append(table)
                report.show(table, console)
            results.save(json_file)  # after each case: the next one may be interrupted
    console.print(", ".join(f"{key} {value}" for key, value in results.machine.items()))
    console.print(f"Written to {json_file}.")


if __name__ == "__main__":
    main()
