"""What the V4 signatures of OSS and of S3 have in common, made for many small requests.

Every request is signed, so this is on the hottest path of all. The signing key changes once a day
and the time stamp once a second; both are kept. What is left is one SHA-256 and one HMAC.
"""

import hmac
import time
from hashlib import sha256

_BLOCK = 64  # bytes, of SHA-256


class KeptKey:
    """What requests are signed with by one pair of keys. Not for use by several threads."""

    def __init__(
        self, algorithm: str, access_key: str, seed: str, scope: tuple[str, ...], names: str = ""
    ) -> None:
        """`seed` is the secret key behind what the service puts before it.

        `scope` is what follows the day in the scope of a key: region, service and terminator.
        `names` is what an `Authorization` header has between credential and signature.
        """
        self.second = -1
        self.stamp = ""  # the second, as it is signed
        self.authorization = ""  # of this day, but for the signature
        self._algorithm = algorithm
        self._access_key = access_key
        self._seed = seed.encode()
        self._steps = scope
        self._names = names
        self._scope = ""
        self._inner = self._begun = self._outer = sha256()

    def start(self, second: int) -> None:
        """Sign for this second since 1970 from now on."""
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(second))
        if stamp[:8] != self.stamp[:8]:
            self._start_day(stamp[:8])
        self.second, self.stamp = second, stamp
        self._begun = self._inner.copy()
        self._begun.update(f"{self._algorithm}\n{stamp}\n{self._scope}\n".encode())

    def sign(self, request: str) -> str:
        """The `Authorization` header of a canonical request, which is latin-1."""
        inner = self._begun.copy()
        inner.update(sha256(request.encode("latin-1")).hexdigest().encode())
        outer = self._outer.copy()
        outer.update(inner.digest())
        return self.authorization + outer.hexdigest()

    def _start_day(self, day: str) -> None:
        """Derive the day's key and keep the two hash states that HMAC begins with.

        Copying the states costs a third of what `hmac.digest` does for a message of this length.
        """
        steps = (day, *self._steps)
        self._scope = "/".join(steps)
        credential = f"{self._algorithm} Credential={self._access_key}/{self._scope}"
        self.authorization = f"{credential}, {self._names}Signature="
        key = self._seed
        for step in steps:
            key = hmac.digest(key, step.encode(), "sha256")
        block = key.ljust(_BLOCK, b"\0")
        self._inner = sha256(bytes(byte ^ 0x36 for byte in block))
        self._outer = sha256(bytes(byte ^ 0x5C for byte in block))
