"""What the demo prints: for people, coloured where there is a terminal, or for programs as one JSON object."""

import io
import json
import shlex
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from tachograph.cli.demo_checks import Check
from tachograph.cli.demo_records import AuditRecord, Exposition, LogLine, Sample, Span
from tachograph.cli.demo_session import Evidence
from tachograph.cli.demo_tree import COPIES, Item, Node, Trace, joined_by_plan

PLAIN_WIDTH = 100

_STYLES = {
    "failure": "red",
    "blocked": "yellow",
    "intent": "dim",
    "WARN": "yellow",
    "ERROR": "red",
}
_BREAKDOWN = ("tachograph_outcome", "gen_ai_token_type", "tachograph_reason", "tachograph_result", "tachograph_stage")
_WORDS = {"audit_copies": "copies of audit records"}
_UNSHOWN = frozenset(("request_id", "plan_id", "run_id", "exception.stacktrace"))
_SHOWN_META = ("guard", "rule", "approval_id", "approver", "scope")


class Report(Protocol):
    """Where the result of a run goes."""

    def summary(self, evidence: Evidence, checks: Sequence[Check]) -> None:
        """Report a run."""

    def failure(self, problem: str) -> None:
        """Report that the demo could not be carried through."""


class JsonReport:
    """One JSON object on stdout."""

    def summary(self, evidence: Evidence, checks: Sequence[Check]) -> None:
        """Print the run."""
        print(json.dumps(as_json(evidence, checks), indent=2))

    def failure(self, problem: str) -> None:
        """Print the problem."""
        print(json.dumps({"ok": False, "problem": problem}, indent=2))


class TextReport:
    """A summary for people: plain text where stdout is no terminal."""

    def __init__(self, *, no_color: bool = False) -> None:
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="replace")
        is_terminal = sys.stdout.isatty()
        self._console = Console(
            color_system=None if no_color else "auto",
            width=None if is_terminal else PLAIN_WIDTH,
            highlight=False,
            markup=False,
            emoji=False,
        )

    def failure(self, problem: str) -> None:
        """Print nothing: the problem is on stderr."""

    def summary(self, evidence: Evidence, checks: Sequence[Check]) -> None:
        """Print the run, part by part."""
        self._title(f"Recorded of {len(evidence.answers)} requests to an agent service, in {evidence.seconds:.1f} s")
        self._lines(_signals(evidence))
        self._request(evidence)
        self._title("Metrics of tachograph, as /metrics served them")
        self._lines(_metrics(evidence))
        self._title("Checks")
        self._lines(_check(each) for each in checks)
        self._title("Type next")
        self._lines(_columns([(command, "cyan"), (f"# {purpose}", "dim")] for command, purpose in _next(evidence)))
        self._console.print()

    def _request(self, evidence: Evidence) -> None:
        trace_id = evidence.traces.get(evidence.shown)
        if trace_id is None:
            return
        self._title(f"One of them: X-Request-ID {evidence.shown}, trace {trace_id}")
        self._trees(evidence.tree(trace_id))
        for other in joined_by_plan(trace_id, evidence.audit):
            self._title(f"Its approval: another request, the same plan_id, trace {other}")
            self._trees(evidence.tree(other))

    def _trees(self, trace: Trace) -> None:
        for root in trace.roots():
            self._console.print(_rendered(root))

    def _title(self, text: str) -> None:
        self._console.print(Text(f"\n{text}", style="bold"), soft_wrap=True)

    def _lines(self, lines: Iterable[Text]) -> None:
        for line in lines:
            self._console.print(line, soft_wrap=True)


def as_json(evidence: Evidence, checks: Sequence[Check]) -> dict[str, Any]:
    """Return the summary of a run for programs."""
    trace_id = evidence.traces.get(evidence.shown, "")
    return {
        "ok": all(check.holds for check in checks),
        "seconds": round(evidence.seconds, 3),
        "directory": str(evidence.directory),
        "requests": [
            {"request_id": each.request_id, "goal": each.goal, "status": each.status} for each in evidence.answers
        ],
        "signals": {name: {"recorded": counts, "file": file} for name, counts, file in _counted(evidence)},
        "request": {
            "request_id": evidence.shown,
            "trace_id": trace_id,
            "spans": [_node_json(root) for root in evidence.tree(trace_id).roots()],
        },
        "families": dict(_ours(evidence.scraped)),
        "audit": {
            "intact": evidence.verdict.intact,
            "records": evidence.verdict.records,
            "head": evidence.verdict.head,
            "faults": list(evidence.verdict.faults),
        },
        "checks": [{"claim": each.claim, "holds": each.holds, "problem": each.problem} for each in checks],
        "next": [command for command, _ in _next(evidence)],
    }


def _next(evidence: Evidence) -> tuple[tuple[str, str], ...]:
    """Return commands to type next, each with what it is for."""
    directory = shlex.quote(str(evidence.directory))
    return (
        (f"tachograph audit verify {directory}/audit.jsonl", "the chain again; exit code 2: intact, no anchor"),
        (f"tachograph audit tail {directory}/audit.jsonl", "its last records"),
        (f"grep {evidence.shown} {directory}/*.jsonl", "that request, in all files"),
        ("opentelemetry-instrument uvicorn app:app", "your own service, with no line changed"),
        ("export OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:4318", "and everything goes to your Collector"),
    )


def _signals(evidence: Evidence) -> Iterator[Text]:
    yield from _columns(
        [
            (name, "cyan"),
            (", ".join(f"{count} {_WORDS.get(what, what)}" for what, count in counts.items()), ""),
            (file, "dim"),
        ]
        for name, counts, file in _counted(evidence)
    )
    verdict = evidence.verdict
    if verdict.intact:
        yield _line(("chain  ", "cyan"), (f"intact over {verdict.records} records: {verdict.head}", ""))
    else:
        yield _line(("chain  ", "cyan"), ("BROKEN", "bold red"))


def _counted(evidence: Evidence) -> tuple[tuple[str, dict[str, int], str], ...]:
    copies = sum(each.logger == COPIES for each in evidence.logs)
    traces = {each.trace_id for each in evidence.spans}
    exemplars = sum(each.exemplar is not None for each in evidence.openmetrics.samples)
    directory = evidence.directory
    return (
        ("traces", {"spans": len(evidence.spans), "traces": len(traces)}, str(directory / "traces.jsonl")),
        (
            "logs",
            {"lines": len(evidence.logs) - copies, "audit_copies": copies},
            str(directory / "logs.jsonl"),
        ),
        (
            "metrics",
            {"families": len(evidence.scraped.types), "exemplars": exemplars},
            str(evidence.metrics_file),
        ),
        ("audit", {"records": len(evidence.audit)}, str(directory / "audit.jsonl")),
    )


def _rendered(node: Node) -> Tree:
    tree = Tree(_span_line(node.span), guide_style="dim")
    _grow(tree, node.items)
    return tree


def _grow(tree: Tree, items: Iterable[Item]) -> None:
    for item in items:
        if isinstance(item, Node):
            _grow(tree.add(_span_line(item.span)), item.items)
        else:
            tree.add(_log_line(item) if isinstance(item, LogLine) else _audit_line(item))


def _span_line(span: Span) -> Text:
    outcome = span.attributes.get("tachograph.outcome", "")
    facts = (
        ("http.response.status_code", "{}"),
        ("url.full", "{}"),
        ("error.type", "{}"),
        ("gen_ai.usage.input_tokens", "{} tokens in"),
        ("gen_ai.usage.output_tokens", "{} out"),
        ("tachograph.turns", "{} turns"),
    )
    told = [form.format(span.attributes[key]) for key, form in facts if key in span.attributes]
    return _line(
        (span.name, "bold"),
        (f"{span.milliseconds:.1f} ms", "dim"),
        *_ending(outcome),
        (", ".join(dict.fromkeys(told)), "dim"),
    )


def _log_line(log: LogLine) -> Text:
    told = " ".join(f"{key}={value}" for key, value in log.attributes.items() if key not in _UNSHOWN)
    return _line(
        ("log", "blue"),
        (log.severity.lower(), _STYLES.get(log.severity, "")),
        (f"{log.logger}: {log.body}", ""),
        (told, "dim"),
    )


def _audit_line(record: AuditRecord) -> Text:
    told = " ".join(f"{key}={record.meta[key]}" for key in _SHOWN_META if key in record.meta)
    outcome = str(record.meta.get("tachograph.outcome", record.outcome))
    intent = record.meta.get("phase") == "start"
    return _line(
        ("audit", "magenta"),
        (f"#{record.seq} {record.actor} {record.action} {record.resource}", ""),
        *_ending("intent" if intent else outcome),
        (told, "dim"),
    )


def _ending(outcome: str) -> tuple[tuple[str, str], ...]:
    return () if outcome == "success" else ((outcome, _STYLES.get(outcome, "")),)


def _line(*parts: tuple[str, str]) -> Text:
    line = Text(no_wrap=True, overflow="ellipsis")
    for text, style in (part for part in parts if part[0]):
        line.append("  " if line else "").append(text, style)
    return line


def _metrics(evidence: Evidence) -> Iterator[Text]:
    types = evidence.scraped.types
    ours = _ours(evidence.scraped)
    yield from _columns([(name, ""), (types[name], "dim"), (told, "")] for name, told in ours)
    yield Text(f"and {len(types) - len(ours)} families of others, as http_server_request_duration_seconds", style="dim")
    exemplar = _exemplar(evidence)
    if exemplar is not None:
        name = exemplar.labels.get("gen_ai_tool_name", "")
        yield _line(("exemplar", "green"), (f"{exemplar.name} of {name} names trace {exemplar.exemplar}", ""))


def _exemplar(evidence: Evidence) -> Sample | None:
    """Return a tool call's sample whose exemplar leads to the request shown."""
    trace_id = evidence.traces.get(evidence.shown)
    found = (each for each in evidence.openmetrics.samples if each.name == "tachograph_tool_calls_total")
    return next((each for each in found if each.exemplar == trace_id and trace_id is not None), None)


def _ours(exposition: Exposition) -> list[tuple[str, str]]:
    """Return the families of tachograph, each with what it comes to, in words."""
    return [(name, _told(exposition, name)) for name in sorted(exposition.types) if name.startswith("tachograph_")]


def _told(exposition: Exposition, name: str) -> str:
    if exposition.types[name] == "histogram":
        return f"{exposition.total(f'{name}_count'):g} measurements"
    total = f"{exposition.total(name):g}"
    parts = _broken_down(exposition, name)
    return f"{total}: {', '.join(f'{count:g} {word}' for word, count in parts.items())}" if len(parts) > 1 else total


def _broken_down(exposition: Exposition, name: str) -> Mapping[str, float]:
    found: Counter[str] = Counter()
    for sample in exposition.samples:
        word = next((sample.labels[label] for label in _BREAKDOWN if label in sample.labels), None)
        if sample.name == name and word is not None:
            found[word] += int(sample.value)
    return dict(found.most_common())


def _check(check: Check) -> Text:
    if check.holds:
        return Text.assemble(("ok      ", "green"), check.claim)
    return Text.assemble(("FAILED  ", "bold red"), check.claim, ": ", (check.problem, "red"))


def _columns(rows: Iterable[Sequence[tuple[str, str]]]) -> Iterator[Text]:
    """Align cells of text and style in columns, with nothing behind the last."""
    kept = list(rows)
    widths = [max(len(text) for text, _ in column) for column in zip(*kept, strict=True)]
    for row in kept:
        *cells, (last, style) = row
        line = Text()
        for (text, cell_style), width in zip(cells, widths, strict=False):
            line.append(text.ljust(width), cell_style).append("  ")
        yield line.append(last, style)


def _node_json(node: Node) -> dict[str, Any]:
    return {
        "name": node.span.name,
        "span_id": node.span.span_id,
        "milliseconds": round(node.span.milliseconds, 3),
        "outcome": node.span.attributes.get("tachograph.outcome"),
        "items": [_item_json(item) for item in node.items],
    }


def _item_json(item: Item) -> dict[str, Any]:
    if isinstance(item, Node):
        return _node_json(item)
    if isinstance(item, LogLine):
        return {"log": item.body, "logger": item.logger, "level": item.severity, "fields": item.attributes}
    return {"audit": item.event, "seq": item.seq, "action": item.action, "outcome": item.outcome, "meta": item.meta}
