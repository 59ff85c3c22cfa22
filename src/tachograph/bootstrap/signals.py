"""The three OpenTelemetry signals: resource, providers, propagators; each signal on its own, none costs another."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from uuid import uuid4

from opentelemetry import _logs, metrics, propagate, trace
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.propagators.textmap import TextMapPropagator
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from tachograph.bootstrap import components, logs, measures, traces
from tachograph.bootstrap.plan import Exporters, exporters
from tachograph.bootstrap.telemetry import Telemetry
from tachograph.errors import MissingExtra
from tachograph.notices import notice
from tachograph.propagation import RequestIdPropagator, TrustedBaggagePropagator
from tachograph.scrape.app import MetricsServer
from tachograph.scrape.exporter import serve
from tachograph.settings import Settings
from tachograph.version import __version__


def start(telemetry: Telemetry) -> None:
    """Build the providers of `telemetry`, or join those that the host or a configuration file has set."""
    settings = telemetry.settings
    chosen = exporters(settings)
    for problem in chosen.problems:
        notice(problem)
    if settings.config_file is not None and _apply_file(settings.config_file):
        chosen = Exporters(traces=(), metrics=(), logs=(), port=None)
    server = None if chosen.port is None else serve(settings.prometheus_host, chosen.port)
    if server is None:
        chosen = replace(chosen, port=None)  # a port that is taken makes nobody scraped
    resource = _resource(settings, chosen)
    for signal, start_signal in (("metrics", partial(_metrics, server)), ("traces", _traces), ("logs", _logs_signal)):
        _guarded(signal, start_signal, telemetry, chosen, resource)
    if settings.config_file is None:
        propagate.set_global_textmap(_propagator(settings))


def _guarded(
    signal: str,
    start_signal: Callable[[Telemetry, Exporters, Resource], None],
    telemetry: Telemetry,
    chosen: Exporters,
    resource: Resource,
) -> None:
    try:
        start_signal(telemetry, chosen, resource)
    except Exception as error:  # noqa: BLE001 - one signal's misfortune must not cost the others
        notice(f"{signal} could not be set up: {type(error).__name__}: {error}")


def _traces(telemetry: Telemetry, chosen: Exporters, resource: Resource) -> None:
    theirs = traces.in_force()
    if theirs is not None:
        _say_joined("TracerProvider", telemetry)
        traces.join(theirs, telemetry.settings, chosen.traces)
    provider = theirs or traces.build(telemetry.settings, chosen.traces, resource)
    if theirs is None:
        trace.set_tracer_provider(provider)
    telemetry.tracer_provider = provider
    telemetry.parts.append(traces.part(provider, ours=theirs is None))


def _metrics(server: MetricsServer | None, telemetry: Telemetry, chosen: Exporters, resource: Resource) -> None:
    theirs = measures.in_force()
    made = measures.outlets(telemetry.settings, chosen)
    made.server = server
    if theirs is not None:
        _say_joined("MeterProvider", telemetry)
        measures.join(theirs, made.readers)
    provider = theirs or measures.build(made.readers, resource)
    if theirs is None:
        metrics.set_meter_provider(provider)
    measures.start(made, telemetry.settings)
    telemetry.meter_provider = provider
    telemetry.parts.append(measures.part(provider, made, ours=theirs is None))


def _logs_signal(telemetry: Telemetry, chosen: Exporters, resource: Resource) -> None:
    theirs = logs.in_force()
    if theirs is not None:
        _say_joined("LoggerProvider", telemetry)
        if not logs.join(theirs, telemetry.settings, chosen.logs):
            notice("processors of that LoggerProvider see audit records before the journal does")
    provider = theirs or logs.build(telemetry.settings, chosen.logs, resource)
    if theirs is None:
        _logs.set_logger_provider(provider)
    telemetry.logger_provider = provider
    telemetry.parts.append(logs.part(provider, ours=theirs is None))


def _say_joined(kind: str, telemetry: Telemetry) -> None:
    if telemetry.settings.config_file is None:
        notice(f"joined the {kind} that the application has set; its resource, sampler and limits stay as they are")


def _apply_file(file: Path) -> bool:
    """Apply a declarative configuration; one that cannot be is said in one line, and the variables hold instead."""
    try:
        from opentelemetry.configuration import configure_sdk, load_config_file
    except ImportError:
        notice(str(MissingExtra("OTEL_CONFIG_FILE", "config")))
        return False
    try:
        configure_sdk(load_config_file(str(file)))
    except Exception as error:  # noqa: BLE001 - the file names components of others, which may raise anything
        notice(f"OTEL_CONFIG_FILE={str(file)!r} is not applied, or not as a whole: {error}")
        return False
    return True


def _resource(settings: Settings, chosen: Exporters) -> Resource:
    attributes: dict[str, str | bool] = {
        "service.name": settings.service_name,
        "telemetry.distro.name": "tachograph",
        "telemetry.distro.version": __version__,
    }
    if chosen.scraped:
        attributes["tachograph.metrics.scraped"] = True
    theirs = OTELResourceDetector().detect().attributes  # what the variable says stands above an argument
    given = {key: value for key, value in settings.resource_given.items() if key not in theirs}
    resource = Resource.create({**given, **attributes})
    if "service.instance.id" in resource.attributes:
        return resource
    return resource.merge(Resource({"service.instance.id": str(uuid4())}))


def _propagator(settings: Settings) -> TextMapPropagator:
    names = settings.propagators if settings.propagators is not None else ("tracecontext", "baggage", "tachograph")
    wanted = tuple(dict.fromkeys(name for name in names if name.lower() != "none"))
    return CompositePropagator(
        list(components.each("contexts", wanted, lambda name: _propagator_named(name, settings)))
    )


def _propagator_named(name: str, settings: Settings) -> TextMapPropagator:
    if name == "tracecontext":
        return TraceContextTextMapPropagator()
    if name == "baggage":
        return TrustedBaggagePropagator(settings.trusted_hosts)
    if name == "tachograph":
        return RequestIdPropagator(settings.request_id_header, settings.trusted_hosts)
    return components.load("opentelemetry_propagator", name, TextMapPropagator)
