"""The query parameters that V1 signs. The others (prefix, marker, max-keys ...) it leaves open.

OSS calls them sub-resources, since most of them say which aspect of a bucket or object is meant.
"""

# They choose among the operations that there are here.
SELECTORS = frozenset(
    {
        "acl",
        "append",
        "bucketInfo",
        "delete",
        "location",
        "objectMeta",
        "partNumber",
        "restore",
        "stat",
        "symlink",
        "tagging",
        "uploadId",
        "uploads",
    }
)

# They change nothing about which operation it is.
HARMLESS = frozenset(
    {
        "continuation-token",
        "position",
        "response-cache-control",
        "response-content-disposition",
        "response-content-encoding",
        "response-content-language",
        "response-content-type",
        "response-expires",
        "security-token",
        "sequential",
        "x-oss-request-payer",
        "x-oss-traffic-limit",
    }
)

# They ask for what is not implemented: ?lifecycle must not be taken for a PutBucket.
UNKNOWN = frozenset(
    {
        "accessPoint",
        "accessPointPolicy",
        "asyncFetch",
        "bucketArchiveDirectRead",
        "callback",
        "callback-var",
        "cname",
        "comp",
        "cors",
        "encryption",
        "endTime",
        "group",
        "httpsConfig",
        "inventory",
        "inventoryId",
        "lifecycle",
        "link",
        "live",
        "logging",
        "metaQuery",
        "objectInfo",
        "policy",
        "publicAccessBlock",
        "qos",
        "qosInfo",
        "qosRequester",
        "redundancyTransition",
        "referer",
        "regionList",
        "replication",
        "replicationLocation",
        "replicationProgress",
        "requestPayment",
        "requesterQosInfo",
        "resourceGroup",
        "resourcePool",
        "resourcePoolBuckets",
        "resourcePoolInfo",
        "startTime",
        "status",
        "style",
        "styleName",
        "transferAcceleration",
        "versionId",
        "versioning",
        "versions",
        "vod",
        "website",
        "worm",
        "wormExtend",
        "wormId",
        "x-oss-ac-forward-allow",
        "x-oss-ac-source-ip",
        "x-oss-ac-subnet-mask",
        "x-oss-ac-vpc-id",
        "x-oss-access-point-name",
        "x-oss-async-process",
        "x-oss-process",
        "x-oss-redundancy-transition-taskid",
        "x-oss-target-redundancy-type",
        "x-oss-write-get-object-response",
    }
)

SIGNED = SELECTORS | HARMLESS | UNKNOWN
