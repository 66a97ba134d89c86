"""What the refusals of S3 mean, of Amazon's and of the stores that are like it."""

from ossimport.sources.over_http.refusals import (
    CHECK_KEYS,
    LESS_LOAD,
    RENEW,
    RESTORE,
    SET_CLOCK,
    Refusals,
)

_REGION = "set srcDomain to the endpoint of the bucket's region"
_PAYER = "a bucket whose requesters pay can be read with the keys of its own account only"
_KMS = "let the keys use the KMS key of the object (kms:Decrypt), then retry"

S3 = Refusals(
    service="S3",
    fatal={
        "InvalidAccessKeyId": CHECK_KEYS,
        "SignatureDoesNotMatch": CHECK_KEYS,
        "InvalidSecurity": CHECK_KEYS,
        "InvalidToken": RENEW,
        "ExpiredToken": RENEW,
        "TokenRefreshRequired": RENEW,
        "AuthorizationHeaderMalformed": f"{_REGION}; check srcAccessKey",
        "IllegalLocationConstraintException": _REGION,
        "PermanentRedirect": _REGION,
        "TemporaryRedirect": _REGION,
        "NoSuchBucket": "check srcBucket, and srcDomain, which must not contain the bucket's name",
        "InvalidBucketName": "check srcBucket",
        "AccountProblem": "settle with the service what is wrong with the account",
        "AllAccessDisabled": "settle with the service why the bucket is disabled",
        "NotSignedUp": "sign the account up for S3",
        "RequestExpired": SET_CLOCK,
    },
    transient={
        "RequestTimeTooSkewed": SET_CLOCK,
        "RequestTimeout": "the network is slow or full; lower workerTaskThreadNum",
        "SlowDown": LESS_LOAD,
        "Throttling": LESS_LOAD,
        "ThrottlingException": LESS_LOAD,
        "TooManyRequests": LESS_LOAD,
        "RequestLimitExceeded": LESS_LOAD,
        "BandwidthLimitExceeded": LESS_LOAD,
        "OperationAborted": "",
    },
    permanent={
        "InvalidObjectState": RESTORE,
        "KMS.DisabledException": _KMS,
        "KMS.KMSInvalidStateException": _KMS,
        "KMS.NotFoundException": _KMS,
        "InvalidRequest": "if the object is encrypted with a key that its owner keeps (SSE-C) it "
        "cannot be copied: store it without that, then retry",
    },
    absent=frozenset({"NoSuchKey", "NoSuchVersion", "HTTP404"}),
    read_cure=f"the keys need s3:GetObject on this object, and kms:Decrypt if KMS encrypts it; see "
    f"also the bucket's policy; {_PAYER}",
    list_cure="the keys need s3:ListBucket on the bucket, and s3:GetObject under srcPrefix; see "
    f"also the bucket's policy; {_PAYER}",
)
