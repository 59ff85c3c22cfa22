"""
The pipeline: plan, patch, scan, validate, propose.

A stage that is not reached is recorded as skipped, so that every trace has all stages; what is on a span is ids,
outcomes and verdicts, never contents.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass

import sre_agent.declarations  # noqa: F401 - a declaration is made by importing it
import tachograph
from sre_agent.model import MODEL, PROVIDER, Answer, ModelUnavailable, ask
from sre_agent.store import MAX_ATTEMPTS
from tachograph import BudgetExceeded
from tachograph.operations import Budget

log = logging.getLogger("sre_agent.pipeline")

USD_PER_TOKEN = 0.0001
CONTEXT_TOKENS = 4000


class Stopped(Exception):
    """The pipeline ends here, and that is no fault of it; `outcome` says how."""

    def __init__(self, outcome: str) -> None:
        super().__init__(outcome)
        self.outcome = outcome


@dataclass(frozen=True)
class Job:
    """A failing job to be mended: its log, what goes wrong with it, and how often it was tried before."""

    log: str
    scenario: str
    attempts: int
    retries: int


def run(job: Job) -> str:
    """Run the stages and return the outcome; raises ModelUnavailable when all of it is to be tried again."""
    with tachograph.pipeline("remediate") as whole, tachograph.plan("fix-ci-job") as plan, _budget(job):
        outcome = admit(job)
        for work in STAGES:
            outcome = take(work, job) if outcome == "success" else skip(work, outcome)
        whole.outcome = plan.outcome = outcome
    log.info("pipeline ended: %s", outcome)
    if outcome == "retry":
        raise ModelUnavailable
    return outcome


def persist(outcome: str) -> None:
    """Keep what came of a run, and say how many agents and tasks there are."""
    with tachograph.stage("persist_artifact"), tachograph.task("persist"):
        tachograph.agent_population({("active", "trusted"): 1, ("idle", "probation"): 1})
        tachograph.task_population({("done", "patcher"): 1, ("waiting", "planner"): 0})
        tachograph.coordination(efficiency=0.9, overhead=0.1)
        log.info("run kept: %s", outcome)


def take(work: Callable[[Job], None], job: Job) -> str:
    """Run one stage and return its outcome, which is the pipeline's where it is no success."""
    with tachograph.stage(work.__name__) as stage:
        try:
            work(job)
        except Stopped as stopped:
            stage.outcome = stopped.outcome
        except ModelUnavailable:
            stage.outcome = "retry"
    return stage.outcome


def skip(work: Callable[[Job], None], outcome: str) -> str:
    """Record a stage that is not reached, unless all stages are to be run again; return the pipeline's outcome."""
    if outcome != "retry":
        with tachograph.stage(work.__name__) as stage:
            stage.outcome = "skipped"
    return outcome


def admit(job: Job) -> str:
    """Refuse a job that was tried too often, and put off one whose repository is busy."""
    if job.attempts > MAX_ATTEMPTS:
        tachograph.loop_blocked("max_attempts")
        return "blocked"
    if job.scenario == "throttled":
        tachograph.throttled("repo_concurrency")
        return "skipped"
    return "success"


def generate_plan(job: Job) -> None:
    """Let the planner read the log and decide what to do."""
    with tachograph.agent("planner"):
        with tachograph.context_assembly(budget_tokens=CONTEXT_TOKENS) as context:
            context.fragments, context.tokens = 1, len(job.log.split())
        consult(job.log, fail=job.scenario == "retry" and job.retries == 0)
        tachograph.handoff("patcher", scope="patch")


def policy_check_plan(job: Job) -> None:
    """Judge the plan: protected paths are not touched."""
    tachograph.danger(70 if job.scenario == "policy" else 15)
    if job.scenario == "policy":
        tachograph.security_evaluation("deny")
        tachograph.policy_violation("protected_path", policy_id="paths", version="1")
        raise Stopped("blocked")
    tachograph.security_evaluation("allow")


def generate_patch(job: Job) -> None:
    """Let the patcher write a change; the first one is too large for the guardrail."""
    with tachograph.agent("patcher") as patcher:
        with tachograph.tool_call("read_file", effect="read"):
            lines = job.log.splitlines()
        try:
            consult(*lines)
            tachograph.guardrail("patch_size", "block", rule="at-most-one-file")
            tachograph.guardrail_retry()
            consult(*lines)
            tachograph.guardrail("patch_size", "pass")
        except BudgetExceeded:
            patcher.finish("cost_budget")
            patcher.outcome = "blocked"
    if patcher.outcome != "success":
        raise Stopped(patcher.outcome)


def policy_check_patch(job: Job) -> None:
    """Judge the patch: one that leaves the repository's tests behind needs a human."""
    tachograph.danger(45)
    tachograph.security_evaluation("escalate" if job.scenario == "approval_denied" else "allow")


def run_scans(job: Job) -> None:
    """Scan the patch for secrets and vulnerabilities; without all scans there is no change."""
    with tachograph.scan("gitleaks"):
        pass
    with tachograph.scan("trivy") as trivy:
        if job.scenario == "scan_failure":
            trivy.fail("timeout")
        else:
            tachograph.finding("trivy", "LOW", digest="c0ffee")
    if trivy.outcome != "success":
        tachograph.scan_failure("sbom", "policy_block")
        raise Stopped("failure")
    with tachograph.scan("sbom"):
        pass


def sandbox_validate(job: Job) -> None:
    """Run the tests with the patch applied."""
    with tachograph.tool_call("run_tests", arguments={"retries": job.retries}, effect="write"):
        log.info("tests pass with the patch")


def create_pr(job: Job) -> None:
    """Propose the change, once somebody has approved it."""
    approval = tachograph.approval("requested", subject="create_pr", scope="once")
    granted = job.scenario != "approval_denied"
    tachograph.approval("granted" if granted else "denied", approval_id=approval, approver="user:ada", scope="once")
    if not granted:
        raise Stopped("denied")
    with tachograph.tool_call("create_pr", effect="external"):
        tachograph.change("needs-review" if job.retries else "safe")


def consult(*prompt: str, fail: bool = False) -> Answer:
    """Ask the model, and say what it took."""
    with tachograph.llm_call(PROVIDER, MODEL) as call:
        answer = ask(" ".join(prompt), fail=fail)
        call.first_chunk()
        call.usage(input_tokens=answer.input_tokens, output_tokens=answer.output_tokens)
        call.cost((answer.input_tokens + answer.output_tokens) * USD_PER_TOKEN)
    return answer


def _budget(job: Job) -> Budget:
    """Return the budget of a run: a trial's is spent with its first call."""
    if job.scenario == "budget":
        return tachograph.budget("trial", limit=USD_PER_TOKEN, spent=0.0, refuse=True)
    return tachograph.budget("remediation", limit=1000.0, refuse=True)


STAGES: tuple[Callable[[Job], None], ...] = (
    generate_plan,
    policy_check_plan,
    generate_patch,
    policy_check_patch,
    run_scans,
    sandbox_validate,
    create_pr,
)
