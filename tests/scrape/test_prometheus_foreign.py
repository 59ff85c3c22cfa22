import subprocess
import sys

import prometheus_client
import pytest
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import MeterProvider
from prometheus_client import CollectorRegistry
from prometheus_support import Bench, read

from tachograph.contain import faults


@pytest.fixture
def registry(monkeypatch):
    """The host's registry, fresh for this test."""
    fresh = CollectorRegistry(auto_describe=True)
    monkeypatch.setattr(prometheus_client, "REGISTRY", fresh)
    return fresh


@pytest.fixture(params=[False, True], ids=["text", "openmetrics"])
def served(request):
    """A function that returns the families of one document with the host's in it."""

    def families(bench):
        text = b"".join(bench.reader.render(request.param, host=True)).decode()
        assert text.count("# EOF") == int(request.param)
        return read(text, openmetrics=request.param)

    return families


def measured():
    bench = Bench()
    bench.meter.create_counter("calls", description="ours").add(1)
    return bench


class TestHost:
    def test_its_metrics_are_served_beside_ours(self, registry, served):
        """In one valid document."""
        prometheus_client.Counter("host_calls", "theirs", ["a"], registry=registry).labels("x\ny").inc(2)
        prometheus_client.Histogram("host_seconds", "theirs", registry=registry).observe(1)
        prometheus_client.Info("host_build", "theirs", registry=registry).info({"v": "1"})
        families = served(measured())
        assert families["host_calls"].samples[0].labels == {"a": "x\ny"}
        assert {"calls", "host_seconds"} <= set(families)

    def test_a_name_of_ours_is_dropped_from_theirs(self, registry, served, capsys):
        """And said once."""
        prometheus_client.Counter("calls", "theirs", registry=registry).inc(5)
        prometheus_client.Gauge("other", "theirs", registry=registry).set(6)
        bench = measured()
        for _ in range(2):
            families = served(bench)
            assert families["calls"].documentation == "ours"
            assert "other" in families
        assert capsys.readouterr().err.count("calls of the prometheus_client registry is not served") == 1

    def test_a_failing_collector_costs_its_own(self, registry, served):
        """Ours and the other collectors are served, and it is counted."""

        class Failing:
            def describe(self):
                return []

            def collect(self):
                raise RuntimeError

        registry.register(Failing())
        prometheus_client.Gauge("other", "theirs", registry=registry).set(6)
        before = faults().get("scrape.foreign", 0)
        assert {"calls", "other"} <= set(served(measured()))
        assert faults()["scrape.foreign"] == before + 1

    def test_upstream_s_reader_is_not_served_a_second_time(self, registry, served):
        """It shows what ours shows, in other words."""
        upstream = PrometheusMetricReader(registry=registry)
        provider = MeterProvider(metric_readers=[upstream], shutdown_on_exit=False)
        provider.get_meter("m").create_counter("twice").add(1)
        assert "twice" not in served(measured())

    def test_its_target_gives_way_to_ours(self, registry, served):
        """There is one target; the host's is served when we have none."""
        registry.set_target_info({"host": "1"})
        found = served(measured())
        target = found.get("target") or found["target_info"]
        assert target.samples[0].labels == {"service_name": "tests"}
        empty = served(Bench())
        assert (empty.get("target") or empty["target_info"]).samples[0].labels == {"host": "1"}

    def test_a_registry_that_hides_its_collectors_is_asked_as_a_whole(self, served, monkeypatch):
        """It need not be the library's own class."""

        class Registry:
            def collect(self):
                return [prometheus_client.metrics_core.GaugeMetricFamily("other", "theirs", 1)]

        monkeypatch.setattr(prometheus_client, "REGISTRY", Registry())
        assert "other" in served(measured())

    def test_something_else_of_the_library_s_name_is_left_alone(self, served, monkeypatch):
        """It has no registry."""
        monkeypatch.setitem(sys.modules, "prometheus_client", object())
        assert "calls" in served(measured())

    def test_a_registry_of_another_make_costs_ours_nothing(self, served, monkeypatch):
        """What it cannot do is counted."""
        monkeypatch.setattr(prometheus_client, "REGISTRY", object())
        before = faults().get("scrape.foreign", 0)
        assert "calls" in served(measured())
        assert faults()["scrape.foreign"] == before + 1

    def test_a_host_without_the_library_is_left_without_it(self):
        """Rendering does not import it."""
        code = (
            "import sys; from tachograph.scrape.reader import PrometheusReader\n"
            "print(list(PrometheusReader().render(host=True)), 'prometheus_client' in sys.modules)"
        )
        run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert run.stdout == "[] False\n"
