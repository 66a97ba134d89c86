"""What an operator can do about each error code."""

_KEYS = "set srcAccessKey/srcSecretKey or destAccessKey/destSecretKey right in the job file"
_NETWORK = "look at the network to that end; if it is merely full, lower workerTaskThreadNum"
_SLOWER = "lower workerTaskThreadNum or workerMaxThroughput(KB/s), or ask for a higher limit"
_REPORT = "look into logs/import.log for the traceback and report it as a fault of ossimport"
_REPAIR = "bash console.sh audit FILE --repair copies it"
_RENEW = "put a new token and its keys into destSecurityToken, destAccessKey, destSecretKey"

_CURES = {
    "AccessDenied": "let the user that runs ossimport read the source, or give its keys "
    "oss:GetObject under srcPrefix; give the destination's keys oss:PutObject on destPrefix",
    "BadCredentials": _KEYS,
    "Blocked": "the service has blocked the object: ask its support",
    "BadResponse": "what answers is not the service: check srcDomain and destDomain, and proxies",
    "ChecksumMismatch": "bytes were damaged on the way: check memory and network of the worker, "
    "then retry",
    "ConnectionFailed": _NETWORK,
    "ContentDiffers": _REPAIR,
    "ConnectionRefused": "nothing listens there: check srcDomain, destDomain and their ports",
    "ConnectionReset": _NETWORK,
    "CredentialsExpired": "put new credentials where destCredentials or srcCredentials says",
    "DnsFailure": "no such name: check srcDomain and destDomain, and the name servers of the host",
    "DiskFull": "free space on the disk of workingDir",
    "EIO": "the disk of the source has errors: look into dmesg, copy what can be read elsewhere",
    "ELOOP": "mend the symbolic links on the object's path",
    "EMFILE": "allow more open files (ulimit -n 65536) and start the service again",
    "EntityTooLarge": "lower multipartUploadThreshold; OSS holds no object above 48.8 TB",
    "EntityTooSmall": "set multipartUploadPartSize to 100k or more",
    "FileAlreadyExists": "the bucket forbids overwriting: see its retention policy",
    "FileImmutable": "a retention policy of the bucket protects the object",
    "HeaderDiffers": _REPAIR,
    "Extra": "nothing is removed; see whether the object was meant to be there",
    "HTTP404": "the server has no such object: mend the URL in the list, then retry",
    "IncorrectRegion": "set srcDomain to the endpoint of the bucket's own region",
    "InvalidAccessKeyId": _KEYS,
    "InvalidArgument": "the service refused a header: see the message, mend the object's metadata",
    "InvalidBucketName": "set destBucket to the bare name, and destDomain to the region's endpoint "
    "without it",
    "InvalidDomain": "set srcDomain as docs/sources/ shows it for the srcType",
    "InvalidEndpoint": "set destDomain to the endpoint of the bucket's region, as the console of "
    "OSS shows it",
    "InvalidKey": "rename the object at the source so that the name is 1-1023 bytes of UTF-8 "
    "without control characters and does not begin with / or \\; then clean the job and submit it "
    "again (isSkipExistFile=true skips what is there)",
    "InvalidLocale": "start ossimport with a UTF-8 locale (LANG=C.UTF-8)",
    "InvalidObjectName": "rename the object at the source",
    "InvalidObjectState": "the object is archived: restore it first",
    "InvalidProxy": "set HTTP_PROXY and HTTPS_PROXY to http://HOST:PORT, or name the host in "
    "NO_PROXY",
    "InvalidSecurityToken": _RENEW,
    "InventoryColumns": "check inventoryColumns, or fileSchema in manifest.json, against the file",
    "InventoryBucket": "set srcBucket to the bucket of the inventory, or inventoryFile to its own",
    "InventoryCsv": "get the inventory again: a line of it is damaged",
    "InventoryNotUsable": "see the reason; mend or download the inventory again",
    "ListChanged": "the list is another one than when the job began: clean the job and submit it "
    "again",
    "ListUrl": "mend the line of the list that error.list names, then retry",
    "ListingLoops": "see whether a gateway, cache or proxy on the way changes listings; else "
    "report it to the service's support",
    "Missing": _REPAIR,
    "NameTooLong": "move the file to a shorter path, then clean the job and submit it again",
    "NoSuchBucket": "check destBucket and srcBucket; create the bucket in the endpoint's region",
    "NoSuchUpload": "somebody aborted the multipart upload: see the bucket's lifecycle rules, then "
    "retry",
    "NotAllKept": "the message names what would be lost: see docs/fidelity.md for keys that keep "
    "it, then clean the job and submit it again, or without --strict",
    "NotAtDestination": "somebody removes objects at the destination, or its listing lags: retry",
    "NotFound": "the object is gone from the source; put it back if it was wanted",
    "OlderCopy": _REPAIR,
    "Outage": "see why the end refuses everything (network, quota, disk), then retry the job",
    "NoChecksum": "audit with --deep, which reads both ends",
    "NothingFound": "check srcPrefix (it must end with /), srcBucket and importSince; then clean "
    "and submit again",
    "OddName": "rename the object at the source, or leave it out",
    "ProxyRefused": "let the proxy pass requests to that end, or name its host in NO_PROXY",
    "QpsLimitExceeded": _SLOWER,
    "RangeIgnored": "the server sends no parts: raise multipartUploadThreshold above the "
    "object's size, and javaHeapMaxSize to four times that",
    "Redirected": "list the URL that the server leads to",
    "RequestTimeTooSkewed": "set the worker's clock (NTP); if it is right, lower "
    "workerTaskThreadNum",
    "RequestTimeout": _NETWORK,
    "SIZE_NOT_MATCH": "the object changed while it was read: retry when nobody writes to it",
    "SizeDiffers": _REPAIR,
    "SecondLevelDomainForbidden": "set destDomain to the region's endpoint, without the bucket",
    "SecurityTokenExpired": _RENEW,
    "ServerError": "the service is in trouble: retry later; quote the request id to its support",
    "SignatureDoesNotMatch": f"{_KEYS}; check destRegion if it is set",
    "SizeUnknown": "add a column with the sizes to the list and name it in httpSizeColumn",
    "SourceChanged": "the object changed while it was read: retry when nobody writes to it",
    "SymlinkTargetNotExist": "the object is a link whose target is gone: remove one or restore the "
    "other",
    "Throttled": _SLOWER,
    "TlsError": "name the authority that signed the certificate in SSL_CERT_FILE, or write http://",
    "Timeout": _NETWORK,
    "Uncaught": _REPORT,
    "Unmounted": "mount the source again",
    "UserDisable": "the account is disabled or in arrears: settle it with the service",
}
_ALIASES = {
    "BadRequest": "BadResponse",
    "EACCES": "AccessDenied",
    "ENFILE": "EMFILE",
    "EPERM": "AccessDenied",
    "HTTP410": "HTTP404",
    "InvalidDigest": "ChecksumMismatch",
    "ListColumns": "ListUrl",
    "ListDamaged": "ListUrl",
    "ListEncoding": "ListUrl",
    "ListPassword": "ListUrl",
    "ListQuotes": "ListUrl",
    "ListSize": "ListUrl",
    "NoSuchKey": "NotFound",
    "ObjectArchived": "InvalidObjectState",
    "SasNotValidNow": "BadCredentials",
    "Unauthorized": "BadCredentials",
}
_UNKNOWN = "read the message in error.list; quote its request id to the service's support"


def told(code: str, message: str) -> tuple[str, str]:
    """What to say of a failure and of its cure, which must not be said twice.

    Many messages end with a cure of their own, in shorter words than those here.
    """
    what, _, own = message.partition(". Cure: ")
    known = _ALIASES.get(code, code) in _CURES
    return what, cure_for(code) if known or not own else own


def cure_for(code: str) -> str:
    """What to do about objects that failed with `code`; general advice for an unknown one."""
    return _CURES.get(_ALIASES.get(code, code), _UNKNOWN)
