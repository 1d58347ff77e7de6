"""A page served on this machine alone while its run goes on: loopback only, and only to who asks for loopback.

The Host header is checked, so that no web page in the reader's browser can reach the server under a name of its own
(DNS rebinding). Nothing but the page and its version is answered, whatever the path.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from lorascope.errors import LorascopeError
from lorascope.report.terminal import Console

LOOPBACK = "127.0.0.1"


def serve(page: Callable[[str], str], version: Callable[[], str], port: int, console: Console) -> None:
    """Serve until Ctrl-C. `version` is a text that changes when the page would; `page(version)` is the page then."""
    with make_server(page, version, port) as server:
        url = f"http://{LOOPBACK}:{server.server_port}/"
        console.out(f"watching at {url} (Ctrl-C ends it)")
        if "SSH_CONNECTION" in os.environ:
            tunnel = f"{server.server_port}:{LOOPBACK}:{server.server_port}"
            console.out(f"from your own machine: ssh -N -L {tunnel} THIS_HOST")
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            console.note("stopped watching; the run itself is untouched")


def make_server(page: Callable[[str], str], version: Callable[[], str], port: int) -> ThreadingHTTPServer:
    """The server, bound to loopback; port 0 is a free one. LorascopeError where the port is taken."""
    kept = ("", b"")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            nonlocal kept
            mine = {f"{name}:{server.server_port}" for name in (LOOPBACK, "localhost")}
            if self.headers.get("Host", "") not in mine:
                return self._answer(403, "text/plain", b"this server answers to its own name only")
            now = version()
            if self.path == "/version":
                return self._answer(200, "text/plain", now.encode())
            if self.path != "/":
                return self._answer(404, "text/plain", b"only / is here")
            try:
                if kept[0] != now:
                    kept = (now, page(now).encode())
            except LorascopeError as error:  # e.g. before the first step
                return self._answer(503, "text/plain", f"{error.what}; load again".encode(), refresh="3")
            return self._answer(200, "text/html", kept[1])

        def _answer(self, status: int, kind: str, body: bytes, refresh: str = "") -> None:
            self.send_response(status)
            self.send_header("Content-Type", f"{kind}; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Cache-Control", "no-store")
            self.send_header("X-Content-Type-Options", "nosniff")
            self.send_header("Cross-Origin-Resource-Policy", "same-origin")
            if refresh:
                self.send_header("Refresh", refresh)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            """Nothing: the terminal belongs to the run."""

    try:
        server = ThreadingHTTPServer((LOOPBACK, port), Handler)
    except OSError as error:
        raise LorascopeError("port-taken", f"port {port} cannot be used: {error.strerror}", "--port 0") from error
    return server
