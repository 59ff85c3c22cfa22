"""
An OTLP http/protobuf receiver that decodes and counts, in this process or as one of its own.

::

    with Receiver() as receiver:
        run_the_app(OTEL_EXPORTER_OTLP_ENDPOINT=receiver.url)
    assert len(receiver.spans) == 10

A `Behaviour` decides what an export is answered: a status, a delay, a partial success, silence, a reset. What it
refuses is not counted as received.

As a process: `python -m support.otlp_receiver PORT`; `GET /counts` answers with the counts as JSON.
"""

import gzip
import json
import socket
import struct
import sys
import threading
import time
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from opentelemetry.proto.collector.logs.v1 import logs_service_pb2
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2

from support import items

_PATHS: dict[str, tuple[str, Any, Any]] = {
    "/v1/traces": ("traces", trace_service_pb2.ExportTraceServiceRequest, trace_service_pb2.ExportTraceServiceResponse),
    "/v1/logs": ("logs", logs_service_pb2.ExportLogsServiceRequest, logs_service_pb2.ExportLogsServiceResponse),
    "/v1/metrics": (
        "metrics",
        metrics_service_pb2.ExportMetricsServiceRequest,
        metrics_service_pb2.ExportMetricsServiceResponse,
    ),
}
_REJECTED = {"traces": "rejected_spans", "logs": "rejected_log_records", "metrics": "rejected_data_points"}


@dataclass(frozen=True)
class Request:
    """One export as it arrived: `number` counts the requests of its signal from 1."""

    signal: str
    number: int
    headers: Mapping[str, str]
    message: Any = field(repr=False)


@dataclass(frozen=True)
class Answer:
    """
    What an export is answered.

    `kept` says whether its items count as received; the default is what an honest receiver does (kept on 2xx).
    `rejected` items are refused by `partial_success`. `hang` answers nothing until the receiver closes; `reset` cuts
    the connection.
    """

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    delay: float = 0.0
    rejected: int = 0
    message: str = ""
    hang: bool = False
    reset: bool = False
    kept: bool | None = None

    @property
    def keeps(self) -> bool:
        """Whether the items count as received."""
        if self.kept is not None:
            return self.kept
        return 200 <= self.status < 300 and not self.hang and not self.reset and not self.rejected


Behaviour = Callable[[Request], Answer]


def accept(_request: Request) -> Answer:
    """Take everything."""
    return Answer()


def hang(_request: Request) -> Answer:
    """Take the bytes and never answer."""
    return Answer(hang=True)


class Receiver:
    """Listens while it is entered; what arrived stays readable afterwards."""

    def __init__(self, behaviour: Behaviour = accept, *, port: int = 0) -> None:
        self.behaviour = behaviour
        self.spans: list[items.Span] = []
        self.logs: list[items.Log] = []
        self.exports: list[list[items.Point]] = []
        self.requests: dict[str, int] = {"traces": 0, "logs": 0, "metrics": 0}
        self.faults: list[str] = []
        self._changed = threading.Condition()
        self._closing = threading.Event()
        self._server = _Server(("127.0.0.1", port), self)
        self._thread = threading.Thread(target=self._server.serve_forever, name="otlp-receiver", daemon=True)

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        """What OTEL_EXPORTER_OTLP_ENDPOINT is set to."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def points(self) -> list[items.Point]:
        """The data points of the last export of metrics, which are cumulative."""
        return self.exports[-1] if self.exports else []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop listening, and let go of whoever hangs."""
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def counts(self) -> dict[str, Any]:
        """Exact counts of what was received, and of the requests that brought it."""
        with self._changed:
            return {
                "spans": len(self.spans),
                "logs": len(self.logs),
                "points": len(self.points),
                "requests": dict(self.requests),
                "faults": list(self.faults),
            }

    def wait_for(self, condition: Callable[["Receiver"], bool], *, seconds: float = 20.0) -> None:
        """Wait until `condition` holds; an AssertionError tells what arrived instead."""
        deadline = time.monotonic() + seconds
        with self._changed:
            while not condition(self):
                left = deadline - time.monotonic()
                assert left > 0, f"not received within {seconds} s; there are {self.counts()}"
                self._changed.wait(min(left, 0.5))

    def take(self, path: str, headers: Mapping[str, str], body: bytes) -> tuple[Answer, bytes]:
        """Decode an export, ask the behaviour, and count."""
        signal, message_type, response_type = _PATHS[path]
        message = message_type.FromString(_decompressed(body, headers.get("content-encoding", "")))
        with self._changed:
            self.requests[signal] += 1
            number = self.requests[signal]
        answer = self.behaviour(Request(signal, number, headers, message))
        response = response_type()
        if answer.rejected or answer.message:
            setattr(response.partial_success, _REJECTED[signal], answer.rejected)
            response.partial_success.error_message = answer.message
        with self._changed:
            if answer.keeps:
                self._keep(signal, message)
            self._changed.notify_all()
        return answer, response.SerializeToString()

    def fault(self, text: str) -> None:
        """Note what no exporter may send."""
        with self._changed:
            self.faults.append(text)
            self._changed.notify_all()

    def wait_closing(self) -> None:
        """Wait until the receiver closes."""
        self._closing.wait()

    def _keep(self, signal: str, message: Any) -> None:
        if signal == "traces":
            self.spans.extend(items.spans(message))
        elif signal == "logs":
            self.logs.extend(items.logs(message))
        else:
            self.exports.append(list(items.points(message)))


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], receiver: Receiver) -> None:
        self.receiver = receiver
        super().__init__(address, _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        error = sys.exception()
        if not isinstance(error, ConnectionError):  # an exporter that gave up is no fault of its payload
            self.receiver.fault(f"{type(error).__name__}: {error}")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_POST(self) -> None:
        receiver = self.server.receiver
        body = self.rfile.read(int(self.headers.get("content-length", "0")))
        headers = {key.lower(): value for key, value in self.headers.items()}
        if self.path not in _PATHS or headers.get("content-type") != "application/x-protobuf":
            receiver.fault(f"POST {self.path} as {headers.get('content-type')}")
            self._send(404, {}, b"")
            return

        answer, response = receiver.take(self.path, headers, body)
        if answer.delay:
            time.sleep(answer.delay)
        if answer.hang:
            receiver.wait_closing()
        if answer.hang or answer.reset:
            self._cut(reset=answer.reset)
        else:
            self._send(answer.status, {"content-type": "application/x-protobuf", **answer.headers}, response)

    def do_GET(self) -> None:
        self._send(200, {"content-type": "application/json"}, json.dumps(self.server.receiver.counts()).encode())

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Say nothing."""

    def _send(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.send_response(status)
        for key, value in {**headers, "content-length": str(len(body))}.items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(body)

    def _cut(self, *, reset: bool) -> None:
        if reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()


def _decompressed(body: bytes, encoding: str) -> bytes:
    if encoding == "gzip":
        return gzip.decompress(body)
    return zlib.decompress(body) if encoding == "deflate" else body


def main() -> None:
    """Run until interrupted."""
    with Receiver(port=int(sys.argv[1]) if len(sys.argv) > 1 else 0) as receiver:
        print(receiver.url, flush=True)
        receiver.wait_closing()


if __name__ == "__main__":
    main()
