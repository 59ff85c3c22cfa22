"""What is documented is what `/metrics` shows: every instrument, after a workload through the public functions."""

import ast
import os
import re
import shutil
import subprocess
from pathlib import Path
from uuid import uuid4

import pytest

import tachograph
from support.processes import families
from tachograph.catalogue import INSTRUMENTS, labels, plans, workers
from tachograph.contain import contain
from tachograph.metrics import RECORDER, Measurement

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "reference" / "metrics.md"
SOURCE = ROOT / "src" / "tachograph"
PROMTOOL = os.environ.get("TACHOGRAPH_PROMTOOL") or shutil.which("promtool")

OWN = {"otel_scope_name", "otel_scope_version", "le"}
DOCUMENTED = re.compile(r"^- `/metrics` and textfile: `(\S+)` \((\w+)\)(?: with (.*))?$", re.MULTILINE)


class Refused(Exception):
    """A fault of the workload's own."""


def agents_at_work() -> None:
    with tachograph.plan("fix"), tachograph.agent("planner"):
        with tachograph.tool_call("shell") as call:
            call.outcome = "no such word"
        with tachograph.llm_call("openai", "gpt-4o-mini") as call:
            call.first_chunk()
            call.usage(input_tokens=10, output_tokens=5, cache_read_tokens=2)
            call.cost(0.5)
        with tachograph.llm_call("nobody", "unknown") as call:
            call.usage(input_tokens=10, output_tokens=5)
        with tachograph.llm_call("nobody", "unknown"):
            pass
        with tachograph.context_assembly(budget_tokens=100) as run:
            run.fragments, run.tokens = 3, 50
        tachograph.guardrail_retry()
        tachograph.handoff("writer")
        tachograph.approval("requested", subject="call_0")
    tachograph.agent_population({("active", "trusted"): 2})
    tachograph.task_population({("open", "planner"): 3})
    tachograph.coordination(efficiency=0.9, overhead=0.1)
    with tachograph.budget(f"workload {uuid4()}", limit=1.0, spent=1.0):
        pass


def pipelines_at_work() -> None:
    with tachograph.pipeline("sre"), tachograph.stage("fetch"), tachograph.task("t", task_id="t-1"):
        tachograph.retry("cooldown")
        tachograph.loop_blocked("max_attempts")
        tachograph.throttled("repo")
        tachograph.change("safe")
    tachograph.security_evaluation("allow")
    tachograph.guardrail("egress", "block", rule="no-network")
    tachograph.policy_violation("secrets")
    tachograph.danger(70)
    tachograph.finding("trivy", "high")
    with tachograph.scan("trivy"):
        pass
    tachograph.scan_failure("gitleaks", "timeout")


def workers_at_work() -> None:
    """What the Celery integration records; that it does is for its own tests."""
    values = {labels.TASK.name: "t", labels.TASK_STATUS.name: "success", labels.QUEUE.name: "celery"}
    RECORDER.record(Measurement(each, 1, values) for each in workers.INSTRUMENTS)


@pytest.fixture
def text(telemetry):
    agents_at_work()
    pipelines_at_work()
    workers_at_work()
    with contain("workload"):
        raise Refused
    telemetry.metrics_text()  # what is counted while collecting is there at the next time
    return telemetry.metrics_text()


def documented(name):
    section = PAGE.read_text().split(f"\n## {name}\n", 1)[1].split("\n## ", 1)[0]
    family, kind, names = DOCUMENTED.search(section).groups()
    return family, kind, set(re.findall(r"`(\w+)`", names or ""))


def test_every_instrument_is_on_metrics_as_documented(text):
    """
    Name, type and labels on `/metrics` are those of the reference, for every instrument of the catalogue.
    """
    found = families(text)
    wrong = {}
    for each in INSTRUMENTS:
        family, kind, names = documented(each.name)
        shown = found.get(family.removesuffix("_total")) or found.get(family)
        seen = (shown.type, {key for sample in shown.samples for key in sample.labels} - OWN) if shown else None
        if seen != (kind, names):
            wrong[each.name] = (seen, (kind, names))

    assert wrong == {}


def test_help_and_bounds_are_the_declarations(text):
    """
    The help text is the description, and a histogram has the declared bounds.
    """
    found = families(text)
    for each in INSTRUMENTS:
        family = documented(each.name)[0]
        shown = found.get(family.removesuffix("_total")) or found[family]
        bounds = {float(sample.labels["le"]) for sample in shown.samples if "le" in sample.labels}
        assert shown.documentation == each.description
        assert bounds == ({*map(float, each.bounds), float("inf")} if each.bounds else set())


@pytest.mark.skipif(
    PROMTOOL is None, reason="promtool is neither on PATH nor named by TACHOGRAPH_PROMTOOL: its checks did not run"
)
def test_promtool_finds_nothing(text):
    """
    `promtool check metrics` has nothing to say about any instrument of the catalogue.
    """
    run = subprocess.run([PROMTOOL, "check", "metrics"], input=text, capture_output=True, text=True, check=False)

    assert (run.returncode, run.stdout + run.stderr) == (0, "")


def referenced() -> set[str]:
    """Names of constants that the sources outside the catalogue use, as `domain.CONSTANT`."""
    return {
        node.attr
        for path in SOURCE.rglob("*.py")
        if "catalogue" not in path.parts
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute)
    }


def test_every_declaration_is_used():
    """
    An instrument that no code records is not declared.
    """
    used = referenced()
    declared = [
        target.id
        for path in (SOURCE / "catalogue").glob("*.py")
        if path.stem != "http"  # recorded by the instrumentations of others
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call)
        for target in node.targets
        if isinstance(target, ast.Name) and getattr(node.value.func, "id", "") == "Instrument"
    ]

    assert len(declared) == len(INSTRUMENTS)
    assert [name for name in declared if name not in used] == []


def test_what_was_told_apart_is_on_metrics(telemetry):
    """
    The series that an instrument has used stand beside the limit that it may not pass.
    """
    for outcome in ("success", "blocked", "skipped"):
        with tachograph.plan("p") as run:
            run.outcome = outcome

    used = telemetry.value("tachograph.telemetry.series", tachograph_instrument=plans.PLAN_EXECUTIONS.name)
    assert 3 <= used < telemetry.value("tachograph.telemetry.series_limit") == 2000
    assert len(telemetry.metrics("tachograph.telemetry.series")) <= 20
