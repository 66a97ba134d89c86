"""OSS's error codes, with the HTTP status and the sentence that the service gives for each."""

from collections.abc import Mapping

_MAX_SHOWN = 200  # characters of a value; oss2 reads no more than 4 KiB of an error

_MEANING: dict[str, tuple[int, str]] = {
    "NotModified": (304, "Not Modified"),
    "BadRequest": (400, "The request is malformed."),
    "BucketAlreadyExists": (409, "The requested bucket name is not available."),
    "EntityTooLarge": (400, "Your proposed upload exceeds the maximum allowed object size."),
    "EntityTooSmall": (400, "Your proposed upload smaller than the minimum allowed object size."),
    "FileAlreadyExists": (
        409,
        "The object you specified already exists and can not be overwritten.",
    ),
    "InvalidAccessKeyId": (
        403,
        "The OSS Access Key Id you provided does not exist in our records.",
    ),
    "InvalidArgument": (400, "An argument of the request is invalid."),
    "InvalidBucketName": (400, "The specified bucket is not valid."),
    "InvalidDigest": (400, "The Content-MD5 you specified was invalid."),
    "InvalidEncryptionAlgorithmError": (
        400,
        "The Encryption request you specified is not valid. Supported values: AES256/KMS/SM4.",
    ),
    "InvalidObjectName": (400, "The specified object is not valid."),
    "InvalidObjectState": (403, "The operation is not valid for the object's state"),
    "InvalidPart": (
        400,
        "One or more of the specified parts could not be found or the specified entity tag"
        " might not have matched the part's entity tag.",
    ),
    "InvalidPartOrder": (400, "The list of parts was not in ascending order."),
    "InvalidRange": (416, "The requested range cannot be satisfied"),
    "InvalidSecurityToken": (403, "The security token you provided is invalid."),
    "SecurityTokenExpired": (403, "The security token you provided has expired."),
    "InvalidTag": (400, "The tags you provided are not valid."),
    "InvalidTargetType": (400, "The symbolic's target file type is invalid."),
    "InternalError": (500, "We encountered an internal error. Please try again."),
    "AccessDenied": (403, "You have no right to access this object because of bucket acl."),
    "BucketNotEmpty": (409, "The bucket you tried to delete is not empty."),
    "MalformedXML": (
        400,
        "The XML you provided was not well-formed or did not validate against our published"
        " schema.",
    ),
    "MethodNotAllowed": (405, "The specified method is not allowed against this resource."),
    "MissingArgument": (400, "An argument of the request is missing."),
    "MissingContentLength": (411, "You must provide the Content-Length HTTP header."),
    "NoSuchBucket": (404, "The specified bucket does not exist."),
    "NoSuchKey": (404, "The specified key does not exist."),
    "NoSuchUpload": (
        404,
        "The specified upload does not exist. The upload ID may be invalid, or the upload may"
        " have been aborted or completed.",
    ),
    "NotImplemented": (400, "This local endpoint does not implement what you ask for."),
    "NotSymlink": (400, "The object is not symlink"),
    "ObjectNotAppendable": (409, "The object is not appendable"),
    "OperationNotSupported": (400, "The operation is not supported for this resource"),
    "PositionNotEqualToLength": (409, "Position is not equal to file length"),
    "PreconditionFailed": (
        412,
        "At least one of the pre-conditions you specified did not hold.",
    ),
    "RequestTimeTooSkewed": (
        403,
        "The difference between the request time and the current time is too large.",
    ),
    "RestoreAlreadyInProgress": (409, "The restore operation is in progress."),
    "SignatureDoesNotMatch": (
        403,
        "The request signature we calculated does not match the signature you provided."
        " Check your key and signing method.",
    ),
    "SymlinkTargetNotExist": (404, "The symlink target object does not exist"),
    "TooManyBuckets": (400, "You have attempted to create more buckets than allowed."),
}


class Refusal(Exception):
    """A request that is answered with one of OSS's error codes.

    `headers` go out with the answer; `details` become tags of the error XML.
    """

    def __init__(
        self,
        code: str,
        message: str = "",
        *,
        headers: Mapping[str, str] | None = None,
        details: Mapping[str, str] | None = None,
    ) -> None:
        self.code = code
        self.status, sentence = _MEANING[code]
        self.message = message or sentence
        self.headers = dict(headers or {})
        self.details = dict(details or {})
        super().__init__(f"{code}: {self.message}")


def invalid_argument(message: str, name: str = "", value: str = "") -> Refusal:
    """An InvalidArgument that names the argument, as the service does."""
    details = {"ArgumentName": name, "ArgumentValue": value[:_MAX_SHOWN]}
    return Refusal("InvalidArgument", message, details=details)
