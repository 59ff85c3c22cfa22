"""Entry points of `opentelemetry-instrument`: the distribution, the configurator, and the check that ours were used."""

import os
from importlib import import_module
from typing import Any

from opentelemetry.instrumentation.dependencies import DependencyConflictError

from tachograph import bootstrap
from tachograph.errors import TachographError
from tachograph.notices import notice

# Upstream's module is closed to type checkers by a comment at its top.
_BaseDistro: Any = import_module("opentelemetry.instrumentation.distro").BaseDistro

EXIT_CONFIGURATION = 78  # EX_CONFIG of sysexits.h

_REPLACED = ("opentelemetry.instrumentation.logging", "opentelemetry.instrumentation.structlog")


class TachographDistro(_BaseDistro):
    """Prepares the environment for instrumentations and loads each of them in its own guard."""

    def _configure(self, **kwargs: Any) -> None:
        bootstrap.prepare_environment()

    def load_instrumentor(self, entry_point: Any, **kwargs: Any) -> None:
        """Load an instrumentation; one that fails costs itself, one whose work we do is left out."""
        if entry_point.value.startswith(_REPLACED):
            return
        try:
            super().load_instrumentor(entry_point, **kwargs)
        except (ImportError, DependencyConflictError):  # the caller tells a missing library from a broken one
            raise
        except Exception as error:  # noqa: BLE001 - an instrumentation of others may raise anything
            notice(f"instrumentation {entry_point.name!r} is left out: {type(error).__name__}: {error}")


class TachographConfigurator:
    """Sets telemetry up before the application starts, or refuses to start it."""

    def configure(self, **kwargs: Any) -> None:
        """Configure from the environment; a refusal is one line on stderr and exit code 78."""
        try:
            bootstrap.configure()
        except TachographError as error:
            notice(f"refusing to start: {error}")
            os._exit(EXIT_CONFIGURATION)  # an exception would be swallowed and the application would run on


def pre_instrument() -> None:
    """Say so when another distribution was loaded in our place."""
    if bootstrap.current() is None:
        notice(
            "another OpenTelemetry distribution was loaded; "
            "set OTEL_PYTHON_DISTRO=tachograph and OTEL_PYTHON_CONFIGURATOR=tachograph"
        )
