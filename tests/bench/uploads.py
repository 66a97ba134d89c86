"""Cases that copy: local files of three sizes, from bucket to bucket, over TLS, from far away."""

import time
from pathlib import Path

from tests.bench import guard
from tests.bench.bench import MEDIUM, MIB, SMALL, Bench, Copy
from tests.bench.cheap_server import CheapServer
from tests.bench.figures import OURS, Table
from tests.bench.measure import ALL_CORES, CLIENT_CORES, Spent, on_cores
from tests.bench.peers import BETWEEN, IN_FLIGHT, PEERS, Peer
from tests.bench.product import Product, Refused, product

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


def large(bench: Bench) -> list[Table]:
    """Files of 256 MiB."""
    few, many = 2, 8
    trees = bench.tree(LARGE, few, many)
    title = f"files of {LARGE // MIB} MiB into a bucket, {few} and {many} of them"
    table = Table("large", title, compares=True)
    with bench.server() as server, product(bench.home(), server) as ours:
        copies = _uploading(bench, server, ours, trees)
        parts = bench.compare(server, copies, (few, many), LARGE, table)
    return [table, parts]


def bucket(bench: Bench) -> list[Table]:
    """Objects of 4 KiB and of 100 KiB from one bucket to another, through this host."""
    tables = []
    for name, size in (("bucket small", SMALL), ("bucket medium", MEDIUM)):
        few, many = bench.counts(size)
        title = f"objects of {size // 1024} KiB, bucket to bucket, {few:,} and {many:,} of them"
        table = Table(name, title, compares=True)
        with bench.server() as server, product(bench.home(), server) as ours:
            sources = ("few", "many")
            for source, count in zip(sources, (few, many), strict=True):
                server.fill(source, count, size)
            copies = _between(bench, server, ours, sources)
            try:
                tables += [table, bench.compare(server, copies, (few, many), size, table)]
            except Refused as refused:
                return [Table(name, title, skipped=str(refused).strip())]
    return tables


def latency(bench: Bench) -> list[Table]:
    """Files of 4 KiB to a server that answers 20 ms later; ours also without the peers' limit."""
    delay_ms = bench.delay_ms or FAR_MS
    ceiling = IN_FLIGHT * 1000 / delay_ms
    few, many = bench.few // 2, bench.many // 2
    trees = bench.tree(SMALL, few, many)
    title = f"files of 4 KiB, {delay_ms:g} ms away, {few:,} and {many:,} of them"
    table = Table("latency", title)
    pair = {"workerProcessNum": 2, "workerTaskThreadNum": 2 * IN_FLIGHT}
    with (
        bench.server(delay_ms=delay_ms) as server,
        product(bench.home(), server) as ours,
        product(bench.home(), server, cores=ALL_CORES, settings=pair) as two,
        product(bench.home(), server, settings={"workerTaskThreadNum": ""}) as free,
    ):
        copies = _uploading(bench, server, ours, trees)
        copies[f"{OURS}, 2 processes"] = _our_upload(two, trees)
        copies[f"{OURS}, as shipped"] = _our_upload(free, trees)
        copies["a loop by hand"] = _by_hand(server, trees)
        bench.compare(server, copies, (few, many), SMALL, table)
    share = f"of {ceiling:,.0f}/s"
    for values in table.rows.values():
        values[share] = [speed / ceiling for speed in values["objects/s"]]
    table.notes += [
        f"{ceiling:,.0f} objects/s is what {IN_FLIGHT} requests in flight can reach at {delay_ms:g}"
        f" ms each. Two processes are allowed {2 * IN_FLIGHT}, and all cores.",
        "As shipped: one process finds by itself how many requests in flight are best.",
        "A loop by hand: system calls and a CRC64, nothing else; what it misses is the server's.",
    ]
    return [table]


def _uploads(bench: Bench, name: str, size: int, tls: bool | None = None) -> list[Table]:
    few, many = bench.counts(size)
    trees = bench.tree(size, few, many)
    title = f"files of {size // 1024} KiB into a bucket, {few:,} and {many:,} of them"
    table = Table(name, title, compares=True)
    with bench.server(tls=tls) as server, product(bench.home(), server) as ours:
        copies = _uploading(bench, server, ours, trees)
        parts = bench.compare(server, copies, (few, many), size, table)
    return [table, parts]


def _uploading(
    bench: Bench, server: CheapServer, ours: Product, trees: tuple[Path, Path]
) -> dict[str, Copy]:
    def peer(peer: Peer) -> Copy:
        return lambda all_of_it, bucket: peer.upload(trees[all_of_it], server, bucket, bench.log())

    return {OURS: _our_upload(ours, trees)} | {each.name: peer(each) for each in PEERS}


def _our_upload(ours: Product, trees: tuple[Path, Path]) -> Copy:
    return lambda all_of_it, bucket: ours.upload(trees[all_of_it], bucket)


def _by_hand(server: CheapServer, trees: tuple[Path, Path]) -> Copy:
    def send(all_of_it: bool, bucket: str) -> Spent:
        with on_cores(CLIENT_CORES):
            began = time.monotonic()
            cpu = guard.least(trees[all_of_it], server.port, bucket)
        return Spent(cpu, time.monotonic() - began)

    return send


def _between(
    bench: Bench, server: CheapServer, ours: Product, sources: tuple[str, str]
) -> dict[str, Copy]:
    def peer(peer: Peer) -> Copy:
        return lambda all_of_it, bucket: peer.between(
            sources[all_of_it], server, bucket, bench.log()
        )

    def our(all_of_it: bool, bucket: str) -> Spent:
        return ours.between(sources[all_of_it], bucket)

    return {OURS: our} | {each.name: peer(each) for each in BETWEEN}
