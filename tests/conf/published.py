"""The original's nine published sample job files, as keys and values in their published order.

Masked secrets and empty buckets are filled in, because without them no file can load.
"""

TEMPLATE = {
    "isIncremental": "false",
    "incrementalModeInterval": "86400",
    "srcType": "local",
    "srcAccessKey": "",
    "srcSecretKey": "",
    "srcDomain": "",
    "srcBucket": "",
    "srcPrefix": "",
    "destAccessKey": "dest-id",
    "destSecretKey": "dest-secret",
    "destDomain": "http://oss-cn-hangzhou-internal.aliyuncs.com",
    "destBucket": "mybucket",
    "destPrefix": "",
    "appId": "0",
    "isDownloadFromCdn": "false",
    "cdnDomain": "",
    "httpListFilePath": "c:/example/http.list",
    "httpPrefixColumn": "1",
    "relativePathColumn": "2",
    "jobName": "local_test",
    "jobType": "import",
    "importSince": "0",
    "lastModify": "0",
    "isSkipExistFile": "false",
    "taskObjectCountLimit": "10000",
    "taskObjectSizeLimit": "1000000000",
    "scanThreadCount": "1",
    "maxMultiThreadScanDepth": "1",
    "multipartUploadThreshold": "150m",
    "multipartUploadPartSize": "50m",
    "uploadThreadNumPerLargeFile": "3",
    "isServerSideEncryption": "false",
    "isAllowSymbolicLink": "false",
    "getObjectMetaMode": "stat",
    "isAuditAfterImport": "true ",
    "auditMode": "general",
}

_KEYS = {"srcAccessKey": "src-id", "srcSecretKey": "src-secret", "srcBucket": "mybucket"}
_WINDOWS_PATH = "D:/data/oss/"

SAMPLES: dict[str, dict[str, str]] = {
    "local": {
        "srcType": "local",
        "srcPrefix": _WINDOWS_PATH,
        "destPrefix": "docs/",
        "destDomain": "http://oss-cn-hangzhou-zmf.aliyuncs.com",
    },
    "oss": _KEYS
    | {
        "srcType": "oss",
        "srcDomain": "http://oss-cn-hangzhou-internal.aliyuncs.com",
        "srcPrefix": "src/",
        "destPrefix": "dest/",
    },
    "qiniu": _KEYS
    | {"srcType": "qiniu", "srcDomain": "http://mybucket.u.qiniudn.com", "srcPrefix": "docs/"},
    "bos": _KEYS | {"srcType": "bos", "srcDomain": "http://bj.bcebos.com", "srcPrefix": "docs/"},
    "s3": _KEYS
    | {
        "srcType": "s3",
        "srcDomain": "http://s3.us-east-1.amazonaws.com",
        "srcPrefix": "docs/",
        "scanThreadCount": "10000",
        "isAuditAfterImport": "true",
    },
    "youpai": _KEYS
    | {
        "srcType": "youpai",
        "srcAccessKey": "operator",
        "srcSecretKey": "password",
        "srcDomain": "http://v0.api.upyun.com",
        "srcPrefix": "docs/",
        "taskObjectCountLimit": "1",
    },
    "cos": _KEYS
    | {"srcType": "cos", "srcDomain": "sh", "srcPrefix": "/docs/", "appId": "1252883280"},
    "azure": _KEYS
    | {
        "srcType": "azure",
        "srcAccessKey": "useraccount",
        "srcDomain": "core.chinacloudapi.cn",
        "srcBucket": "mycontainer",
        "srcPrefix": "docs/",
        "multipartUploadThreshold": "50m",
        "multipartUploadPartSize": "150m",
    },
    "et": {
        "srcType": "local",
        "srcPrefix": _WINDOWS_PATH,
        "isUseExpressTunnel": "true",
        "expressTunnelProxyHost": "http://100.100.100.100:80",
        "expressTunnelProxyType": "data-migration",
        "expressTunnelProxyUser": "user",
        "expressTunnelProxyDest": "cn-shanghai",
        "expressTunnelAuthToken": "token",
        "auditMode": "simple",
        "taskObjectCountLimit": "5",
        "jobName": "local_test_md",
        "isAuditAfterImport": "true",
    },
}
_MISSING = {"et": ("isDownloadFromCdn", "cdnDomain")}


def lines(sample: str, **changed: str) -> list[str]:
    """The sample's lines. As published, srcBucket comes a second time, empty."""
    values = TEMPLATE | SAMPLES[sample] | changed
    kept = {k: v for k, v in values.items() if k not in _MISSING.get(sample, ())}
    found = [f"{key}={value}" for key, value in kept.items()]
    found.insert(found.index(f"srcPrefix={values['srcPrefix']}"), "srcBucket=")
    return found
