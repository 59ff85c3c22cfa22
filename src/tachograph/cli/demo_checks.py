"""What must hold of a run of the demo: each check is a claim, and what is wrong with it when it does not hold."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from tachograph.cli.demo_session import DONE, Evidence
from tachograph.cli.demo_tree import COPIES

_ENDED_BY_SIGTERM = (0, -15, 143)


@dataclass(frozen=True)
class Check:
    """A claim about a run, and the problem with it: none when it holds."""

    claim: str
    problem: str

    @property
    def holds(self) -> bool:
        """True when there is no problem."""
        return not self.problem


def checks(evidence: Evidence) -> tuple[Check, ...]:
    """Check every claim."""
    return tuple(Check(claim, find(evidence)) for claim, find in _CLAIMS)


def _unanswered(evidence: Evidence) -> str:
    return _listed(f"{each.request_id}: {each.status}" for each in evidence.answers if each.status != DONE)


def _untraced(evidence: Evidence) -> str:
    found = {each.trace_id for each in evidence.spans if each.name.startswith("plan ")}
    missing = [each.request_id for each in evidence.answers if evidence.traces.get(each.request_id) not in found]
    return _listed(f"no plan span of request {each}" for each in missing)


def _unlogged(evidence: Evidence) -> str:
    found = {(each.attributes.get("request_id"), each.trace_id) for each in evidence.logs if each.logger != COPIES}
    missing = [
        each for each in evidence.answers if (each.request_id, evidence.traces.get(each.request_id)) not in found
    ]
    return _listed(f"no log line of request {each.request_id}" for each in missing)


def _loggers_missing(evidence: Evidence) -> str:
    found = {each.logger for each in evidence.logs}
    wanted = {"demo.agent": "structlog", "demo.tools": "logging"}
    return _listed(f"no line of {library}" for name, library in wanted.items() if name not in found)


def _unaudited(evidence: Evidence) -> str:
    found = {(each.correlation.get("request_id"), each.trace_id) for each in evidence.audit}
    missing = [
        each for each in evidence.answers if (each.request_id, evidence.traces.get(each.request_id)) not in found
    ]
    return _listed(f"no audit record of request {each.request_id}" for each in missing)


def _unmeasured(evidence: Evidence) -> str:
    sources = {"/metrics": evidence.scraped, evidence.metrics_file.name: evidence.textfile}
    totals = {name: found.total("tachograph_plan_executions_total") for name, found in sources.items()}
    wanted = len(evidence.answers)
    return _listed(f"{name} counts {total:g} plans of {wanted}" for name, total in totals.items() if total != wanted)


def _apart(evidence: Evidence) -> str:
    trace = evidence.traces.get(evidence.shown)
    ids = {
        "span": {each.trace_id for each in evidence.spans},
        "log line": {each.trace_id for each in evidence.logs if each.logger != COPIES},
        "metric exemplar": evidence.openmetrics.exemplars(),
        "audit record": {each.trace_id for each in evidence.audit},
    }
    return _listed(f"no {kind} with trace id {trace}" for kind, found in ids.items() if trace not in found)


def _outcomes_missing(evidence: Evidence) -> str:
    wanted = {"search": "success", "fetch_page": "failure", "shell": "blocked", "send_mail": "success"}
    return _listed(
        f"no {outcome} of {tool}"
        for tool, outcome in wanted.items()
        if not evidence.scraped.total("tachograph_tool_calls_total", gen_ai_tool_name=tool, tachograph_outcome=outcome)
    )


def _faulty(evidence: Evidence) -> str:
    name = "tachograph_telemetry_faults_total"
    found = [each for each in evidence.scraped.samples if each.name == name and each.value]
    return _listed(f"{each.value:g} in {each.labels.get('tachograph_where', '?')}" for each in found)


def _unguarded(evidence: Evidence) -> str:
    blocked = any(each.event == "agent.guard.violation" and each.action == "BLOCK" for each in evidence.audit)
    return "" if blocked else "no agent.guard.violation in the audit trail"


def _unapproved(evidence: Evidence) -> str:
    asked, given = (
        {str(each.meta.get("approval_id")) for each in evidence.audit if each.event == f"agent.approval.{phase}"}
        for phase in ("requested", "decided")
    )
    if not asked:
        return "no approval was asked for"
    return _listed(f"{each} was asked for and not decided" for each in sorted(asked - given))


def _broken_chain(evidence: Evidence) -> str:
    return "" if evidence.verdict.intact else _listed(evidence.verdict.faults) or "no records"


def _unflushed(evidence: Evidence) -> str:
    if evidence.exit_code not in _ENDED_BY_SIGTERM:
        return f"the service ended with exit code {evidence.exit_code}"
    finished = sum(each.event == "agent.plan.transition" and each.action == "FINISH" for each in evidence.audit)
    return "" if finished == len(evidence.answers) else f"{finished} plans of {len(evidence.answers)} are finished"


def _listed(problems: Iterable[str]) -> str:
    return "; ".join(problems)


_CLAIMS: tuple[tuple[str, Callable[[Evidence], str]], ...] = (
    ("every request was answered", _unanswered),
    ("traces: every request has its trace", _untraced),
    ("logs: every request's X-Request-ID is on its log lines", _unlogged),
    ("logs: structlog and logging write to one place", _loggers_missing),
    ("metrics: /metrics and the textfile count every request's plan", _unmeasured),
    ("metrics: one tool failed, one was blocked", _outcomes_missing),
    ("metrics: telemetry had no fault of its own", _faulty),
    ("audit: every request's X-Request-ID is on its records", _unaudited),
    ("audit: the guardrail's block is recorded", _unguarded),
    ("audit: the approval that was asked for was decided", _unapproved),
    ("audit: the chain of hashes is intact", _broken_chain),
    ("one trace id joins span, log line, metric exemplar and audit record", _apart),
    ("SIGTERM ended the service and lost nothing", _unflushed),
)
