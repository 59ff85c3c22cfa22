"""Django, as a real process under zero code."""

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.processes import Ended, free_port, get, start

pytest.importorskip("django", reason="Django is not installed")
pytest.importorskip("opentelemetry.instrumentation.django", reason="the extra `django` is not installed")

pytestmark = pytest.mark.e2e

APPS = Path(__file__).parent / "apps"
PATHS = ("seen/ada", "nowhere", "fail", "own", "stream")


@dataclass(frozen=True)
class Evidence:
    answers: dict[str, tuple[int, dict[str, str], str]]
    ended: Ended


@pytest.fixture(scope="module")
def evidence(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Evidence]:
    port = free_port()
    running = start(
        sys.executable, str(APPS / "pages.py"), at=tmp_path_factory.mktemp("django"), PYTHONPATH=str(APPS),
        APP_PORT=str(port), DJANGO_SETTINGS_MODULE="pages_settings",
    )  # fmt: skip
    try:
        running.wait_for_port(port)
        answers = {
            path: get(f"http://127.0.0.1:{port}/{path}", X_Request_ID=f"id-{path}", Baggage="plan_id=p")
            for path in PATHS
        }
        yield Evidence(answers, running.stop())
    finally:
        running.kill()


class TestDjango:
    def test_a_view_sees_the_ids(self, evidence: Evidence) -> None:
        """
        A view runs with the caller's ids, which stand on its span and its log line.
        """
        (span,) = [each for each in evidence.ended.spans if each.attributes.get("http.route") == "seen/<name>"]
        (log,) = [each for each in evidence.ended.own_logs if each.body == "pages ada"]
        ids = {"request_id": "id-seen/ada", "plan_id": "p"}

        assert json.loads(evidence.answers["seen/ada"][2]) == ids
        assert ids.items() <= span.attributes.items()
        assert ids.items() <= log.attributes.items()
        assert log.trace_id == span.trace_id

    @pytest.mark.parametrize(("path", "status"), [("seen/ada", 200), ("nowhere", 404), ("fail", 500), ("stream", 200)])
    def test_responses_carry_the_id(self, evidence: Evidence, path: str, status: int) -> None:
        """
        Any response carries the request id, an error page too.
        """
        answered, headers, _ = evidence.answers[path]

        assert (answered, headers["x-request-id"]) == (status, f"id-{path}")

    def test_a_header_of_the_app_stays_alone(self, evidence: Evidence) -> None:
        """
        An application that sets the header itself is not contradicted.
        """
        assert evidence.answers["own"][1]["x-request-id"] == "of-the-app"

    def test_a_streamed_body_is_computed_in_its_request(self, evidence: Evidence) -> None:
        """
        A generator that is the body sees the ids of its request, and what it logs carries trace and id.
        """
        (log,) = [each for each in evidence.ended.own_logs if each.body == "pages streams"]

        assert evidence.answers["stream"][2] == "id-stream"
        assert log.attributes["request_id"] == "id-stream"
        assert log.trace_id in {span.trace_id for span in evidence.ended.spans}
