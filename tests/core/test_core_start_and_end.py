"""How telemetry starts and ends: refusals that leave nothing behind, keyword arguments, answers, the end itself."""

import socket
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, DEFAULT_ON

from support.otlp_receiver import Answer, Receiver
from support.processes import python
from tachograph.bootstrap import components, traces
from tachograph.bootstrap.deliveries import Deliveries
from tachograph.ids import IdGenerator
from tachograph.settings import Settings

WORK = """
import logging, tachograph
def work():
    with tachograph.plan("p"):
        logging.getLogger("app").warning("w")
"""


class TestRefusedStart:
    def test_a_journal_that_is_required_is_asked_first(self, tmp_path: Path) -> None:
        """
        A refused `configure` has set nothing up, so that the next one exports everything once.
        """
        (tmp_path / "file").write_text("")
        code = f"""{WORK}
from opentelemetry import trace
before = trace.get_tracer_provider()
try:
    tachograph.configure("a", audit_required=True, audit_file="file/a.jsonl")
except OSError as error:
    print(type(error).__name__, trace.get_tracer_provider() is before)
telemetry = tachograph.configure("a")
work()
print(telemetry.flush(5), telemetry.shutdown(5))
"""
        ended = python(code, at=tmp_path)

        assert ended.stdout == "AuditUnavailable True\nTrue True\n", ended.stderr
        assert [span.name for span in ended.spans] == ["plan p"]
        assert [log.body for log in ended.own_logs] == ["w"]

    def test_an_argument_of_the_wrong_type_sets_nothing_up(self, tmp_path: Path) -> None:
        """
        The exception names the argument that the caller wrote, and the next call is the first.
        """
        code = f"""{WORK}
for wrong in ({{"directory": 5}}, {{"service_name": 5}}, {{"shutdown_timeout": None}}):
    try:
        tachograph.configure(**wrong)
    except tachograph.ConfigurationError as error:
        print(str(error).partition("=")[0])
telemetry = tachograph.configure("a")
work()
print(telemetry.shutdown(5))
"""
        ended = python(code, at=tmp_path)

        assert ended.stdout.splitlines() == ["directory", "service_name", "shutdown_timeout", "True"], ended.stderr
        assert [span.name for span in ended.spans] == ["plan p"]


class TestPlace:
    def test_files_stay_together_when_the_app_changes_its_folder(self, tmp_path: Path) -> None:
        """
        Everything is written below the folder of the start.
        """
        code = f"""{WORK}
import os
telemetry = tachograph.configure("a")
work()
os.makedirs("else"); os.chdir("else")
work()
tachograph.audit.record("config.change", action="UPDATE", resource="a:b")
print(telemetry.shutdown(5), os.listdir("."))
"""
        ended = python(code, at=tmp_path)

        assert ended.stdout == "True []\n", ended.stderr
        assert ended.names() == {"traces.jsonl", "logs.jsonl", "audit.jsonl", "metrics.a.prom"}


class TestArguments:
    def test_they_reach_exporters_and_the_resource(self, tmp_path: Path) -> None:
        """
        An endpoint, a sampler and resource attributes are what a variable would be; the variable's attributes win.
        """
        code = f"""{WORK}
import sys
attributes = "deployment.environment.name=pr%C3%B6d,team=mine"
telemetry = tachograph.configure("a", endpoint=sys.argv[1], resource_attributes=attributes, prometheus_port=0)
work()
print(telemetry.shutdown(20))
"""
        with Receiver() as receiver:
            code = code.replace("sys.argv[1]", repr(receiver.url))
            ended = python(code, at=tmp_path, OTEL_RESOURCE_ATTRIBUTES="team=theirs")

        assert ended.stdout == "True\n", ended.stderr
        assert {signal for signal, number in receiver.requests.items() if number} == {"traces", "logs", "metrics"}
        found = receiver.spans[0].resource
        assert (found["deployment.environment.name"], found["team"], found["service.name"]) == ("pröd", "theirs", "a")

    def test_a_sampler_of_the_specification(self) -> None:
        """
        A sampler given as an argument is used, with its ratio.
        """
        made = {
            name: traces._sampler(Settings(traces_sampler=name, traces_sampler_argument="0.25"))
            for name in ("always_off", "traceidratio", "parentbased_traceidratio")
        }

        assert made["always_off"] is ALWAYS_OFF
        assert [each.get_description() for each in made.values() if each][1:] == [
            "TraceIdRatioBased{0.25}",
            traces._sampler_named("parentbased_traceidratio", "0.25").get_description(),
        ]
        assert traces._sampler(Settings()) is None

    def test_a_ratio_that_is_none_is_said(self, capsys: pytest.CaptureFixture[str]) -> None:
        """
        A sampler whose argument cannot be used samples every trace, and one line says so.
        """
        made = traces._sampler(Settings(traces_sampler="traceidratio", traces_sampler_argument="many"))

        assert made is DEFAULT_ON
        assert "OTEL_TRACES_SAMPLER='traceidratio' is not used" in capsys.readouterr().err


class TestIdGenerator:
    @pytest.mark.parametrize("name", [None, "random", "RANDOM"])
    def test_ours_is_the_default(self, name: str | None) -> None:
        """
        Unset or `random`, ids are random ones of ours.
        """
        assert type(traces._id_generator(Settings(id_generator=name))) is IdGenerator

    def test_an_installed_one_is_used(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        A generator that a package registers makes the ids.
        """
        point = EntryPoint(
            "xray", "opentelemetry.sdk.trace.id_generator:RandomIdGenerator", "opentelemetry_id_generator"
        )
        monkeypatch.setattr(components, "entry_points", lambda **_: [point])
        provider = traces.build(Settings(id_generator="xray"), (), Resource({}))

        assert type(provider.id_generator) is RandomIdGenerator

    def test_one_that_nobody_registers_is_said(self, capsys: pytest.CaptureFixture[str]) -> None:
        """
        A wrong name costs nothing but one line.
        """
        made = traces._id_generator(Settings(id_generator="no_such"))

        assert type(made) is IdGenerator
        (line,) = capsys.readouterr().err.splitlines()
        assert "OTEL_PYTHON_ID_GENERATOR='no_such' is not used, ids are random" in line


class TestScraped:
    @pytest.mark.parametrize("taken", [True, False])
    def test_the_resource_says_whether_it_is_served(self, taken: bool, tmp_path: Path) -> None:
        """
        `tachograph.metrics.scraped` stands on the resource only when the port could be bound.
        """
        code = f"""{WORK}
telemetry = tachograph.configure("a")
print("tachograph.metrics.scraped" in telemetry.tracer_provider.resource.attributes)
"""
        with socket.socket() as occupied:
            occupied.bind(("127.0.0.1", 0))
            occupied.listen()
            port = occupied.getsockname()[1] if taken else 0
            ended = python(
                code, at=tmp_path, OTEL_EXPORTER_PROMETHEUS_PORT=str(port), OTEL_EXPORTER_PROMETHEUS_HOST="127.0.0.1"
            )

        assert ended.stdout == f"{not taken}\n", ended.stderr
        assert len(ended.notices) == taken


class Answering:
    def __init__(self, answer: object) -> None:
        self.answer = answer

    def export(self, _batch: object) -> object:
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer


class Slotted:
    __slots__ = ()

    def export(self, _batch: object) -> object:
        return SpanExportResult.FAILURE


class TestDeliveries:
    @pytest.mark.parametrize(("answer", "left"), [(SpanExportResult.SUCCESS, True), (SpanExportResult.FAILURE, False)])
    def test_a_refused_batch_is_not_delivered(self, answer: object, left: bool) -> None:
        """
        A step that exports is as true as the exporter's answer, and a refusal of before is not told again.
        """
        deliveries = Deliveries()
        exporter = deliveries.watch(Answering(answer))

        assert deliveries.told(lambda _: exporter.export([]) is answer)(1.0) is left
        assert deliveries.told(lambda _: True)(1.0)
        assert not deliveries.told(lambda _: False)(1.0)

    def test_an_exporter_that_raises_has_not_delivered(self) -> None:
        """
        The exception goes on to whoever contains it, and is counted.
        """
        deliveries = Deliveries()
        with pytest.raises(LookupError):
            deliveries.watch(Answering(LookupError())).export([])

        assert deliveries.refused == 1

    def test_one_that_cannot_be_watched_works(self) -> None:
        """
        An exporter with slots exports as before.
        """
        assert Deliveries().watch(Slotted()).export([]) is SpanExportResult.FAILURE

    @pytest.mark.parametrize("status", [400, 500])
    def test_a_collector_that_refuses(self, status: int, tmp_path: Path) -> None:
        """
        A flush whose batches were refused is False, one that found nothing to refuse is True.
        """
        code = f"""{WORK}
telemetry = tachograph.configure("a")
work()
print(telemetry.flush(20), [part.name for part in telemetry.parts if not part.flush(20)])
print(telemetry.shutdown(20))
"""
        with Receiver(lambda request: Answer(status=status if request.signal == "metrics" else 200)) as receiver:
            ended = python(
                code, at=tmp_path, OTEL_EXPORTER_OTLP_ENDPOINT=receiver.url, OTEL_EXPORTER_PROMETHEUS_PORT="0"
            )

        assert ended.stdout == "False ['metrics']\nFalse\n", ended.stderr


class TestForkedChild:
    def test_its_textfile_is_written_without_being_asked(self, tmp_path: Path) -> None:
        """
        The writer's thread runs in a forked child as it did in the parent.
        """
        code = """
import os, threading, tachograph
tachograph.configure("a")
child = os.fork()
if child == 0:
    os._exit("tachograph-textfile" not in [each.name for each in threading.enumerate()])
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
        assert python(code, at=tmp_path).stdout == "0\n"


class TestEnd:
    def test_what_is_asked_after_it(self, tmp_path: Path) -> None:
        """
        `/metrics` answers 503, `configure` says in one line that telemetry has ended, and exporters say nothing.
        """
        code = f"""{WORK}
from tachograph.export.otlp import SpanExporter
from tachograph.scrape.answer import answer
exporter = SpanExporter(endpoint="http://127.0.0.1:9/v1/traces")
telemetry = tachograph.configure("a", prometheus_port=0)
print(answer("GET", "", "").status.value)
telemetry.shutdown(5)
print(answer("GET", "", "").status.value, tachograph.configure("a") is telemetry, tachograph.configure() is telemetry)
work()
exporter.shutdown()
exporter.export([])
"""
        ended = python(code, at=tmp_path)

        assert ended.stdout == "200\n503 True True\n"
        assert ended.notices == [
            "configure() changes nothing: telemetry has ended in this process, by its shutdown()"
        ], ended.stderr
