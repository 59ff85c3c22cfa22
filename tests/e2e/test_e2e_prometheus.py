"""A real Prometheus scrapes a running app."""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from support.otlp_receiver import Receiver
from support.processes import PATIENCE, Running, free_port, get, start

pytestmark = pytest.mark.e2e

CONFIGURATION = """
global: {scrape_interval: 1s}
scrape_configs:
  - job_name: shop
    static_configs: [{targets: ["127.0.0.1:%d"]}]
"""


def program(name: str) -> str:
    """A program of the Prometheus project: named by a variable, else on PATH, else the tests are skipped."""
    variable = f"TACHOGRAPH_{name.upper()}"
    found = os.environ.get(variable) or shutil.which(name)
    if found is None:
        pytest.skip(f"NOT CHECKED against a real {name}: it is not on PATH and {variable} does not name it")
    return found


@dataclass(frozen=True)
class Scraped:
    url: str
    metrics: str
    traces: set[str]

    def query(self, path: str, **parameters: str) -> Any:
        status, _, body = get(f"{self.url}/api/v1/{path}?{urlencode(parameters)}")
        assert status in (200, 503), body  # 503: it is starting
        return json.loads(body)["data"] if status == 200 else []

    def until(self, path: str, **parameters: str) -> Any:
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            data = self.query(path, **parameters)
            if data["result"] if isinstance(data, dict) else data:
                return data
            time.sleep(0.2)
        raise AssertionError(f"Prometheus has nothing for {parameters}")


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, set[str]]]:
    port, metrics_port = free_port(), free_port()
    with Receiver() as receiver:
        running = start(
            "uvicorn",
            "fastapi_httpx:app",
            "--port",
            str(port),
            at=tmp_path_factory.mktemp("scraped"),
            APP_PORT=str(port),
            OTEL_EXPORTER_OTLP_ENDPOINT=receiver.url,
            OTEL_EXPORTER_PROMETHEUS_HOST="127.0.0.1",
            OTEL_EXPORTER_PROMETHEUS_PORT=str(metrics_port),
            OTEL_SERVICE_NAME="shop",
        )
        try:
            running.wait_for_port(port)
            answers = [get(f"http://127.0.0.1:{port}/orders/{number}")[2] for number in range(5)]
            yield f"127.0.0.1:{metrics_port}", {json.loads(answer)["trace_id"] for answer in answers}
        finally:
            running.kill()


@pytest.fixture(scope="module")
def prometheus(app: tuple[str, set[str]], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scraped]:
    folder, port = tmp_path_factory.mktemp("prometheus"), free_port()
    configuration = folder / "prometheus.yml"
    configuration.write_text(CONFIGURATION % int(app[0].rpartition(":")[2]))
    running = Running(
        (
            program("prometheus"),
            f"--config.file={configuration}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--enable-feature=exemplar-storage",
        ),
        folder,
        dict(os.environ),
        folder,
    )
    try:
        running.wait_for_port(port)
        yield Scraped(f"http://127.0.0.1:{port}", f"http://{app[0]}/metrics", app[1])
    finally:
        running.kill()


class TestPrometheus:
    def test_the_sample_arrives(self, prometheus: Scraped) -> None:
        """
        The app's counter and the requests of its framework stand in Prometheus with their values.
        """
        orders = prometheus.until("query", query="app_orders_total")["result"]
        requests = prometheus.until(
            "query",
            query='sum by (http_route) (http_server_request_duration_seconds_count{http_route="/orders/{number}"})',
        )["result"]

        assert [each["value"][1] for each in orders] == ["5"]
        assert orders[0]["metric"]["job"] == "shop"
        assert [each["value"][1] for each in requests] == ["5"]

    def test_exemplars_lead_to_traces(self, prometheus: Scraped) -> None:
        """
        Prometheus answers a query for exemplars with the trace ids of the requests.
        """
        data = prometheus.until(
            "query_exemplars", query="app_order_size_bucket", start=str(time.time() - 300), end=str(time.time() + 60)
        )
        found = {each["labels"]["trace_id"] for series in data for each in series["exemplars"]}

        assert found
        assert found <= prometheus.traces

    def test_the_target_is_up_and_named(self, prometheus: Scraped) -> None:
        """
        Every scrape succeeds, and `target_info` tells the service.
        """
        assert [each["value"][1] for each in prometheus.until("query", query="up")["result"]] == ["1"]
        assert prometheus.until("query", query='target_info{service_name="shop"}')["result"]

    def test_promtool_has_nothing_to_say(self, app: tuple[str, set[str]], tmp_path: Path) -> None:
        """
        `promtool check metrics` is content with the text format.
        """
        text = get(f"http://{app[0]}/metrics")[2]
        done = subprocess.run(
            [program("promtool"), "check", "metrics"],
            input=text,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
