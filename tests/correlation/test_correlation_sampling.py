"""What is recorded for the trust boundary's sake changes nothing else."""

import random
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, Decision, ParentBased, Sampler, TraceIdRatioBased
from opentelemetry.trace import SpanKind

from tachograph import notices
from tachograph.bootstrap import components, traces
from tachograph.sampling import RecordingSampler
from tachograph.settings import Settings

SAMPLERS = {
    "off": ALWAYS_OFF,
    "on": ALWAYS_ON,
    "ratio": TraceIdRatioBased(0.3),
    "parent": ParentBased(TraceIdRatioBased(0.5), local_parent_not_sampled=TraceIdRatioBased(0.5)),
}


def exported(sampler: Sampler) -> list[tuple[object, ...]]:
    """The same 400 traces of three spans each, under `sampler`: what is exported of them."""
    random.seed(7)
    exporter = InMemorySpanExporter()
    provider = TracerProvider(sampler=sampler, id_generator=RandomIdGenerator(), shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer("t")
    for kind in SpanKind:
        for _ in range(80):
            with (
                tracer.start_as_current_span("outer", Context(), kind, {"n": 1}),
                tracer.start_as_current_span("client", kind=SpanKind.CLIENT, attributes={"server.address": "x"}),
            ):
                tracer.start_span("inner", kind=kind).end()
    return [
        (span.name, span.kind, span.context, span.parent, tuple(span.attributes.items()))
        for span in exporter.get_finished_spans()
    ]


@pytest.mark.parametrize("name", SAMPLERS)
def test_the_export_is_the_same(name: str) -> None:
    """
    With the same ids, the same spans with the same flags, parents and attributes are exported under every sampler.
    """
    plain = exported(SAMPLERS[name])

    assert exported(RecordingSampler(SAMPLERS[name])) == plain
    assert (len(plain) == 1200) == (name == "on")


@pytest.mark.parametrize("kind", SpanKind)
def test_only_what_sends_is_recorded(kind: SpanKind) -> None:
    """
    A dropped client or producer span is recorded with its attributes and not sampled; any other is dropped.
    """
    result = RecordingSampler(ALWAYS_OFF).should_sample(None, 1, "s", kind, {"server.address": "x"})
    sends = kind in (SpanKind.CLIENT, SpanKind.PRODUCER)

    assert result.decision is (Decision.RECORD_ONLY if sends else Decision.DROP)
    assert dict(result.attributes) == ({"server.address": "x"} if sends else {})
    assert RecordingSampler(ALWAYS_OFF).get_description() == "RecordingSampler{AlwaysOffSampler}"


class TestWhichSampler:
    def built(self, monkeypatch: pytest.MonkeyPatch, **variables: str) -> str:
        for key, value in variables.items():
            monkeypatch.setenv(key, value)
        provider = traces.build(Settings.from_environment(), (), Resource({}))
        provider.shutdown()
        return provider.sampler.get_description().partition(",")[0]

    @pytest.mark.parametrize(
        ("name", "argument", "described"),
        [
            ("always_off", "", "AlwaysOffSampler"),
            ("traceidratio", "0.25", "TraceIdRatioBased{0.25}"),
            ("parentbased_traceidratio", "0.5", "ParentBased{root:TraceIdRatioBased{0.5}"),
            ("PARENTBASED_ALWAYS_OFF", "", "ParentBased{root:AlwaysOffSampler"),
            ("", "", "ParentBased{root:AlwaysOnSampler"),
        ],
    )
    def test_the_environment_decides(
        self, monkeypatch: pytest.MonkeyPatch, name: str, argument: str, described: str
    ) -> None:
        """
        OTEL_TRACES_SAMPLER and its argument mean what they mean to the SDK.
        """
        found = self.built(monkeypatch, OTEL_TRACES_SAMPLER=name, OTEL_TRACES_SAMPLER_ARG=argument)

        assert found.startswith("RecordingSampler{" + described)

    @pytest.mark.parametrize(("file", "wrapped"), [(Path("otel.yaml"), True), (None, False)])
    def test_a_provider_of_the_hosts_keeps_its_sampler(self, file: Path | None, wrapped: bool) -> None:
        """
        One that a configuration file made is wrapped; one that the application has set stays as it is.
        """
        provider = TracerProvider(sampler=ALWAYS_OFF, shutdown_on_exit=False)
        traces.join(provider, Settings(config_file=file), ())

        assert isinstance(provider.sampler, RecordingSampler) is wrapped

    def test_an_installed_sampler_is_used(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        A sampler that a package registers is made with the argument, as the SDK's own configurator does.
        """
        point = EntryPoint("mine", f"{__name__}:Mine", "opentelemetry_traces_sampler")
        monkeypatch.setattr(components, "entry_points", lambda group: [point] if group == point.group else [])
        monkeypatch.setattr(EntryPoint, "load", lambda _self: Mine)

        assert (
            self.built(monkeypatch, OTEL_TRACES_SAMPLER="mine", OTEL_TRACES_SAMPLER_ARG="a")
            == "RecordingSampler{mine a}"
        )

    def test_an_unknown_one_costs_one_line(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """
        A typo is said with what to write; every trace is sampled, and the signal goes on.
        """
        notices.forget()
        found = self.built(monkeypatch, OTEL_TRACES_SAMPLER="alwys_on")

        assert found.startswith("RecordingSampler{ParentBased{root:AlwaysOnSampler")
        assert capsys.readouterr().err.startswith("tachograph: OTEL_TRACES_SAMPLER='alwys_on' is not used")


class Mine(Sampler):
    def __init__(self, argument: str | None) -> None:
        self.argument = argument

    def should_sample(self, *args: object, **kwargs: object):
        return ALWAYS_ON.should_sample(None, 1, "s")

    def get_description(self) -> str:
        return f"mine {self.argument}"
