"""The trust boundary, as real processes that call a vendor, a partner and services of their own by name."""

import importlib.util
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from support.processes import Ended, run

pytestmark = pytest.mark.e2e

APPS = Path(__file__).parent / "apps"
CLIENTS = ("httpx", "httpx-async", "httpx-stream", "requests", "urllib", "urllib3")
INSIDE = ("billing", "stock.shop.svc.cluster.local", "eu.partner.example", "127.0.0.1")
SAMPLERS = {"on": "parentbased_always_on", "off": "always_off", "ratio": "traceidratio"}


class Peer:
    """Every host at once: keeps the headers of each request by its path, sends `/…/redirected` to the vendor."""

    def __init__(self) -> None:
        self.seen: dict[str, dict[str, str]] = {}
        peer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                peer.seen[self.path] = {key.lower(): value for key, value in self.headers.items()}
                redirected = self.path.endswith("/redirected")
                self.send_response(302 if redirected else 200)
                if redirected:
                    self.send_header("Location", f"http://api.vendor.example:{peer.port}{self.path}-there")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args: object) -> None:
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture(scope="module", params=sorted(SAMPLERS))
def called(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Peer, Ended]:
    peer = Peer()
    ended = run(
        sys.executable, str(APPS / "clients.py"), *(client for client in CLIENTS if missing(client) is None),
        at=tmp_path_factory.mktemp(f"boundary-{request.param}"),
        PEER_PORT=str(peer.port),
        PYTHONPATH=str(APPS),
        TACHOGRAPH_TRUSTED_HOSTS="*.partner.example",
        OTEL_TRACES_SAMPLER=SAMPLERS[request.param],
        OTEL_TRACES_SAMPLER_ARG="0",
    )  # fmt: skip
    peer.server.shutdown()
    peer.server.server_close()
    assert ended.returncode == 0, ended.stderr[-4000:]
    return peer, ended


def missing(client: str) -> str | None:
    name = client.split("-")[0]
    if importlib.util.find_spec(f"opentelemetry.instrumentation.{name}") is None:
        return f"opentelemetry-instrumentation-{name} is not installed, so that no call of {name} carries anything"
    return None


@pytest.mark.parametrize("client", CLIENTS)
class TestBoundary:
    @pytest.fixture(autouse=True)
    def _instrumented(self, client: str) -> None:
        if (reason := missing(client)) is not None:
            pytest.skip(reason)

    def test_a_vendor_gets_the_trace_and_nothing_else(self, called: tuple[Peer, Ended], client: str) -> None:
        """
        Towards an unknown name neither ids nor baggage leave; the trace context does, as OpenTelemetry has it.
        """
        headers = called[0].seen[f"/{client}/api.vendor.example"]

        assert "traceparent" in headers
        assert {"baggage", "x-request-id"} & set(headers) == set()
        assert not [value for value in headers.values() if "r-1" in value or "p-1" in value]

    @pytest.mark.parametrize("host", INSIDE)
    def test_an_internal_host_gets_both(self, called: tuple[Peer, Ended], client: str, host: str) -> None:
        """
        Towards an address or a name inside, and one that the settings trust, the ids and the baggage leave.
        """
        headers = called[0].seen[f"/{client}/{host}"]
        members = dict(member.split("=") for member in headers["baggage"].split(","))

        assert headers["x-request-id"] == "r-1"
        assert {"tenant": "7", "request_id": "r-1", "plan_id": "p-1"}.items() <= members.items()
        assert "traceparent" in headers


@pytest.mark.parametrize("client", [each for each in CLIENTS if "-" not in each])
def test_a_redirect_to_a_vendor_takes_nothing_along(called: tuple[Peer, Ended], client: str) -> None:
    """
    A client that follows a redirect out of the boundary does not carry along what the first host was sent.
    """
    if (reason := missing(client)) is not None:
        pytest.skip(reason)
    seen = called[0].seen

    assert seen[f"/{client}/redirected"]["x-request-id"] == "r-1"
    assert {"baggage", "x-request-id"} & set(seen[f"/{client}/redirected-there"]) == set()


def test_sampling_is_what_was_asked_for(called: tuple[Peer, Ended]) -> None:
    """
    Spans that are recorded for the boundary's sake alone are neither exported nor said to be sampled.
    """
    peer, ended = called
    sampled = {headers["traceparent"][-2:] for headers in peer.seen.values() if "traceparent" in headers}
    exported = ended.spans if "traces.jsonl" in ended.names() else []

    if "traces.jsonl" in ended.names():
        assert sampled == {"01"} or sampled == {"03"}
        assert sum(span.kind == 3 for span in exported) > 0
    else:
        assert sampled <= {"00", "02"}
