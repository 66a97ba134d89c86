"""The settings of one job, as values."""

import json
from dataclasses import dataclass, fields
from hashlib import sha256
from typing import Any, Self

from ossimport.config.secret import Secret
from ossimport.errors import ConfigError, Problem

# Who signs, and how fast it goes, do not change which bytes arrive where.
_SIGNING = {"access_key", "secret_key", "security_token", "credentials", "region"}
_TUNING = {
    "name",
    "incremental_interval_s",
    "priority",
    "incremental_max_delete",
    "task_objects",
    "task_bytes",
    "scan_threads",
    "scan_depth",
    "multipart_threshold",
    "part_size",
    "upload_threads",
    "warnings",
}
_NESTED = {"source", "dest", "filter"}


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceConfig:
    """Where objects come from. Fields that the type does not use have their defaults."""

    type: str  # srcType, one of SOURCE_TYPES
    access_key: str = ""
    secret_key: Secret = Secret()
    security_token: Secret = Secret()
    credentials: str = ""  # where the three above come from instead; oss and s3
    domain: str = ""  # srcDomain as written, without a / at its end; see `endpoint`
    region: str = ""  # what requests are signed for (oss), or where the bucket is (qiniu)
    bucket: str = ""
    prefix: str = ""  # empty or ends with /; cos and youpai: without a / at its beginning
    app_id: int = 0
    download_from_cdn: bool = False
    cdn_domain: str = ""
    key_list: str = ""  # paths on the master's host: what is read instead of a listing
    inventory: str = ""
    inventory_columns: str = ""
    http_list_path: str = ""
    http_prefix_column: int = 1  # 1-based
    relative_path_column: int = 2
    http_size_column: int = 0  # 0 = the list has none
    http_md5_column: int = 0
    meta_mode: str = "stat"  # stat or head
    allow_symlinks: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class DestConfig:
    """Where objects go: always OSS."""

    access_key: str = ""
    secret_key: Secret = Secret()
    security_token: Secret = Secret()
    credentials: str = ""  # where the three above come from instead: file:, process:, ecs:
    scheme: str = "http"  # or https
    host: str
    port: int = 80
    bucket: str
    prefix: str = ""
    region: str = "cn-hangzhou"
    server_side_encryption: bool = False
    storage_class: str = ""  # "" = the bucket's; `source` = by that of the source's object
    acl: str = ""  # "" = the bucket's
    preserve: str = "headers,user,mtime"  # what of an object goes with its bytes
    meta_map: str = ""  # see `meta_map`

    @property
    def as_source(self) -> SourceConfig:
        """The destination, to be read."""
        return SourceConfig(
            type="oss",
            access_key=self.access_key,
            secret_key=self.secret_key,
            security_token=self.security_token,
            credentials=self.credentials,
            domain=f"{self.scheme}://{self.host}:{self.port}",
            region=self.region,
            bucket=self.bucket,
            prefix=self.prefix,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class FilterConfig:
    """Which of the listed objects are taken; `filters` has the rules."""

    include: str = ""  # globs, as written
    exclude: str = ""
    include_regex: str = ""
    exclude_regex: str = ""
    min_size: int = 0
    max_size: int = 0  # 0 = no limit
    modified_after: int = 0  # unix seconds; 0 = no limit
    modified_before: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class JobConfig:
    """One job file, validated."""

    name: str
    job_type: str = "import"  # or audit; or extra, its reverse, which only `audit --extra` makes
    incremental: bool = False
    incremental_interval_s: int = 86400
    incremental_max_delete: int = 0  # objects; 0: a round deletes nothing at OSS
    import_since: int = 0  # unix seconds; 0 = everything
    last_modify: int = 0  # unix seconds; 0 = off
    skip_existing: bool = False
    source: SourceConfig
    dest: DestConfig
    filter: FilterConfig = FilterConfig()
    priority: int = 5  # 0 to 9; tasks of the job with the higher one go first
    task_objects: int = 10_000
    task_bytes: int = 10**9
    scan_threads: int = 1
    scan_depth: int = 1
    multipart_threshold: int = 150 << 20  # bytes; larger objects are sent in parts
    part_size: int = 50 << 20
    upload_threads: int = 3
    audit_after: bool = True
    audit_mode: str = "general"  # simple, general or detailed; an audit's may be deep
    audit_repair: bool = False  # an audit copies what does not match
    strict: bool = False  # --strict: what would lose something fails
    warnings: tuple[str, ...] = ()  # what the operator should know, with file, line and key

    @property
    def writes(self) -> bool:
        """The job writes to the destination."""
        return self.job_type == "import" or self.audit_repair

    @property
    def scanned(self) -> SourceConfig:
        """The end whose objects the job lists."""
        return self.dest.as_source if self.job_type == "extra" else self.source

    @property
    def fingerprint(self) -> str:
        """Changes if and only if a setting changes that says which bytes go where, or what
        is verified. Secrets, access keys (but for azure, where it is the account that is read),
        the region and settings of speed do not count."""
        source = _counted(self.source, _SIGNING)
        if self.source.type == "azure":
            source["access_key"] = self.source.access_key
        counted = _counted(self, _TUNING | _NESTED)
        counted |= {"source": source, "dest": _counted(self.dest, _SIGNING)}
        counted |= {"filter": _counted(self.filter, set())}
        return sha256(json.dumps(counted, sort_keys=True).encode()).hexdigest()[:32]

    def to_json(self) -> str:
        """Every field, the secrets in clear. Only what seals it at once (`seal.py`) may call it."""
        nested = {name: _plain(getattr(self, name)) for name in _NESTED}
        return json.dumps(_plain(self) | nested)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The job that `to_json` wrote. Raises ConfigError for another version's settings."""
        try:
            data = json.loads(text)
            source = SourceConfig(**_with_secrets(SourceConfig, data.pop("source")))
            dest = DestConfig(**_with_secrets(DestConfig, data.pop("dest")))
            chosen = FilterConfig(**data.pop("filter"))
            warnings = tuple(data.pop("warnings"))
            return cls(**data, source=source, dest=dest, filter=chosen, warnings=warnings)
        except (ValueError, TypeError, KeyError, AttributeError):
            message = "the settings in the ledger were written by another version of ossimport"
            cure = "install one version on every host, or clean the job and submit it again"
            raise ConfigError([Problem("the ledger", 0, "", "", message, cure)]) from None


Part = SourceConfig | DestConfig | FilterConfig | JobConfig


def _counted(config: Part, without: set[str]) -> dict[str, Any]:
    return {f.name: getattr(config, f.name) for f in fields(config) if f.name not in without}


def _plain(config: Part) -> dict[str, Any]:
    values = _counted(config, _NESTED)
    return {k: v.reveal() if isinstance(v, Secret) else v for k, v in values.items()}


def _with_secrets(kind: type, data: dict[str, Any]) -> dict[str, Any]:
    secrets = {f.name for f in fields(kind) if f.type is Secret}
    return {k: Secret(v) if k in secrets else v for k, v in data.items()}
