"""Apps that log with structlog."""

import asyncio
import io
import logging
import warnings

import orjson
import pytest
import structlog
from opentelemetry import _logs

from tachograph import correlation


@pytest.fixture
def printed():
    return io.StringIO()


def formatter_chain(stream, *, level=logging.INFO):
    """The set-up that structlog documents for apps on stdlib logging."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(),
            ]
        )
    )
    logging.root.addHandler(handler)
    logging.root.setLevel(level)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.contextvars.merge_contextvars,
            structlog.stdlib.add_log_level,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def json_chain(stream, **settings):
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.format_exc_info,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.PrintLoggerFactory(stream),
        **settings,
    )


class TestAnAppWithoutConfiguration:
    def test_a_line_is_like_stdlibs(self, installed, exported, lines, tracer):
        """Same names, same order, bound context and contextvars included; one record in OpenTelemetry."""
        log = structlog.get_logger("app.orders").bind(user="u-1")
        tenant = structlog.contextvars.bound_contextvars(tenant="t-1")
        with tracer.start_as_current_span("work") as span, correlation.bind(request_id="r-1"), tenant:
            log.info("placed", amount=12.5)
        (line,) = lines()
        assert list(line)[:8] == [
            "timestamp", "level", "logger", "event", "trace_id", "span_id", "service", "request_id",
        ]  # fmt: skip
        assert (line["level"], line["logger"], line["event"]) == ("info", "app.orders", "placed")
        assert (line["user"], line["tenant"], line["amount"]) == ("u-1", "t-1", 12.5)
        assert line["trace_id"] == f"{span.get_span_context().trace_id:032x}"
        assert exported.scope == "app.orders"
        assert exported.one.body == "placed"
        assert exported.one.span_id == span.get_span_context().span_id
        assert exported.attributes == {"request_id": "r-1", "tenant": "t-1", "user": "u-1", "amount": 12.5}

    def test_a_logger_without_a_name_has_its_modules(self, installed, exported, lines):
        """`get_logger()` is named after the module that uses it."""
        structlog.get_logger().warning("x")
        assert lines()[0]["logger"] == __name__
        assert exported.scope == __name__

    def test_the_level_holds(self, installed, exported, lines):
        """Below the level nothing is shown or exported, and the logger says so."""
        log = structlog.get_logger("app")
        log.debug("x")
        assert lines() == []
        assert exported.bodies == []
        assert not log.is_enabled_for(logging.DEBUG)
        assert log.get_effective_level() == logging.INFO

    def test_audit_below_the_level_is_exported_and_not_shown(self, installed, exported, lines):
        """`audit=True`, in the call or bound, reaches the pipeline at any level."""
        structlog.get_logger("app").debug("a.b", audit=True, actor="u:1")
        structlog.get_logger("app").bind(audit=True).debug("c.d")
        assert lines() == []
        assert exported.bodies == ["a.b", "c.d"]

    @pytest.mark.parametrize(
        ("method", "level", "text"),
        [("info", "info", "INFO"), ("msg", "info", "INFO"), ("warn", "warning", "WARN"), ("error", "error", "ERROR"),
         ("warning", "warning", "WARN"), ("critical", "critical", "FATAL"), ("fatal", "critical", "FATAL")],
    )  # fmt: skip
    def test_every_method_has_its_level(self, installed, exported, lines, method, level, text):
        """The level is the method's, sync and async."""
        getattr(structlog.get_logger("app"), method)("x")
        asyncio.run(getattr(structlog.get_logger("app"), f"a{method}")("x"))
        assert [line["level"] for line in lines()] == [level, level]
        assert [record.severity_text for record in exported.records] == [text, text]

    def test_exceptions_and_stacks_are_fields(self, installed, exported, lines):
        """`exception()` and `stack_info=True` work as for stdlib."""
        try:
            raise ValueError("bad")
        except ValueError:
            structlog.get_logger("app").exception("failed", stack_info=True)
        (line,) = lines()
        assert (line["exception.type"], line["exception.message"]) == ("ValueError", "bad")
        assert line["exception.stacktrace"].startswith("Traceback")
        assert "test_exceptions_and_stacks_are_fields" in line["code.stacktrace"]
        assert not {"exc_info", "stack_info", "stack"} & set(line)
        assert exported.attributes["exception.message"] == "bad"

    def test_positional_arguments_are_formatted(self, installed, exported, lines):
        """Sync and async calls interpolate; what cannot be formatted raises nothing."""
        log = structlog.get_logger("app")
        log.info("%s is %d", "a", 1)
        log.info("%(k)s", {"k": "v"})
        log.info("%d", "x")
        asyncio.run(log.ainfo("%d", "x"))
        assert [line["event"] for line in lines()] == ["a is 1", "v", "%d ('x',)", "%d ('x',)"]
        assert exported.bodies == [line["event"] for line in lines()]

    def test_an_event_that_is_no_text_becomes_text(self, installed, exported, lines):
        """A dict, a number and nothing at all are events too."""
        log = structlog.get_logger("app")
        for event in ({"a": 1}, 7):
            log.info(event)
        log.info(k="v")
        assert [line["event"] for line in lines()] == ["{'a': 1}", "7", ""]
        assert exported.bodies == ["{'a': 1}", "7", ""]

    def test_async_calls_keep_the_ids(self, installed, exported, lines, tracer):
        """`await log.ainfo()` logs under the caller's span, and is named after the caller's module."""

        async def main():
            with tracer.start_as_current_span("work") as span, correlation.bind(request_id="r-1"):
                await structlog.get_logger().ainfo("x")
            return span.get_span_context()

        context = asyncio.run(main())
        assert lines()[0]["span_id"] == f"{context.span_id:016x}"
        assert lines()[0]["logger"] == __name__
        assert exported.one.span_id == context.span_id
        assert exported.attributes == {"request_id": "r-1"}

    def test_structlog_is_still_unconfigured(self, installed):
        """`is_configured()` and `configure_once` tell about the app."""
        assert not structlog.is_configured()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            structlog.configure_once(processors=[structlog.processors.JSONRenderer()])
        assert structlog.is_configured()

    def test_capture_logs_sees_everything(self, installed, exported):
        """structlog's own test helper captures all levels, and nothing is exported."""
        log = structlog.get_logger("app")
        log.info("cached")
        with structlog.testing.capture_logs() as captured:
            log.debug("x", a=1)
        log.info("again")
        assert captured == [{"event": "x", "a": 1, "log_level": "debug"}]
        assert exported.bodies == ["cached", "again"]

    def test_without_a_stderr_nothing_is_raised(self, installed, exported, monkeypatch):
        """A process without stderr still exports."""
        monkeypatch.setattr("sys.stderr", None)
        structlog.get_logger("app").info("x")
        assert exported.bodies == ["x"]

    def test_telemetrys_own_events_are_shown_only(self, installed, exported, lines):
        """A structlog logger named `opentelemetry...` is never exported."""
        structlog.get_logger("opentelemetry.x").info("x")
        assert len(lines()) == 1
        assert exported.bodies == []


class TestAnAppThatConfiguresLater:
    def test_cached_loggers_follow(self, installed, exported, lines, printed):
        """A logger that was used before `structlog.configure` uses the app's configuration afterwards."""
        log = structlog.get_logger("app").bind(user="u-1")
        log.info("before")
        json_chain(printed)
        log.info("after")
        assert [line["event"] for line in lines()] == ["before"]
        assert orjson.loads(printed.getvalue())["event"] == "after"
        assert exported.bodies == ["before", "after"]
        assert exported.records[1].attributes["user"] == "u-1"

    def test_processors_alone_print_on_stdout_as_ever(self, installed, exported, lines, capsys):
        """An app that sets processors only gets structlog's own output, at every level."""
        structlog.configure(processors=[structlog.processors.JSONRenderer()])
        structlog.get_logger("app").debug("x")
        assert orjson.loads(capsys.readouterr().out) == {"event": "x"}
        assert lines() == []
        assert exported.bodies == ["x"]

    def test_a_wrapper_class_alone_filters_our_lines(self, installed, exported, lines):
        """An app that sets a level only gets our lines from that level on."""
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
        log = structlog.get_logger("app")
        log.warning("x")
        log.error("y")
        assert [line["event"] for line in lines()] == ["y"]
        assert exported.bodies == ["y"]

    def test_a_factory_alone_carries_our_lines(self, installed, exported, printed):
        """An app that sends structlog through stdlib only gets our line as the message, and one record."""
        logging.basicConfig(stream=printed, level=logging.INFO, format="%(message)s")
        structlog.configure(logger_factory=structlog.stdlib.LoggerFactory())
        structlog.get_logger("app").info("x", a=1)
        line = orjson.loads(printed.getvalue())
        assert (line["event"], line["a"], line["service"]) == ("x", 1, "shop")
        assert exported.one.body == "x"
        assert exported.attributes == {"a": 1}


class TestAnAppThatPrints:
    def test_its_lines_gain_ids_only(self, exported, switch_on, printed, tracer):
        """The app's renderer prints what it printed, with the ids; the record has the fields and no rendering."""
        json_chain(printed)
        switch_on()
        with tracer.start_as_current_span("work") as span, correlation.bind(request_id="r-1"):
            structlog.get_logger().info("placed", amount=1, level_of_detail="high")
        line = orjson.loads(printed.getvalue())
        assert set(line) == {
            "event", "amount", "level", "timestamp", "level_of_detail", "trace_id", "span_id", "request_id",
        }  # fmt: skip
        assert line["trace_id"] == f"{span.get_span_context().trace_id:032x}"
        assert exported.one.body == "placed"
        assert exported.attributes == {"amount": 1, "level_of_detail": "high", "request_id": "r-1"}
        assert exported.scope == __name__

    def test_without_ids_its_lines_are_unchanged(self, installed, exported, printed):
        """No span and no ids: byte for byte what the app printed before."""
        structlog.configure(
            processors=[structlog.processors.JSONRenderer(sort_keys=True)],
            logger_factory=structlog.PrintLoggerFactory(printed),
        )
        structlog.get_logger().info("x", a=1)
        assert printed.getvalue() == '{"a": 1, "event": "x"}\n'

    def test_the_apps_own_ids_win(self, installed, exported, printed):
        """Ids in the call, bound, or in contextvars are kept."""
        json_chain(printed)
        theirs = structlog.contextvars.bound_contextvars(run_id="theirs")
        with correlation.bind(request_id="ours", plan_id="ours", run_id="ours"), theirs:
            structlog.get_logger().bind(plan_id="theirs").info("x", request_id="theirs")
        line = orjson.loads(printed.getvalue())
        assert {line["request_id"], line["plan_id"], line["run_id"]} == {"theirs"}
        assert exported.attributes == {"request_id": "theirs", "plan_id": "theirs", "run_id": "theirs"}

    def test_what_a_processor_hides_is_not_exported(self, installed, exported, printed):
        """The record has the fields as the renderer gets them."""

        def redact(_logger, _name, event_dict):
            return {**event_dict, "password": "***"}

        structlog.configure(
            processors=[redact, structlog.processors.KeyValueRenderer()],
            logger_factory=structlog.PrintLoggerFactory(printed),
        )
        structlog.get_logger().info("x", password="secret")
        assert exported.attributes == {"password": "***"}

    def test_a_dropped_event_is_not_exported(self, installed, exported, printed):
        """DropEvent drops the record too, and the app sees nothing else."""

        def drop(_logger, _name, event_dict):
            raise structlog.DropEvent

        structlog.configure(processors=[drop], logger_factory=structlog.PrintLoggerFactory(printed))
        structlog.get_logger().info("x", audit=True)
        assert printed.getvalue() == ""
        assert exported.bodies == []

    def test_an_exception_is_three_attributes(self, installed, exported, printed):
        """A formatted exception is on the line as ever, and on the record as its parts."""
        json_chain(printed)
        try:
            raise ValueError("bad")
        except ValueError:
            structlog.get_logger().exception("failed")
        assert "exception" in orjson.loads(printed.getvalue())
        assert set(exported.attributes) == {"exception.type", "exception.message", "exception.stacktrace"}

    def test_an_error_of_its_chain_is_its_own(self, installed, exported, printed):
        """What a processor raises reaches the app as before."""

        def fail(_logger, _name, event_dict):
            raise LookupError("mine")

        structlog.configure(processors=[fail], logger_factory=structlog.PrintLoggerFactory(printed))
        with pytest.raises(LookupError, match="mine"):
            structlog.get_logger().info("x")

    def test_fields_named_as_a_renderers_are_kept(self, installed, exported, printed):
        """`level=` and `logger=` of the call are fields; those that the chain adds are not, but name the scope."""
        structlog.configure(
            processors=[
                lambda _logger, _name, d: {**d, "logger": "shop.orders"},
                structlog.processors.KeyValueRenderer(),
            ],
            logger_factory=structlog.PrintLoggerFactory(printed),
        )
        structlog.get_logger().info("x", level=3)
        assert exported.attributes == {"level": 3}
        assert exported.scope == "shop.orders"

    def test_loggers_of_before_count(self, exported, switch_on, printed, tracer):
        """A logger that was bound before we came is enriched and exported."""
        json_chain(printed, cache_logger_on_first_use=True)
        log = structlog.get_logger().bind(a=1)
        log.info("before")
        switch_on()
        with tracer.start_as_current_span("work"):
            log.info("after")
        assert "trace_id" in printed.getvalue().splitlines()[1]
        assert exported.bodies == ["after"]

    @pytest.mark.parametrize("bound", [True, False])
    def test_audit_below_a_filtering_loggers_level_is_exported(self, installed, exported, printed, bound):
        """The empty methods of a filtering logger look for `audit`, sync and async."""
        json_chain(printed, wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
        log = structlog.get_logger()
        log = log.bind(audit=True) if bound else log
        kwargs = {} if bound else {"audit": True}
        log.debug("a.%s", "b", **kwargs)
        log.info("c.d", **kwargs)
        asyncio.run(log.ainfo("e.f", **kwargs))
        structlog.get_logger().info("g.h", actor="u:1")
        assert printed.getvalue() == ""
        assert exported.bodies == ["a.b", "c.d", "e.f"]

    def test_a_chain_without_processors_works(self, installed, exported):
        """structlog hands the dict itself to the wrapped logger then."""
        structlog.configure(processors=[], logger_factory=structlog.testing.CapturingLoggerFactory())
        structlog.get_logger().info("x", a=1)
        assert exported.attributes == {"a": 1}

    def test_a_wrapped_logger_that_uses_stdlib_is_exported_once(self, installed, exported, lines):
        """A class of the app's between structlog and stdlib makes no second record."""

        class Between:
            name = "between"

            def info(self, message):
                logging.getLogger("inner").info(message)

        structlog.configure(processors=[structlog.processors.JSONRenderer()], logger_factory=lambda *_: Between())
        structlog.get_logger().info("x", a=1)
        assert exported.one.body == "x"
        assert exported.scope == "between"


class TestAnAppOnStdlib:
    def test_events_arrive_as_events(self, installed, exported, printed, tracer):
        """The formatter's line has the ids; the record has the event and its fields, once."""
        formatter_chain(printed)
        tenant = structlog.contextvars.bound_contextvars(tenant="t-1")
        with tracer.start_as_current_span("work"), correlation.bind(request_id="r-1"), tenant:
            structlog.get_logger("app.orders").bind(user="u-1").warning("placed %s", "o-1", amount=1)
        line = orjson.loads(printed.getvalue())
        assert (line["event"], line["user"], line["tenant"], line["request_id"]) == ("placed o-1", "u-1", "t-1", "r-1")
        assert len(line["trace_id"]) == 32
        assert exported.one.body == "placed o-1"
        assert exported.one.severity_text == "WARN"
        assert exported.attributes == {"user": "u-1", "tenant": "t-1", "amount": 1, "request_id": "r-1"}
        assert exported.scope == "app.orders"

    def test_stdlibs_records_share_the_formatter(self, installed, exported, printed):
        """A stdlib call through ProcessorFormatter is exported once too."""
        formatter_chain(printed)
        logging.getLogger("lib").warning("x %s", 1)
        assert orjson.loads(printed.getvalue()) == {"event": "x 1"}
        assert exported.bodies == ["x 1"]

    @pytest.mark.parametrize("form", ["json", "kwargs", "args"])
    def test_every_way_into_stdlib_makes_one_record(self, installed, exported, printed, form):
        """Rendered text, `render_to_log_kwargs` and `render_to_log_args_and_kwargs` end in the same record."""
        last = {
            "json": structlog.processors.JSONRenderer(),
            "kwargs": structlog.stdlib.render_to_log_kwargs,
            "args": getattr(structlog.stdlib, "render_to_log_args_and_kwargs", None),
        }[form]
        if last is None:
            pytest.skip("this release of structlog has no such renderer")
        logging.basicConfig(stream=printed, level=logging.INFO)
        structlog.configure(
            processors=[last],
            logger_factory=structlog.stdlib.LoggerFactory(),
            wrapper_class=structlog.stdlib.BoundLogger,
        )
        structlog.get_logger("app").info("x %s", "o-1", amount=1)
        assert exported.one.body == ("x o-1" if form == "args" else "x %s")
        assert exported.attributes == {"amount": 1}

    def test_without_a_handler_the_line_is_ours(self, installed, exported, lines):
        """An app on stdlib without a handler gets the event on our console, not a dict as text."""
        formatter_chain(io.StringIO())
        logging.root.handlers.clear()
        with correlation.bind(request_id="r-1"):
            structlog.get_logger("app").info("x", a=1)
        (line,) = lines()
        assert (line["event"], line["a"], line["request_id"], line["service"]) == ("x", 1, "r-1", "shop")

    def test_exceptions_arrive(self, installed, exported, printed):
        """`exception()` through stdlib has the three attributes."""
        formatter_chain(printed)
        try:
            raise ValueError("bad")
        except ValueError:
            structlog.get_logger("app").exception("failed")
        assert exported.attributes["exception.type"] == "ValueError"

    def test_stdlibs_level_holds(self, installed, exported, printed):
        """Below stdlib's level nothing is shown or exported, whether the chain filters or not."""
        formatter_chain(printed)
        structlog.get_logger("app").debug("x")
        structlog.configure(processors=[structlog.stdlib.render_to_log_kwargs])
        structlog.get_logger("other").debug("x")
        assert printed.getvalue() == ""
        assert exported.bodies == []

    def test_audit_below_stdlibs_level_is_exported_once(self, installed, exported, printed):
        """`audit=True` is heard below the level, whether the chain filters or not."""
        formatter_chain(printed)
        structlog.get_logger("app").debug("a.b", audit=True)
        structlog.configure(processors=[structlog.stdlib.render_to_log_kwargs])
        structlog.get_logger("other").debug("c.d", audit=True)
        assert printed.getvalue() == ""
        assert exported.bodies == ["a.b", "c.d"]
        assert [item.instrumentation_scope.name for item in exported.all] == ["app", "other"]

    def test_the_callers_place_is_the_apps(self, installed, exported, printed):
        """structlog's own search for the caller finds the app."""
        logging.basicConfig(stream=printed, level=logging.INFO, format="%(filename)s %(funcName)s")
        structlog.configure(
            processors=[structlog.stdlib.render_to_log_kwargs],
            logger_factory=structlog.stdlib.LoggerFactory(),
            wrapper_class=structlog.stdlib.BoundLogger,
        )
        structlog.get_logger("app.placed.unique").info("x")
        assert printed.getvalue() == "test_logs_structlog.py test_the_callers_place_is_the_apps\n"

    @pytest.mark.filterwarnings("ignore::DeprecationWarning")
    def test_async_loggers_keep_the_ids(self, installed, exported, printed, tracer):
        """`AsyncBoundLogger` and `await log.ainfo()` log under the caller's span."""
        formatter_chain(printed)

        async def main():
            with tracer.start_as_current_span("work") as span, correlation.bind(request_id="r-1"):
                await structlog.get_logger("app").ainfo("x")
                structlog.configure(wrapper_class=structlog.stdlib.AsyncBoundLogger)
                await structlog.get_logger("app").info("y")
            return span.get_span_context()

        context = asyncio.run(main())
        assert exported.bodies == ["x", "y"]
        assert {record.span_id for record in exported.records} == {context.span_id}
        assert [record.attributes["request_id"] for record in exported.records] == ["r-1", "r-1"]

    def test_an_adapter_below_structlog_counts_as_stdlib(self, installed, exported, printed):
        """structlog around a LoggerAdapter makes one record."""
        logging.basicConfig(stream=printed, level=logging.INFO)
        adapter = logging.LoggerAdapter(logging.getLogger("app"), {})
        log = structlog.wrap_logger(
            adapter, processors=[structlog.processors.JSONRenderer()], wrapper_class=structlog.stdlib.BoundLogger
        )
        log.info("x", a=1)
        assert exported.one.body == "x"
        assert exported.attributes == {"a": 1}


class TestUndo:
    def test_everything_is_as_before(self, exported, switch_on, capsys):
        """Undone, structlog has its own configuration and functions, and loggers of ours use it."""
        hooks, config = dict(vars(structlog.BoundLoggerBase)), structlog.get_config()
        filtering = [dict(vars(structlog.make_filtering_bound_logger(level))) for level in (10, 20, 30, 40, 50)]
        undo = switch_on()
        log = structlog.get_logger("app")
        log.info("x")
        undo()
        assert dict(vars(structlog.BoundLoggerBase)) == hooks
        assert structlog.get_config() == config
        assert filtering == [dict(vars(structlog.make_filtering_bound_logger(n))) for n in (10, 20, 30, 40, 50)]
        assert not structlog.is_configured()
        log.info("y")
        assert "y" in capsys.readouterr().out
        assert exported.bodies == ["x"]

    def test_the_apps_part_stays(self, exported, switch_on, printed):
        """Undone after the app configured a part, that part remains and the app's flag with it."""
        undo = switch_on()
        factory = structlog.PrintLoggerFactory(printed)
        structlog.configure(logger_factory=factory)
        undo()
        assert structlog.get_config()["logger_factory"] is factory
        assert structlog.is_configured()

    def test_a_structlog_that_keeps_its_flag_elsewhere_works(self, exported, switch_on, monkeypatch, lines):
        """Only `is_configured()` differs then."""
        monkeypatch.setattr(structlog, "_config", object())
        undo = switch_on()
        structlog.get_logger("app").info("x")
        assert structlog.is_configured()
        undo()
        assert [line["event"] for line in lines()] == ["x"]


class TestWithoutOpenTelemetry:
    def test_events_marked_audit_reach_the_journal(self, no_pipeline, journal, switch_on, lines):
        """A structlog event below the level goes to the journal when the SDK is off."""
        assert isinstance(_logs.get_logger_provider().get_logger("x"), _logs.NoOpLogger)
        switch_on()
        structlog.get_logger("app").debug("order.placed", audit=True, actor="user:1")
        structlog.get_logger("app").info("unmarked")
        (event,) = journal
        assert (event.event, event.actor, event.resource) == ("order.placed", "user:1", "logger:app")
