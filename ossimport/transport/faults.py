"""What can go wrong between two hosts, as errors that say what happened and where."""

import socket
import ssl

from ossimport.errors import Permanent, Transient
from ossimport.transport.wire import Endpoint


class Stale(Transient):
    """The server closed a kept-alive connection before it answered any byte of the request."""


def connect_fault(endpoint: Endpoint, exc: OSError, seconds: float) -> Transient:
    """Why no connection could be made within `seconds`."""
    if isinstance(exc, ssl.SSLCertVerificationError):
        code = "TlsError"
        what = f"the certificate is refused: {exc.verify_message}; if your own authority signed it,"
        what += " name that authority's file in SSL_CERT_FILE"
    elif isinstance(exc, ssl.SSLError):
        code, what = "TlsError", f"no TLS connection: {exc.reason or exc}"
    elif isinstance(exc, TimeoutError):
        code, what = "Timeout", f"no connection within {seconds:g} s"
    elif isinstance(exc, socket.gaierror):
        code, what = "DnsFailure", f"the name cannot be resolved: {exc.strerror}"
    elif isinstance(exc, ConnectionRefusedError):
        code, what = "ConnectionRefused", "nothing listens there"
    elif isinstance(exc, ConnectionError):
        code, what = "ConnectionReset", f"the connection broke while it was made: {exc}"
    else:
        code, what = "ConnectionFailed", f"no connection: {exc}"
    return _fault(endpoint, code, what)


def exchange_fault(endpoint: Endpoint, exc: Exception | None, received: int) -> Transient:
    """Why a connection ended in the middle of a request, `received` bytes into the response."""
    if isinstance(exc, ssl.SSLError):
        return _fault(endpoint, "TlsError", f"TLS broke: {exc.reason or exc}")
    if isinstance(exc, TimeoutError):
        return _fault(endpoint, "Timeout", "the server stopped acknowledging what was sent")
    if received:
        text = f"the connection ended {received} bytes into the response"
    else:
        text = "the connection ended before the response"
    return _fault(endpoint, "ConnectionReset", text)


def bad_response(endpoint: Endpoint, what: str) -> Transient:
    """The answer cannot be trusted, because of `what`."""
    return _fault(endpoint, "BadResponse", f"the answer is not usable: {what}")


def too_large(endpoint: Endpoint, limit: int) -> Permanent:
    """The answer is larger than the caller can take: it would be so again."""
    return Permanent(f"{endpoint}: the answer has more than {limit} bytes", code="BadResponse")


def timed_out(endpoint: Endpoint, what: str) -> Transient:
    """A deadline has passed."""
    return _fault(endpoint, "Timeout", what)


def closed(endpoint: Endpoint) -> Transient:
    """The transport was closed while a request was under way."""
    return _fault(endpoint, "ConnectionReset", "the transport was closed during the request")


def _fault(endpoint: Endpoint, code: str, what: str) -> Transient:
    return Transient(f"{endpoint}: {what}", code=code)
