"""Three services and a program behind them, as real processes: one trace and one request id from end to end."""

import json
import random
import sys
from pathlib import Path
from typing import Any

import pytest

from support.processes import Files, free_port, get, start

pytestmark = pytest.mark.e2e

APPS = Path(__file__).parent / "apps"
WAYS = ("task", "thread", "pool", "environment", "spawn", "executor")
ORDERS = [*WAYS, *random.Random(20260101).choices(WAYS, k=6)]
PLAIN = ("fail", "own", "stream", "nowhere")


class Evidence(Files):
    """What the services answered and left behind."""

    answers: dict[str, dict[str, Any]]
    plain: dict[tuple[str, str], tuple[int, dict[str, str], str]]
    notices: list[str]


@pytest.fixture(scope="module")
def evidence(tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    at = tmp_path_factory.mktemp("hops")
    found = Evidence(at / "telemetry")
    front, back = free_port(), free_port()
    variables = {
        "PYTHONPATH": str(APPS),
        "BACK_PORT": str(back),
        "TACHOGRAPH_CORRELATION_IDS": "delivery_id",
        "TRACEPARENT": "00-11111111111111111111111111111111-2222222222222222-01",  # of whoever started the services
        "TACHOGRAPH_REQUEST_ID": "of-the-starter",
    }
    services = [
        start("uvicorn", "front:app", "--port", str(front), at=at / "front", directory=found.directory, **variables),
        start(sys.executable, str(APPS / "back.py"), at=at / "back", directory=found.directory, **variables),
    ]
    try:
        services[0].wait_for_port(front)
        services[1].wait_for_port(back)
        found.answers = {f"req-{n}-{way}": _order(front, n, way) for n, way in enumerate(ORDERS)}
        found.plain = {
            (name, path): get(f"http://127.0.0.1:{port}/{path}", X_Request_ID=f"{name}-{path}")
            for name, port in (("front", front), ("back", back))
            for path in PLAIN
        }
        ended = [each.stop() for each in services]
    finally:
        for each in services:
            each.kill()
    found.notices = [notice for each in ended for notice in each.notices]
    return found


def _order(port: int, number: int, way: str) -> dict[str, Any]:
    status, headers, body = get(
        f"http://127.0.0.1:{port}/run/{way}",
        X_Request_ID=f"req-{number}-{way}",
        X_Order=str(number),
        Baggage="tenant=7",
    )
    assert status == 200, body
    return {"headers": headers, **json.loads(body)}


@pytest.mark.parametrize("number", range(len(ORDERS)), ids=lambda number: f"{number}-{ORDERS[number]}")
class TestEveryHop:
    def test_spans_hang_together(self, evidence: Evidence, number: int) -> None:
        """
        One trace holds the servers' spans, the client's and the last program's operation; no other span has the id.
        """
        request_id = f"req-{number}-{ORDERS[number]}"
        found = [span for span in evidence.spans if span.attributes.get("request_id") == request_id]
        (trace_id,) = {span.trace_id for span in found}
        by_id = {span.span_id: span for span in evidence.spans if span.trace_id == trace_id}

        assert {span.span_id for span in found} == set(by_id)
        assert sum(span.kind == 2 for span in found) == 2
        assert sum(span.name == "execute_tool last" for span in found) == 1
        assert sum(span.parent_id not in by_id for span in found) == 1

    def test_every_signal_carries_the_ids(self, evidence: Evidence, number: int) -> None:
        """
        Log lines and the audit record of the last hop carry the request id, the plan and what the application declared.
        """
        request_id = f"req-{number}-{ORDERS[number]}"
        logs = [log for log in evidence.own_logs if log.attributes.get("request_id") == request_id]
        (record,) = [each for each in evidence.audit if each["correlation"].get("request_id") == request_id]
        traces = {span.trace_id for span in evidence.spans if span.attributes.get("request_id") == request_id}
        expected = {"request_id": request_id, "plan_id": f"p-{number}", "delivery_id": "d-1"}

        assert {"front", "back", "last"} <= {log.scope.removeprefix("app.") for log in logs}
        assert {log.trace_id for log in logs} == {record["trace_id"]} == traces
        assert record["correlation"] == expected
        assert evidence.answers[request_id]["ids"] == expected

    def test_the_answer_names_the_request(self, evidence: Evidence, number: int) -> None:
        """
        The response carries the id that the request came with.
        """
        request_id = f"req-{number}-{ORDERS[number]}"

        assert evidence.answers[request_id]["headers"]["x-request-id"] == request_id


@pytest.mark.parametrize("service", ["front", "back"])
class TestResponses:
    def test_errors_carry_the_id(self, evidence: Evidence, service: str) -> None:
        """
        404 and 500 carry the request id as any other response does.
        """
        missing, failed = evidence.plain[service, "nowhere"], evidence.plain[service, "fail"]

        assert (missing[0], missing[1]["x-request-id"]) == (404, f"{service}-nowhere")
        assert (failed[0], failed[1]["x-request-id"]) == (500, f"{service}-fail")

    def test_a_header_of_the_app_stays_alone(self, evidence: Evidence, service: str) -> None:
        """
        An application that sets the header itself is not contradicted.
        """
        assert evidence.plain[service, "own"][1]["x-request-id"] == "of-the-app"

    def test_a_streamed_body_is_computed_in_its_request(self, evidence: Evidence, service: str) -> None:
        """
        A generator that is the body sees the ids of its request, and what it logs carries trace and id.
        """
        status, _, body = evidence.plain[service, "stream"]
        (log,) = [each for each in evidence.own_logs if each.body == f"{service} streams"]

        assert (status, body) == (200, f"{service}-stream")
        assert log.attributes["request_id"] == f"{service}-stream"
        assert log.trace_id in {each.trace_id for each in evidence.spans}


def test_requests_are_not_part_of_the_services_start(evidence: Evidence) -> None:
    """
    The trace and the id that a service was started with are on none of the requests that it serves.
    """
    assert not [span for span in evidence.spans if span.kind == 2 and span.trace_id == "1" * 32]
    assert not [span for span in evidence.spans if span.attributes.get("request_id") == "of-the-starter"]


def test_nothing_is_said(evidence: Evidence) -> None:
    """
    None of this is worth a line to the operator.
    """
    assert evidence.notices == []
