"""What the demo's service left in its files, read back: spans, log lines, audit records, metrics."""

import calendar
import json
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

NANOSECONDS = 1_000_000_000

_SAMPLE = re.compile(
    r"(?P<name>[a-zA-Z_:][\w:]*)(?:\{(?P<labels>.*?)\})? (?P<value>\S+)(?: # \{(?P<exemplar>.*?)\} .*)?"
)
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True)
class Span:
    """A span of `traces.jsonl`; times are nanoseconds since the epoch, attributes are texts."""

    trace_id: str
    span_id: str
    parent_id: str
    name: str
    time: int
    end: int
    attributes: Mapping[str, str] = field(default_factory=dict)

    @property
    def milliseconds(self) -> float:
        """How long it took."""
        return (self.end - self.time) / 1_000_000


@dataclass(frozen=True)
class LogLine:
    """A log record of `logs.jsonl`."""

    trace_id: str
    span_id: str
    time: int
    severity: str
    logger: str
    body: str
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class AuditRecord:
    """A record of `audit.jsonl`."""

    trace_id: str
    span_id: str
    time: int
    seq: int
    event: str
    actor: str
    action: str
    resource: str
    outcome: str
    meta: Mapping[str, Any] = field(default_factory=dict)
    correlation: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Sample:
    """A sample of a Prometheus text, with the trace id of its exemplar if it has one."""

    name: str
    labels: Mapping[str, str]
    value: float
    exemplar: str | None = None


@dataclass(frozen=True)
class Exposition:
    """A Prometheus text: the type of each family, and the samples."""

    types: Mapping[str, str]
    samples: tuple[Sample, ...]

    def total(self, name: str, **labels: str) -> float:
        """Return the sum of the samples of this name whose labels match; 0 when there are none."""
        found = (each for each in self.samples if each.name == name)
        return sum(each.value for each in found if labels.items() <= each.labels.items())

    def exemplars(self) -> set[str]:
        """Return the trace ids of all exemplars."""
        return {each.exemplar for each in self.samples if each.exemplar is not None}


class Tail:
    """What is appended to a file from now on."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = path.stat().st_size if path.exists() else 0

    def lines(self) -> list[str]:
        """Return the lines appended; all of them when the file was begun anew."""
        if not self._path.exists():
            return []
        offset = self._offset if self._path.stat().st_size >= self._offset else 0
        with self._path.open("rb") as file:
            file.seek(offset)
            return file.read().decode(errors="replace").splitlines()


def spans(lines: Iterable[str]) -> tuple[Span, ...]:
    """Read spans from OTLP JSON lines."""
    return tuple(_span(each) for _, each in _each(lines, "resourceSpans", "scopeSpans", "spans"))


def logs(lines: Iterable[str]) -> tuple[LogLine, ...]:
    """Read log records from OTLP JSON lines."""
    return tuple(_log(scope, each) for scope, each in _each(lines, "resourceLogs", "scopeLogs", "logRecords"))


def audit(lines: Iterable[str]) -> tuple[AuditRecord, ...]:
    """Read audit records, without those of the journal about itself."""
    found = (_record(json.loads(line)) for line in lines)
    return tuple(each for each in found if not each.event.startswith("audit."))


def exposition(text: str) -> Exposition:
    """Read a Prometheus or OpenMetrics text."""
    types = (line.split(" ") for line in text.splitlines() if line.startswith("# TYPE "))
    matches = (_SAMPLE.fullmatch(line) for line in text.splitlines() if not line.startswith("#"))
    return Exposition(
        types={name: kind for _, _, name, kind in types},
        samples=tuple(_sample(match) for match in matches if match),
    )


def _each(lines: Iterable[str], resources: str, scopes: str, items: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for line in lines:
        found = (scope for resource in json.loads(line)[resources] for scope in resource[scopes])
        for scope in found:
            name = scope.get("scope", {}).get("name", "")
            yield from ((name, item) for item in scope[items])


def _span(said: Mapping[str, Any]) -> Span:
    return Span(
        trace_id=said["traceId"],
        span_id=said["spanId"],
        parent_id=said.get("parentSpanId", ""),
        name=said["name"],
        time=int(said["startTimeUnixNano"]),
        end=int(said["endTimeUnixNano"]),
        attributes=_attributes(said),
    )


def _log(scope: str, said: Mapping[str, Any]) -> LogLine:
    return LogLine(
        trace_id=said.get("traceId", ""),
        span_id=said.get("spanId", ""),
        time=int(said["timeUnixNano"]),
        severity=said.get("severityText", ""),
        logger=scope,
        body=_text(said.get("body", {})),
        attributes=_attributes(said),
    )


def _record(said: Mapping[str, Any]) -> AuditRecord:
    return AuditRecord(
        trace_id=said.get("trace_id", ""),
        span_id=said.get("span_id", ""),
        time=_nanoseconds(said["ts"]),
        seq=said["seq"],
        event=said["event"],
        actor=said["actor"]["id"],
        action=said["action"],
        resource=said["resource"]["id"],
        outcome=said["outcome"],
        meta=said["meta"],
        correlation=said.get("correlation", {}),
    )


def _attributes(said: Mapping[str, Any]) -> dict[str, str]:
    return {each["key"]: _text(each["value"]) for each in said.get("attributes", ())}


def _text(value: Mapping[str, Any]) -> str:
    return "".join(str(each) for each in value.values())


def _nanoseconds(timestamp: str) -> int:
    """Read RFC 3339 in UTC with nine digits of a second."""
    whole, _, fraction = timestamp.rstrip("Z").partition(".")
    return calendar.timegm(time.strptime(whole, "%Y-%m-%dT%H:%M:%S")) * NANOSECONDS + int(fraction)


def _sample(match: re.Match[str]) -> Sample:
    exemplar = dict(_LABEL.findall(match["exemplar"] or ""))
    labels = dict(_LABEL.findall(match["labels"] or ""))
    return Sample(match["name"], labels, float(match["value"]), exemplar.get("trace_id"))
