"""Facts that only the application knows, each as one call: counted, and audited where the catalogue's events say so."""

from collections.abc import Mapping

from opentelemetry import trace

from tachograph import correlation, intake
from tachograph.catalogue import Event, Instrument, agents, events, labels, pipelines, security
from tachograph.contain import contain
from tachograph.fork import after_fork
from tachograph.metrics import RECORDER, Held, Measurement
from tachograph.notices import notice_once

_GUARD_VERBS = {"flag": "FLAG", "block": "BLOCK", "redact": "REDACT"}

_agents = Held(agents.AGENT_POPULATION)
_tasks = Held(agents.TASK_POPULATION)


def security_evaluation(verdict: str) -> None:
    """Count a security evaluation: allow, deny or escalate."""
    _count(security.SECURITY_EVALUATIONS, {labels.VERDICT.name: verdict})


def guardrail(name: str, verdict: str, *, rule: str | None = None) -> None:
    """Count a guardrail's verdict: pass, flag, block or redact; all but pass are audited, with the deciding rule."""
    _count(security.GUARDRAIL_VERDICTS, {labels.GUARDRAIL.name: name, labels.GUARDRAIL_VERDICT.name: verdict})
    verb = next((verb for word, verb in _GUARD_VERBS.items() if word == verdict), None)
    if verb is None:
        return
    audit(events.GUARD_VIOLATION, verb, f"guard:{name}", {"guard": name, "rule": rule, "verdict": verdict})
    _mark("guardrail", {labels.GUARDRAIL.name: name, labels.GUARDRAIL_VERDICT.name: verdict, "tachograph.rule": rule})


def policy_violation(
    type: str,  # noqa: A002 - the word of the label
    *,
    policy_id: str | None = None,
    version: str | None = None,
    action: str = "DENY",
) -> None:
    """Count and audit an act against a policy; `action` is DENY, or WARN when it was let through."""
    _count(security.POLICY_VIOLATIONS, {labels.VIOLATION_TYPE.name: type})
    meta = {"policy_id": policy_id, "version": version, "type": type}
    audit(events.POLICY_VIOLATION, action, f"policy:{policy_id or type}", meta)
    _mark("policy_violation", {labels.VIOLATION_TYPE.name: type, "tachograph.policy.id": policy_id})


def danger(score: float) -> None:
    """Say how dangerous an act was judged to be, from 0 to 100."""
    with contain("operations.fact"):
        RECORDER.record((Measurement(security.DANGER_SCORE, score),))
        trace.get_current_span().set_attribute(security.DANGER_SCORE.name, score)


def finding(scanner: str, severity: str, *, digest: str | None = None) -> None:
    """
    Count and audit what a scanner found; `digest` tells equal findings.

    `severity` is LOW, MEDIUM, HIGH, CRITICAL or UNKNOWN.
    """
    severity = str(severity).upper()
    _count(security.SCAN_FINDINGS, {labels.SCANNER.name: scanner, labels.SEVERITY.name: severity})
    meta = {"scanner": scanner, "severity": severity, "digest": digest}
    audit(events.FINDING, "DETECT", f"scanner:{scanner}", meta)


def scan_failure(scanner: str, reason: str) -> None:
    """Count a scan that came to no result: timeout, error, policy_block or unknown."""
    _count(security.SCAN_FAILURES, {labels.SCANNER.name: scanner, labels.SCAN_REASON.name: reason})


def handoff(to: str, *, from_: str | None = None, scope: str | None = None) -> None:
    """Count and audit work that an agent (default: the current one) hands to the agent `to`."""
    giver = from_ or correlation.agent()
    _count(agents.AGENT_HANDOFFS, {labels.AGENT.name: giver})
    actor = None if giver is None else f"agent:{giver}"
    audit(events.DELEGATION, "DELEGATE", f"agent:{to}", {"from": giver, "to": to, "scope": scope}, actor=actor)
    _mark("handoff", {"tachograph.handoff.to": to})


def guardrail_retry() -> None:
    """Count an attempt that the current agent repeats because a guardrail refused the one before."""
    _count(agents.AGENT_GUARDRAIL_RETRIES, {labels.AGENT.name: correlation.agent()})


def retry(reason: str) -> None:
    """Count a repeated run of a pipeline; reasons beside those of the catalogue are the application's to declare."""
    _count(pipelines.PIPELINE_RETRIES, {labels.RETRY_REASON.name: reason})


def loop_blocked(reason: str) -> None:
    """Count a run that was not repeated, so that it does not go on for ever."""
    _count(pipelines.PIPELINE_LOOPS_BLOCKED, {labels.LOOP_REASON.name: reason})


def throttled(scope: str) -> None:
    """Count a run that was put off by a limit on repo, org, webhook or repo_concurrency."""
    _count(pipelines.PIPELINE_THROTTLED, {labels.THROTTLE_SCOPE.name: scope})


def change(label: str) -> None:
    """Count a proposed change (a pull request), by its label: safe, needs-review or unknown."""
    _count(pipelines.PIPELINE_CHANGES, {labels.CHANGE_LABEL.name: label})


def coordination(*, efficiency: float | None = None, overhead: float | None = None) -> None:
    """Say how efficient the agents' coordination is and what share of the work it takes, each from 0 to 1."""
    given = ((agents.COORDINATION_EFFICIENCY, efficiency), (agents.COORDINATION_OVERHEAD, overhead))
    with contain("operations.fact"):
        RECORDER.record(Measurement(instrument, value) for instrument, value in given if value is not None)


def agent_population(counts: Mapping[tuple[str, str], float]) -> None:
    """Say how many agents there are by (status, trust level); what is not in `counts` disappears from the scrape."""
    with contain("operations.fact"):
        _agents.replace(
            (number, {labels.AGENT_STATUS.name: status, labels.TRUST_LEVEL.name: trust})
            for (status, trust), number in counts.items()
        )


def task_population(counts: Mapping[tuple[str, str], float]) -> None:
    """Say how many tasks there are by (status, agent); what is not in `counts` disappears from the scrape."""
    with contain("operations.fact"):
        _tasks.replace(
            (number, {labels.POPULATION_STATUS.name: status, labels.AGENT.name: agent})
            for (status, agent), number in counts.items()
        )


def audit(event: Event, action: str, resource: str, meta: Mapping[str, object], *, actor: str | None = None) -> None:
    """Hand an event of the catalogue to the journal, fail open; a verb of no list is said once, and kept."""
    if action not in event.verbs:
        verbs = ", ".join(event.verbs)
        said = f"action {str(action)[:80]!r} of {event.name} is of no list; write one of {verbs}"
        notice_once(f"verb {event.name}", said)
    with contain("operations.audit"):
        intake.submit(
            intake.AuditEvent(event=event.name, action=action, resource=resource, actor=actor, meta=dict(meta))
        )


def _count(instrument: Instrument, given: Mapping[str, object]) -> None:
    with contain("operations.fact"):
        RECORDER.record((Measurement(instrument, 1, given),))


def _mark(event: str, attributes: Mapping[str, str | None]) -> None:
    with contain("operations.fact"):
        known = {key: value for key, value in attributes.items() if value is not None}
        trace.get_current_span().add_event(f"tachograph.{event}", known)


def forget_populations() -> None:
    """Hold no population: a forked child's parent says its own."""
    for held in (_agents, _tasks):
        held.after_fork()


after_fork(forget_populations)
