"""What can go wrong between two hosts, as errors that say what happened and where."""

import socket
import ssl

from ossimport.errors import Fatal, Permanent, StorageError, Transient
from ossimport.transport.wire import Endpoint

Where = Endpoint | str

_PASSING = (408, 429)  # statuses that another attempt may not see


class Stale(Transient):
    """The server closed a kept-alive connection before it answered any byte of the request."""


def connect_fault(where: Where, exc: OSError | UnicodeError, seconds: float) -> Transient:
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
    elif isinstance(exc, UnicodeError):
        code, what = "DnsFailure", "that is no name of a host"
    elif isinstance(exc, ConnectionRefusedError):
        code, what = "ConnectionRefused", "nothing listens there"
    elif isinstance(exc, ConnectionError):
        code, what = "ConnectionReset", f"the connection broke while it was made: {exc}"
    else:
        code, what = "ConnectionFailed", f"no connection: {exc}"
    return _fault(where, code, what)


def exchange_fault(where: Where, exc: Exception | None, received: int) -> Transient:
    """Why a connection ended in the middle of a request, `received` bytes into the response."""
    if isinstance(exc, ssl.SSLError):
        return _fault(where, "TlsError", f"TLS broke: {exc.reason or exc}")
    if isinstance(exc, TimeoutError):
        return _fault(where, "Timeout", "the server stopped acknowledging what was sent")
    if received:
        text = f"the connection ended {received} bytes into the response"
    else:
        text = "the connection ended before the response"
    return _fault(where, "ConnectionReset", text)


def proxy_refused(where: Where, status: int) -> StorageError:
    """The proxy answered with `status` for itself. Its words may quote ours: not repeated."""
    if status == 407:
        text = f"{where}: it asks for other credentials (407). Cure: name the proxy as"
        text += " http://USER:PASSWORD@HOST:PORT in HTTPS_PROXY and HTTP_PROXY, for every process"
        return Fatal(text, code="ProxyRefused")
    if status >= 500 or status in _PASSING:
        return Transient(f"{where}: it cannot reach the host now ({status})", code="ProxyRefused")
    text = f"{where}: it refuses to connect us ({status}). Cure: have it allow the host, or name"
    return Permanent(f"{text} the host in NO_PROXY if there is a direct way", code="ProxyRefused")


def bad_response(where: Where, what: str) -> Transient:
    """The answer cannot be trusted, because of `what`."""
    return _fault(where, "BadResponse", f"the answer is not usable: {what}")


def too_large(where: Where, limit: int) -> Permanent:
    """The answer is larger than the caller can take: it would be so again."""
    return Permanent(f"{where}: the answer has more than {limit} bytes", code="BadResponse")


def timed_out(where: Where, what: str) -> Transient:
    """A deadline has passed."""
    return _fault(where, "Timeout", what)


def closed(where: Where) -> Transient:
    """The transport was closed while a request was under way."""
    return _fault(where, "ConnectionReset", "the transport was closed during the request")


def _fault(where: Where, code: str, what: str) -> Transient:
    return Transient(f"{where}: {what}", code=code)
