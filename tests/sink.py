"""A server on this machine that keeps whatever is posted to it."""

import gzip
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Sink:
    def __init__(self) -> None:
        self.bodies: list[tuple[str, bytes]] = []
        sink = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                how = self.headers.get("Content-Encoding", "")
                unpacked = gzip.decompress(body) if how == "gzip" else zlib.decompress(body) if how else body
                sink.bodies.append((self.path, unpacked))
                self.send_response(200)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self.server.server_port}"

    def wait_for(self, question: Callable[[], Any], seconds: float = 30) -> Any:
        end = time.monotonic() + seconds
        while not (answer := question()):
            assert time.monotonic() < end, [path for path, _ in self.bodies]
            time.sleep(0.05)
        return answer


@contextmanager
def sink() -> Iterator[Sink]:
    kept = Sink()
    threading.Thread(target=kept.server.serve_forever, daemon=True).start()
    try:
        yield kept
    finally:
        kept.server.shutdown()
        kept.server.server_close()
