"""Settings: the original's keys and ours become frozen, validated values.

The only package that knows what a key is called in a file. `load_system`, `load_job` and
`load_workers` raise ConfigError with every mistake of a file at once.
"""

from ossimport.config.job import DestConfig, FilterConfig, JobConfig, SourceConfig
from ossimport.config.keys import SOURCE_TYPES
from ossimport.config.load import load_job
from ossimport.config.places import Endpoint, endpoint, endpoint_region
from ossimport.config.secret import REDACTED, Secret
from ossimport.config.system import SystemConfig, load_system, load_workers

__all__ = [
    "REDACTED",
    "SOURCE_TYPES",
    "DestConfig",
    "Endpoint",
    "FilterConfig",
    "JobConfig",
    "Secret",
    "SourceConfig",
    "SystemConfig",
    "endpoint",
    "endpoint_region",
    "load_job",
    "load_system",
    "load_workers",
]
