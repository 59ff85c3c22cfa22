"""The tracer provider: ours, or the host's with our processors added."""

from typing import cast

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Span, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.sampling import DEFAULT_ON, Sampler

from tachograph import correlation
from tachograph.bootstrap import components
from tachograph.bootstrap.telemetry import Part
from tachograph.contain import contain
from tachograph.ids import IdGenerator
from tachograph.notices import notice
from tachograph.sampling import RecordingSampler
from tachograph.settings import Settings

# Those of the specification, which the SDK makes from the environment itself.
_SAMPLERS = frozenset(
    f"{parent}{root}" for parent in ("", "parentbased_") for root in ("always_on", "always_off", "traceidratio")
)


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
        sampler=_sampler(settings), resource=resource, id_generator=IdGenerator(), shutdown_on_exit=False
    )
    _record_senders(provider)
    join(provider, settings, names)
    return provider


def join(provider: TracerProvider, settings: Settings, names: tuple[str, ...]) -> None:
    """Add our processors to a provider; the sampler of one that the application has set stays as it is."""
    if settings.config_file is not None:
        _record_senders(provider)
    provider.add_span_processor(CorrelationProcessor())
    for exporter in components.each("traces", names, lambda name: _exporter(name, settings)):
        provider.add_span_processor(BatchSpanProcessor(exporter))


def part(provider: TracerProvider, *, ours: bool) -> Part:
    """Return how this provider is flushed and ended; one that the host built is only flushed."""

    def flush(seconds: float) -> bool:
        return provider.force_flush(int(seconds * 1000))

    def shutdown(_seconds: float) -> bool:
        provider.shutdown()
        return True

    return Part("traces", flush, shutdown if ours else flush)


def in_force() -> TracerProvider | None:
    """Return the SDK provider that the host has set, if it has."""
    provider = trace.get_tracer_provider()
    return provider if isinstance(provider, TracerProvider) else None


def _record_senders(provider: TracerProvider) -> None:
    """Wrap the sampler, which the SDK may have read from the environment or from a configuration file."""
    provider.sampler = RecordingSampler(provider.sampler)


def _sampler(settings: Settings) -> Sampler | None:
    """Return the installed sampler that the settings name; None leaves the reading to the SDK."""
    name = settings.traces_sampler
    if name is None or name.lower() in _SAMPLERS:
        return None
    try:
        made = components.find("opentelemetry_traces_sampler", name).load()(settings.traces_sampler_argument)
    except Exception as error:  # noqa: BLE001 - a sampler of others may raise anything
        notice(f"OTEL_TRACES_SAMPLER={name[:80]!r} is not used, every trace is sampled: {error}")
        return DEFAULT_ON
    return cast("Sampler", made)


def _exporter(name: str, settings: Settings) -> SpanExporter:
    if name == "file":
        from tachograph.export.files import TraceFileExporter

        return TraceFileExporter(settings.directory / "traces.jsonl", settings.file_bytes)
    if name == "otlp":
        from tachograph.export.otlp import SpanExporter as OTLPSpanExporter

        return OTLPSpanExporter()
    return components.load("opentelemetry_traces_exporter", name, SpanExporter)
