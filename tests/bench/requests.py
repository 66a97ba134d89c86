"""The case that counts requests: what a job asks the destination for, per object."""

from collections.abc import Callable
from functools import partial

from tests.bench.bench import SMALL, Bench
from tests.bench.figures import OURS, Table
from tests.bench.peers import PEERS
from tests.bench.product import product

_COLUMNS = ("put", "head", "list")


def requests(bench: Bench) -> list[Table]:
    """Requests per object into an empty bucket, and with isSkipExistFile into one that has all."""
    few, many = bench.counts(SMALL)
    objects, _ = bench.tree(SMALL, few, many)
    table = Table("requests", f"requests per object, {few:,} files of 4 KiB")
    with bench.server() as server, product(bench.home(), server) as ours:
        first, second = bench.fresh("null"), bench.fresh("null")
        copies: dict[str, Callable[[], object]] = {
            OURS: lambda: ours.upload(objects, first),
            f"{OURS}, isSkipExistFile, all there": lambda: ours.upload(
                objects, first, isSkipExistFile="true"
            ),
            f"{OURS}, isSkipExistFile, none there": lambda: ours.upload(
                objects, second, isSkipExistFile="true"
            ),
        }
        for peer in PEERS:
            copies[peer.name] = partial(
                peer.upload, objects, server, bench.fresh("null"), bench.log()
            )
        for row, copy in copies.items():
            bench.console.print(f"requests: {row}", highlight=False)
            server.reset()
            copy()
            stats = server.stats()
            found = {kind: stats.requests.pop(kind, 0) / few for kind in _COLUMNS}
            found["others"] = sum(stats.requests.values()) / few
            table.add(row, {"all": sum(found.values()), **found})
            table.rows[row]["connections"] = [stats.connections]
    return [table]
