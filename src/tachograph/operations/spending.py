"""A budget around a block: what the language model calls inside cost is added to it."""

import sys
from collections.abc import Awaitable
from contextvars import ContextVar, Token
from types import TracebackType
from typing import Self

from opentelemetry import context as otel_context
from opentelemetry.context import Context

from tachograph._otel import detach
from tachograph.errors import DeclarationError
from tachograph.genai import budgets
from tachograph.genai.budgets import Account
from tachograph.operations.operation import is_bare_generator, ready

_entered: ContextVar[tuple[tuple[int, Token[Context]], ...]] = ContextVar("tachograph.budgets", default=())


class Budget:
    """
    A budget by its name; amounts are USD. As a context manager, model calls of the block are added to it.

    All objects of one name are one budget, and may be entered by several threads and tasks at once.
    """

    def __init__(self, account: Account) -> None:
        self._account = account

    def __repr__(self) -> str:
        return f"Budget({self.name!r}, limit={self.limit!r}, spent={self.spent!r})"

    @property
    def name(self) -> str:
        """The name of the budget."""
        return self._account.name

    @property
    def limit(self) -> float | None:
        """What may be spent; None when nobody has said."""
        return self._account.limit

    @property
    def spent(self) -> float:
        """What has been spent, as far as costs are known."""
        return self._account.spent

    @property
    def remaining(self) -> float | None:
        """What is left, 0 at least; None without a limit."""
        limit = self._account.limit
        return None if limit is None else max(limit - self._account.spent, 0.0)

    @property
    def utilization(self) -> float | None:
        """What has been spent as a share of the limit; None without a limit or with one of 0."""
        return self._account.utilization

    @property
    def tokens(self) -> int:
        """Input and output tokens of the calls inside, as far as they are known."""
        return self._account.tokens

    @property
    def burn(self) -> float | None:
        """USD an hour that this process has added since its first call; None before it."""
        return self._account.burn

    @property
    def exhausted(self) -> bool:
        """True when the limit is reached."""
        return self._account.is_exhausted

    def __enter__(self) -> Self:
        self._enter(bare=is_bare_generator(sys._getframe(1)))  # noqa: SLF001 - whose block this is
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._exit()

    def __aenter__(self) -> Awaitable[Self]:
        self._enter(bare=is_bare_generator(sys._getframe(1)))  # noqa: SLF001 - whose block this is
        return ready(self)

    def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> Awaitable[None]:
        self._exit()
        return ready(None)

    def _enter(self, *, bare: bool) -> None:
        # A generator shares its caller's context: what it attached would stay in force at each of its yields.
        if bare:
            return
        token = otel_context.attach(budgets.with_account(self._account))
        _entered.set((*_entered.get(), (id(self._account), token)))

    def _exit(self) -> None:
        entered = _entered.get()
        if entered and entered[-1][0] == id(self._account):
            _entered.set(entered[:-1])
            detach(entered[-1][1])


def budget(name: str, *, limit: float | None = None, spent: float | None = None, refuse: bool | None = None) -> Budget:
    """
    Return the budget of this name, with what is given set: `limit` and `spent` in USD.

    `with budget(…)` adds what the model calls of the block cost. At 50, 80 and 95 % of the limit a line is logged; at
    100 % the event `budget.exceeded` is audited as well. With `refuse` a model call that would begin in a spent budget
    raises BudgetExceeded instead. Raises DeclarationError for an amount that is none.
    """
    for what, amount in (("limit", limit), ("spent", spent)):
        if amount is not None and not budgets.is_amount(amount):
            raise DeclarationError(f"budget {name!r} has {what}={amount!r}; write USD, 0 or more, like 2.5")
    account = budgets.ACCOUNTS.open(name)
    account.set(limit=limit, spent=spent, refuse=refuse)
    return Budget(account)
