"""Which exporters each signal gets: a pure reading of the settings."""

from collections.abc import Mapping
from dataclasses import dataclass

from tachograph.settings import PROMETHEUS_PORT, Settings

SIGNALS = ("traces", "metrics", "logs")

_ALIASES = {"otlp_proto_http": "otlp", "otlp_json_file": "file", "tachograph_otlp": "otlp", "tachograph_file": "file"}


@dataclass(frozen=True)
class Exporters:
    """The exporter names of each signal, and whether `/metrics` is served."""

    traces: tuple[str, ...]
    metrics: tuple[str, ...]
    logs: tuple[str, ...]
    port: int | None
    problems: tuple[str, ...] = ()

    @property
    def scraped(self) -> bool:
        """True when a server of ours answers Prometheus."""
        return self.port is not None and "prometheus" in self.metrics


def exporters(settings: Settings) -> Exporters:
    """Return what the settings ask for; what nobody asked for follows the mode."""
    chosen = {signal: _names(settings, signal) for signal in SIGNALS}
    metrics = chosen["metrics"]
    if settings.metrics_exporter is None and (settings.server_mode or settings.prometheus_port is not None):
        metrics = (*metrics, "prometheus")
    port = PROMETHEUS_PORT if settings.prometheus_port is None else settings.prometheus_port
    return Exporters(
        traces=chosen["traces"],
        metrics=metrics,
        logs=chosen["logs"],
        port=port if "prometheus" in metrics else None,
        problems=tuple(_protocol_problems(settings, chosen)),
    )


def _names(settings: Settings, signal: str) -> tuple[str, ...]:
    asked: tuple[str, ...] | None = getattr(settings, f"{signal}_exporter")
    if asked is not None:
        return tuple(dict.fromkeys(_ALIASES.get(name, name) for name in asked if name.lower() != "none"))
    return ("otlp",) if settings.endpoint or getattr(settings, f"{signal}_endpoint") else ("file",)


def _protocol_problems(settings: Settings, chosen: Mapping[str, tuple[str, ...]]) -> list[str]:
    asked = settings.protocol
    if asked is None or asked == "http/protobuf" or not any("otlp" in names for names in chosen.values()):
        return []
    what = f"OTEL_EXPORTER_OTLP_PROTOCOL={asked[:40]!r} is not what this distribution speaks"
    return [f"{what}; write http/protobuf, and mind the port (4318 as a rule)"]
