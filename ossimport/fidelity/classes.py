"""Which storage class of OSS stands for which one of a source, where destStorageClass=source.

By what must not become worse: what could be read at once still can, and what has to be restored
still costs less to hold. Minimum times and prices differ; docs/fidelity.md says so.
"""

from collections.abc import Mapping

OSS_CLASSES = ("Standard", "IA", "Archive", "ColdArchive", "DeepColdArchive")
STANDARD = "Standard"
SOURCE_CLASS = "source"  # the value of destStorageClass that means this table

_LIKE_S3 = {
    "STANDARD": STANDARD,
    "STANDARD_IA": "IA",
    "INTELLIGENT_TIERING": STANDARD,
    "ARCHIVE": "Archive",
    "DEEP_ARCHIVE": "ColdArchive",
}

# The header that tells a class -> its values -> the class at OSS. Of other values nothing is known.
CLASSES: Mapping[str, Mapping[str, str]] = {
    "x-oss-storage-class": {name: name for name in OSS_CLASSES},
    "x-amz-storage-class": {
        **{name: _LIKE_S3[name] for name in ("STANDARD", "STANDARD_IA", "INTELLIGENT_TIERING")},
        "REDUCED_REDUNDANCY": STANDARD,
        "EXPRESS_ONEZONE": STANDARD,
        "ONEZONE_IA": "IA",
        "GLACIER_IR": "IA",
        "GLACIER": "Archive",
        "DEEP_ARCHIVE": "ColdArchive",
    },
    "x-cos-storage-class": {
        **_LIKE_S3,
        "MAZ_STANDARD": STANDARD,
        "MAZ_STANDARD_IA": "IA",
        "MAZ_INTELLIGENT_TIERING": STANDARD,
        "COLD_ARCHIVE": "ColdArchive",
        "COLD": "IA",
    },
    "x-bce-storage-class": {
        **{name: _LIKE_S3[name] for name in ("STANDARD", "STANDARD_IA", "ARCHIVE")},
        "MAZ_STANDARD": STANDARD,
        "MAZ_STANDARD_IA": "IA",
        "COLD": "IA",
    },
    "x-kss-storage-class": {
        **{name: _LIKE_S3[name] for name in ("STANDARD", "STANDARD_IA", "ARCHIVE")},
        "DEEP_IA": "IA",
    },
    "x-ms-access-tier": {"Hot": STANDARD, "Cool": "IA", "Cold": "IA", "Archive": "Archive"},
}

# Stores that say nothing of an object in their standard class, by what user metadata begin with.
SILENT_OF_STANDARD = {
    f"x-{store}-meta-": f"x-{store}-storage-class" for store in ("amz", "bce", "cos", "kss")
}


def markdown() -> str:
    """The table, for docs/fidelity.md."""
    heads = ["destStorageClass=source", *(f"`{header}`" for header in CLASSES)]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for at_oss in OSS_CLASSES:
        names = (
            ", ".join(name for name, known in classes.items() if known == at_oss)
            for classes in CLASSES.values()
        )
        lines.append(f"| {at_oss} | {' | '.join(names)} |")
    return "\n".join(lines)
