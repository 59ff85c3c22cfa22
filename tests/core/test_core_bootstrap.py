"""Bootstrap by its pieces: the plan, components by name, deadlines, exits, the distribution's entry points."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from opentelemetry.propagators.textmap import TextMapPropagator
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import ConsoleMetricExporter, InMemoryMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SpanExporter

from support.processes import Files, environment, python
from tachograph import bootstrap, contain, distro
from tachograph.bootstrap import components, exits, measures, signals
from tachograph.bootstrap.plan import Exporters, exporters
from tachograph.bootstrap.telemetry import Part, Telemetry
from tachograph.errors import ConfigurationError, MissingExtra
from tachograph.settings import Settings

HTTP = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}


def planned(**environ: str) -> Exporters:
    return exporters(Settings.from_environment(environ))


class TestPlan:
    @pytest.mark.parametrize(
        ("environ", "traces", "metrics", "logs", "port"),
        [
            ({}, ("file",), ("file",), ("file",), None),
            (HTTP, ("otlp",), ("otlp", "prometheus"), ("otlp",), 9464),
            ({**HTTP, "OTEL_EXPORTER_PROMETHEUS_PORT": "0"}, ("otlp",), ("otlp", "prometheus"), ("otlp",), 0),
            ({"OTEL_EXPORTER_PROMETHEUS_PORT": "9999"}, ("file",), ("file", "prometheus"), ("file",), 9999),
            (
                {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c/v1/traces"},
                ("otlp",), ("file", "prometheus"), ("file",), 9464,
            ),
            (
                {"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://c/v1/metrics"},
                ("file",), ("otlp", "prometheus"), ("file",), 9464,
            ),
            (
                {**HTTP, "OTEL_METRICS_EXPORTER": "none", "OTEL_TRACES_EXPORTER": "NONE"},
                (), (), ("otlp",), None,
            ),
            ({"OTEL_METRICS_EXPORTER": "prometheus"}, ("file",), ("prometheus",), ("file",), 9464),
            (
                {**HTTP, "OTEL_METRICS_EXPORTER": "otlp", "OTEL_EXPORTER_PROMETHEUS_PORT": "9999"},
                ("otlp",), ("otlp",), ("otlp",), None,
            ),
            (
                {"OTEL_TRACES_EXPORTER": "tachograph_file,otlp_json_file,console,console"},
                ("file", "console"), ("file",), ("file",), None,
            ),
            ({"OTEL_LOGS_EXPORTER": "otlp_proto_http"}, ("file",), ("file",), ("otlp",), None),
        ],
    )  # fmt: skip
    def test_what_is_asked_for(
        self, environ: dict[str, str], traces: object, metrics: object, logs: object, port: int | None
    ) -> None:
        """
        What is set is taken, under its own names or upstream's; what is not follows the mode.
        """
        plan = planned(**environ)

        assert (plan.traces, plan.metrics, plan.logs, plan.port, plan.problems) == (traces, metrics, logs, port, ())
        assert plan.scraped == (port is not None)

    @pytest.mark.parametrize(
        ("environ", "problems"),
        [
            ({**HTTP, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, 1),
            ({**HTTP, "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}, 0),
            ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, 0),
        ],
    )
    def test_a_protocol_that_is_not_spoken_is_said(self, environ: dict[str, str], problems: int) -> None:
        """
        A protocol matters when something is sent, and only one is spoken.
        """
        assert len(planned(**environ).problems) == problems


class TestComponents:
    def test_a_fault_costs_one_component(self, capsys: pytest.CaptureFixture[str]) -> None:
        """
        What raises is named with its text, and the others are built.
        """

        def build(name: str) -> str:
            if name == "b":
                raise RuntimeError("broken")
            return name

        assert list(components.each("traces", ("a", "b", "c"), build)) == ["a", "c"]
        assert capsys.readouterr().err == "tachograph: traces are not exported to 'b': broken\n"

    def test_an_installed_exporter_is_found_by_name(self) -> None:
        """
        Exporters of others are those that packages register.
        """
        made = components.load("opentelemetry_traces_exporter", "console", SpanExporter)

        assert type(made) is ConsoleSpanExporter

    def test_an_unknown_name_lists_what_there_is(self) -> None:
        """
        A name that nobody registers raises, with the names to choose from.
        """
        with pytest.raises(ConfigurationError, match=r"write one of console, file, none, otlp,"):
            components.load("opentelemetry_traces_exporter", "oltp", SpanExporter)

    def test_something_else_under_that_name_is_refused(self) -> None:
        """
        A component that is no exporter of this signal is not used.
        """
        with pytest.raises(ConfigurationError, match="it is no SpanExporter"):
            components.load("opentelemetry_metrics_exporter", "console", SpanExporter)

    def test_unknown_names_are_known_before_anything_starts(self) -> None:
        """
        What is wrong in a plan is described without building anything.
        """
        wrong = Exporters(traces=("file", "oltp"), metrics=("prometheus", "console"), logs=("flie",), port=None)

        assert [line.partition(":")[0] for line in components.unknown(wrong)] == [
            "traces are not exported to 'oltp'",
            "logs are not exported to 'flie'",
        ]


class TestMeasures:
    def test_a_reader_is_taken_as_a_reader(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        An installed component may be an exporter, which gets a reader, or a reader; anything else is refused.
        """
        made = iter([ConsoleMetricExporter(), InMemoryMetricReader(), object()])
        monkeypatch.setattr(components, "load", lambda *_: next(made))
        plan = Exporters(traces=(), metrics=("a", "b", "c"), logs=(), port=None)
        outlets = measures.outlets(Settings(), plan)
        for reader in outlets.readers:
            reader._set_collect_callback(lambda *_args, **_kwargs: None)

        assert [type(reader).__name__ for reader in outlets.readers] == [
            "PeriodicExportingMetricReader",
            "InMemoryMetricReader",
        ]
        for reader in outlets.readers:
            reader.shutdown()

    def test_a_hosts_provider_is_flushed_reader_by_reader(self) -> None:
        """
        Of a provider that the host built, only our readers are flushed and ended.
        """
        theirs, ours = InMemoryMetricReader(), InMemoryMetricReader()
        provider = MeterProvider([theirs], shutdown_on_exit=False)
        measures.join(provider, [ours])
        part = measures.part(provider, measures.Outlets(readers=[ours]), ours=False)
        provider.get_meter("x").create_counter("jobs").add(1)

        assert part.flush(1.0)
        assert part.shutdown(1.0)
        assert theirs.get_metrics_data() is not None
        provider.shutdown()


class TestSignals:
    def test_a_signal_that_cannot_be_set_up_costs_itself(self, capsys: pytest.CaptureFixture[str]) -> None:
        """
        Whatever is raised while a signal is set up is one line.
        """

        def broken(*_: object) -> None:
            raise OSError("no")

        plan = Exporters(traces=(), metrics=(), logs=(), port=None)
        signals._guarded("metrics", broken, Telemetry.disabled(), plan, Resource({}))

        assert capsys.readouterr().err == "tachograph: metrics could not be set up: OSError: no\n"

    def test_an_sdk_that_makes_no_instance_id_gets_ours(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        Every process has a `service.instance.id`, the user's if there is one.
        """
        monkeypatch.setattr(Resource, "create", lambda attributes: Resource(attributes))
        plan = Exporters(traces=(), metrics=("prometheus",), logs=(), port=0)
        made = [signals._resource(Settings(service="s"), plan).attributes for _ in range(2)]
        monkeypatch.setattr(Resource, "create", lambda attributes: Resource({**attributes, "service.instance.id": "i"}))
        given = signals._resource(Settings(service="s"), plan).attributes

        assert len({each["service.instance.id"] for each in made}) == 2
        assert given["service.instance.id"] == "i"
        assert given["tachograph.metrics.scraped"] is True

    def test_propagators_of_others_are_found_by_name(self, capsys: pytest.CaptureFixture[str]) -> None:
        """
        A propagator that a package registers is used, one that nobody does is named.
        """
        names = ("tracecontext", "baggage", "tachograph", "no_such", "none", "tracecontext")
        made = signals._propagator(Settings(propagators=names))
        loaded = components.load("opentelemetry_propagator", "tracecontext", TextMapPropagator)

        assert made.fields >= {"traceparent", "tracestate", "baggage", "X-Request-ID"}
        assert "'no_such'" in capsys.readouterr().err
        assert loaded.fields == {"traceparent", "tracestate"}

    def test_an_order_that_cannot_be_had_is_said(self, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
        """
        Where the audit bridge cannot be the first processor of the host's provider, one line says what follows.
        """
        provider = LoggerProvider(shutdown_on_exit=False)
        monkeypatch.setattr(signals.logs, "in_force", lambda: provider)
        monkeypatch.setattr(signals.logs, "put_first", lambda *_: False)
        telemetry = Telemetry.disabled()
        plan = Exporters(traces=(), metrics=(), logs=(), port=None)
        signals._logs_signal(telemetry, plan, Resource({}))

        assert telemetry.logger_provider is provider
        assert "see audit records before the journal does" in capsys.readouterr().err

    def test_strict_raises_before_anything_is_set_up(self, tmp_path: Path) -> None:
        """
        `configure(strict=True)` raises for a variable that cannot be used, and leaves the process as it was.
        """
        code = """
import tachograph
from opentelemetry import trace
before = trace.get_tracer_provider()
try:
    tachograph.configure(strict=True)
except tachograph.ConfigurationError as error:
    print(error, trace.get_tracer_provider() is before, tachograph.bootstrap.current())
"""
        wrong = python(code, at=tmp_path, OTEL_TRACES_EXPORTER="oltp", TACHOGRAPH_SHUTDOWN_TIMEOUT="soon")
        silenced = python(code, at=tmp_path, OTEL_TRACES_EXPORTER="oltp", OTEL_SDK_DISABLED="true")

        assert wrong.stdout.endswith("True None\n")
        assert "'oltp'" in wrong.stdout
        assert "'soon'" in wrong.stdout
        assert (silenced.stdout, silenced.stderr) == ("", "")


class TestDeadlines:
    @staticmethod
    def telemetry(**steps: object) -> Telemetry:
        return Telemetry(Settings(), parts=[Part(name, step, step) for name, step in steps.items()])

    def test_all_parts_run_at_once(self) -> None:
        """
        Parts that wait for each other end: each has a thread of its own.
        """
        barrier = threading.Barrier(3)
        together = lambda _seconds: barrier.wait(30) >= 0  # noqa: E731

        assert self.telemetry(a=together, b=together, c=together).flush(30)

    def test_one_that_hangs_is_left_behind(self) -> None:
        """
        A part that never ends costs its own answer only.
        """
        release, done = threading.Event(), []
        telemetry = self.telemetry(hangs=lambda _: release.wait(), works=lambda _: done.append(1) or True)
        answer = telemetry.flush(0.2)
        release.set()

        assert (answer, done) == (False, [1])

    @pytest.mark.parametrize("fault", [lambda _: False, lambda _: 1 / 0])
    def test_what_did_not_leave_is_told(self, fault: object) -> None:
        """
        A part that says False, or raises, makes the whole False.
        """
        before = contain.faults()
        answer = self.telemetry(bad=fault, good=lambda _: True).flush(10)
        contain._faults.clear()
        contain._faults.update(before)

        assert answer is False

    def test_each_part_knows_the_time_that_is_left(self) -> None:
        """
        A part is given the seconds of the call, no more.
        """
        given: list[float] = []
        self.telemetry(a=lambda seconds: given.append(seconds) or True).flush(5.0)

        assert 0 < given[0] <= 5.0

    def test_shutdown_is_once_and_undoes(self) -> None:
        """
        The first shutdown ends the parts and undoes the hooks in reverse, whatever one of them does.
        """
        calls: list[str] = []
        telemetry = self.telemetry(a=lambda _: calls.append("a") or True)
        telemetry.undo += [lambda: calls.append("first"), lambda: 1 / 0, lambda: calls.append("last")]
        before = contain.faults()
        answers = (telemetry.shutdown(10), telemetry.shutdown())
        contain._faults.clear()
        contain._faults.update(before)

        assert answers == (True, True)
        assert calls == ["a", "last", "first"]

    def test_disabled_telemetry_has_every_method(self) -> None:
        """
        Absence is an object.
        """
        telemetry = Telemetry.disabled()

        assert telemetry.flush()
        assert telemetry.shutdown()
        with telemetry.tracer_provider.get_tracer("x").start_as_current_span("s") as span:
            assert not span.is_recording()

    def test_without_threads_the_steps_run_here(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        An interpreter that starts no more threads flushes in the caller's.
        """

        def refuse(_self: threading.Thread) -> None:
            raise RuntimeError("can't start new thread at interpreter shutdown")

        monkeypatch.setattr(threading.Thread, "start", refuse)

        assert self.telemetry(a=lambda _: True).flush(1)


EXITS = """
import os, signal, sys, threading
from tachograph.bootstrap.exits import at_exit
def say(what):
    os.write(1, f"{what} {threading.current_thread() is threading.main_thread()}\\n".encode())
"""


def outcome_of(code: str, at: Path) -> tuple[int, list[str]]:
    ended = python(EXITS + textwrap.dedent(code), at=at)
    assert ended.stderr == ""
    return ended.returncode, ended.stdout.splitlines()


class TestExits:
    def test_a_normal_exit(self, tmp_path: Path) -> None:
        """
        At exit telemetry is ended once, and the status stays.
        """
        assert outcome_of("at_exit(lambda: say('end'), lambda: say('flush')); sys.exit(4)", tmp_path) == (
            4,
            ["end True"],
        )

    def test_sigterm(self, tmp_path: Path) -> None:
        """
        SIGTERM ends telemetry in a thread of its own, and the process dies of it.
        """
        code = """
        for handler in (signal.SIG_DFL,):
            signal.signal(signal.SIGTERM, handler)
        at_exit(lambda: say('end'), lambda: say('flush'))
        os.kill(os.getpid(), signal.SIGTERM)
        """

        assert outcome_of(code, tmp_path) == (-signal.SIGTERM, ["end False"])

    def test_sigterm_ends_before_it_kills(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        The handler ends telemetry, puts the default action back, and sends the signal again.
        """
        calls: list[object] = []
        monkeypatch.setattr(signal, "getsignal", lambda _number: signal.SIG_DFL)
        monkeypatch.setattr(signal, "signal", lambda number, handler: calls.append(handler))
        monkeypatch.setattr(os, "kill", lambda pid, number: calls.append((pid, number)))
        undo = exits.at_exit(lambda: calls.append("end"), lambda: calls.append("flush"))
        calls[0](signal.SIGTERM, None)
        undo()

        assert calls[1:] == ["end", signal.SIG_DFL, (os.getpid(), signal.SIGTERM)]

    def test_the_apps_own_handler_decides(self, tmp_path: Path) -> None:
        """
        Where the app handles SIGTERM, telemetry is flushed and its handler called; the process may go on.
        """
        code = """
        signal.signal(signal.SIGTERM, lambda number, frame: say(f'app {number}'))
        at_exit(lambda: say('end'), lambda: say('flush'))
        os.kill(os.getpid(), signal.SIGTERM)
        say('on')
        sys.exit(5)
        """

        assert outcome_of(code, tmp_path) == (5, ["flush False", "app 15 True", "on True", "end True"])

    def test_an_ignored_sigterm_stays_ignored(self, tmp_path: Path) -> None:
        """
        A process that ignores SIGTERM goes on as before.
        """
        code = """
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        at_exit(lambda: say('end'), lambda: say('flush'))
        os.kill(os.getpid(), signal.SIGTERM)
        say('on')
        """

        assert outcome_of(code, tmp_path) == (0, ["on True", "end True"])

    def test_undone(self, tmp_path: Path) -> None:
        """
        After undoing, nothing is called, and the handler is the one of before.
        """
        code = """
        before = signal.getsignal(signal.SIGTERM)
        undo = at_exit(lambda: say('end'), lambda: say('flush'))
        undo()
        assert signal.getsignal(signal.SIGTERM) is before
        say('on')
        """

        assert outcome_of(code, tmp_path) == (0, ["on True"])

    def test_a_forked_child_flushes_and_ends_nothing(self, tmp_path: Path) -> None:
        """
        A child sends what is its own at its exit and at SIGTERM; its parent's telemetry is not ended twice.
        """
        code = """
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        at_exit(lambda: say('end'), lambda: say('flush'))
        child = os.fork()
        if child == 0:
            sys.exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        child = os.fork()
        if child == 0:
            os.kill(os.getpid(), signal.SIGTERM)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGTERM
        """

        assert outcome_of(code, tmp_path) == (0, ["flush True", "flush False", "end True"])

    def test_outside_the_main_thread_only_exits_are_watched(self, tmp_path: Path) -> None:
        """
        A thread that sets telemetry up cannot handle signals, and does not try.
        """
        code = """
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        thread = threading.Thread(target=lambda: at_exit(lambda: say('end'), lambda: say('flush')))
        thread.start()
        thread.join()
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
        """

        assert outcome_of(code, tmp_path) == (0, ["end True"])

    def test_a_fault_at_the_end_is_contained(self, tmp_path: Path) -> None:
        """
        An end that raises is one line, and the status stays.
        """
        ended = python(EXITS + "at_exit(lambda: 1 / 0, lambda: None); sys.exit(6)", at=tmp_path)

        assert ended.returncode == 6
        assert ended.notices == ["telemetry fault in exit: ZeroDivisionError: division by zero"]


class TestDistro:
    @staticmethod
    def entry(value: str) -> EntryPoint:
        return EntryPoint("some", value, "opentelemetry_instrumentor")

    @pytest.mark.parametrize("library", ["logging", "structlog"])
    def test_what_we_do_ourselves_is_left_out(self, library: str) -> None:
        """
        Instrumentations of logging are not even imported.
        """
        entry = self.entry(f"opentelemetry.instrumentation.{library}.nowhere:Nothing")

        assert distro.TachographDistro().load_instrumentor(entry) is None

    def test_one_that_raises_costs_itself(self, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
        """
        A broken instrumentation is one line, and the next one is loaded.
        """

        def broken(*_args: object, **_kwargs: object) -> None:
            raise RuntimeError("broken")

        monkeypatch.setattr(distro.TachographDistro.__mro__[1], "load_instrumentor", broken)
        distro.TachographDistro().load_instrumentor(self.entry("a.b:C"))

        assert capsys.readouterr().err == "tachograph: instrumentation 'some' is left out: RuntimeError: broken\n"

    def test_a_missing_library_is_the_callers_to_tell(self) -> None:
        """
        An instrumentation whose library is not installed raises, as its caller expects.
        """
        with pytest.raises(ModuleNotFoundError):
            distro.TachographDistro().load_instrumentor(self.entry("no_such_module_at_all:C"))

    def test_a_refusal_ends_the_process(self, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
        """
        A refusal is one line and exit status 78, past everything that would swallow an exception.
        """

        def refuse() -> None:
            raise ConfigurationError("no")

        ended: list[int] = []
        monkeypatch.setattr(bootstrap, "configure", refuse)
        monkeypatch.setattr(os, "_exit", ended.append)
        distro.TachographConfigurator().configure()

        assert ended == [78]
        assert capsys.readouterr().err == "tachograph: refusing to start: no\n"

    def test_another_distribution_in_our_place_is_said(self, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
        """
        Loaded before any instrumentation, the check says nothing when we are set up, else how to choose us.
        """
        monkeypatch.setattr(bootstrap, "_telemetry", None)
        distro.pre_instrument()
        said = capsys.readouterr().err
        monkeypatch.setattr(bootstrap, "_telemetry", Telemetry.disabled())
        distro.pre_instrument()

        assert "OTEL_PYTHON_DISTRO=tachograph" in said
        assert capsys.readouterr().err == ""

    def test_defaults_for_instrumentations(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        Stable conventions and no second handler, unless the user has said otherwise.
        """
        monkeypatch.delenv("OTEL_SEMCONV_STABILITY_OPT_IN", raising=False)
        monkeypatch.setenv("OTEL_PYTHON_LOG_AUTO_INSTRUMENTATION", "true")
        distro.TachographDistro()._configure()

        assert os.environ.pop("OTEL_SEMCONV_STABILITY_OPT_IN") == "http"
        assert os.environ["OTEL_PYTHON_LOG_AUTO_INSTRUMENTATION"] == "true"


class TestConfigFile:
    def test_without_the_extra_it_says_what_to_install(self, tmp_path: Path) -> None:
        """
        OTEL_CONFIG_FILE without the extra is one line with the command, and the app runs.
        """
        code = (
            "import sys; sys.modules['opentelemetry.configuration'] = None\n"
            "import tachograph; tachograph.configure(); print('ran')"
        )
        ended = python(code, at=tmp_path, OTEL_CONFIG_FILE="otel.yaml")

        assert ended.stdout == "ran\n"
        assert len(ended.notices) == 1
        assert "pip install 'tachograph[config]'" in ended.notices[0]
        assert "tachograph[config]" in str(MissingExtra("x", "config"))


class TestFork:
    @pytest.mark.parametrize("variables", [{}, {"OTEL_EXPORTER_PROMETHEUS_PORT": "0"}], ids=["files", "served"])
    def test_a_forked_child_of_a_configured_process_records(self, variables: dict[str, str], tmp_path: Path) -> None:
        """
        A child forked after `configure` ends with its own status, and its audit records are in the chain.
        """
        code = """
import os, sys, tachograph
telemetry = tachograph.configure("forks")
tachograph.audit.record("config.change", action="UPDATE", resource="a:parent")
child = os.fork()
if child == 0:
    with tachograph.tool_call("in-child"):
        pass
    sys.exit(3)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3
tachograph.audit.record("config.change", action="UPDATE", resource="a:parent")
"""
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", code],
            cwd=tmp_path,
            env=environment(tmp_path / "out", **variables),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert [each["event"] for each in Files(tmp_path / "out").audit] == [
            "config.change",
            "agent.tool.call",
            "config.change",
        ]
