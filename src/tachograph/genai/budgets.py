"""
What may be spent on language model calls and what has been, by the name of the budget.

Budgets are in force through the OpenTelemetry context, so that they follow threads and tasks as spans do; whoever
observes a model call charges those in force around it.
"""

import logging
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Span

from tachograph import intake
from tachograph._otel import detach
from tachograph.catalogue import budgets, events, labels
from tachograph.contain import contain
from tachograph.errors import BudgetExceeded
from tachograph.fork import after_fork
from tachograph.genai.model import Call
from tachograph.metrics import RECORDER, Measurement, Values
from tachograph.notices import notice_once

THRESHOLDS = (0.5, 0.8, 0.95)
EXHAUSTED = "tachograph.budget.exhausted"

_KEY = "tachograph.budgets"
_ACCOUNTS_KEPT = 1000
_logger = logging.getLogger("budget")


class Account:
    """One budget of this process: amounts in USD, thread-safe."""

    def __init__(self, name: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.name = name
        self.limit: float | None = None
        self.spent = 0.0
        self.tokens = 0
        self.refuse = False
        self._clock = clock
        self._first: float | None = None
        self._charged = 0.0
        self._crossed: frozenset[float] = frozenset()
        self._lock = threading.Lock()

    @property
    def utilization(self) -> float | None:
        """What is spent as a share of the limit; None without a limit or with one of 0."""
        limit = self.limit
        return self.spent / limit if limit else None

    @property
    def is_exhausted(self) -> bool:
        """True when the limit is reached."""
        return self.limit is not None and self.spent >= self.limit

    @property
    def burn(self) -> float | None:
        """USD an hour that this process has charged since its first charge; None before it, or too soon to tell."""
        first, charged = self._first, self._charged
        seconds = 0.0 if first is None else self._clock() - first
        return charged / seconds * 3600 if seconds > 0 else None

    def set(self, *, limit: float | None = None, spent: float | None = None, refuse: bool | None = None) -> None:
        """Set what is given, and say what that crosses."""
        with self._lock:
            self.limit = self.limit if limit is None else limit
            self.spent = self.spent if spent is None else spent
            self.refuse = self.refuse if refuse is None else refuse
            crossed = self._cross()
        self._say(crossed)

    def charge(self, usd: float | None, tokens: int) -> None:
        """Add the cost (None: unknown) and the tokens of a call, and say what that crosses."""
        with self._lock:
            self.tokens += tokens
            if usd is not None:
                self._first = self._clock() if self._first is None else self._first
                self._charged += usd
                self.spent += usd
            crossed = self._cross()
        self._say(crossed)

    def after_fork(self) -> None:
        """Make it usable in a forked child, where another thread's lock would never be released."""
        self._lock = threading.Lock()

    def _cross(self) -> tuple[float, ...]:
        """Return the thresholds that are passed now and were not before; those no longer passed count again."""
        used = 1.0 if self.is_exhausted else (self.utilization or 0.0)
        passed = frozenset(each for each in (*THRESHOLDS, 1.0) if used >= each)
        new, self._crossed = passed - self._crossed, passed
        return tuple(sorted(new))

    def _say(self, crossed: tuple[float, ...]) -> None:
        for share in crossed:
            with contain("budget"):
                if share < 1:
                    self._warn("budget %s is at %g %% of its limit", share)
                else:
                    self._say_exhausted()

    def _say_exhausted(self) -> None:
        self._warn("budget %s is spent: at %g %% of its limit", 1.0)
        RECORDER.record((Measurement(budgets.BUDGET_EXHAUSTED, 1, {labels.BUDGET.name: self.name}),))
        trace.get_current_span().set_attribute(EXHAUSTED, self.name)
        intake.submit(
            intake.AuditEvent(
                event=events.BUDGET_EXCEEDED.name,
                action="EXCEED",
                resource=f"budget:{self.name}",
                meta={"budget": self.name, "limit": self.limit, "used": self.spent},
            )
        )

    def _warn(self, text: str, share: float) -> None:
        fields = {"budget": self.name, "limit_usd": self.limit, "spent_usd": self.spent}
        _logger.warning(text, self.name, share * 100, extra=fields)


class Accounts:
    """The budgets of this process by name: the same name is the same budget."""

    def __init__(self, kept: int = _ACCOUNTS_KEPT) -> None:
        self._kept = kept
        self._accounts: OrderedDict[str, Account] = OrderedDict()
        self._lock = threading.Lock()
        self._observed = False

    def open(self, name: str) -> Account:
        """Return the account of `name`, a new one the first time."""
        with self._lock:
            account = self._accounts.get(name)
            if account is None:
                account = self._accounts[name] = Account(name)
            self._accounts.move_to_end(name)
            if len(self._accounts) > self._kept:
                self._accounts.popitem(last=False)
                notice_once("budgets", f"more than {self._kept} budgets: the one used longest ago is forgotten")
        self._observe()
        return account

    def forget(self) -> None:
        """Forget every account: the next of a name starts anew."""
        with self._lock:
            self._accounts.clear()

    def after_fork(self) -> None:
        """Make the accounts usable in a forked child; they go on from where the parent's stood."""
        self._lock = threading.Lock()
        for account in self._accounts.values():
            account.after_fork()

    def _observe(self) -> None:
        if self._observed:
            return
        self._observed = True
        with contain("budget"):
            after_fork(self.after_fork)
            RECORDER.observe(budgets.BUDGET_LIMIT, lambda: self._read(lambda each: each.limit))
            RECORDER.observe(budgets.BUDGET_SPENT, lambda: self._read(lambda each: each.spent))
            RECORDER.observe(budgets.BUDGET_UTILIZATION, lambda: self._read(lambda each: each.utilization))

    def _read(self, amount: Callable[[Account], float | None]) -> Values:
        with self._lock:
            accounts = list(self._accounts.values())
        return [
            (value, {labels.BUDGET.name: account.name})
            for account in accounts
            if (value := amount(account)) is not None
        ]


ACCOUNTS = Accounts()


def with_account(account: Account, context: Context | None = None) -> Context:
    """Return `context` with `account` in force, beside those that are."""
    span = trace.get_current_span(context)
    return otel_context.set_value(_KEY, (*_entries(context), (account, span)), context)


def accounts(context: Context | None = None) -> tuple[Account, ...]:
    """Return the budgets in force in `context` (default: the current one), each once, the outermost first."""
    return tuple({id(account): account for account, _ in _entries(context)}.values())


def check(context: Context | None = None) -> None:
    """Raise BudgetExceeded when a budget in force refuses and is spent."""
    for account in accounts(context):
        if account.refuse and account.is_exhausted and account.limit is not None:
            raise BudgetExceeded(account.name, account.limit, account.spent)


def charge(call: Call, context: Context) -> None:
    """Add a priced model call to every budget in force around it; `context` is the call's, its span current."""
    if call.kind != "llm" or not _entries(context):
        return
    tokens = (call.usage.input_tokens or 0) + (call.usage.output_tokens or 0)
    token = otel_context.attach(context)
    try:
        for account in accounts(context):
            account.charge(call.cost, tokens)
        for account, span in _entries(context):
            _mark(span, account)
    finally:
        detach(token)


def exhausted(context: Context) -> str | None:
    """Return the name of the innermost budget in force in `context` that is spent, or None."""
    return next((account.name for account in reversed(accounts(context)) if account.is_exhausted), None)


def is_amount(value: object) -> bool:
    """Tell whether `value` may be an amount of a budget: a number of USD, 0 or more."""
    return isinstance(value, int | float) and math.isfinite(value) and value >= 0


def _mark(span: Span, account: Account) -> None:
    """Mark the span that a spent budget was opened in, which does not end inside of it."""
    if account.is_exhausted and span.is_recording():
        span.set_attribute(EXHAUSTED, account.name)


def _entries(context: Context | None) -> tuple[tuple[Account, Span], ...]:
    found = otel_context.get_value(_KEY, context)
    return found if isinstance(found, tuple) else ()
