"""The meter provider, `/metrics` and the textfile: ours, or our readers added to the host's provider."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricExporter, MetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource

from tachograph import audit
from tachograph._otel import cardinality_limits, renew_export_lock
from tachograph.bootstrap import components
from tachograph.bootstrap.deliveries import Deliveries
from tachograph.bootstrap.plan import Exporters
from tachograph.bootstrap.telemetry import Part
from tachograph.catalogue import health, labels
from tachograph.contain import faults
from tachograph.contain import forget as forget_faults
from tachograph.fork import after_fork
from tachograph.genai import pricing
from tachograph.metrics import RECORDER, Values
from tachograph.operations import heartbeat
from tachograph.scrape import app
from tachograph.scrape.reader import PrometheusReader
from tachograph.scrape.textfile import TextfileWriter
from tachograph.settings import Settings

_SERIES_SHOWN = 20


@dataclass
class Outlets:
    """Where metrics go: readers of the provider, what serves or writes the Prometheus one, and what was refused."""

    readers: list[MetricReader] = field(default_factory=list)
    deliveries: Deliveries = field(default_factory=Deliveries)
    writer: TextfileWriter | None = None
    server: app.MetricsServer | None = None


def outlets(settings: Settings, exporters: Exporters) -> Outlets:
    """Make the readers that the exporters ask for; nothing is served or written before `start`."""
    made = Outlets()
    if {"file", "prometheus"} & set(exporters.metrics):
        limits = cardinality_limits(PrometheusReader, settings.series_limit)
        reader = PrometheusReader(series_limit=settings.series_limit, **limits)
        made.readers.append(reader)
        if "file" in exporters.metrics:
            made.writer = TextfileWriter(reader, settings.metrics_path, settings.textfile_interval)
    pushed = tuple(name for name in exporters.metrics if name not in ("file", "prometheus"))
    made.readers.extend(components.each("metrics", pushed, lambda name: _reader(name, settings, made.deliveries)))
    return made


def build(readers: Sequence[MetricReader], resource: Resource) -> MeterProvider:
    """Make a provider over `readers`; ended by `part`, never by the SDK's own exit handler."""
    return MeterProvider(metric_readers=readers, resource=resource, shutdown_on_exit=False)


def join(provider: MeterProvider, readers: Sequence[MetricReader]) -> None:
    """Add our readers to the host's provider."""
    for reader in readers:
        provider.add_metric_reader(reader)


def start(made: Outlets, settings: Settings) -> None:
    """Put the Prometheus reader in force, start writing where asked, and observe our own health."""
    for reader in made.readers:
        if isinstance(reader, PrometheusReader):
            app.install(reader)
    if made.writer is not None:
        made.writer.start()
    after_fork(lambda: _rebuild(made))
    pricing.configure(settings.prices_file)
    heartbeat.configure(settings.heartbeat)
    observe_health(settings.series_limit)


def part(provider: MeterProvider, made: Outlets, *, ours: bool) -> Part:
    """Return how metrics are flushed and ended; the textfile is written before its reader ends."""

    def flush(seconds: float) -> bool:
        written = made.writer is None or made.writer.flush()
        return _flush(provider, made.readers, seconds, ours=ours) and written

    def shutdown(seconds: float) -> bool:
        if made.server is not None:
            made.server.shutdown()
        if made.writer is not None:
            made.writer.shutdown()
        if app.in_force() in made.readers:
            app.install(None)
        _shutdown(provider, made.readers, seconds, ours=ours)
        return True

    return Part("metrics", made.deliveries.told(flush), made.deliveries.told(shutdown))


def in_force() -> MeterProvider | None:
    """Return the SDK provider that the host has set, if it has."""
    provider = metrics.get_meter_provider()
    return provider if isinstance(provider, MeterProvider) else None


def observe_health(series_limit: int = 2000) -> None:
    """Let the catalogue's health instruments be read at every collection."""
    RECORDER.observe(health.SERIES, _most_series)
    RECORDER.observe(health.SERIES_LIMIT, lambda: [(series_limit, {})])
    RECORDER.observe(health.FAULTS, lambda: [(n, {labels.WHERE.name: where}) for where, n in faults().items()])
    RECORDER.observe(
        health.LABEL_OVERFLOW,
        lambda: [
            (n, {labels.INSTRUMENT.name: instrument, labels.LABEL.name: label})
            for (instrument, label), n in RECORDER.overflow().items()
        ],
    )
    RECORDER.observe(
        health.AUDIT_RECORDS,
        lambda: [
            (n, {labels.EVENT.name: event, labels.AUDIT_RESULT.name: result})
            for (event, result), n in audit.counts().items()
        ],
    )
    RECORDER.observe(health.AUDIT_HEAD, lambda: [(head, {})] if (head := audit.head()) else [])


def _most_series() -> Values:
    most = sorted(RECORDER.series().items(), key=lambda item: item[1], reverse=True)[:_SERIES_SHOWN]
    return [(number, {labels.INSTRUMENT.name: instrument}) for instrument, number in most]


def _rebuild(made: Outlets) -> None:
    forget_faults()
    RECORDER.after_fork()
    for reader in made.readers:
        if isinstance(reader, PrometheusReader):
            reader.after_fork()
        else:
            renew_export_lock(reader)
    if made.writer is not None:
        made.writer.after_fork()
        made.writer.start()  # it would not run here without anybody who flushes
    if made.server is not None:
        made.server.after_fork()


def _flush(provider: MeterProvider, readers: Sequence[MetricReader], seconds: float, *, ours: bool) -> bool:
    if ours:
        return provider.force_flush(seconds * 1000)
    flushed = [reader.force_flush(seconds * 1000) for reader in readers]
    return all(done is not False for done in flushed)


def _shutdown(provider: MeterProvider, readers: Sequence[MetricReader], seconds: float, *, ours: bool) -> None:
    if ours:
        provider.shutdown(seconds * 1000)
        return
    for reader in readers:
        reader.shutdown(seconds * 1000)


def _reader(name: str, settings: Settings, deliveries: Deliveries) -> MetricReader:
    exporter = _exporter(name, settings)
    if isinstance(exporter, MetricReader):
        return exporter
    limits = cardinality_limits(PeriodicExportingMetricReader, settings.series_limit)
    return PeriodicExportingMetricReader(deliveries.watch(exporter), settings.metric_export_interval, **limits)


def _exporter(name: str, settings: Settings) -> MetricExporter | MetricReader:
    if name == "otlp":
        from tachograph.export.otlp import MetricExporter as OTLPMetricExporter

        return OTLPMetricExporter(endpoint=settings.endpoint_of("metrics"))
    made = components.load("opentelemetry_metrics_exporter", name, object)
    if isinstance(made, MetricExporter | MetricReader):
        return made
    raise TypeError(f"it is a {type(made).__name__}, neither an exporter nor a reader")
