"""
Run the reference application: Redis, API and worker under `opentelemetry-instrument`, and N failing CI jobs.

Telemetry goes where the environment says; `OTEL_*` and `TACHOGRAPH_*` are passed on. Exits with 1 when a run did not
end as its scenario must, and says which.
"""

import argparse
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from sre_agent import model, scenarios, store  # noqa: E402 - found through the path above

PATIENCE = 60.0
METRICS_PORT = "OTEL_EXPORTER_PROMETHEUS_PORT"


class CannotRun(Exception):
    """Something that the application needs is missing; the text says what to do."""


@dataclass(frozen=True)
class Request:
    """A webhook that was delivered, and what was answered."""

    number: int
    scenario: scenarios.Scenario
    status: int
    run_key: str = ""
    request_id: str = ""


def main(arguments: list[str] | None = None) -> int:
    """Run, report, and return the exit code."""
    options = _parser().parse_args(arguments)
    try:
        with application(options.port or free_port()) as (url, kept):
            requests = deliver(url, options.requests)
            problems = [problem for request in requests for problem in follow(kept, request)]
    except CannotRun as error:
        problems = [str(error)]
    for problem in problems:
        print(f"sre_agent: {problem}", file=sys.stderr)
    return 1 if problems else 0


@contextmanager
def application(port: int) -> Iterator[tuple[str, store.Store]]:
    """Start everything, yield the API's address and the store, and stop everything."""
    with ExitStack() as stack:
        redis_url = stack.enter_context(_redis())
        server, model_url = model.serve()
        stack.callback(server.shutdown)
        environ = environment(os.environ, redis_url, model_url)
        kept = store.Store(redis_url)
        # Unwound in reverse: the API stops first, then the worker, whose queue is empty by then.
        worker = stack.enter_context(_process("worker", worker_command(), worker_environment(environ)))
        api = stack.enter_context(_process("API", api_command(port), api_environment(environ)))
        _wait("the worker takes no tasks", kept.is_ready, worker, api)
        _wait(f"the API does not answer on port {port}", lambda: listens(port), worker, api)
        yield f"http://127.0.0.1:{port}", kept


def environment(given: Mapping[str, str], redis_url: str, model_url: str) -> dict[str, str]:
    """Return the environment of both processes: what was given, and where things are."""
    path = os.pathsep.join((str(Path(sys.executable).parent), given.get("PATH", "")))
    modules = os.pathsep.join(filter(None, (str(HERE.parent), given.get("PYTHONPATH", ""))))
    own = {"PATH": path, "PYTHONPATH": modules, "SRE_AGENT_REDIS": redis_url, "SRE_AGENT_MODEL": model_url}
    return {**given, **own}


def api_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Name the API's service unless a name is given."""
    return {"OTEL_SERVICE_NAME": "sre-agent-api", **environ}


def worker_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Name the worker's service unless a name is given; its `/metrics` is on the port after the API's."""
    port = environ.get(METRICS_PORT, "9464")
    after = {METRICS_PORT: str(int(port) + 1)} if port.isdecimal() and _serves_metrics(environ) else {}
    return {"OTEL_SERVICE_NAME": "sre-agent-worker", **environ, **after}


def api_command(port: int) -> tuple[str, ...]:
    """Return how the API is started."""
    return "opentelemetry-instrument", "uvicorn", "sre_agent.api:app", "--port", str(port)


def worker_command() -> tuple[str, ...]:
    """Return how the worker is started."""
    return "opentelemetry-instrument", "celery", "-A", "sre_agent.worker", "worker", "-c", "2", "-l", "INFO"


def deliver(url: str, requests: int) -> list[Request]:
    """Deliver the webhooks, a few at a time, and return them in order."""
    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(lambda number: post(url, number), range(requests)))


def post(url: str, number: int) -> Request:
    """Deliver one webhook: a failing job of its scenario. Every other one brings a request id of its own."""
    scenario = scenarios.scenario_of(number)
    event = {"repository": f"shop-{number}", "job": "unit-tests", "log": "E assert 1 == 2", "scenario": scenario.name}
    headers = {"content-type": "application/json", "X-Delivery-ID": f"delivery-{number}"}
    if number % 2 == 0:
        headers["X-Request-ID"] = f"request-{number}"
    request = urllib.request.Request(f"{url}/webhooks/ci", json.dumps(event).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as response:
            answer = json.load(response)
            return Request(number, scenario, response.status, answer["run_key"], response.headers["X-Request-ID"] or "")
    except urllib.error.HTTPError as error:
        with error:
            return Request(number, scenario, error.code)


def follow(kept: store.Store, request: Request) -> Iterator[str]:
    """Wait for a run, print how it ended, and yield what is wrong with it."""
    if request.status != 202:
        yield f"request {request.number} ({request.scenario.name}): the API answered {request.status}"
        return
    outcome = _outcome(kept, request)
    print(json.dumps({**vars(request), "scenario": request.scenario.name, "outcome": outcome}), flush=True)
    if outcome != request.scenario.outcome:
        ended = f"ended as {outcome}" if outcome else f"did not end within {PATIENCE:.0f} s"
        expected = request.scenario.outcome
        yield f"request {request.number} ({request.scenario.name}, run {request.run_key}) {ended}, not as {expected}"


def listens(port: int) -> bool:
    """Tell whether somebody listens on a port of loopback."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def free_port() -> int:
    """Return a port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def _redis() -> Iterator[str]:
    program = shutil.which("redis-server")
    if program is None:
        raise CannotRun("redis-server is not on PATH; install it (apt-get install redis-server) and run this again")
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="sre-agent-") as folder:
        command = (program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no")
        with _process("Redis", (*command, "--dir", folder), os.environ, quiet=True) as process:
            _wait(f"Redis does not answer on port {port}", lambda: listens(port), process)
            yield f"redis://127.0.0.1:{port}/0"


@contextmanager
def _process(
    name: str, command: tuple[str, ...], environ: Mapping[str, str], *, quiet: bool = False
) -> Iterator[subprocess.Popen[bytes]]:
    program = shutil.which(command[0], path=environ.get("PATH"))
    if program is None:
        raise CannotRun(f"{command[0]} is not on PATH; install tachograph[fastapi,celery] and run this again")
    # Our own stdout is for the report.
    output = subprocess.DEVNULL if quiet else sys.stderr.fileno()
    process = subprocess.Popen((program, *command[1:]), env=dict(environ), stdout=output)
    try:
        yield process
    finally:
        _stop(name, process)


def _stop(name: str, process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        print(f"sre_agent: {name} does not end and is killed", file=sys.stderr)
        process.kill()
        process.wait()


def _wait(otherwise: str, holds: Callable[[], bool], *processes: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not holds():
        ended = [process for process in processes if process.poll() is not None]
        if ended or time.monotonic() > deadline:
            raise CannotRun(f"{otherwise}{f': exit code {ended[0].returncode}' if ended else ''}")
        time.sleep(0.05)


def _outcome(kept: store.Store, request: Request) -> str | None:
    deadline = time.monotonic() + PATIENCE
    while (outcome := kept.outcome(request.run_key)) is None and time.monotonic() < deadline:
        time.sleep(0.05)
    return outcome


def _serves_metrics(environ: Mapping[str, str]) -> bool:
    return any(name.startswith("OTEL_EXPORTER_OTLP") and name.endswith("ENDPOINT") for name in environ) or (
        METRICS_PORT in environ or "prometheus" in environ.get("OTEL_METRICS_EXPORTER", "")
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="run.py", description="Run the SRE agent over failing CI jobs.")
    parser.add_argument("--requests", type=int, default=len(scenarios.SCENARIOS), metavar="N", help="failing CI jobs")
    parser.add_argument("--port", type=int, default=0, metavar="P", help="the API's port; default a free one")
    return parser


if __name__ == "__main__":
    sys.exit(main())
