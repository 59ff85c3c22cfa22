"""The reader under names that OpenTelemetry's configuration knows: served on a port, or written to a file."""

from pathlib import Path
from typing import Any

from tachograph.notices import notice
from tachograph.scrape.answer import install
from tachograph.scrape.reader import PrometheusReader
from tachograph.scrape.server import MetricsServer
from tachograph.scrape.textfile import TextfileWriter
from tachograph.settings import PROMETHEUS_PORT, Settings


class PrometheusExporter(PrometheusReader):
    """
    Serves `/metrics` on `host`:`port` (default: OTEL_EXPORTER_PROMETHEUS_HOST and _PORT, `localhost:9464`).

    A port that is taken costs the server alone, and is said.
    """

    def __init__(self, host: str | None = None, port: int | None = None) -> None:
        super().__init__()
        settings = Settings.from_environment()
        configured = PROMETHEUS_PORT if settings.prometheus_port is None else settings.prometheus_port
        install(self)
        self.server = serve(host or settings.prometheus_host, configured if port is None else port)

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: Any) -> None:
        """Stop serving and collecting."""
        if self.server is not None:
            self.server.shutdown()
        super().shutdown(timeout_millis, **kwargs)


class TextfileExporter(PrometheusReader):
    """Writes the Prometheus textfile to `path` (default: TACHOGRAPH_METRICS_FILE) and a last time at shutdown."""

    def __init__(self, path: str | None = None, interval: float | None = None) -> None:
        super().__init__()
        settings = Settings.from_environment()
        self.writer = TextfileWriter(
            self,
            settings.metrics_path if path is None else Path(path),
            settings.textfile_interval if interval is None else interval,
        )
        self.writer.start()

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: Any) -> None:
        """Write a last time and stop collecting."""
        self.writer.shutdown(timeout_millis / 1000)
        super().shutdown(timeout_millis, **kwargs)


def serve(host: str, port: int) -> MetricsServer | None:
    """Start the server of `/metrics`, or say in one line why it cannot be."""
    try:
        return MetricsServer(host, port)
    except OSError as error:
        notice(
            f"/metrics is not served on {host}:{port}: {error.strerror or error}; "
            "set OTEL_EXPORTER_PROMETHEUS_PORT to a free port, or OTEL_METRICS_EXPORTER without prometheus"
        )
        return None
