"""Where objects come from. `base` has the contract; each srcType is a module of its own."""

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from ossimport.errors import PreflightError
from ossimport.sources.base import Source

if TYPE_CHECKING:
    from ossimport.config import SourceConfig
    from ossimport.transport import Transport

# srcType -> the module whose `open_source` makes it; only the wanted one is imported.
_MODULES = {
    "azure": "ossimport.sources.azure",
    "bos": "ossimport.sources.bos",
    "cos": "ossimport.sources.cos",
    "http": "ossimport.sources.http_list",
    "ks3": "ossimport.sources.ks3",
    "local": "ossimport.sources.local",
    "oss": "ossimport.sources.oss",
    "qiniu": "ossimport.sources.qiniu",
    "s3": "ossimport.sources.s3",
    "youpai": "ossimport.sources.youpai",
}


def open_source(
    config: "SourceConfig",
    *,
    scan_depth: int,
    scratch: Path,
    transport: "Transport | None" = None,
) -> Source:
    """Make the source that `config.type` names. Nothing is read yet; see `Source.check`.

    `scan_depth` is maxMultiThreadScanDepth. `scratch` is an existing directory for temporary files.
    `transport` is for `stat` and `read`, on their event loop; it stays its maker's. Without one the
    source makes its own if it needs it.
    """
    module = _MODULES.get(config.type)
    if module is None:
        raise PreflightError(
            f"srcType={config.type} is not in this version yet, which has: "
            f"{', '.join(_MODULES)}. Cure: set srcType to one of these."
        )
    source: Source = import_module(module).open_source(
        config, scan_depth=scan_depth, scratch=scratch, transport=transport
    )
    return source


def open_listing(config: "SourceConfig", *, scan_depth: int, scratch: Path) -> Source:
    """Make the source for those who scan it: its keys may be listed in files instead."""
    if not (config.key_list or config.inventory):
        return open_source(config, scan_depth=scan_depth, scratch=scratch)
    # Whoever works a source does without.
    from ossimport.sources import key_list  # noqa: PLC0415

    def connect(transport: "Transport") -> Source:
        return open_source(config, scan_depth=scan_depth, scratch=scratch, transport=transport)

    return key_list.open_listing(config, connect)
