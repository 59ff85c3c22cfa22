"""One execution of an operation: its span, its outcome, and the order in which it is measured, audited and ended."""

import asyncio
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer

from tachograph import intake
from tachograph._otel import detach
from tachograph.catalogue import OTHER, Label, labels
from tachograph.contain import contain
from tachograph.errors import BudgetExceeded
from tachograph.genai import budgets
from tachograph.metrics import RECORDER, SCOPE, Measurement, say_overflow
from tachograph.notices import notice_once
from tachograph.version import __version__

Value = str | float | bool

_ERRORS = ("failure", "timeout", OTHER)
_CLOSING = (labels.OUTCOME.name, "error.type")


class Run:
    """One execution of an operation: what `with` yields."""

    kind = "run"
    name = ""
    span_name: str
    span_kind = SpanKind.INTERNAL

    def __init__(self, attributes: Mapping[str, Value]) -> None:
        self.span: Span = trace.INVALID_SPAN
        self.context: Context = Context()
        self._attributes: dict[str, Value] = dict(attributes)
        self._notes: dict[str, object] = {}
        self._outcome: str | None = None
        self._said: str | None = None
        self._error_type: str | None = None
        self._started = 0.0

    @property
    def started(self) -> float:
        """When it began, on the clock of `time.perf_counter`."""
        return self._started

    @property
    def outcome(self) -> str:
        """How it ended: success or failure by themselves, any other word of the closed list when said."""
        return self._outcome or "success"

    @outcome.setter
    def outcome(self, word: str) -> None:
        with contain("operations.word"):
            self._said = _text(word)
            self._outcome = admit_word(labels.OUTCOME, self._said)

    def note(self, **facts: object) -> None:
        """
        Keep facts about this execution: attributes of its span, and `meta` of its audit record.

        A name that the operation itself uses, such as `gen_ai.tool.name`, is left as it is.
        """
        for key, value in facts.items():
            with contain("operations.note"):
                self._note(key, value)

    def start(self) -> None:
        """Start the span and whatever must be known before the block runs."""
        with contain("operations.start"):
            self._open()
        self._before()

    def end(self, error: BaseException | None) -> None:
        """End it: outcome, measurements, audit record, span."""
        seconds = time.perf_counter() - self._started
        with contain("operations.outcome"):
            self._conclude(error)
        with contain("operations.audit"):
            self._audit()
        with contain("operations.measure"):
            RECORDER.record(self._as_said(self._measurements(seconds)), self.context)
        with contain("operations.close"):
            self._close(error)
        with contain("operations.end"):
            self.span.end()

    def _open(self) -> None:
        context = self._context()
        self.span = _tracer().start_span(
            self.span_name, context, kind=self.span_kind, attributes={**self._span_attributes(), **self._attributes}
        )
        self.context = trace.set_span_in_context(self.span, context)
        self._started = time.perf_counter()

    def _as_said(self, measurements: Iterable[Measurement]) -> Iterator[Measurement]:
        """Put the word that was said where the label has made `_OTHER` of it, so that the overflow is counted."""
        for each in measurements:
            if each.labels.get(labels.OUTCOME.name) == OTHER:
                yield replace(each, labels={**each.labels, labels.OUTCOME.name: self._said})
            else:
                yield each

    def _conclude(self, error: BaseException | None) -> None:
        if error is None:
            return
        if self._outcome is None:
            self._outcome = _outcome_of(error)
        self._error_type = _qualified(type(error))

    def _close(self, error: BaseException | None) -> None:
        self.span.set_attributes({labels.OUTCOME.name: self.outcome, **self._final_attributes()})
        if (spent := budgets.exhausted(self.context)) is not None:
            self.span.set_attribute(budgets.EXHAUSTED, spent)
        if self._error_type is not None:
            self.span.set_attribute("error.type", self._error_type)
        if self.outcome in _ERRORS:
            if error is not None:
                self._record(error)
            self.span.set_status(Status(StatusCode.ERROR, self._error_type or self.outcome))

    def _record(self, error: BaseException) -> None:
        """Record the exception on the span; the text of one that has none to give is its type."""
        with contain("operations.exception"):
            try:
                self.span.record_exception(error)
            except Exception:  # noqa: BLE001 - its `__str__` is the application's
                self.span.add_event("exception", {"exception.type": _qualified(type(error))})

    def _note(self, key: str, value: object) -> None:
        if key in self._span_attributes() or key in _CLOSING:
            notice_once(f"note {key}", f"a note cannot be called {key}, which {self.span_name[:80]} says itself")
            return
        self._notes[key] = value
        self.span.set_attribute(key, value if isinstance(value, str | bool | int | float) else str(value))

    def _context(self) -> Context:
        return otel_context.get_current()

    def _span_attributes(self) -> dict[str, Value]:
        return {}

    def _final_attributes(self) -> dict[str, Value]:
        return {}

    def _before(self) -> None:
        return None

    def _measurements(self, seconds: float) -> tuple[Measurement, ...]:
        raise NotImplementedError

    def _audit(self) -> None:
        return None


def submit(event: intake.AuditEvent, context: Context) -> intake.Receipt | None:
    """Hand `event` to the journal as of `context`: its span, its ids, its agent."""
    token = otel_context.attach(context)
    try:
        return intake.submit(event)
    finally:
        detach(token)


_cached_tracer: tuple[object, Tracer] | None = None


def _tracer() -> Tracer:
    global _cached_tracer
    provider = trace.get_tracer_provider()
    if _cached_tracer is None or _cached_tracer[0] is not provider:
        _cached_tracer = (provider, provider.get_tracer(SCOPE, __version__))
    return _cached_tracer[1]


def _outcome_of(error: BaseException) -> str:
    if isinstance(error, asyncio.CancelledError | KeyboardInterrupt | GeneratorExit | SystemExit):
        return "cancelled"
    if isinstance(error, BudgetExceeded):
        return "blocked"
    return "timeout" if isinstance(error, TimeoutError) else "failure"


def admit_word(label: Label, word: str) -> str:
    """Return `word` if `label` admits it, else `_OTHER` with one notice of the words there are."""
    admitted = OTHER
    with contain("operations.word"):
        admitted = label.admit(word)
        if admitted == OTHER:
            say_overflow(label, word)
    return admitted


def _text(word: object) -> str:
    return str.__str__(word) if isinstance(word, str) else str(word)


def _qualified(kind: type[BaseException]) -> str:
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
