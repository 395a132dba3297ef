"""Bodies of requests on their way in, each with a deadline. Figures: docs/adr/0051-small-bodies.md"""

import asyncio
import time
from collections.abc import Callable
from threading import Lock
from typing import Any

from core.middleware import MAX_BODY

BODY_SECONDS = 30
SMALL = 16 * 1024  # bytes, of a body that is taken in one piece
DISCARDED_BYTES = 64 * 1024 * 1024  # of a refused body: many clients hear the 413 only after sending all
LOOK_SECONDS = 1.0


class Gone(Exception):
    """The client left before its body was whole, or before it had the whole answer."""


def small_length(headers: Any) -> int | None:
    """How long the body says that it is, if it is a small one of the plain kind."""
    length = headers.get("content-length", "")
    is_plain = (
        length.isascii() and length.isdecimal() and "transfer-encoding" not in headers and "expect" not in headers
    )
    return int(length) if is_plain and len(length) < 6 and int(length) <= SMALL else None


class Arrival:
    """A small body that is awaited. granian calls it when there is one, or none will come any more."""

    __slots__ = ("arrivals", "due", "future", "length", "protocol", "scope")

    def __init__(self, arrivals: "Arrivals", scope: Any, protocol: Any, length: int) -> None:
        self.arrivals, self.scope, self.protocol, self.length = arrivals, scope, protocol, length
        self.due = time.monotonic() + BODY_SECONDS
        self.future: Any = protocol()

    def __call__(self, future: Any) -> None:
        self.arrivals.came(self, future)


class Arrivals:
    """Small bodies of one worker, without a step on the event loop, which costs more than reading them.

    `whole(scope, protocol, body)` is called on granian's own thread, so it must neither wait nor raise; `late(scope,
    protocol)` on the loop's, when a body did not come in time.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        whole: Callable[[Any, Any, bytes], None],
        late: Callable[[Any, Any], None],
    ) -> None:
        self.loop, self.whole, self.late = loop, whole, late
        self.coming: dict[Arrival, None] = {}
        self.lock = Lock()
        self.is_watched = False
        self.soon: Any = loop.call_soon_threadsafe
        # granian tells of each future by this method of the loop, from the thread that takes requests, too.
        setattr(loop, "call_soon_threadsafe", self.call)  # noqa: B010 - of this one loop

    def call(self, callback: Any, *args: Any, context: Any = None) -> Any:
        return callback(*args) if type(callback) is Arrival else self.soon(callback, *args, context=context)

    def expect(self, scope: Any, protocol: Any, length: int) -> None:
        arrival = Arrival(self, scope, protocol, length)
        with self.lock:
            self.coming[arrival] = None
            was_watched, self.is_watched = self.is_watched, True
        arrival.future.add_done_callback(arrival)
        if not was_watched:
            self.soon(self.loop.call_later, LOOK_SECONDS, self.look)

    def came(self, arrival: Arrival, future: Any) -> None:
        with self.lock:
            self.coming.pop(arrival, None)
        arrival.future = None  # which holds the arrival, and Python's collector does not look into it
        if future.cancelled():  # it was late
            return
        try:
            body = bytes(future.result())
        except Exception:
            body = None
        if body is None or len(body) != arrival.length:
            arrival.protocol.response_empty(400, [("connection", "close")])
        else:
            self.whole(arrival.scope, arrival.protocol, body)

    def look(self) -> None:
        """For those that are late; and again, for as long as any is awaited."""
        now = time.monotonic()
        with self.lock:
            late = [arrival for arrival in self.coming if arrival.due <= now]
            self.is_watched = bool(self.coming)
        if self.is_watched:
            self.loop.call_later(LOOK_SECONDS, self.look)
        for arrival in late:
            future = arrival.future
            if future is not None and future.cancel():
                self.late(arrival.scope, arrival.protocol)


async def read_body(headers: Any, protocol: Any) -> bytes:
    """The whole body, if it is one that Django will take: what is too large is read and dropped. Raises Gone."""
    length = int(headers.get("content-length", "-1"))
    if length > MAX_BODY and "expect" in headers:
        return b""  # it asked first, so it need not send
    body, size, empty = bytearray(), 0, 0
    async for chunk in protocol:
        size += len(chunk)
        empty += not chunk
        if size > DISCARDED_BYTES:
            break
        if len(body) <= MAX_BODY:
            body += chunk
    # granian ends each body by an empty chunk, and gives one more where the connection broke, or for trailers.
    is_cut_short = empty > 1 and "trailer" not in headers
    if size < length <= DISCARDED_BYTES or is_cut_short:
        raise Gone
    return bytes(body)
