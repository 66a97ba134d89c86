"""What a server says of itself in INFO, held against what the ledger and the queue need."""

from collections.abc import Mapping
from typing import NamedTuple

OLDEST = (6, 2)  # XTRIM MINID


class Findings(NamedTuple):
    """What must be mended before anything starts, and what an operator should know."""

    mistakes: list[str]
    warnings: list[str]


def judge(info: Mapping[str, object], *, sentinel: bool) -> Findings:
    """Each finding says what is wrong and how to mend it. What INFO leaves out is not judged."""
    mistakes, warnings = [], []
    version = str(info.get("redis_version", ""))
    numbers = [int(number) for number in version.split(".")[:2] if number.isdigit()]
    if len(numbers) == len(OLDEST) and tuple(numbers) < OLDEST:
        mistakes.append(f"it is of version {version}: install 6.2 or newer")
    if str(info.get("cluster_enabled", 0)) == "1":
        mistakes.append(
            "it is a Redis Cluster, for which Celery has no transport: let redisUrl name a single"
            " server (cluster-enabled no), or a primary with replicas behind Sentinel"
        )
    if info.get("role") == "slave":
        mistakes.append(
            f"it is a replica of {info.get('master_host')}:{info.get('master_port')}, which takes"
            " no writes: let redisUrl name the primary, or the sentinels by sentinel://"
        )
    policy = str(info.get("maxmemory_policy", "noeviction"))
    if policy.startswith("allkeys"):
        mistakes.append(
            f"maxmemory-policy is {policy}: when it is full, Redis would throw tasks away. Set"
            " maxmemory-policy noeviction"
        )
    elif policy != "noeviction":
        warnings.append(
            f"maxmemory-policy is {policy}: when it is full, Redis would throw leases away. Set"
            " maxmemory-policy noeviction"
        )
    if str(info.get("aof_enabled", 1)) == "0":
        warnings.append(
            "it keeps no append-only file: after a restart it has lost what was recorded since its"
            " last snapshot, if it makes any, and objects are copied again. Set appendonly yes"
        )
    if sentinel and str(info.get("connected_slaves", 1)) == "0":
        warnings.append("no replica is connected, so that Sentinel has nobody to promote")
    return Findings(mistakes, warnings)
