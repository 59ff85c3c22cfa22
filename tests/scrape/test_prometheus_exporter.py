"""The reader under the names that OpenTelemetry's configuration knows."""

import urllib.request
from importlib.metadata import entry_points

import pytest
from opentelemetry.sdk.metrics import MeterProvider

from tachograph.scrape import answer
from tachograph.scrape.exporter import PrometheusExporter, TextfileExporter, serve


@pytest.fixture(autouse=True)
def in_force():
    before = answer.in_force()
    yield
    answer.install(before)


def counted(reader):
    provider = MeterProvider(metric_readers=[reader], shutdown_on_exit=False)
    provider.get_meter("m").create_counter("calls").add(3)
    return provider


class TestPrometheusExporter:
    def test_it_serves_what_its_provider_counts(self):
        """
        Named in a configuration file, it needs nobody to start it.
        """
        exporter = PrometheusExporter(host="127.0.0.1", port=0)
        provider = counted(exporter)

        with urllib.request.urlopen(f"http://127.0.0.1:{exporter.server.port}/metrics") as response:
            body = response.read().decode()
        provider.shutdown()

        assert 'calls_total{otel_scope_name="m"} 3' in body

    def test_port_and_host_come_from_the_standard_variables(self, monkeypatch):
        """
        What nobody says in the file is said in the environment.
        """
        monkeypatch.setenv("OTEL_EXPORTER_PROMETHEUS_HOST", "127.0.0.1")
        monkeypatch.setenv("OTEL_EXPORTER_PROMETHEUS_PORT", "0")

        exporter = PrometheusExporter()
        host, port = exporter.server.host, exporter.server.port
        counted(exporter).shutdown()

        assert host == "127.0.0.1"
        assert port > 0

    def test_a_taken_port_costs_the_server_alone(self, capsys):
        """
        One line says which port and what to set.
        """
        first = serve("127.0.0.1", 0)
        exporter = PrometheusExporter(host="127.0.0.1", port=first.port)
        provider = counted(exporter)
        text = exporter.text()
        provider.shutdown()
        first.shutdown()

        assert "calls_total" in text
        assert f"/metrics is not served on 127.0.0.1:{first.port}" in capsys.readouterr().err


class TestTextfileExporter:
    def test_it_writes_at_the_latest_when_it_ends(self, tmp_path):
        """
        A short run leaves its metrics.
        """
        path = tmp_path / "run.prom"
        counted(TextfileExporter(path=str(path), interval=3600)).shutdown()

        assert "calls_total" in path.read_text()

    def test_its_path_comes_from_the_settings(self, tmp_path, monkeypatch):
        """
        Each service has a textfile of its own.
        """
        monkeypatch.setenv("TACHOGRAPH_DIR", str(tmp_path))
        monkeypatch.setenv("OTEL_SERVICE_NAME", "worker")
        counted(TextfileExporter()).shutdown()

        assert "calls_total" in (tmp_path / "metrics.worker.prom").read_text()


@pytest.mark.parametrize(
    ("group", "name"),
    [
        ("opentelemetry_metrics_exporter", "tachograph_prometheus"),
        ("opentelemetry_metrics_exporter", "tachograph_textfile"),
        ("opentelemetry_metrics_exporter", "tachograph_otlp"),
        ("opentelemetry_pull_metric_exporter", "tachograph_prometheus"),
        ("opentelemetry_traces_exporter", "tachograph_file"),
        ("opentelemetry_traces_exporter", "tachograph_otlp"),
        ("opentelemetry_logs_exporter", "tachograph_file"),
        ("opentelemetry_logs_exporter", "tachograph_otlp"),
        ("opentelemetry_propagator", "tachograph"),
        ("opentelemetry_propagator", "tachograph_baggage"),
        ("opentelemetry_id_generator", "tachograph"),
        ("opentelemetry_distro", "tachograph"),
        ("opentelemetry_configurator", "tachograph"),
    ],
)
def test_entry_point_loads(group, name):
    """
    Every name under OpenTelemetry's groups leads to something that can be called.
    """
    (point,) = entry_points(group=group, name=name)

    assert callable(point.load())
