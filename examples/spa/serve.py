#!/usr/bin/env python3
"""One origin for a page and its API, for trying out: this folder at /, and everything else from Muster.

examples/spa/serve.py [PORT [MUSTER]]      default: 8080 and http://127.0.0.1:8000

In production a reverse proxy does this; ../README.md has the lines for it.
"""

import http.client
import sys
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

OWN = ("/", "/index.html", "/app.js")
# Of one connection and not of the message (RFC 9110 §7.6.1); the body arrives whole, so its framing is ours.
HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "upgrade", "server", "date", "content-length"}


class Handler(SimpleHTTPRequestHandler):
    muster = "127.0.0.1:8000"

    def __init__(self, *args: object) -> None:
        super().__init__(*args, directory=str(Path(__file__).parent))  # type: ignore[arg-type]

    def do_GET(self) -> None:
        if self.path.partition("?")[0] in OWN:
            super().do_GET()
        else:
            self.forward()

    def forward(self) -> None:
        """The request as it is, `Host` and `Origin` too, since PUBLIC_URL is this address."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        muster = http.client.HTTPConnection(self.muster, timeout=30)
        muster.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            if name.lower() not in HOP_BY_HOP - {"content-length"}:
                muster.putheader(name, value)
        muster.endheaders(body)
        answer = muster.getresponse()
        content = answer.read()
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in HOP_BY_HOP:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
        muster.close()

    do_POST = do_PUT = do_PATCH = do_DELETE = forward


if __name__ == "__main__":
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8080
    if len(sys.argv) > 2:
        Handler.muster = urlsplit(sys.argv[2]).netloc
    print(f"http://127.0.0.1:{port}", flush=True)
    ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()
