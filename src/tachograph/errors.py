"""
Every exception of tachograph.

::

    TachographError
    ├── ConfigurationError   (ValueError)    a setting or argument with a value that cannot be used
    ├── DeclarationError     (ValueError)    an instrument, label or event declared wrongly
    ├── MissingExtra         (ImportError)   a feature whose optional dependency is not installed
    ├── AuditUnavailable     (OSError)       a fail-closed audit record that could not be made durable
    └── BudgetExceeded       (RuntimeError)  a model call refused because its budget is spent
"""


class TachographError(Exception):
    """The base of all exceptions raised by tachograph."""


class ConfigurationError(TachographError, ValueError):
    """A setting or an argument has a value that cannot be used; the text says what to write instead."""


class DeclarationError(TachographError, ValueError):
    """An instrument, label or event is declared wrongly; the text says what to write instead."""


class MissingExtra(TachographError, ImportError):
    """A feature needs an optional dependency; the text is the command that installs it."""

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(f"{feature} needs an optional dependency; run: pip install 'tachograph[{extra}]'")


class AuditUnavailable(TachographError, OSError):
    """A record that had to be on the disk before an act could not be written: the act must not happen."""


class BudgetExceeded(TachographError, RuntimeError):
    """A language model call was refused, before it began, because a budget around it is spent; amounts are USD."""

    def __init__(self, budget: str, limit: float, spent: float) -> None:
        super().__init__(f"budget {budget!r} is spent: {spent:.6g} USD of {limit:.6g} USD; raise its limit to go on")
        self.budget = budget
        self.limit = limit
        self.spent = spent
