"""A process in which nobody has configured logging, with a real pipeline into memory."""

import io
import logging
import logging.config
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from unittest import mock

import orjson
import pytest
import structlog
from logs_support import PREAMBLE, Exported
from opentelemetry import _logs
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk.trace import TracerProvider

from tachograph import intake, notices
from tachograph.intake import AuditEvent
from tachograph.logs import LogOptions, install
from tachograph.logs.patching import Undo


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function):
    """Run the test without the handlers that pytest puts on root for each phase, and with its own stderr."""
    root = logging.getLogger()
    root.handlers[:] = [h for h in root.handlers if not type(h).__module__.startswith("_pytest")]
    with mock.patch.object(sys, "stderr", pyfuncitem.funcargs.get("stderr", sys.stderr)):
        return (yield)


@pytest.fixture(autouse=True)
def bare_logging(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """stdlib logging and structlog as a fresh process has them, whatever pytest put there."""
    root = logging.getLogger()
    level, disabled = root.level, logging.root.manager.disable
    known = dict(root.manager.loggerDict)
    root.manager.loggerDict.clear()  # a logger that another test has made may be disabled by one of these
    kind = logging.getLoggerClass()
    for name in ("basicConfig",):
        monkeypatch.setattr(logging, name, getattr(logging, name))
    for name in ("dictConfig", "fileConfig"):
        monkeypatch.setattr(logging.config, name, getattr(logging.config, name))
    root.handlers[:] = []
    root.setLevel(logging.WARNING)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()
    notices.forget()
    yield
    root.handlers[:] = []
    root.setLevel(level)
    logging.disable(disabled)
    logging.setLoggerClass(kind)
    root.manager.loggerDict.clear()
    root.manager.loggerDict.update(known)
    structlog.reset_defaults()


@pytest.fixture
def exported(monkeypatch: pytest.MonkeyPatch) -> Exported:
    """The pipeline in force, into memory."""
    found = Exported()
    monkeypatch.setattr(_logs._internal, "_LOGGER_PROVIDER", found.provider)
    return found


@pytest.fixture
def no_pipeline(monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenTelemetry is switched off."""
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    monkeypatch.setattr(_logs._internal, "_LOGGER_PROVIDER", LoggerProvider(shutdown_on_exit=False))


@pytest.fixture
def journal() -> Iterator[list[AuditEvent]]:
    """What reached the journal in force."""
    found: list[AuditEvent] = []
    before = intake.install(lambda event: found.append(event))
    yield found
    intake.install(before)


@pytest.fixture
def switch_on() -> Iterator[Callable[..., Undo]]:
    """Install with these options; undone after the test."""
    undos: list[Undo] = []

    def on(level: int = logging.INFO, form: str = "json", service: str = "shop") -> Undo:
        undos.append(install(LogOptions(service, form, level)))
        return undos[-1]

    yield on
    for undo in undos:
        undo()


@pytest.fixture
def installed(switch_on, exported: Exported) -> Undo:
    """Installed as JSON at INFO."""
    return switch_on()


@pytest.fixture
def stderr() -> io.StringIO:
    """The test's stderr: one without bytes below it, as some hosts have."""
    return io.StringIO()


@pytest.fixture
def lines(stderr: io.StringIO) -> Callable[[], list[dict[str, object]]]:
    """The JSON lines on stderr so far."""
    return lambda: [orjson.loads(text) for text in stderr.getvalue().splitlines()]


@pytest.fixture
def tracer():
    return TracerProvider(shutdown_on_exit=False).get_tracer("tests")


@pytest.fixture
def threads() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before


@pytest.fixture
def script(tmp_path):
    """Run a Python script in a process of its own, with tachograph's logs on unless `on` is false."""

    def run(code: str, *, on: bool = True, form: str = "json", level: int = logging.INFO):
        switch = f"undo = install(LogOptions('shop', {form!r}, {level}))\n" if on else ""
        path = tmp_path / "app.py"
        path.write_text(PREAMBLE + switch + textwrap.dedent(code))
        command = [sys.executable, "-W", "error", str(path)]
        return subprocess.run(command, capture_output=True, text=True, timeout=60)

    return run
