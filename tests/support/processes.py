"""Apps as real processes in a clean environment, and readers of what they leave in their directory."""

import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from opentelemetry.proto_json.logs.v1.logs import LogsData
from opentelemetry.proto_json.trace.v1.trace import TracesData
from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from support import items

APPS = Path(__file__).parent.parent / "e2e" / "apps"
BIN = Path(sys.executable).parent
INSTRUMENT = str(BIN / "opentelemetry-instrument")
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
PATIENCE = 60.0

_DROPPED = ("OTEL_", "TACHOGRAPH_", "PYTHONPATH", "PYTEST_", "PYTHONWARNINGS", "PYTHONSTARTUP")


class Files:
    """What telemetry left in a TACHOGRAPH_DIR."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def names(self) -> set[str]:
        """The files' names."""
        return {path.name for path in self.directory.iterdir()} if self.directory.is_dir() else set()

    @cached_property
    def spans(self) -> list[items.Span]:
        """The spans of `traces.jsonl`; a line that is no OTLP JSON raises."""
        return [span for line in self.lines("traces.jsonl") for span in items.spans(TracesData.from_json(line))]

    @cached_property
    def logs(self) -> list[items.Log]:
        """The log records of `logs.jsonl`; a line that is no OTLP JSON raises."""
        return [log for line in self.lines("logs.jsonl") for log in items.logs(LogsData.from_json(line))]

    @property
    def own_logs(self) -> list[items.Log]:
        """The log records without copies of the audit journal."""
        return [log for log in self.logs if not log.is_copy]

    @cached_property
    def journal(self) -> list[dict[str, Any]]:
        """Every line of `audit.jsonl`, its chain checked."""
        return checked_journal(self.directory / "audit.jsonl")

    @property
    def audit(self) -> list[dict[str, Any]]:
        """The audit records without the journal's own."""
        return [record for record in self.journal if not record["event"].startswith("audit.")]

    def families(self, service: str) -> dict[str, Metric]:
        """The metric families of a service's textfile, by name."""
        text = (self.directory / f"metrics.{service}.prom").read_text()
        return families(text)

    def lines(self, name: str) -> list[str]:
        """The lines of a file that must end in a newline."""
        text = (self.directory / name).read_text()
        assert text.endswith("\n"), f"{name} has a torn tail: {text[-200:]!r}"
        return text.splitlines()


@dataclass
class Ended(Files):
    """A process that has ended: its status, what it wrote, and what it left in its directory."""

    returncode: int
    stdout: str
    stderr: str
    directory: Path

    @property
    def notices(self) -> list[str]:
        """The lines that tachograph addressed to the operator."""
        return [
            line.removeprefix("tachograph: ") for line in self.stderr.splitlines() if line.startswith("tachograph: ")
        ]

    @property
    def console(self) -> list[dict[str, Any]]:
        """The console lines of the app, which must be JSON."""
        lines = [line for line in self.stderr.splitlines() if line.startswith("{")]
        return [json.loads(line) for line in lines]

    @property
    def said(self) -> dict[str, Any]:
        """What the app says that it has produced: the last line on stdout, JSON."""
        lines = self.stdout.splitlines()
        assert lines, f"nothing on stdout; exit {self.returncode}, stderr:\n{self.stderr[-4000:]}"
        found: dict[str, Any] = json.loads(lines[-1])
        return found


class Running:
    """A process that runs; `stop` ends it and returns what is left of it."""

    def __init__(self, command: Sequence[str], directory: Path, environ: Mapping[str, str], cwd: Path) -> None:
        self.directory = directory
        cwd.mkdir(parents=True, exist_ok=True)
        self._out, self._err = cwd / f"stdout.{time.monotonic_ns()}", cwd / f"stderr.{time.monotonic_ns()}"
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.process = subprocess.Popen(
                list(command), cwd=cwd, env=dict(environ), stdin=subprocess.DEVNULL, stdout=out, stderr=err
            )

    @property
    def stdout(self) -> str:
        """What it has written to stdout so far."""
        return self._out.read_text()

    @property
    def stderr(self) -> str:
        """What it has written to stderr so far."""
        return self._err.read_text()

    def wait_for_port(self, port: int, host: str = "127.0.0.1") -> None:
        """Wait until somebody listens."""

        def listens() -> bool:
            with socket.socket() as probe:
                return probe.connect_ex((host, port)) == 0

        self._wait_until(listens, f"nobody listens on {port}")

    def wait_for_output(self, text: str) -> None:
        """Wait until it has written `text` to stdout."""
        self._wait_until(lambda: text in self.stdout, f"{text!r} was not written")

    def stop(self, number: int = signal.SIGTERM) -> Ended:
        """Send it a signal and wait for its end."""
        self.process.send_signal(number)
        return self.ended()

    def ended(self) -> Ended:
        """Wait for its end; one that does not end is killed and fails the test."""
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"{self.process.args} does not end; stderr:\n{self.stderr[-4000:]}") from None
        return Ended(self.process.returncode, self.stdout, self.stderr, self.directory)

    def kill(self) -> None:
        """End it without a word, if it still runs."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def _wait_until(self, holds: Any, otherwise: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while not holds():
            assert self.process.poll() is None, f"exit {self.process.returncode}; stderr:\n{self.stderr[-4000:]}"
            assert time.monotonic() < deadline, f"{otherwise}; stderr:\n{self.stderr[-4000:]}"
            time.sleep(0.05)


def environment(directory: Path | None, /, **variables: str) -> dict[str, str]:
    """A clean environment: nothing inherited that steers telemetry, TACHOGRAPH_DIR unless `directory` is None."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(_DROPPED)}
    given = {} if directory is None else {"TACHOGRAPH_DIR": str(directory)}
    path = f"{BIN}{os.pathsep}{inherited.get('PATH', '')}"
    return {**inherited, "PATH": path, "PYTHONPATH": str(APPS), **given, **variables}


def start(*command: str, at: Path, directory: Path | None = None, zero_code: bool = True, **variables: str) -> Running:
    """
    Start `command` in the folder `at`, under `opentelemetry-instrument` unless `zero_code` is False.

    Telemetry goes to `directory`, default `at / ".tachograph"` by our own default rather than by a variable.
    """
    prefix = (INSTRUMENT,) if zero_code else ()
    environ = environment(directory, **variables)
    return Running((*prefix, *command), directory or at / ".tachograph", environ, at)


def run(*command: str, at: Path, directory: Path | None = None, zero_code: bool = True, **variables: str) -> Ended:
    """Run `command` as `start` does, to its end."""
    return start(*command, at=at, directory=directory, zero_code=zero_code, **variables).ended()


def python(code: str, *, at: Path, directory: Path | None = None, zero_code: bool = False, **variables: str) -> Ended:
    """Run `code` with the Python of the tests."""
    return run(sys.executable, "-c", code, at=at, directory=directory, zero_code=zero_code, **variables)


def free_port() -> int:
    """A loopback port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def get(url: str, **headers: str) -> tuple[int, dict[str, str], str]:
    """GET `url`: status, headers in lower case, body; a header's name is written with underscores."""
    request = urllib.request.Request(url, headers={key.replace("_", "-"): value for key, value in headers.items()})
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as response:
            return (
                response.status,
                {key.lower(): value for key, value in response.headers.items()},
                response.read().decode(),
            )
    except urllib.error.HTTPError as error:
        with error:
            return error.code, {key.lower(): value for key, value in error.headers.items()}, error.read().decode()


def families(text: str, *, openmetrics: bool = False) -> dict[str, Metric]:
    """Parse an exposition; a family that comes twice is a fault."""
    found: dict[str, Metric] = {}
    for family in (parse_openmetrics if openmetrics else parse_text)(text):
        assert family.name not in found, f"{family.name} is exposed twice"
        found[family.name] = family
    return found


def total(found: Mapping[str, Metric], sample: str, **labels: str) -> float:
    """The sum of the samples of this name whose labels match; an AssertionError when there is none."""
    values = [
        each.value
        for family in found.values()
        for each in family.samples
        if each.name == sample and labels.items() <= each.labels.items()
    ]
    assert values, f"no sample {sample} with {labels}; there are {sorted(found)}"
    return sum(values)


def exemplars(found: Mapping[str, Metric], sample: str) -> set[str]:
    """The trace ids of the exemplars of this name's samples."""
    return {
        each.exemplar.labels["trace_id"]
        for family in found.values()
        for each in family.samples
        if each.name == sample and each.exemplar is not None
    }


def checked_journal(path: Path) -> list[dict[str, Any]]:
    """Read a journal as an auditor would: hashes, chain and numbers, from the bytes alone."""
    records: list[dict[str, Any]] = []
    before: str | None = None
    data = path.read_bytes()
    assert data.endswith(b"\n"), f"{path.name} has a torn tail"
    for number, line in enumerate(data.splitlines(), start=1):
        record = json.loads(line)
        said, _, _ = line.rpartition(b',"hash":"')
        assert record["hash"] == hashlib.sha256(said).hexdigest(), f"line {number} was changed"
        assert record.get("prev") == before, f"line {number} does not follow line {number - 1}"
        assert record["seq"] == number, f"line {number} is numbered {record['seq']}"
        before = record["hash"]
        records.append(record)
    return records
