import json
import shutil
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from support import items
from support.otlp_receiver import Receiver
from support.processes import Ended, Running, checked_journal, free_port, get, start

EXAMPLE = Path(__file__).parents[2] / "examples" / "sre_agent"
REQUESTS = 8


@dataclass(frozen=True)
class Evidence:
    """What one run of the reference application said, and everything that was received of it."""

    ended: Ended
    receiver: Receiver
    journal: list[dict[str, Any]]
    api_metrics: str
    worker_metrics: str

    @property
    def said(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.ended.stdout.splitlines()]

    @property
    def spans(self) -> list[items.Span]:
        return self.receiver.spans

    @property
    def logs(self) -> list[items.Log]:
        return [log for log in self.receiver.logs if not log.is_copy]

    @property
    def points(self) -> list[items.Point]:
        return [point for export in self.receiver.exports for point in export]

    def traces(self) -> dict[str, list[items.Span]]:
        """The spans of each request's trace, by request id."""
        return {
            said["request_id"]: [span for span in self.spans if span.attributes["request_id"] == said["request_id"]]
            for said in self.said
        }


@pytest.fixture(scope="session")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    """One run of the reference application over eight requests, against a receiver."""
    if shutil.which("redis-server") is None:
        pytest.skip(
            "no redis-server on PATH: nothing is known about the reference application; apt-get install redis-server"
        )
    at, port = tmp_path_factory.mktemp("sre_agent"), free_port()
    with Receiver() as receiver:
        running = start(
            sys.executable,
            str(EXAMPLE / "run.py"),
            "--requests",
            str(REQUESTS),
            at=at,
            zero_code=False,
            OTEL_EXPORTER_OTLP_ENDPOINT=receiver.url,
            OTEL_EXPORTER_PROMETHEUS_PORT=str(port),
            TACHOGRAPH_QUEUE_DEPTH_INTERVAL="0.2",
        )
        try:
            api, worker = scrapes(running, port, port + 1)
            ended = running.ended()
        finally:
            running.kill()
    return Evidence(ended, receiver, checked_journal(ended.directory / "audit.jsonl"), api, worker)


def scrapes(running: Running, *ports: int) -> list[str]:
    """Ask for /metrics on each port for as long as it runs; return the last answers that leave nothing out."""
    texts = dict.fromkeys(ports, "")
    while running.process.poll() is None:
        for port in ports:
            with suppress(OSError):  # not there yet, or no longer
                text = get(f"http://127.0.0.1:{port}/metrics")[2]
                texts[port] = text if text.count("\n") >= texts[port].count("\n") else texts[port]
        time.sleep(0.1)
    return list(texts.values())
