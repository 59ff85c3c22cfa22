"""Apps that log with stdlib logging."""

import copy
import io
import logging
import logging.config
import logging.handlers
import queue

import pytest

from tachograph import correlation
from tachograph.logs.stdlib import LentLevel


def run_span(tracer):
    return tracer.start_as_current_span("work")


class TestAnAppWithoutConfiguration:
    def test_a_line_says_when_what_where_and_under_which_ids(self, installed, lines, tracer):
        """A JSON line has the eight names in order, then the app's fields."""
        with tracer.start_as_current_span("work") as span, correlation.bind(request_id="r-1", plan_id="p-1"):
            logging.getLogger("app.orders").info("placed %s", "o-1", extra={"amount": 12.5})
        (line,) = lines()
        context = span.get_span_context()
        assert list(line) == [
            "timestamp", "level", "logger", "event", "trace_id", "span_id", "service",
            "request_id", "plan_id", "amount",
        ]  # fmt: skip
        assert line["level"] == "info"
        assert line["logger"] == "app.orders"
        assert line["event"] == "placed o-1"
        assert line["trace_id"] == f"{context.trace_id:032x}"
        assert line["span_id"] == f"{context.span_id:016x}"
        assert line["service"] == "shop"
        assert line["amount"] == 12.5

    def test_ids_are_left_out_where_there_are_none(self, installed, lines):
        """Without a span a line has neither trace_id nor span_id."""
        logging.getLogger("app").warning("x")
        assert not {"trace_id", "span_id", "trace_flags", "otelTraceID"} & set(lines()[0])

    def test_below_the_level_is_neither_shown_nor_exported(self, installed, exported, lines):
        """DEBUG goes nowhere at INFO."""
        logging.getLogger("app").debug("x")
        assert lines() == []
        assert exported.bodies == []

    def test_a_level_above_warning_silences_warnings(self, switch_on, exported, lines):
        """At ERROR a warning is neither shown nor exported, and an error is both."""
        switch_on(level=logging.ERROR)
        logging.getLogger("app").warning("x")
        logging.getLogger("app").error("y")
        assert [line["event"] for line in lines()] == ["y"]
        assert exported.bodies == ["y"]

    def test_module_level_calls_make_the_same_lines(self, installed, exported, lines):
        """`logging.info()` adds no handler of its own."""
        logging.info("hello")
        assert [line["event"] for line in lines()] == ["hello"]
        assert exported.bodies == ["hello"]
        assert logging.root.handlers == []

    def test_exceptions_are_three_fields(self, installed, exported, lines):
        """An exception has its qualified type, the text of it, and the stack trace; the OTel record the same."""

        class Rejected(Exception):
            def __str__(self) -> str:
                return "code 7"

        try:
            raise Rejected(7)
        except Rejected:
            logging.getLogger("app").exception("failed")
        (line,) = lines()
        for found in (line, exported.attributes):
            assert found["exception.type"].endswith(
                "test_logs_stdlib.TestAnAppWithoutConfiguration.test_exceptions_are_three_fields.<locals>.Rejected"
            )
            assert found["exception.message"] == "code 7"
            assert found["exception.stacktrace"].startswith("Traceback (most recent call last)")
        assert line["level"] == "error"

    def test_builtin_exceptions_have_bare_names(self, installed, exported, lines):
        """`builtins.` is left out of the type."""
        logging.getLogger("app").error("x", exc_info=ValueError("bad"))
        assert exported.attributes["exception.type"] == "ValueError"

    def test_a_field_named_as_the_lines_own_keeps_an_underscore(self, installed, exported, lines):
        """`extra={"event": ...}` overwrites nothing on the line, and keeps its name on the record."""
        logging.getLogger("app").info("x", extra={"event": "user.login", "level": 3})
        (line,) = lines()
        assert (line["event"], line["event_"], line["level"], line["level_"]) == ("x", "user.login", "info", 3)
        assert exported.attributes == {"event": "user.login", "level": 3}

    def test_the_apps_own_ids_win(self, installed, exported, lines):
        """`extra={"request_id": ...}` raises nothing and stays."""
        with correlation.bind(request_id="ours"):
            logging.getLogger("app").info("x", extra={"request_id": "theirs", "trace_id": "t", "service": "s"})
        (line,) = lines()
        assert (line["request_id"], line["trace_id"], line["service"]) == ("theirs", "t", "s")
        assert exported.attributes == {"request_id": "theirs", "trace_id": "t", "service": "s"}

    def test_a_stack_that_was_asked_for_is_there(self, installed, exported, lines):
        """`stack_info=True` is on the line and on the record."""
        logging.getLogger("app").info("x", stack_info=True)
        assert "test_a_stack_that_was_asked_for" in lines()[0]["code.stacktrace"]
        assert exported.attributes["code.stacktrace"] == lines()[0]["code.stacktrace"]

    def test_a_library_with_a_null_handler_stays_quiet_and_is_exported(self, installed, exported, lines):
        """NullHandler silences the console as ever."""
        log = logging.getLogger("library")
        log.addHandler(logging.NullHandler())
        log.warning("x")
        assert lines() == []
        assert exported.bodies == ["x"]


class TestTheRecordInOpenTelemetry:
    def test_it_carries_trace_context_natively_and_ids_as_attributes(self, installed, exported, stderr, tracer):
        """Trace and span are the record's own; correlation ids are attributes under their bare names."""
        with tracer.start_as_current_span("work") as span, correlation.bind(request_id="r-1"):
            logging.getLogger("app.orders").warning("x", extra={"amount": 3, "nothing": None})
        record = exported.one
        assert record.trace_id == span.get_span_context().trace_id
        assert record.span_id == span.get_span_context().span_id
        assert exported.attributes == {"request_id": "r-1", "amount": 3}
        assert (record.severity_text, record.severity_number.value) == ("WARN", 13)
        assert exported.scope == "app.orders"

    def test_its_time_is_the_calls(self, installed, exported, lines):
        """The timestamp is the record's, in nanoseconds, and equals the line's."""
        logging.getLogger("app").info("x")
        stamp = lines()[0]["timestamp"]
        assert stamp.endswith(f".{exported.one.timestamp // 1000 % 1_000_000:06d}Z")
        assert len(stamp) == len("2026-11-20T22:48:38.579362Z")

    @pytest.mark.parametrize("name", ["otel.event.name", "event.name"])
    def test_an_event_name_is_the_records(self, installed, exported, stderr, name):
        """The two names of the conventions become `event_name`, and no attribute."""
        logging.getLogger("app").info("x", extra={name: "order.placed"})
        assert exported.one.event_name == "order.placed"
        assert exported.attributes == {}

    def test_a_filters_field_arrives(self, installed, exported, stderr):
        """What a handler's filter puts on a record is exported."""
        handler = logging.StreamHandler(io.StringIO())
        handler.addFilter(lambda record: setattr(record, "tenant", "t-1") or True)
        logging.getLogger("app").addHandler(handler)
        logging.getLogger("app").error("x")
        assert exported.attributes == {"tenant": "t-1"}

    def test_a_later_provider_is_used(self, installed, exported, stderr, monkeypatch):
        """The provider in force is looked up at every call."""
        from logs_support import Exported
        from opentelemetry import _logs

        logging.getLogger("app").info("first")
        later = Exported()
        monkeypatch.setattr(_logs._internal, "_LOGGER_PROVIDER", later.provider)
        logging.getLogger("app").info("second")
        assert (exported.bodies, later.bodies) == (["first"], ["second"])

    def test_without_a_provider_nothing_happens(self, switch_on, lines):
        """Before a provider is set the line is written all the same."""
        switch_on()
        logging.getLogger("app").info("x")
        assert [line["event"] for line in lines()] == ["x"]


class TestAnAppThatConfiguresLogging:
    def test_basic_config_after_us_shows_what_it_always_showed(self, installed, exported):
        """`basicConfig()` without a level shows no INFO; the records are exported at the configured level."""
        shown = io.StringIO()
        logging.basicConfig(stream=shown)
        logging.getLogger("app").info("quiet")
        logging.getLogger("app").warning("loud")
        assert shown.getvalue() == "WARNING:app:loud\n"
        assert exported.bodies == ["quiet", "loud"]

    def test_basic_config_before_us_is_left_alone(self, exported, switch_on):
        """An app that configured logging first keeps its level and its output."""
        shown = io.StringIO()
        logging.basicConfig(stream=shown)
        switch_on()
        logging.getLogger("app").info("quiet")
        logging.getLogger("app").warning("loud")
        assert logging.root.level == logging.WARNING
        assert not isinstance(logging.root.level, LentLevel)
        assert shown.getvalue() == "WARNING:app:loud\n"
        assert exported.bodies == ["loud"]

    def test_a_level_that_the_app_sets_is_the_apps(self, installed, exported):
        """`setLevel(INFO)` is no loan of ours: handlers see INFO."""
        shown = io.StringIO()
        logging.basicConfig(stream=shown, level=logging.INFO)
        logging.getLogger("app").info("x")
        assert shown.getvalue() == "INFO:app:x\n"

    def test_a_level_that_the_app_had_set_is_left_alone(self, exported, switch_on, lines):
        """A root level other than WARNING was the app's."""
        logging.root.setLevel(logging.ERROR)
        switch_on()
        logging.getLogger("app").warning("x")
        assert logging.root.level == logging.ERROR
        assert exported.bodies == []

    def test_a_loggers_own_level_shows_info_to_its_handlers(self, installed, exported):
        """A logger with a level of its own does not depend on root's."""
        shown = io.StringIO()
        log = logging.getLogger("app")
        log.addHandler(logging.StreamHandler(shown))
        log.setLevel(logging.DEBUG)
        log.getChild("sub").debug("x")
        assert shown.getvalue() == "x\n"
        assert exported.bodies == ["x"]

    def test_format_strings_find_the_ids(self, installed, tracer):
        """`%(trace_id)s` and upstream's names work with a span and without."""
        shown = io.StringIO()
        logging.basicConfig(
            stream=shown,
            format="%(trace_id)s|%(span_id)s|%(service)s|%(otelTraceID)s|%(otelSpanID)s|%(otelServiceName)s|%(otelTraceSampled)s",
        )
        logging.getLogger("app").warning("x")
        with tracer.start_as_current_span("work") as span:
            logging.getLogger("app").warning("x")
        context = span.get_span_context()
        trace_id, span_id = f"{context.trace_id:032x}", f"{context.span_id:016x}"
        assert shown.getvalue().splitlines() == [
            "||shop|0|0|shop|False",
            f"{trace_id}|{span_id}|shop|{trace_id}|{span_id}|shop|True",
        ]

    def test_dict_config_without_propagation_is_exported_once(self, installed, exported):
        """Handlers, levels and propagate flags decide about the console only."""
        stream = io.StringIO()
        logging.config.dictConfig({
            "version": 1,
            "disable_existing_loggers": False,
            "handlers": {"h": {"class": "logging.StreamHandler", "stream": stream}},
            "loggers": {"app": {"handlers": ["h"], "level": "INFO", "propagate": False}},
        })  # fmt: skip
        logging.getLogger("app.sub").info("x")
        assert stream.getvalue() == "x\n"
        assert exported.bodies == ["x"]

    def test_many_handlers_make_one_record(self, installed, exported):
        """Three handlers on two loggers see a record that is exported once."""
        streams = [io.StringIO() for _ in range(3)]
        for stream, name in zip(streams, ("app", "app", ""), strict=True):
            logging.getLogger(name).addHandler(logging.StreamHandler(stream))
        logging.getLogger("app").warning("x")
        assert [stream.getvalue() for stream in streams] == ["x\n"] * 3
        assert exported.bodies == ["x"]

    def test_a_loggers_filter_decides_about_both(self, installed, exported, lines):
        """What a logger's filter drops is neither shown nor exported."""
        logging.getLogger("app").addFilter(lambda record: False)
        logging.getLogger("app").error("x")
        assert lines() == []
        assert exported.bodies == []

    def test_a_handler_that_raises_still_raises(self, installed, exported):
        """An exception out of the app's handler reaches the app, and the record is exported."""

        class Strict(logging.Handler):
            def emit(self, record):
                raise LookupError("mine")

        logging.getLogger("app").addHandler(Strict())
        with pytest.raises(LookupError, match="mine"):
            logging.getLogger("app").error("x")
        assert exported.bodies == ["x"]

    def test_a_call_that_logging_reports_is_still_reported(self, installed, exported, stderr, monkeypatch):
        """A bad format string makes the app's handler print its "Logging error", and is exported."""
        monkeypatch.setattr(logging, "raiseExceptions", True)
        logging.getLogger("app").addHandler(logging.StreamHandler(io.StringIO()))
        logging.getLogger("app").error("%d", "x")
        assert "--- Logging error ---" in stderr.getvalue()
        assert exported.bodies == ["%d ('x',)"]

    def test_the_callers_place_is_the_apps(self, installed):
        """File, line, function and stacklevel are those of the call."""
        shown = io.StringIO()
        logging.basicConfig(stream=shown, format="%(filename)s %(funcName)s")
        logging.getLogger("app").warning("x")

        def helper():
            logging.getLogger("app").warning("x", stacklevel=2)

        helper()
        expected = "test_logs_stdlib.py test_the_callers_place_is_the_apps"
        assert shown.getvalue().splitlines() == [expected, expected]


class TestQueues:
    def test_a_listener_formats_the_ids_of_the_call(self, installed, exported, tracer, threads):
        """A record formatted in the listener's thread has the ids of the thread that logged, and is exported once."""
        shown = io.StringIO()
        handler = logging.StreamHandler(shown)
        handler.setFormatter(logging.Formatter("%(trace_id)s %(message)s"))
        records: queue.Queue[logging.LogRecord] = queue.Queue()
        listener = logging.handlers.QueueListener(records, handler)
        logging.getLogger("app").addHandler(logging.handlers.QueueHandler(records))
        listener.start()
        with tracer.start_as_current_span("work") as span:
            logging.getLogger("app").warning("x")
        listener.stop()
        assert shown.getvalue() == f"{span.get_span_context().trace_id:032x} x\n"
        assert exported.bodies == ["x"]

    def test_a_record_that_comes_back_is_not_exported_again(self, installed, exported):
        """A record handed to `Logger.handle` a second time, as queue readers do, was exported where it was made."""
        records: queue.Queue[logging.LogRecord] = queue.Queue()
        logging.getLogger("app").addHandler(logging.handlers.QueueHandler(records))
        logging.getLogger("app").warning("x")
        shown = io.StringIO()
        logging.getLogger("reader").addHandler(logging.StreamHandler(shown))
        logging.getLogger("reader").handle(copy.copy(records.get_nowait()))
        assert shown.getvalue() == "x\n"
        assert exported.bodies == ["x"]

    def test_a_foreign_record_is_exported(self, installed, exported, lines):
        """A record made by hand, with no time of ours, is exported as any other."""
        logging.getLogger("app").handle(
            logging.makeLogRecord(
                {"name": "remote", "msg": "x", "levelno": 40, "levelname": "ERROR", "exc_text": "Traceback ..."}
            )
        )
        assert exported.scope == "remote"
        assert exported.attributes == {"exception.stacktrace": "Traceback ..."}


class TestAudit:
    def test_below_the_level_it_is_exported_and_not_shown(self, installed, exported, lines):
        """`extra={"audit": True}` reaches the pipeline at any level."""
        logging.getLogger("app").debug("user.%s", "login", extra={"audit": True, "actor": "u:1"})
        assert lines() == []
        assert exported.one.body == "user.login"
        assert exported.attributes == {"audit": True, "actor": "u:1"}

    @pytest.mark.parametrize("method", ["debug", "info", "warning", "error", "critical", "exception"])
    def test_every_method_is_heard(self, installed, exported, method, stderr):
        """Each log method below the level records an audit entry once."""
        logging.disable(logging.CRITICAL)
        getattr(logging.getLogger("app"), method)("a.b", extra={"audit": True})
        getattr(logging, method)("c.d", extra={"audit": True})
        logging.getLogger("app").log(5, "e.f", extra={"audit": True})
        assert exported.bodies == ["a.b", "c.d", "e.f"]

    def test_a_disabled_logger_is_heard(self, installed, exported, lines):
        """`disable_existing_loggers` does not silence audit entries."""
        logging.getLogger("app").disabled = True
        logging.getLogger("app").error("a.b", extra={"audit": True})
        assert exported.bodies == ["a.b"]

    def test_an_adapter_is_heard_with_its_own_fields(self, installed, exported):
        """A LoggerAdapter's extra counts, wherever `audit` stands."""
        logging.LoggerAdapter(logging.getLogger("app"), {"audit": True, "tenant": "t"}).debug("a.b")
        assert exported.attributes == {"audit": True, "tenant": "t"}

    def test_unmarked_calls_and_questions_are_not(self, installed, exported):
        """Only log calls marked `audit` are; asking for the level is no call."""
        log = logging.getLogger("app")
        log.debug("a.b", extra={"audit": False})
        log.debug("a.b", extra={"tenant": "t"})
        log.debug("a.b")
        kwargs = {"extra": {"audit": True}}
        assert not log.isEnabledFor(logging.DEBUG)
        assert not logging.LoggerAdapter(log, kwargs["extra"]).isEnabledFor(logging.DEBUG)
        assert exported.bodies == []

    def test_the_exception_is_there(self, installed, exported):
        """`exc_info` below the level is read while the exception is handled."""
        try:
            raise ValueError("bad")
        except ValueError:
            logging.getLogger("app").debug("a.b", exc_info=True, extra={"audit": True})
        assert exported.attributes["exception.message"] == "bad"

    def test_a_field_that_logging_refuses_hurts_nobody(self, installed, exported, stderr):
        """`extra={"name": ...}` below the level raises nothing."""
        refused = {"audit": True, "name": "x"}
        logging.getLogger("app").debug("a.b", extra=refused)
        assert exported.bodies == []
        assert "telemetry fault in logs.below" in stderr.getvalue()

    def test_at_the_level_it_is_exported_once(self, installed, exported, lines):
        """An audit entry that is logged anyway is one record."""
        logging.getLogger("app").info("a.b", extra={"audit": True})
        assert exported.bodies == ["a.b"]
        assert len(lines()) == 1


class TestTelemetrysOwnRecords:
    @pytest.mark.parametrize("name", ["opentelemetry.sdk", "opentelemetry", "tachograph.export"])
    def test_they_are_shown_and_not_exported(self, installed, exported, lines, name):
        """What telemetry says about itself stays on the console."""
        logging.getLogger(name).warning("x")
        assert [line["event"] for line in lines()] == ["x"]
        assert exported.bodies == []

    def test_a_name_that_only_begins_alike_is_an_apps(self, installed, exported, stderr):
        """`opentelemetry_demo` is no part of OpenTelemetry."""
        logging.getLogger("opentelemetry_demo").warning("x")
        assert exported.bodies == ["x"]

    def test_a_transport_is_an_apps_until_an_export_uses_it(self, installed, exported, stderr):
        """urllib3's records are exported, but not those of an export."""
        from opentelemetry.instrumentation.utils import suppress_instrumentation

        logging.getLogger("urllib3.pool").warning("app")
        with suppress_instrumentation():
            logging.getLogger("urllib3.pool").warning("export")
            logging.getLogger("app").warning("app")
        assert exported.bodies == ["app", "app"]

    def test_nothing_that_an_export_thread_logs_is_exported(self, installed, exported, stderr):
        """An exporter of any make cannot feed itself."""
        import threading

        from opentelemetry.instrumentation.utils import suppress_instrumentation

        def export():
            with suppress_instrumentation():
                logging.getLogger("someones.exporter").error("x")

        thread = threading.Thread(target=export, name="OtelBatchLogRecordRecordProcessor")
        thread.start()
        thread.join()
        assert exported.bodies == []

    def test_a_processor_that_logs_does_not_call_itself(self, installed, exported, lines):
        """A record logged while one is exported reaches the console only."""
        from opentelemetry.sdk._logs import LogRecordProcessor

        class Chatty(LogRecordProcessor):
            def on_emit(self, log_record):
                logging.getLogger("chatty").warning("again")

            def shutdown(self):
                return None

            def force_flush(self, timeout_millis=30000):
                return True

        exported.provider.add_log_record_processor(Chatty())
        logging.getLogger("app").warning("x")
        assert exported.bodies == ["x"]
        assert [line["event"] for line in lines()] == ["x", "again"]


class TestUndo:
    def test_everything_is_as_before(self, exported, switch_on, lines):
        """Undone, nothing of ours is left in logging, and nothing is exported."""
        before = (
            dict(vars(logging.Logger)), logging.lastResort, logging.basicConfig, logging.root.level,
        )  # fmt: skip
        switch_on()()
        assert before == (
            dict(vars(logging.Logger)), logging.lastResort, logging.basicConfig, logging.root.level,
        )  # fmt: skip
        assert not isinstance(logging.root.level, LentLevel)
        logging.getLogger("app").error("x")
        assert exported.bodies == []

    def test_installing_twice_records_once(self, installed, exported, switch_on, lines):
        """A second install changes nothing, and one undo is enough."""
        undo = switch_on(level=logging.DEBUG)
        logging.getLogger("app").info("x")
        logging.getLogger("app").debug("y")
        assert exported.bodies == ["x"]
        undo()
        logging.getLogger("app").error("z")
        assert exported.bodies == ["x"]

    def test_a_wrapper_around_ours_survives(self, exported, switch_on, stderr):
        """What somebody put around our hooks stays, and ours stand aside below it."""
        pristine = logging.Logger.callHandlers
        undo = switch_on()
        ours, seen = logging.Logger.callHandlers, []

        def around(self, record):
            seen.append(record.msg)
            ours(self, record)

        try:
            logging.Logger.callHandlers = around
            undo()
            logging.getLogger("app").error("x")
            assert logging.Logger.callHandlers is around
        finally:
            logging.Logger.callHandlers = pristine
        assert seen == ["x"]
        assert stderr.getvalue() == "x\n"
        assert exported.bodies == []

    def test_it_can_be_installed_again(self, exported, switch_on, stderr):
        """Undo, then install, works as the first time."""
        switch_on()()
        switch_on()
        logging.getLogger("app").info("x")
        assert exported.bodies == ["x"]
