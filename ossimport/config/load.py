"""Job files: read, validated key by key, then as a whole."""

from itertools import combinations
from pathlib import Path
from typing import Any

from ossimport.config.job import DestConfig, FilterConfig, JobConfig, SourceConfig
from ossimport.config.keys import (
    JOB_KEYS,
    JOB_SLIPS,
    SOURCE_TYPE_SYNONYMS,
    SOURCE_TYPES,
    SYSTEM_KEYS,
)
from ossimport.config.kinds import KIB, MIB
from ossimport.config.places import Endpoint, endpoint, endpoint_region
from ossimport.config.reading import Reading
from ossimport.config.system import SystemConfig

DEFAULT_REGION = "cn-hangzhou"

_LEAST_PART = 100 * KIB
_DEFAULT_PART = 50 * MIB
_ADVISED_INTERVAL_S = 3600
_REGIONAL = {"oss", "s3", "bos", "ks3", "cos"}  # srcDomain is a region's, never a bucket's
# Elsewhere a first label equal to the bucket's name may be part of the server's own name.
_CLOUD_HOSTS = (
    ".aliyuncs.com",
    ".amazonaws.com",
    ".amazonaws.com.cn",
    ".bcebos.com",
    ".ksyun.com",
    ".ksyuncs.com",
    ".myqcloud.com",
)
_OSS_HOSTS = (".aliyuncs.com",)
_NO_ENDPOINT = Endpoint("http", "", 80)

Values = dict[str, Any]


def load_job(path: Path, system: SystemConfig) -> JobConfig:
    """Read a job file. Raises ConfigError with every mistake in it.

    For a local source the directory is looked at; nothing else outside the file is.
    """
    system_names = {key.name for key in SYSTEM_KEYS}
    reading = Reading(
        path, "job configuration", JOB_KEYS, JOB_SLIPS, ("sys.properties", system_names)
    )
    reading.variables["workingDir"] = str(system.working_dir)
    source_type = _source_type(reading)
    value = {key.name: reading.get(key.name, source_type) for key in JOB_KEYS}
    value["srcType"] = source_type
    value["destDomain"] = value["destDomain"] or _NO_ENDPOINT
    _check_source(reading, value)
    _check_dest(reading, value)
    _check_transfer(reading, value)
    _check_filter(reading, value)
    return JobConfig(
        name=value["jobName"],
        job_type=value["jobType"],
        incremental=value["isIncremental"],
        incremental_interval_s=value["incrementalModeInterval"],
        incremental_max_delete=value["incrementalMaxDelete"],
        import_since=value["importSince"],
        last_modify=value["lastModify"],
        skip_existing=value["isSkipExistFile"],
        source=_source(value),
        dest=_dest(value),
        filter=_filter(value),
        priority=value["jobPriority"],
        task_objects=value["taskObjectCountLimit"],
        task_bytes=value["taskObjectSizeLimit"],
        scan_threads=value["scanThreadCount"],
        scan_depth=value["maxMultiThreadScanDepth"],
        multipart_threshold=value["multipartUploadThreshold"],
        part_size=value["multipartUploadPartSize"],
        upload_threads=value["uploadThreadNumPerLargeFile"],
        audit_after=value["isAuditAfterImport"],
        audit_mode=value["auditMode"],
        warnings=reading.findings.close(),
    )


def _source_type(reading: Reading) -> str:
    """The srcType, or the one that is evidently meant, so that its keys are checked as well."""
    source_type: str = reading.get("srcType")
    word = reading.text("srcType").lower()
    guess = SOURCE_TYPE_SYNONYMS.get(word, word)
    return source_type or (guess if guess in SOURCE_TYPES else "")


def _source(value: Values) -> SourceConfig:
    return SourceConfig(
        type=value["srcType"],
        access_key=value["srcAccessKey"],
        secret_key=value["srcSecretKey"],
        security_token=value["srcSecurityToken"],
        credentials=value["srcCredentials"],
        domain=value["srcDomain"],
        region=_oss_region(endpoint(value["srcDomain"]), value["srcRegion"])
        if value["srcType"] == "oss" and value["srcDomain"]
        else value["srcRegion"],
        bucket=value["srcBucket"],
        prefix=value["srcPrefix"],
        app_id=value["appId"],
        download_from_cdn=value["isDownloadFromCdn"],
        cdn_domain=value["cdnDomain"],
        key_list=value["keyListFile"],
        inventory=value["inventoryFile"],
        inventory_columns=value["inventoryColumns"],
        http_list_path=value["httpListFilePath"],
        http_prefix_column=value["httpPrefixColumn"],
        relative_path_column=value["relativePathColumn"],
        http_size_column=value["httpSizeColumn"],
        http_md5_column=value["httpMd5Column"],
        meta_mode=value["getObjectMetaMode"],
        allow_symlinks=value["isAllowSymbolicLink"],
    )


def _dest(value: Values) -> DestConfig:
    where: Endpoint = value["destDomain"]
    return DestConfig(
        access_key=value["destAccessKey"],
        secret_key=value["destSecretKey"],
        security_token=value["destSecurityToken"],
        credentials=value["destCredentials"],
        scheme=where.scheme,
        host=where.host,
        port=where.port,
        bucket=value["destBucket"],
        prefix=value["destPrefix"],
        region=_oss_region(where, value["destRegion"]),
        server_side_encryption=value["isServerSideEncryption"],
        storage_class=value["destStorageClass"],
        acl=value["destAcl"],
        preserve=value["preserveMeta"],
        meta_map=value["metaMap"],
    )


def _filter(value: Values) -> FilterConfig:
    return FilterConfig(
        include=value["include"],
        exclude=value["exclude"],
        include_regex=value["includeRegex"],
        exclude_regex=value["excludeRegex"],
        min_size=value["minSize"],
        max_size=value["maxSize"],
        modified_after=value["modifiedAfter"],
        modified_before=value["modifiedBefore"],
    )


def _oss_region(where: Endpoint, named: str) -> str:
    return named or endpoint_region(where.host) or DEFAULT_REGION


def _check_source(reading: Reading, value: Values) -> None:
    source_type = value["srcType"]
    if source_type in _REGIONAL and value["srcDomain"]:
        _refuse_bucket_in(reading, "srcDomain", endpoint(value["srcDomain"]), value["srcBucket"])
    if source_type == "oss" and value["srcDomain"]:
        _warn_of_no_region(reading, "src", endpoint(value["srcDomain"]), value["srcRegion"])
    if source_type == "cos" and reading.good("appId", "srcBucket"):
        _require_app_id(reading, value)
    if value["isDownloadFromCdn"] and not value["cdnDomain"] and reading.good("cdnDomain"):
        message = "isDownloadFromCdn=true needs the host of the CDN"
        reading.problem("cdnDomain", message, "write the host, or isDownloadFromCdn=false")
    _refuse_two_credentials(reading, value, "src")
    if value["keyListFile"] and value["inventoryFile"]:
        message = "keyListFile is set as well, and only one of them is read"
        reading.problem("inventoryFile", message, "remove one of the two lines")
    needs_columns = value["inventoryFile"] and not value["inventoryFile"].endswith(".json")
    if needs_columns and not value["inventoryColumns"] and reading.good("inventoryColumns"):
        message = "the inventory is not a manifest.json, which names the columns"
        cure = "name them in their order, such as Bucket,Key,Size,LastModifiedDate,ETag"
        reading.problem("inventoryColumns", message, cure)
    columns = "httpPrefixColumn", "relativePathColumn", "httpSizeColumn", "httpMd5Column"
    for one, other in combinations(columns, 2):
        if value[one] and value[one] == value[other] and reading.good(one, other):
            reading.problem(other, f"{one} has the same number", "number the columns from 1")


def _refuse_two_credentials(reading: Reading, value: Values, end: str) -> None:
    for key in ("AccessKey", "SecretKey", "SecurityToken"):
        if value[f"{end}Credentials"] and reading.text(end + key):
            message = f"{end}Credentials says where the keys are"
            reading.problem(end + key, message, f"remove this line, or {end}Credentials")


def _require_app_id(reading: Reading, value: Values) -> None:
    _, _, suffix = value["srcBucket"].rpartition("-")
    if not value["appId"] and not suffix.isdigit():
        message = "the bucket's full name ends with the number of the Tencent account"
        reading.problem("appId", message, "write the number here, or srcBucket=name-number")


def _check_dest(reading: Reading, value: Values) -> None:
    where: Endpoint = value["destDomain"]
    _refuse_two_credentials(reading, value, "dest")
    _refuse_bucket_in(reading, "destDomain", where, value["destBucket"])
    _warn_of_no_region(reading, "dest", where, value["destRegion"])
    if value["destPrefix"] and not value["destPrefix"].endswith("/"):
        reading.warn("destPrefix", "it does not end with /, so it is the beginning of file names")
    if value["srcType"] == "oss" and reading.good("srcDomain", "srcBucket", "srcPrefix"):
        _refuse_nesting(reading, value)


def _refuse_nesting(reading: Reading, value: Values) -> None:
    """What is written must not be listed again; a prefix onto itself writes nothing new."""
    source, dest = endpoint(value["srcDomain"]), value["destDomain"]
    # A bucket's name is unique in all regions, and each has several hosts.
    one_service = all(where.host.endswith(_OSS_HOSTS) for where in (source, dest))
    one_server = (source.host, source.port) == (dest.host, dest.port)
    if value["srcBucket"] != value["destBucket"] or not (one_service or one_server):
        return
    prefix: str = value["destPrefix"]
    if prefix != value["srcPrefix"] and prefix.startswith(value["srcPrefix"]):
        message = "it lies inside srcPrefix of the same bucket: the job would copy its own copies"
        reading.problem("destPrefix", message, "write a destPrefix outside srcPrefix")


def _warn_of_no_region(reading: Reading, end: str, where: Endpoint, named: str) -> None:
    numeric = where.host.replace(".", "").isdigit()
    if "." in where.host and not numeric and not named and not endpoint_region(where.host):
        text = f"the host names no region, {DEFAULT_REGION} is assumed; set {end}Region if it is "
        reading.warn(f"{end}Domain", text + "not")


def _refuse_bucket_in(reading: Reading, key: str, where: Endpoint, bucket: str) -> None:
    rest = where.host.removeprefix(f"{bucket.lower()}.")
    if rest != where.host and rest.endswith(_CLOUD_HOSTS) and reading.good(key):
        reading.problem(key, "the endpoint has the bucket in it", f"write {where.scheme}://{rest}")


def _check_filter(reading: Reading, value: Values) -> None:
    for low, high in (("minSize", "maxSize"), ("modifiedAfter", "modifiedBefore")):
        if value[high] and value[low] > value[high] and reading.good(low, high):
            reading.problem(high, f"it is less than {low}: nothing is taken", "exchange the values")
    if value["srcType"] == "http" and not value["httpSizeColumn"]:
        for key in ("minSize", "maxSize"):
            if value[key] and reading.good(key, "httpSizeColumn"):
                message = "the list has no sizes that it could be compared with"
                reading.problem(key, message, "name their column in httpSizeColumn, or remove it")
    if value["srcType"] == "http":
        for key in ("modifiedAfter", "modifiedBefore"):
            if value[key]:
                reading.warn(key, "a list of URLs states no times: it leaves nothing out")


def _check_transfer(reading: Reading, value: Values) -> None:
    if value["multipartUploadPartSize"] <= _LEAST_PART:
        reading.warn("multipartUploadPartSize", "a part is larger than 100k; 50m is used")
        value["multipartUploadPartSize"] = _DEFAULT_PART
    if value["multipartUploadThreshold"] < value["multipartUploadPartSize"]:
        text = "it is less than multipartUploadPartSize: objects in between are sent as one part"
        reading.warn("multipartUploadThreshold", text)
    if value["isIncremental"] and value["incrementalModeInterval"] < _ADVISED_INTERVAL_S:
        text = "each scan lists everything: less than 3600 seconds costs many requests"
        reading.warn("incrementalModeInterval", text)
    if value["isIncremental"] and value["jobType"] == "audit":
        cure = "write isIncremental=false, and audit as often as you like"
        reading.problem("isIncremental", "jobType=audit has no rounds", cure)
    if value["isUseExpressTunnel"]:
        text = "the tunnel is not used: data goes to destDomain directly"
        reading.warn("isUseExpressTunnel", text)
