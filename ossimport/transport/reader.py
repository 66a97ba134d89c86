"""Bytes in, one response out. No I/O: a connection feeds it."""

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from ossimport.transport.faults import Where, bad_response, too_large
from ossimport.transport.wire import NAMES, Response

_MAX_SILENCE = 64 << 10  # bytes of heads, trailers and chunk sizes without a byte of body
_NO_BODY = (204, 304)  # whatever their Content-Length says


class ResponseReader:
    """Reads the final response to one request after another; interim ones (1xx) are passed over.

    A body whose length is known and that comes in several pieces is put together here, in one
    buffer, and is never held twice. Heads may be 64 KiB long.
    """

    def __init__(self, where: Where) -> None:
        self._where = where
        self._parser = HttpResponseParser(self)
        self._response: Response | None = None  # the final one, since its head is complete
        self._chunks: list[bytes] = []  # of a body whose length is known, from one piece
        self.filling: bytearray | None = None  # instead of `_chunks`, when more pieces have to come
        self._grown: bytearray | None = None  # a body whose length is not known, so far
        self.persistent = False  # another response may follow the complete one on this connection
        self.begin(head_only=False, max_body=0)

    def begin(self, head_only: bool, max_body: int) -> None:
        """Get ready for the response to a request; `head_only` is for requests like HEAD.

        What a former response has left is gone: one that failed is the last of its connection.
        """
        self.received = 0  # bytes since the request began
        self.size = 0  # bytes of body among them
        self._bare = head_only  # no body will come, whatever the head says
        self._max_body = max_body
        self._fields: dict[str, str] = {}  # being read: of any head, or trailers
        self._length = -1  # bytes of body that the head promises; -1: it does not say
        self._heard = 0  # what was received when the latest bytes of body had come
        self._complete = False

    def space(self, least: int) -> memoryview | None:
        """Where the next bytes of a body can be put, if more than `least` of them are missing.

        The last byte is for `feed`: only there it is seen whether something comes behind the body.
        """
        if self.filling is None or self._length - self.size <= least:
            return None
        return memoryview(self.filling)[self.size : self._length - 1]

    def filled(self, count: int) -> None:
        """So many bytes have been put where `space` said."""
        self.received += count
        self.size += count

    def feed(self, data: bytes | memoryview) -> Response | None:
        """Take bytes from the server; the response, once it is complete. Nothing of `data` is kept.

        Raises Transient(BadResponse) for what is not HTTP, Permanent(BadResponse) for a body larger
        than allowed. Bytes behind a complete response only make it not persistent.
        """
        self.received += len(data)
        if self.filling is not None:
            self._fill(self.filling, data)
        else:
            try:
                self._parser.feed_data(data)
            except HttpParserUpgrade:
                raise bad_response(self._where, "it switched protocols unasked") from None
            except HttpParserError as exc:
                self.persistent = False
                if not self._complete:
                    raise bad_response(self._where, f"it is not HTTP: {exc}") from exc
            if not self._complete:
                self._expect_more()
        response = self._response
        return self._hand_over(response) if response is not None and self._complete else None

    def finish(self) -> Response | None:
        """The server has closed the connection: the response, if that was to be its end."""
        response = self._response
        if response is None or self._length >= 0 or "transfer-encoding" in response.headers:
            return None
        return self._hand_over(response)

    def _hand_over(self, response: Response) -> Response:
        """What has been read. It is kept nowhere else: this connection may be idle for long."""
        self._response = None
        if self._bare:
            self._parser = HttpResponseParser(self)  # the old one may wait for a body
        if self.size:
            self._limit(self.size)
            response.body = self.filling or self._grown or b"".join(self._chunks)
            self.filling = self._grown = None
            self._chunks.clear()
        return response

    def _fill(self, body: bytearray, data: bytes | memoryview) -> None:
        end = self.size + len(data)
        if end > self._length:
            self.persistent = False
            data = data[: self._length - self.size]
        body[self.size : end] = data
        self.size = end
        if end >= self._length:
            self._complete = True
            self._parser = HttpResponseParser(self)  # the old one still waits for the body

    def _expect_more(self) -> None:
        self._limit(max(self.size, self._length))
        if self.size < self._length:
            self.filling = bytearray(self._length)
            self.filling[: self.size] = b"".join(self._chunks)
            self._chunks.clear()
        elif self.received - self._heard > _MAX_SILENCE:
            raise bad_response(self._where, f"more than {_MAX_SILENCE} bytes of headers")

    def _limit(self, size: int) -> None:
        if size > self._max_body:
            raise too_large(self._where, self._max_body)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Called by the parser, for trailers as well."""
        fields, known, text = self._fields, NAMES[name], value.decode("latin-1")
        fields[known] = f"{fields[known]}, {text}" if known in fields else text

    def on_headers_complete(self) -> None:
        """Called by the parser, for interim responses as well."""
        status = self._parser.get_status_code()
        fields, self._fields = self._fields, {}
        if self._complete:
            self.persistent = False
        elif status >= 200:
            self._response = Response(status, fields, b"")
            self.persistent = self._parser.should_keep_alive()
            if self._bare or status in _NO_BODY:
                self._bare = self._complete = True
            elif "content-length" in fields:
                self._length = int(fields["content-length"])

    def on_body(self, data: bytes) -> None:
        """Called by the parser with the next bytes of the body."""
        if self._complete:
            self.persistent = False
            return
        self._heard = self.received
        if self._length >= 0:
            self._chunks.append(data)
        elif self._grown is None:
            self._grown = bytearray(data)
        else:
            self._grown += data  # each for itself, those of two bytes would take twenty times that
        self.size += len(data)

    def on_message_complete(self) -> None:
        """Called by the parser at the end of every response, interim ones as well."""
        self._complete = self._response is not None
