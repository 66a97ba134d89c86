"""Bytes over HTTP: one small interface, one fast implementation.

`client` holds a `pool` of `connection`s per endpoint; a connection writes what `wire` encodes and
gives what comes back to `reader`; `dialing` makes connections, to `addresses` or a `proxy`;
`deadlines` watches all of them; `tls` and `faults` are what they say.
"""

from ossimport.transport.client import Transport
from ossimport.transport.proxy import Proxies
from ossimport.transport.wire import Endpoint, Response

__all__ = ["Endpoint", "Proxies", "Response", "Transport"]
