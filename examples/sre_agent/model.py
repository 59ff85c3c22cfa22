"""A language model that is none: an endpoint that answers at once, says its usage, and fails where it is asked to."""

import json
import os
import threading
import urllib.error
import urllib.request
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PROVIDER = "example"
MODEL = "patch-1"


class ModelUnavailable(Exception):
    """The model answered that it cannot answer now."""


@dataclass(frozen=True)
class Answer:
    """What the model said, and the tokens that it took."""

    text: str
    input_tokens: int
    output_tokens: int


def ask(prompt: str, *, fail: bool = False) -> Answer:
    """Ask the endpoint of SRE_AGENT_MODEL; raises ModelUnavailable when it is overloaded, as it is with `fail`."""
    body = json.dumps({"prompt": prompt, "fail": fail}).encode()
    request = urllib.request.Request(os.environ["SRE_AGENT_MODEL"], body, {"content-type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            said = json.load(response)
    except urllib.error.HTTPError as error:
        with error:
            raise ModelUnavailable(f"status {error.code}") from None
    return Answer(said["text"], said["usage"]["input_tokens"], said["usage"]["output_tokens"])


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        words = len(asked["prompt"].split())
        usage = {"input_tokens": words, "output_tokens": 3}
        answer = json.dumps({"text": "revert the change", "usage": usage}).encode()
        self.send_response(503 if asked["fail"] else 200)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Say nothing."""


def serve() -> tuple[ThreadingHTTPServer, str]:
    """Start the endpoint on a free port of loopback; returns the server and its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server, f"http://127.0.0.1:{server.server_address[1]}/v1/chat"
