"""Every key of `sys.properties` and of job files: the only place that knows them.

A key with several rows means different things to different source types; the row whose `sources`
has the job's srcType is the one that counts. A key without a row for the srcType is not looked at,
so that a file may keep the settings of other sources.
"""

import os
from typing import Any, NamedTuple

from ossimport.config import kinds, places
from ossimport.config.kinds import GIB, MIB, Kind
from ossimport.config.meta_map import meta_map
from ossimport.config.secret import Secret
from ossimport.fidelity.classes import OSS_CLASSES, SOURCE_CLASS

LOCAL, OSS, HTTP = frozenset({"local"}), frozenset({"oss"}), frozenset({"http"})
QINIU, YOUPAI, COS = frozenset({"qiniu"}), frozenset({"youpai"}), frozenset({"cos"})
AZURE, S3, S3_LIKE = frozenset({"azure"}), frozenset({"s3"}), frozenset({"s3", "bos", "ks3"})
CLOUD = OSS | QINIU | YOUPAI | COS | AZURE | S3_LIKE
EVERY_SOURCE = LOCAL | CLOUD | HTTP
SOURCE_TYPES = ("local", "oss", "qiniu", "bos", "ks3", "s3", "youpai", "http", "cos", "azure")
PRESERVED = ("headers", "user", "mtime", "tags")
PRESERVED_BY_DEFAULT = "headers,user,mtime"
OBJECT_ACLS = ("default", "private", "public-read", "public-read-write")
_CLASS_WORDS = {name.lower(): name for name in OSS_CLASSES}
_ACL_WORDS = {word.replace("-", mark): word for word in OBJECT_ACLS for mark in ("", "_")}
SOURCE_TYPE_SYNONYMS = {"baidu": "bos", "upyun": "youpai", "blob": "azure", "file": "local"}


class Key(NamedTuple):
    """One key, for the source types that read it."""

    name: str
    kind: Kind
    default: Any  # what a missing or empty value becomes
    doc: str  # a noun phrase: what the value is
    sources: frozenset[str] = EVERY_SOURCE
    required: bool = False
    secret: bool = False  # the value is never shown in a message
    unless: str = ""  # a key that makes this one needless where it is set
    lowered: tuple[str, int] | None = None  # a published sample's value out of range, and its limit


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):  # a container's share, not the host's cores
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


NONE = Secret()

SYSTEM_KEYS = (
    Key("workingDir", places.working_directory, ".", "the directory of state and logs"),
    Key("workerUserName", kinds.plain, "", "the SSH user of deploy"),
    Key("workerPassword", kinds.password, NONE, "the SSH password of deploy", secret=True),
    Key("privateKeyFile", kinds.free, "", "the SSH private key file of deploy"),
    Key("sshPort", kinds.whole(1, 65535), 22, "the SSH port of deploy"),
    Key(
        "workerTaskThreadNum", kinds.whole(1, 10_000), 240, "the most requests in flight per worker"
    ),
    Key("workerMaxThroughput(KB/s)", kinds.whole(0, 10**12), 0, "the rate limit per worker"),
    Key(
        "dispatcherThreadNum", kinds.whole(1, 100), 1, "the number of dispatching threads, not used"
    ),
    Key("workerAbortWhenUncatchedException", kinds.boolean, False, "if unknown errors end a task"),
    Key("workerRecordMd5", kinds.boolean, False, "if objects get the header x-oss-meta-md5"),
    Key("javaHeapMaxSize", kinds.size("16m", "1024g"), GIB, "the buffer memory per worker"),
    Key("redisUrl", places.broker_url, NONE, "the URL of a Redis server", secret=True),
    Key("hostRole", kinds.choice("master", "worker"), "master", "what start runs on this host"),
    Key("flowerPort", kinds.whole(1, 65535), None, "the port of the tracker, Flower"),
    Key("sandboxPort", kinds.whole(1, 65535), None, "the port of the local OSS endpoint"),
    Key("workerProcessNum", kinds.whole(1, 1024), _cores(), "the number of worker processes"),
)

_SOURCE_KEYS = (
    Key(
        "srcType",
        kinds.choice(*SOURCE_TYPES, other=SOURCE_TYPE_SYNONYMS),
        "",
        f"the kind of source: {', '.join(SOURCE_TYPES)}",
        required=True,
    ),
    Key(
        "srcAccessKey",
        kinds.plain,
        "",
        "the access key id of the source (azure: account, youpai: operator)",
        CLOUD,
        required=True,
        secret=True,
        unless="srcCredentials",
    ),
    Key(
        "srcSecretKey",
        kinds.secret,
        NONE,
        "the access key secret of the source",
        CLOUD - YOUPAI,
        required=True,
        secret=True,
        unless="srcCredentials",
    ),
    Key(
        "srcSecretKey",
        kinds.password,
        NONE,
        "the operator's password",
        YOUPAI,
        required=True,
        secret=True,
        unless="srcCredentials",
    ),
    Key("srcSecurityToken", kinds.secret, NONE, "the STS token of the source", CLOUD, secret=True),
    Key("srcCredentials", kinds.credentials, "", "where the keys of the source are", OSS | S3),
    Key("srcDomain", places.oss_domain, "", "the endpoint of the source", OSS, required=True),
    Key("srcDomain", places.domain, "", "the endpoint of the source", S3_LIKE, required=True),
    Key("srcDomain", places.domain, "", "the endpoint of the source", YOUPAI, required=True),
    Key("srcDomain", places.domains, "", "the domain bound to the bucket", QINIU, required=True),
    Key("srcDomain", places.domain, "", "the region of the source", COS, required=True),
    Key("srcDomain", places.domain_with_path, "", "the endpoint suffix", AZURE, required=True),
    Key("srcRegion", places.region, "", "the region of the source", OSS | QINIU | S3),
    Key("srcBucket", places.oss_bucket, "", "the bucket to read", OSS, required=True),
    Key("srcBucket", places.any_bucket, "", "the bucket to read", CLOUD - OSS, required=True),
    Key("srcPrefix", places.local_directory, "", "the directory to read", LOCAL, required=True),
    Key("srcPrefix", places.oss_key_prefix, "", "the prefix to read", OSS),
    Key("srcPrefix", places.rooted_key_prefix, "", "the prefix to read", COS | YOUPAI),
    Key("srcPrefix", places.key_prefix, "", "the prefix to read", S3_LIKE | QINIU | AZURE),
    Key("appId", kinds.whole(0, 10**12), 0, "the Tencent account number", COS),
    Key("isDownloadFromCdn", kinds.boolean, False, "if bytes come from the CDN", YOUPAI),
    Key("cdnDomain", places.domain, "", "the host of the CDN", YOUPAI),
    Key("keyListFile", places.local_file, "", "the file of keys to read", CLOUD),
    Key("inventoryFile", places.local_file, "", "the inventory of the bucket", CLOUD),
    Key("inventoryColumns", kinds.column_names, "", "the columns of the inventory", CLOUD),
    Key("httpListFilePath", places.local_file, "", "the file of URLs to read", HTTP, required=True),
    Key("httpPrefixColumn", kinds.whole(1, 1000), 1, "the column of the URL prefix", HTTP),
    Key("relativePathColumn", kinds.whole(1, 1000), 2, "the column of the object name", HTTP),
    Key("httpSizeColumn", kinds.whole(0, 1000), 0, "the column of the size; 0 = none", HTTP),
    Key("httpMd5Column", kinds.whole(0, 1000), 0, "the column of the MD5; 0 = none", HTTP),
    Key("getObjectMetaMode", kinds.choice("stat", "head"), "stat", "how metadata is read", QINIU),
    Key("isAllowSymbolicLink", kinds.boolean, False, "if files behind links are read", LOCAL),
)

_DEST_KEYS = (
    Key(
        "destAccessKey",
        kinds.plain,
        "",
        "the access key id of OSS",
        required=True,
        secret=True,
        unless="destCredentials",
    ),
    Key(
        "destSecretKey",
        kinds.secret,
        NONE,
        "the access key secret of OSS",
        required=True,
        secret=True,
        unless="destCredentials",
    ),
    Key("destSecurityToken", kinds.secret, NONE, "the STS token of OSS", secret=True),
    Key("destCredentials", kinds.credentials, "", "where the keys of OSS are"),
    Key("destDomain", places.oss_endpoint, None, "the endpoint of OSS", required=True),
    Key("destBucket", places.oss_bucket, "", "the bucket to write to", required=True),
    Key("destPrefix", places.dest_prefix, "", "the prefix of the keys written"),
    Key("destRegion", places.region, "", "the region of OSS"),
    Key("isServerSideEncryption", kinds.boolean, False, "if OSS encrypts the objects"),
    Key(
        "destStorageClass",
        kinds.choice(*OSS_CLASSES, SOURCE_CLASS, other=_CLASS_WORDS),
        "",
        "the storage class of the objects; source = as it was",
    ),
    Key("destAcl", kinds.choice(*OBJECT_ACLS, other=_ACL_WORDS), "", "the ACL of the objects"),
    Key(
        "preserveMeta", kinds.some_of(*PRESERVED), PRESERVED_BY_DEFAULT, "what goes with the bytes"
    ),
    Key("metaMap", meta_map, "", "the rules that rename, drop and set metadata"),
)

_FILTER_KEYS = (
    Key("include", kinds.glob_list, "", "the patterns of names to take"),
    Key("exclude", kinds.glob_list, "", "the patterns of names to leave out"),
    Key("includeRegex", kinds.regex, "", "the regular expression of names to take"),
    Key("excludeRegex", kinds.regex, "", "the regular expression of names to leave out"),
    Key("minSize", kinds.size("0", "50000g"), 0, "the least size to take"),
    Key("maxSize", kinds.size("0", "50000g"), 0, "the largest size to take"),
    Key("modifiedAfter", kinds.moment, 0, "the time from which on objects are taken"),
    Key("modifiedBefore", kinds.moment, 0, "the time before which objects are taken"),
)

_TUNNEL_TYPES = ("default", "back-to-source", "data-replication", "data-migration")
_TUNNEL_KEYS = (
    Key("isUseExpressTunnel", kinds.boolean, False, "if data goes through a tunnel of Alibaba's"),
    Key("expressTunnelProxyHost", places.domain, "", "the proxy of the tunnel"),
    Key("expressTunnelProxyType", kinds.choice(*_TUNNEL_TYPES), "", "the use of the tunnel"),
    Key("expressTunnelProxyUser", kinds.plain, "", "the user of the tunnel"),
    Key("expressTunnelProxyDest", kinds.plain, "", "the region behind the tunnel"),
    Key("expressTunnelAuthToken", kinds.secret, NONE, "the tunnel's token", secret=True),
)

JOB_KEYS = (
    Key("jobName", kinds.job_name, "local_test", "the name of the job"),
    Key("jobType", kinds.choice("import", "audit"), "import", "what the job does"),
    Key("isIncremental", kinds.boolean, False, "if the source is scanned round after round"),
    Key("incrementalModeInterval", kinds.interval, 86400, "the seconds between two rounds"),
    Key("incrementalMaxDelete", kinds.whole(0, 10**9), 0, "the most a round may delete at OSS"),
    Key("importSince", kinds.unix_time, 0, "the time after which objects are new"),
    Key("lastModify", kinds.unix_time, 0, "the time after which objects are not verified"),
    Key("isSkipExistFile", kinds.boolean, False, "if objects that are there are left alone"),
    *_SOURCE_KEYS,
    *_DEST_KEYS,
    *_FILTER_KEYS,
    Key("jobPriority", kinds.whole(0, 9), 5, "whose tasks go first"),
    Key("taskObjectCountLimit", kinds.whole(1, 50_000), 10_000, "the most objects in a task"),
    Key("taskObjectSizeLimit", kinds.size("1", "1000000g"), 10**9, "the most bytes in a task"),
    Key(
        "scanThreadCount",
        kinds.whole(1, 32),
        1,
        "the number of scanning threads",
        lowered=("10000", 32),  # the published s3 sample
    ),
    Key("maxMultiThreadScanDepth", kinds.whole(1, 16), 1, "the depth of the parallel scan"),
    # OSS: PutObject takes at most 5 GB, UploadPart too
    Key("multipartUploadThreshold", kinds.size("1m", "5g"), 150 * MIB, "the size sent in parts"),
    Key("multipartUploadPartSize", kinds.size("0", "5g"), 50 * MIB, "the size of a part"),
    Key("uploadThreadNumPerLargeFile", kinds.whole(1, 100), 3, "the parts sent at once"),
    Key("isAuditAfterImport", kinds.boolean, True, "if the copies are verified afterwards"),
    Key("auditMode", kinds.choice("simple", "general", "detailed"), "general", "the verification"),
    *_TUNNEL_KEYS,
)

# Names from other pages, older versions and other tools, and the key that is meant.
SYSTEM_SLIPS = {
    "workerUser": "workerUserName",
    "workerCount": "workerProcessNum",
    "workerNum": "workerProcessNum",
    "workerMaxThroughput": "workerMaxThroughput(KB/s)",
    "workDir": "workingDir",
    "slaveUser": "workerUserName",
    "slaveUserName": "workerUserName",
    "slavePassword": "workerPassword",
    "slaveTaskThreadNum": "workerTaskThreadNum",
    "slaveMaxThroughput(KB/s)": "workerMaxThroughput(KB/s)",
    "slaveAbortWhenUncatchedException": "workerAbortWhenUncatchedException",
    "slaveRecordMd5": "workerRecordMd5",
}
JOB_SLIPS = {
    "targetAccessKey": "destAccessKey",
    "targetSecretKey": "destSecretKey",
    "targetDomain": "destDomain",
    "targetBucket": "destBucket",
    "targetPrefix": "destPrefix",
    "srcEndpoint": "srcDomain",
    "destEndpoint": "destDomain",
    "sourceType": "srcType",
    "includes": "include",
    "excludes": "exclude",
    "minObjectSize": "minSize",
    "maxObjectSize": "maxSize",
    "maxAge": "modifiedAfter",
    "minAge": "modifiedBefore",
}
