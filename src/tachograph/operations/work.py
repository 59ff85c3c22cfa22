"""Runs of the work around agents: context assembly, pipeline, stage, task, scan."""

import time
from collections.abc import Mapping

from opentelemetry.context import Context

from tachograph import correlation
from tachograph.catalogue import labels, pipelines, plans, security
from tachograph.contain import contain
from tachograph.metrics import Measurement
from tachograph.operations.run import Run, Value, admit_word


class ContextRun(Run):
    """A context being assembled; `fragments` and `tokens` are what it holds at the end."""

    span_name = "context_assembly"

    def __init__(self, budget_tokens: int | None, attributes: Mapping[str, Value]) -> None:
        super().__init__(attributes)
        self.budget_tokens = budget_tokens
        self.fragments: int | None = None
        self.tokens: int | None = None

    def _final_attributes(self) -> dict[str, Value]:
        known = {
            "tachograph.context.fragments": self.fragments,
            "tachograph.context.tokens": self.tokens,
            "tachograph.context.budget_tokens": self.budget_tokens,
        }
        return {key: value for key, value in known.items() if value is not None}

    def _measurements(self, seconds: float) -> tuple[Measurement, ...]:
        optional = (
            (plans.CONTEXT_FRAGMENTS, self.fragments),
            (plans.CONTEXT_TOKENS, self.tokens),
            (plans.CONTEXT_UTILIZATION, self._utilization()),
        )
        return (
            Measurement(plans.CONTEXT_ASSEMBLIES, 1, {labels.OUTCOME.name: self.outcome}),
            Measurement(plans.CONTEXT_DURATION, seconds),
            *(Measurement(instrument, value) for instrument, value in optional if value is not None),
        )

    def _utilization(self) -> float | None:
        with contain("operations.measure"):
            return None if not self.budget_tokens or self.tokens is None else self.tokens / self.budget_tokens
        return None


class StageRun(Run):
    """A stage of a pipeline."""

    def __init__(self, name: str, attributes: Mapping[str, Value]) -> None:
        super().__init__(attributes)
        self.name = name
        self.span_name = f"stage {name}"

    def _span_attributes(self) -> dict[str, Value]:
        return {labels.STAGE.name: self.name}

    def _measurements(self, seconds: float) -> tuple[Measurement, ...]:
        ended = {labels.STAGE.name: self.name, labels.OUTCOME.name: self.outcome}
        return (Measurement(pipelines.STAGE_DURATION, seconds, ended),)


class PipelineRun(Run):
    """A pipeline from its first stage to its last."""

    def __init__(self, name: str, attributes: Mapping[str, Value]) -> None:
        super().__init__(attributes)
        self.name = name
        self.span_name = f"pipeline {name}"

    def _span_attributes(self) -> dict[str, Value]:
        return {"tachograph.pipeline.name": self.name}

    def _measurements(self, seconds: float) -> tuple[Measurement, ...]:
        return (Measurement(pipelines.PIPELINE_RUNS, 1, {labels.OUTCOME.name: self.outcome}),)


class TaskRun(Run):
    """A task: what is done in it carries its id."""

    def __init__(self, name: str, task_id: str, attributes: Mapping[str, Value]) -> None:
        super().__init__(attributes)
        self.name = name
        self.task_id = task_id
        self.span_name = f"task {name}"

    def _context(self) -> Context:
        return correlation.with_ids(task_id=self.task_id)

    def _span_attributes(self) -> dict[str, Value]:
        return {labels.TASK.name: self.name}

    def _measurements(self, seconds: float) -> tuple[Measurement, ...]:
        return ()


class ScanRun(Run):
    """A security scan."""

    def __init__(self, scanner: str, attributes: Mapping[str, Value]) -> None:
        super().__init__(attributes)
        self.scanner = scanner
        self.span_name = f"scan {scanner}"
        self._reason: str | None = None

    def fail(self, reason: str) -> None:
        """Say that it came to no result: timeout, error, policy_block or unknown."""
        admit_word(labels.SCAN_REASON, reason)
        self._reason = reason
        self.outcome = "timeout" if reason == "timeout" else "blocked" if reason == "policy_block" else "failure"

    def _span_attributes(self) -> dict[str, Value]:
        return {labels.SCANNER.name: self.scanner}

    def _measurements(self, seconds: float) -> tuple[Measurement, ...]:
        scanner = {labels.SCANNER.name: self.scanner}
        took = Measurement(security.SCAN_DURATION, seconds, scanner)
        if self.outcome == "success":
            return took, Measurement(security.SCAN_LAST_SUCCESS, time.time(), scanner)
        if self.outcome in _NO_FAILURES and self._reason is None:
            return (took,)
        reason = self._reason or _SCAN_REASONS.get(self.outcome, "unknown")
        return took, Measurement(security.SCAN_FAILURES, 1, {**scanner, labels.SCAN_REASON.name: reason})


_NO_FAILURES = ("skipped", "pending_approval", "retry")
_SCAN_REASONS = {"timeout": "timeout", "failure": "error", "blocked": "policy_block", "denied": "policy_block"}
