"""
Settings become a running `Telemetry`: the only package that knows everything.

Importing it imports no SDK; `configure` does.
"""

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from opentelemetry import trace

from tachograph import audit, correlation, intake
from tachograph.bootstrap import components
from tachograph.bootstrap.exits import at_exit
from tachograph.bootstrap.plan import exporters
from tachograph.bootstrap.telemetry import Part, Telemetry
from tachograph.contain import contain
from tachograph.errors import ConfigurationError, DeclarationError
from tachograph.notices import notice, notice_once
from tachograph.settings import UNKNOWN_SERVICE, Settings, environment_default, process_environment

__all__ = ["Telemetry", "audit_at", "configure", "current", "journal_options", "prepare_environment", "service_name"]

_lock = threading.RLock()
_telemetry: Telemetry | None = None
_elsewhere = threading.Event()  # set while audit records go where `audit_at` says


def configure(service_name: str | None = None, **settings: object) -> Telemetry:
    """
    Set telemetry up for this process and return it; a second call returns what the first one made.

    Keyword arguments are fields of `Settings` and win over the environment. Raises ConfigurationError for an argument
    that is no setting or has a value that cannot be used, and, with `strict`, for a variable that cannot be used.
    """
    global _telemetry
    if service_name is not None:
        settings["service"] = service_name
    read = Settings.from_environment(**settings)
    with _lock:
        if _telemetry is None:
            _check(read)
            _telemetry = _build(read)
        elif _telemetry.ended:
            notice_once("ended", "configure() changes nothing: telemetry has ended in this process, by its shutdown()")
        elif settings:
            _say_unchanged(_telemetry.settings, read, set(settings))
        return _telemetry


def current() -> Telemetry | None:
    """Return what `configure` made in this process, if it did."""
    return _telemetry


@contextmanager
def audit_at(options: audit.JournalOptions) -> Iterator[None]:
    """Write audit records to the journal that `options` describe for the block, even if `configure` is called in it."""
    _elsewhere.set()
    audit.configure(options)
    intake.install(audit.sink)
    try:
        yield
    finally:
        audit.shutdown(1.0)
        _elsewhere.clear()
        _resume_audit(current())


def _resume_audit(telemetry: Telemetry | None) -> None:
    """Let records go where the settings say again, without opening anything."""
    found = telemetry or Telemetry.disabled(Settings.from_environment())
    audit.configure(replace(journal_options(found.settings, service_name(found)), required=False))
    required = telemetry is not None and found.settings.audit_required
    intake.install(None if telemetry is None else audit.sink, fail_closed=required)


def journal_options(settings: Settings, service: str) -> audit.JournalOptions:
    """Return how the audit journal of `service` is written."""
    return audit.JournalOptions(
        path=settings.audit_path,
        mode=settings.audit_mode,
        sync=settings.audit_sync,
        service_name=service,
        required=settings.audit_required,
    )


def prepare_environment() -> None:
    """
    Set what instrumentations of others read when they load, unless the user has.

    Stable HTTP conventions put the receiver's address onto client spans, and upstream's logging handler must not
    record a second time what ours records.
    """
    environment_default("OTEL_SEMCONV_STABILITY_OPT_IN", "http")
    environment_default("OTEL_PYTHON_LOG_AUTO_INSTRUMENTATION", "false")


def _check(settings: Settings) -> None:
    if settings.strict and (problems := [*settings.problems, *_unusable(settings)]):
        raise ConfigurationError("; ".join(problems))
    for problem in settings.problems:
        notice(problem)


def _unusable(settings: Settings) -> Iterator[str]:
    """What would cost a signal one of its exporters later on."""
    if settings.sdk_disabled or settings.config_file is not None:
        return
    chosen = exporters(settings)
    yield from chosen.problems
    yield from components.unknown(chosen)


def _build(settings: Settings) -> Telemetry:
    _require_audit(settings)
    prepare_environment()
    telemetry = Telemetry(settings)
    if not settings.sdk_disabled:
        _start_signals(telemetry)
    service = service_name(telemetry)
    _start_audit(telemetry, service)
    _start_logging(telemetry, service)
    telemetry.undo.append(at_exit(telemetry.shutdown, lambda: telemetry.flush(settings.shutdown_timeout)))
    _watch_frameworks(telemetry)
    _carry_context(telemetry)
    return telemetry


def _watch_frameworks(telemetry: Telemetry) -> None:
    from tachograph.integrations import celery

    settings = telemetry.settings
    if not settings.sdk_disabled:
        celery.watch(lambda: telemetry.flush(settings.shutdown_timeout), settings.queue_depth_interval)


def _carry_context(telemetry: Telemetry) -> None:
    """Keep context where instrumentations lose it, and go on in the one that this process was started with."""
    from tachograph.integrations import (
        django,
        environment,
        flask,
        processes,
        requests,
        responses,
        subprocesses,
        threads,
        urllib,
    )

    settings = telemetry.settings
    _declare_ids(settings)
    if settings.sdk_disabled:
        return
    hooks: tuple[Callable[[], Callable[[], None]], ...] = (
        lambda: _put_in_force(settings),
        lambda: responses.install(settings.request_id_header),
        threads.install,
        processes.install,
        subprocesses.install,
        flask.install,
        django.install,
        requests.install,
        urllib.install,
        lambda: environment.install(process_environment()),
    )
    for install in hooks:
        with contain("bootstrap.hooks"):
            telemetry.undo.append(install())


def _put_in_force(settings: Settings) -> Callable[[], None]:
    from tachograph import propagation

    propagation.put_in_force(settings)
    return lambda: propagation.put_in_force(None)


def _declare_ids(settings: Settings) -> None:
    for key in settings.correlation_ids:
        try:
            correlation.declare(key)
        except DeclarationError as error:
            notice(f"TACHOGRAPH_CORRELATION_IDS: {error}")


def service_name(telemetry: Telemetry) -> str:
    """Return the name that spans carry: a provider of the host's, or of a configuration file, has its own resource."""
    resource = getattr(telemetry.tracer_provider, "resource", None)
    name = str(resource.attributes.get("service.name", "")) if resource is not None else ""
    return telemetry.settings.service_name if name in ("", UNKNOWN_SERVICE) else name


def _require_audit(settings: Settings) -> None:
    """Refuse to start, before anything has been set up, where the journal is required and cannot be written."""
    if settings.audit_required and not _elsewhere.is_set():
        ahead = Telemetry(settings, tracer_provider=trace.get_tracer_provider())
        audit.configure(journal_options(settings, service_name(ahead)))


def _start_audit(telemetry: Telemetry, service: str) -> None:
    if not _elsewhere.is_set():
        audit.configure(journal_options(telemetry.settings, service))
        intake.install(audit.sink, fail_closed=telemetry.settings.audit_required)
    telemetry.parts.append(Part("audit", audit.flush, audit.shutdown))


def _start_signals(telemetry: Telemetry) -> None:
    from tachograph.bootstrap.signals import start

    start(telemetry)


def _start_logging(telemetry: Telemetry, service: str) -> None:
    from tachograph.bootstrap import hooks
    from tachograph.logs.config import LogOptions
    from tachograph.logs.console import default_format

    settings = telemetry.settings
    options = LogOptions(
        service=service,
        format=settings.log_format or default_format(sys.stderr),
        level=settings.log_level,
    )
    telemetry.undo.append(hooks.install(options))


def _say_unchanged(before: Settings, asked: Settings, names: set[str]) -> None:
    changed = sorted(name for name in names if getattr(before, name) != getattr(asked, name))
    if changed:
        notice(
            f"configure() changes nothing: telemetry is set up already, with {changed[0]}="
            f"{getattr(before, changed[0])!r}; set it before the start, in the environment or in the first call"
        )
