"""Upstream's own handler beside ours."""

import io
import logging
import logging.config
import warnings

import pytest
from opentelemetry.instrumentation.logging import LoggingInstrumentor
from opentelemetry.instrumentation.logging.handler import LoggingHandler

from tachograph.logs.upstream import remove


@pytest.fixture
def instrumentor():
    found = LoggingInstrumentor()
    yield found
    if found.is_instrumented_by_opentelemetry:
        found.uninstrument()


def notices(stderr):
    return [text for text in stderr.getvalue().splitlines() if text.startswith("tachograph: ")]


class TestLoggingInstrumentor:
    def test_instrumented_after_us_a_record_is_exported_once(self, installed, exported, stderr, instrumentor):
        """Upstream's handler is taken off root at the first record, with one notice."""
        instrumentor.instrument()
        logging.getLogger("app").info("x")
        logging.getLogger("app").info("y")
        assert exported.bodies == ["x", "y"]
        assert len(notices(stderr)) == 1
        assert logging.root.handlers == []

    def test_instrumented_before_us_a_record_is_exported_once(self, exported, switch_on, lines, stderr, instrumentor):
        """Upstream's handler is taken off root when we come, and the console works."""
        instrumentor.instrument()
        switch_on()
        logging.getLogger("app").info("x")
        assert exported.bodies == ["x"]
        assert stderr.getvalue().splitlines()[-1].startswith('{"timestamp"')

    def test_its_fields_are_filled_by_whoever_comes_first(self, installed, exported, instrumentor, tracer):
        """With `set_logging_format` its format string works, and the record has no noise."""
        shown = io.StringIO()
        instrumentor.instrument(set_logging_format=True, logging_format="%(otelTraceID)s %(otelServiceName)s")
        logging.root.handlers[0].setStream(shown)
        with tracer.start_as_current_span("work") as span:
            logging.getLogger("app").info("x")
        assert shown.getvalue().split()[0] == f"{span.get_span_context().trace_id:032x}"
        assert exported.attributes == {}

    def test_uninstrumenting_is_as_ever(self, installed, exported, stderr, instrumentor):
        """Upstream may remove what is gone already."""
        instrumentor.instrument()
        logging.getLogger("app").info("x")
        instrumentor.uninstrument()
        logging.getLogger("app").info("y")
        assert exported.bodies == ["x", "y"]


class TestTheHandlerAlone:
    def test_on_any_logger_it_is_taken_off(self, installed, exported, stderr):
        """A handler on the app's logger makes no second record."""
        logging.getLogger("app").addHandler(LoggingHandler(logger_provider=exported.provider))
        logging.getLogger("app.sub").info("x")
        assert exported.bodies == ["x"]

    def test_the_sdks_own_is_taken_off(self, installed, exported, stderr):
        """The deprecated handler of the SDK too, and one derived from it."""
        from opentelemetry.sdk import _logs

        class Derived(_logs.LoggingHandler):
            """As an app may have."""

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            logging.root.addHandler(_logs.LoggingHandler(logger_provider=exported.provider))
            logging.root.addHandler(Derived(logger_provider=exported.provider))
        logging.getLogger("app").info("x")
        assert exported.bodies == ["x"]

    def test_one_for_another_provider_stays(self, installed, exported, stderr):
        """An app may send its records to a second place."""
        from logs_support import Exported

        other = Exported()
        logging.getLogger("app").addHandler(LoggingHandler(logger_provider=other.provider))
        logging.getLogger("app").error("x")
        assert (exported.bodies, other.bodies) == (["x"], ["x"])
        assert notices(stderr) == []

    def test_one_made_before_the_provider_is_taken_off(self, installed, exported, stderr):
        """The API's stand-in leads to the provider in force."""
        from opentelemetry._logs._internal import ProxyLoggerProvider

        logging.root.addHandler(LoggingHandler(logger_provider=ProxyLoggerProvider()))
        logging.getLogger("app").info("x")
        assert exported.bodies == ["x"]

    def test_undo_gives_it_back(self, exported, switch_on, stderr):
        """Undone, upstream's handler is where it was."""
        handler = LoggingHandler(logger_provider=exported.provider)
        logging.root.addHandler(handler)
        undo = switch_on()
        assert logging.root.handlers == []
        undo()
        assert logging.root.handlers == [handler]
        logging.getLogger("app").error("x")
        assert exported.bodies == ["x"]

    def test_other_handlers_stay(self, exported):
        """A handler that is merely called so is the app's."""
        mine = type("LoggingHandler", (logging.NullHandler,), {"__module__": "app"})()
        logging.getLogger("app").addHandler(mine)
        assert remove(logging.getLogger("app")) == []
        assert logging.getLogger("app").handlers == [mine]
