"""One run of the demo: start the service and its model, drive requests, scrape, stop, and read what is left."""

import secrets
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import httpx

from tachograph.audit import verify
from tachograph.cli import demo_records, demo_tree
from tachograph.cli.demo_processes import (
    LOOPBACK,
    Child,
    DemoError,
    ending_in_order,
    environment,
    free_ports,
    launcher,
)
from tachograph.cli.demo_records import AuditRecord, Exposition, LogLine, Span, Tail

SERVICE = "demo-agent"
APPROVER = "user:ada"
DONE = "done"
GOALS = (
    "Report on tachographs by mail",
    "What does a tachograph record?",
    "Free some disk space",
)
OPENMETRICS = "application/openmetrics-text; version=1.0.0"

Say = Callable[[str], None]


@dataclass(frozen=True)
class Answer:
    """How one request ended: done, failed, or what went wrong on the way."""

    request_id: str
    goal: str
    status: str


@dataclass(frozen=True)
class Verdict:
    """What the verifier says of the whole journal."""

    records: int = 0
    faults: tuple[str, ...] = ()
    head: str = ""

    @property
    def intact(self) -> bool:
        """True when there are records and all of them hang together."""
        return self.records > 0 and not self.faults


@dataclass(frozen=True)
class Evidence:
    """What one run of the demo did, and everything that was recorded of it."""

    directory: Path
    answers: tuple[Answer, ...]
    spans: tuple[Span, ...]
    logs: tuple[LogLine, ...]
    audit: tuple[AuditRecord, ...]
    scraped: Exposition
    openmetrics: Exposition
    textfile: Exposition
    verdict: Verdict
    exit_code: int
    seconds: float

    @property
    def metrics_file(self) -> Path:
        """The textfile of the service."""
        return self.directory / f"metrics.{SERVICE}.prom"

    @cached_property
    def traces(self) -> dict[str, str]:
        """The trace id of each request, by request id."""
        served = {each.attributes.get("request_id", ""): each.trace_id for each in self.spans if not each.parent_id}
        return {each.request_id: served[each.request_id] for each in self.answers if each.request_id in served}

    @cached_property
    def shown(self) -> str:
        """The request that tells most: one with an exemplar, then one with many spans."""
        exemplars = self.openmetrics.exemplars()
        sizes = {each: sum(span.trace_id == trace for span in self.spans) for each, trace in self.traces.items()}
        return max(self.traces, key=lambda each: (self.traces[each] in exemplars, sizes[each]), default="")

    def tree(self, trace_id: str) -> demo_tree.Trace:
        """Return what was recorded under a trace id."""
        return demo_tree.trace(trace_id, self.spans, self.logs, self.audit)


class Session:
    """Runs the demo in a directory; `say` is told what it is about to do."""

    def __init__(self, directory: Path, requests: int, say: Say) -> None:
        self._directory = directory
        self._requests = requests
        self._say = say
        self._name = f"demo-{secrets.token_hex(3)}"

    @property
    def log(self) -> Path:
        """Where the children's output goes."""
        return self._directory.absolute() / "demo.log"

    def run(self) -> Evidence:
        """Run it; DemoError when it cannot be carried through."""
        started = time.monotonic()
        tails = self._prepare()
        with ending_in_order(), ExitStack() as stack:
            answers, scraped, openmetrics, exit_code = self._live(stack)
        spans, logs, audit = (tail.lines() for tail in tails)
        return Evidence(
            directory=self._directory,
            answers=answers,
            spans=demo_records.spans(spans),
            logs=demo_records.logs(logs),
            audit=demo_records.audit(audit),
            scraped=scraped,
            openmetrics=openmetrics,
            textfile=_textfile(self._directory / f"metrics.{SERVICE}.prom"),
            verdict=verdict(self._directory / "audit.jsonl"),
            exit_code=exit_code,
            seconds=time.monotonic() - started,
        )

    def _prepare(self) -> tuple[Tail, Tail, Tail]:
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            self.log.write_bytes(b"")
            (self._directory / f"metrics.{SERVICE}.prom").unlink(missing_ok=True)
        except OSError as error:
            raise DemoError(f"{self._directory} cannot be used: {error.strerror or error}") from error
        names = ("traces.jsonl", "logs.jsonl", "audit.jsonl")
        traces, logs, audit = (Tail(self._directory / name) for name in names)
        return traces, logs, audit

    def _live(self, stack: ExitStack) -> tuple[tuple[Answer, ...], Exposition, Exposition, int]:
        model_port, port, metrics_port = free_ports(3)
        self._say(f"starting a fake model and an agent service under opentelemetry-instrument, on port {port}")
        model = stack.enter_context(Child("model", *self._model(model_port), self.log))
        service = stack.enter_context(Child("service", *self._service(port, model_port, metrics_port), self.log))
        model.wait_for_port(model_port)
        service.wait_for_port(port)

        with httpx.Client(base_url=f"http://{LOOPBACK}:{port}", trust_env=False, timeout=10) as client:
            answers = self._drive(client)
            self._say(f"scraping http://{LOOPBACK}:{metrics_port}/metrics")
            # In this order: the SDK hands an exemplar over once, to whatever collects first.
            openmetrics, scraped = (
                scrape(client, f"http://{LOOPBACK}:{metrics_port}/metrics", accept) for accept in (OPENMETRICS, "*/*")
            )
        self._say("stopping the service with SIGTERM")
        return answers, scraped, openmetrics, service.stop()

    def _drive(self, client: httpx.Client) -> tuple[Answer, ...]:
        answers: list[Answer] = []
        for number in range(self._requests):
            goal = GOALS[number % len(GOALS)]
            self._say(f"request {number + 1} of {self._requests}: {goal}")
            answers.append(ask(client, f"{self._name}-{number + 1}", goal))
            if answers[-1].status != DONE:
                break  # the others would not fare better
        return tuple(answers)

    def _model(self, port: int) -> tuple[tuple[str, ...], dict[str, str]]:
        return (sys.executable, "-m", "tachograph.cli.demo_model", str(port)), environment()

    def _service(self, port: int, model_port: int, metrics_port: int) -> tuple[tuple[str, ...], dict[str, str]]:
        application = ("uvicorn", "--factory", "tachograph.cli.demo_service:make_app", "--port", str(port))
        variables = environment(
            TACHOGRAPH_DIR=str(self._directory.absolute()),
            OTEL_SERVICE_NAME=SERVICE,
            OTEL_EXPORTER_PROMETHEUS_PORT=str(metrics_port),
            OPENAI_BASE_URL=f"http://{LOOPBACK}:{model_port}/v1",
        )
        return (launcher(), sys.executable, "-m", *application), variables


def ask(client: httpx.Client, request_id: str, goal: str) -> Answer:
    """Send a request, give every approval that it waits for, and return how it ended."""
    try:
        progress = _post(client, request_id, "/runs", goal=goal)
        while progress["status"] == "waiting":
            where = f"/approvals/{progress['approval_id']}"
            progress = _post(client, f"{request_id}-approval", where, approver=APPROVER)
    except httpx.HTTPError as error:
        return Answer(request_id, goal, str(error) or type(error).__name__)
    return Answer(request_id, goal, progress["status"])


def scrape(client: httpx.Client, url: str, accept: str) -> Exposition:
    """Read a metrics endpoint; one that does not answer has no metrics."""
    try:
        answer = client.get(url, headers={"Accept": accept}).raise_for_status()
    except httpx.HTTPError:
        return demo_records.exposition("")
    return demo_records.exposition(answer.text)


def verdict(journal: Path) -> Verdict:
    """Verify the whole journal, earlier runs included."""
    try:
        report = verify.verify([str(journal)])
    except verify.NotChecked as error:
        return Verdict(faults=(str(error),))
    heads = [f"seq {head.seq}, hash {head.hash[:16]}" for head in report.heads.values()]
    return Verdict(
        report.records, tuple(f"byte {each.offset}: {each.text}" for each in report.faults), ", ".join(heads)
    )


def _post(client: httpx.Client, request_id: str, path: str, **body: str) -> dict[str, str]:
    answer = client.post(path, json=body, headers={"X-Request-ID": request_id})
    said: dict[str, str] = answer.raise_for_status().json()
    return said


def _textfile(path: Path) -> Exposition:
    return demo_records.exposition(path.read_text() if path.exists() else "")
