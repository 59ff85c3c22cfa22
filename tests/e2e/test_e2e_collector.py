"""Through a real Collector, with the configuration that ships: what is produced arrives, and nothing twice."""

import os
import shutil
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest

from support.otlp_receiver import Receiver
from support.processes import families, free_port, get, python, total

CONFIG = Path(__file__).parents[2] / "collector" / "config" / "agent.yaml"
PROGRAM = os.environ.get("TACHOGRAPH_OTELCOL") or shutil.which("otelcol") or shutil.which("otelcol-contrib")

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(
        PROGRAM is None, reason="no Collector: otelcol is not on the path, and TACHOGRAPH_OTELCOL names none"
    ),
]

CODE = """
import logging, tachograph
telemetry = tachograph.configure(service_name="through")
for number in range(50):
    with tachograph.plan("p"), tachograph.tool_call("t"):
        logging.getLogger("app").info("line %d", number)
assert telemetry.flush(20) and telemetry.shutdown(20)
"""


@pytest.fixture(scope="module")
def downstream():
    with Receiver() as receiver:
        yield receiver


@pytest.fixture(scope="module")
def collector(downstream, tmp_path_factory):
    """The Collector's OTLP endpoint and its `/metrics`."""
    listen, metrics = free_port(), free_port()
    log = tmp_path_factory.mktemp("collector") / "log"
    environment = {
        **os.environ,
        "LISTEN_ENDPOINT": f"localhost:{listen}",
        "BACKEND_ENDPOINT": downstream.url,
        "PROMETHEUS_ENDPOINT": f"localhost:{metrics}",
    }
    with log.open("wb") as out:
        process = subprocess.Popen(
            [PROGRAM, "--config", str(CONFIG)], env=environment, stdout=out, stderr=subprocess.STDOUT
        )
    try:
        wait_for_port(listen, process, log)
        yield f"http://localhost:{listen}", f"http://localhost:{metrics}/metrics"
    finally:
        process.terminate()
        process.wait(20)


def wait_for_port(port, process, log):
    for _ in range(200):
        if process.poll() is not None:
            break
        try:
            get(f"http://localhost:{port}/")
        except OSError:
            time.sleep(0.1)
            continue
        return
    raise AssertionError(log.read_text())


class TestCollector:
    def test_spans_and_logs_arrive_once(self, collector, downstream, tmp_path):
        """
        Produced is received, behind a real Collector.
        """
        ended = python(CODE, at=tmp_path, OTEL_EXPORTER_OTLP_ENDPOINT=collector[0], OTEL_METRICS_EXPORTER="otlp")
        downstream.wait_for(lambda found: len(found.spans) >= 100)

        assert ended.returncode == 0, ended.stderr
        assert Counter(span.name for span in downstream.spans) == {"plan p": 50, "execute_tool t": 50}
        lines = [str(log.body) for log in downstream.logs if log.scope == "app"]
        assert sorted(lines) == sorted(f"line {number}" for number in range(50))

    def test_pushed_metrics_have_the_names_that_the_reader_gives(self, collector, tmp_path):
        """
        A service that only pushes is served by the Collector under the same names.
        """
        ended = python(
            CODE.replace("through", "pushing"),
            at=tmp_path,
            OTEL_EXPORTER_OTLP_ENDPOINT=collector[0],
            OTEL_METRICS_EXPORTER="otlp",
        )
        _, _, text = get(collector[1])

        assert ended.returncode == 0, ended.stderr
        found = families(text)
        assert total(found, "tachograph_tool_calls_total", job="pushing", gen_ai_tool_name="t") == 50
        assert total(found, "tachograph_plan_duration_seconds_count", job="pushing") == 50

    def test_the_pushed_copy_of_a_scraped_service_is_dropped(self, collector, tmp_path):
        """
        What Prometheus scrapes from the service is not served a second time.
        """
        ended = python(
            CODE.replace("through", "scraped"),
            at=tmp_path,
            OTEL_EXPORTER_OTLP_ENDPOINT=collector[0],
            OTEL_EXPORTER_PROMETHEUS_PORT=str(free_port()),
        )
        _, _, text = get(collector[1])

        assert ended.returncode == 0, ended.stderr
        assert 'job="scraped"' not in text
