"""The tracer provider: ours, or the host's with our processors added."""

from collections.abc import Callable, Mapping
from typing import cast
from weakref import WeakKeyDictionary, WeakSet

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Span, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.id_generator import IdGenerator as AnyIdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, DEFAULT_ON, ParentBased, Sampler, TraceIdRatioBased

from tachograph import correlation
from tachograph.bootstrap import components
from tachograph.bootstrap.deliveries import Deliveries
from tachograph.bootstrap.telemetry import Part
from tachograph.contain import contain
from tachograph.ids import IdGenerator
from tachograph.notices import notice
from tachograph.sampling import RecordingSampler
from tachograph.settings import Settings

# Those of the specification, by what is behind `parentbased_`; each made from the sampler's argument.
_ROOTS: Mapping[str, Callable[[str | None], Sampler]] = {
    "always_on": lambda _: ALWAYS_ON,
    "always_off": lambda _: ALWAYS_OFF,
    "traceidratio": lambda ratio: TraceIdRatioBased(float(ratio or 1.0)),
}


_correlated: WeakSet[TracerProvider] = WeakSet()
_delivered: WeakKeyDictionary[TracerProvider, Deliveries] = WeakKeyDictionary()


class CorrelationProcessor(SpanProcessor):
    """Puts the correlation ids in force onto every span that starts."""

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Add the ids that the span does not carry already."""
        with contain("traces.correlate"):
            for key, value in correlation.ids(parent_context).items():
                if key not in (span.attributes or {}):
                    span.set_attribute(key, value)


def build(settings: Settings, names: tuple[str, ...], resource: Resource) -> TracerProvider:
    """Make a provider with an exporter for each name; ended by `part`, never by the SDK's own exit handler."""
    provider = TracerProvider(
        sampler=_sampler(settings), resource=resource, id_generator=_id_generator(settings), shutdown_on_exit=False
    )
    _record_senders(provider)
    join(provider, settings, names)
    return provider


def join(provider: TracerProvider, settings: Settings, names: tuple[str, ...]) -> None:
    """Add our processors to a provider; the sampler of one that the application has set stays as it is."""
    if settings.config_file is not None:
        _record_senders(provider)
    correlate(provider)
    for exporter in components.each("traces", names, lambda name: _exporter(name, settings)):
        provider.add_span_processor(BatchSpanProcessor(_deliveries(provider).watch(exporter)))


def correlate(provider: TracerProvider) -> None:
    """Let spans carry the correlation ids; a second call for a provider adds nothing."""
    if provider not in _correlated:
        _correlated.add(provider)
        provider.add_span_processor(CorrelationProcessor())


def part(provider: TracerProvider, *, ours: bool) -> Part:
    """Return how this provider is flushed and ended; one that the host built is only flushed."""

    def flush(seconds: float) -> bool:
        return provider.force_flush(int(seconds * 1000))

    def shutdown(_seconds: float) -> bool:
        provider.shutdown()
        return True

    told = _deliveries(provider).told
    return Part("traces", told(flush), told(shutdown if ours else flush))


def in_force() -> TracerProvider | None:
    """Return the SDK provider that the host has set, if it has."""
    provider = trace.get_tracer_provider()
    return provider if isinstance(provider, TracerProvider) else None


def _deliveries(provider: TracerProvider) -> Deliveries:
    return _delivered.setdefault(provider, Deliveries())


def _record_senders(provider: TracerProvider) -> None:
    """Wrap the sampler, which the SDK may have read from the environment or from a configuration file."""
    provider.sampler = RecordingSampler(provider.sampler)


def _sampler(settings: Settings) -> Sampler | None:
    """Return the sampler that the settings name, the specification's or an installed one; None for the default."""
    name = settings.traces_sampler
    if name is None:
        return None
    try:
        return _sampler_named(name, settings.traces_sampler_argument)
    except Exception as error:  # noqa: BLE001 - a sampler of others may raise anything
        notice(f"OTEL_TRACES_SAMPLER={name[:80]!r} is not used, every trace is sampled: {error}")
        return DEFAULT_ON


def _sampler_named(name: str, argument: str | None) -> Sampler:
    root = name.lower().removeprefix("parentbased_")
    if root not in _ROOTS:
        return cast("Sampler", components.find("opentelemetry_traces_sampler", name).load()(argument))
    made = _ROOTS[root](argument)
    return made if name.lower() == root else ParentBased(made)


def _id_generator(settings: Settings) -> AnyIdGenerator:
    """Return the installed generator that the settings name, or ours, which is random."""
    name = settings.id_generator
    if name is None or name.lower() == "random":
        return IdGenerator()
    try:
        return components.load("opentelemetry_id_generator", name, AnyIdGenerator)
    except Exception as error:  # noqa: BLE001 - a generator of others may raise anything
        notice(f"OTEL_PYTHON_ID_GENERATOR={name[:80]!r} is not used, ids are random: {error}")
        return IdGenerator()


def _exporter(name: str, settings: Settings) -> SpanExporter:
    if name == "file":
        from tachograph.export.files import TraceFileExporter

        return TraceFileExporter(settings.directory / "traces.jsonl", settings.file_bytes)
    if name == "otlp":
        from tachograph.export.otlp import SpanExporter as OTLPSpanExporter

        return OTLPSpanExporter(endpoint=settings.endpoint_of("traces"))
    return components.load("opentelemetry_traces_exporter", name, SpanExporter)
