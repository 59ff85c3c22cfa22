"""The endpoint on a port of its own: small, silent, bounded, and gone with the process."""

import os
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from socketserver import TCPServer, ThreadingMixIn
from typing import Any

from tachograph.contain import contain
from tachograph.scrape.answer import Answer, answer, said

# Connections at once; one more is closed unanswered, so that clients which never finish cannot pile up.
_CONNECTIONS = 16
# Seconds that a client may be silent, and that a connection may last in all.
_SILENCE = 10.0
_LIFETIME = 60.0
# Seconds between looks at the connections' ages.
_LOOK = 5.0
_PATHS = ("", "/metrics")

Address = tuple[Any, ...]


class MetricsServer:
    """
    Serves `/metrics` (and `/`) from a daemon thread until `shutdown`.

    `host` is a name or an IPv4 or IPv6 address, empty for all interfaces; port 0 takes a free one, which `port` tells.
    `OSError` when it cannot listen there.
    """

    def __init__(self, host: str, port: int) -> None:
        self._server = _Server(host, port)
        self.host = host
        self.port: int = self._server.socket.getsockname()[1]
        self._owner = os.getpid()
        self._thread = threading.Thread(target=self._server.serve_forever, args=(_LOOK,), daemon=True)
        self._thread.name = "tachograph-metrics"
        self._thread.start()

    def shutdown(self) -> None:
        """Stop listening; what is being answered may end or not. A second call does nothing."""
        if os.getpid() == self._owner and self._thread.is_alive():
            self._server.wake()
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()

    def after_fork(self) -> None:
        """Close the inherited socket in a forked child, which would keep the port and never answer."""
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    """One connection, which is one request: HTTP/1.0, so that nobody stays."""

    timeout = _SILENCE
    server_version = "tachograph"
    sys_version = ""

    def __getattr__(self, name: str) -> Callable[[], None]:
        # The base class looks for `do_GET`, `do_POST` and so on; what a method may do is said in one place.
        if name.startswith("do_"):
            return self._answer
        raise AttributeError(name)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Say nothing: stderr belongs to the host."""

    def _answer(self) -> None:
        found = self._found()
        self.send_response(found.status)
        for name, value in found.headers_sent():
            self.send_header(name, value)
        self.end_headers()
        for part in found.body:
            self.wfile.write(part)

    def _found(self) -> Answer:
        if self.path.partition("?")[0].rstrip("/") not in _PATHS:
            return said(HTTPStatus.NOT_FOUND, "the metrics are at /metrics", head=self.command == "HEAD")
        return answer(self.command, self._header("Accept"), self._header("Accept-Encoding"))

    def _header(self, name: str) -> str:
        return ",".join(self.headers.get_all(name, []))


class _Server(ThreadingMixIn, TCPServer):
    """A thread per connection, of which there are few and each has an end."""

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 16

    def __init__(self, host: str, port: int) -> None:
        self.address_family, address = _address(host, port)
        self._since: dict[socket.socket, float] = {}
        self._free = threading.BoundedSemaphore(_CONNECTIONS)
        super().__init__(address, _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Start a thread for the connection, or close it when there are too many."""
        if not self._free.acquire(blocking=False):
            self.shutdown_request(request)
            return
        self._since[request] = time.monotonic()
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer in the connection's own thread."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()
            self._since.pop(request, None)

    def service_actions(self) -> None:
        """End connections that have lasted too long, which a client that sends a byte now and then would not."""
        oldest = time.monotonic() - _LIFETIME
        for request, since in list(self._since.items()):
            if since < oldest:
                with suppress(OSError):
                    request.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Count a fault of ours; a client that has gone away is none."""
        with contain("scrape.server"), suppress(ConnectionError, TimeoutError):
            raise

    def wake(self) -> None:
        """Let the serving thread look up from its selector, so that a shutdown does not wait for it."""
        with suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)


def _address(host: str, port: int) -> tuple[socket.AddressFamily, Address]:
    name = host.removeprefix("[").removesuffix("]") or None
    found = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, _, _, _, address = found[0]
    return family, address
