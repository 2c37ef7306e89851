"""A small HTTP server on the loopback interface that answers what a test tells it to."""

from __future__ import annotations

import json
import ssl
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import urlsplit

Answer = tuple[int, Any]
"""Status and body; a text is sent as it is, everything else as JSON."""


class _Server(ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        """Says nothing where a client did not wait for its answer."""


class Loopback:
    """Serves `routes`: an answer, or a function of the request that gives one, by "METHOD /path".

    Attributes:
        url: its address.
        requests: method, path with query, headers and body of every request, in order.
        headers: sent with every answer.
        delay: seconds before each answer.
    """

    def __init__(
        self,
        routes: dict[str, Answer | Callable[[Any], Answer]],
        tls: ssl.SSLContext | None = None,
    ):
        self.routes = routes
        self.requests: list[tuple[str, str, dict[str, str], Any]] = []
        self.headers: dict[str, str] = {}
        self.delay = 0.0
        self._server = _Server(("127.0.0.1", 0), self._handler())
        self.address = f"127.0.0.1:{self._server.server_address[1]}"
        self.url = f"http{'' if tls is None else 's'}://{self.address}"
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                length = int(self.headers.get("Content-Length", 0))
                body = json.loads(self.rfile.read(length)) if length else None
                request = (self.command, self.path, dict(self.headers), body)
                outer.requests.append(request)
                time.sleep(outer.delay)
                missing = (404, {"message": "not found"})
                route = outer.routes.get(f"{self.command} {urlsplit(self.path).path}", missing)
                status, content = route(request) if callable(route) else route
                data = (content if isinstance(content, str) else json.dumps(content)).encode()
                self.send_response(status)
                for name, value in outer.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(data)

            do_GET = do_HEAD = do_POST = answer  # noqa: N815

            def log_message(self, *_: object) -> None:
                pass

        return Handler

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """From here on, connections are refused."""
        self._server.shutdown()
        self._server.server_close()
