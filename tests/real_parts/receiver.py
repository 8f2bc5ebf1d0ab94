"""A receiver: an HTTP server on the loopback that keeps what is posted to it."""

import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

import orjson

_PATIENCE = 120.0  # seconds


class Receiver:
    """Takes JSON by POST while it is entered; `posts` holds (path, body) in order of arrival, `headers` theirs."""

    def __init__(self) -> None:
        self.posts: list[tuple[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self._arrived = threading.Condition()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def wait_for(self, wanted: Callable[[str, Any], bool]) -> Any:  # noqa: ANN401 - JSON
        """The first body that is wanted, as soon as it is there."""
        deadline = time.monotonic() + _PATIENCE
        with self._arrived:
            while True:
                for path, body in self.posts:
                    if wanted(path, body):
                        return body
                left = deadline - time.monotonic()
                assert left > 0, f"not received within {_PATIENCE:.0f} s; received: {self.posts}"
                self._arrived.wait(left)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = orjson.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with receiver._arrived:
                    receiver.posts.append((self.path, body))
                    receiver.headers.append(dict(self.headers))
                    receiver._arrived.notify_all()
                self.send_response(200)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"ok")

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        return Handler
