"""Cases that copy: local files of three sizes, from bucket to bucket, over TLS, from far away."""

from pathlib import Path

from tests.bench.bench import MEDIUM, MIB, SMALL, Bench, Copy
from tests.bench.cheap_server import CheapServer
from tests.bench.figures import OURS, Table
from tests.bench.measure import Spent
from tests.bench.peers import PEERS, Peer
from tests.bench.product import Product, product

LARGE = 256 * MIB
FAR_MS = 20.0


def small(bench: Bench) -> list[Table]:
    """Files of 4 KiB."""
    return _uploads(bench, "small", SMALL)


def medium(bench: Bench) -> list[Table]:
    """Files of 100 KiB."""
    return _uploads(bench, "medium", MEDIUM)


def tls(bench: Bench) -> list[Table]:
    """Files of 4 KiB and of 100 KiB, over TLS."""
    small_tables = _uploads(bench, "tls small", SMALL, tls=True)
    return small_tables + _uploads(bench, "tls medium", MEDIUM, tls=True)


def _uploads(bench: Bench, name: str, size: int, tls: bool | None = None) -> list[Table]:
    few, many = bench.counts(size)
    trees = bench.tree(size, few, many)
    title = f"files of {size // 1024} KiB into a bucket, {few:,} and {many:,} of them"
    table = Table(name, title, compares=True)
    with bench.server(tls=tls) as server, product(_home(bench), server) as ours:
        parts = bench.marginal(server, _upload(bench, server, ours, trees), few, many, table)
    return [table, parts]


def _upload(
    bench: Bench, server: CheapServer, ours: Product, trees: tuple[Path, Path]
) -> dict[str, Copy]:
    def peer(peer: Peer) -> Copy:
        return lambda all_of_it, bucket: peer.upload(trees[all_of_it], server, bucket, bench.log())

    def our(all_of_it: bool, bucket: str) -> Spent:
        return ours.upload(trees[all_of_it], bucket)

    return {OURS: our} | {each.name: peer(each) for each in PEERS}


def _home(bench: Bench) -> Path:
    return bench.directory / bench.fresh("installation-")
