"""TLS for the client side: verified, and resumed where the server allows it."""

import ssl
from typing import Self


class ResumingContext(ssl.SSLContext):
    """A client context that offers each host the session it gave last.

    Event loops make their TLS objects through `wrap_bio` and have no way to pass a session, so it
    is put in there.
    """

    def __new__(cls, ca_file: str | None = None) -> Self:
        """See `__init__`; the base class takes its protocol here."""
        return super().__new__(cls, ssl.PROTOCOL_TLS_CLIENT)

    def __init__(self, ca_file: str | None = None) -> None:
        """Trust the system's authorities (or `SSL_CERT_FILE`), and those in `ca_file`.

        Raises OSError if `ca_file` cannot be read.
        """
        super().__init__()
        self._sessions: dict[str, ssl.SSLSession] = {}
        self.set_alpn_protocols(["http/1.1"])
        self.load_default_certs()
        if ca_file is not None:
            self.load_verify_locations(ca_file)

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        """As the base class does, with the host's last session if none is given."""
        if session is None:
            session = self._sessions.get(str(server_hostname))
        return super().wrap_bio(incoming, outgoing, server_side, server_hostname, session)

    def remember(self, host: str, tls: ssl.SSLObject) -> None:
        """Offer the session of `tls` to `host` from now on.

        A session exists only after the certificate has been verified; TLS 1.3 servers send theirs
        behind the handshake, so call this when the first answer has come.
        """
        if tls.session is not None:
            self._sessions[host] = tls.session
