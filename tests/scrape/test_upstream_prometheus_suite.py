"""
Upstream's own tests of its exporter, run against ours.

They come from the source distribution of the installed version, which is kept in the user's cache folder.
"""

import importlib.metadata
import importlib.util
import os
import subprocess
import sys
import tarfile
import unittest
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from unittest import mock

import pytest
from opentelemetry.exporter import prometheus as upstream
from opentelemetry.exporter.prometheus import _mapping as upstream_mapping
from opentelemetry.sdk.metrics.export import MetricsData
from prometheus_client import REGISTRY
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, InfoMetricFamily
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from tachograph import notices
from tachograph.catalogue.prometheus import label_name, metric_name, unit_suffix
from tachograph.scrape.labels import label_value
from tachograph.scrape.reader import PrometheusReader
from tachograph.scrape.render import EOF, Format, Memory, chunks, lines

PROJECT = "opentelemetry-exporter-prometheus"
NO_RESOURCE_LABELS = "labels from the resource are target_info's, which is where the specification puts them"
NO_EMPTY_LABELS = "an empty label is none to Prometheus, and upstream adds empty scope labels"

# What may fail, and why. A test that is here and passes is an error too.
EXCEPTIONS = {
    "test_resource_attr_filter_labels": NO_RESOURCE_LABELS,
    "test_resource_attr_filter_receives_raw_keys": NO_RESOURCE_LABELS,
    "test_resource_attr_filter_text_format": NO_RESOURCE_LABELS,
    "test_resource_attr_filter_with_scope_labels_text_format": NO_RESOURCE_LABELS,
    "test_scope_info_labels_text_format": NO_EMPTY_LABELS,
    "test_multiple_data_points_with_different_label_sets": "each sample has its own labels and no empty ones of others",
    "test_metric_name": "the Collector drops underscores at the edges of a name",
    "test_sanitize_full_name": "the Collector keeps a leading digit and drops underscores at the edges",
    "test_sanitize_attribute": "the Collector puts a leading digit behind key_ instead of replacing it",
    "test_map_unit": "the Collector spells out a unit before an empty denominator",
}

FAMILIES = {
    "counter": CounterMetricFamily,
    "gauge": GaugeMetricFamily,
    "histogram": HistogramMetricFamily,
    "info": InfoMetricFamily,
}


class Collector:
    """Our rendering in the shape of upstream's collector: metrics in, prometheus_client's families out."""

    def __init__(self, disable_target_info=False, scope_info_enabled=True, prefix="", resource_attribute_filter=None):
        self._form = Format(True, not disable_target_info, scope_info_enabled)
        self._prefix = prefix
        self._data = None
        self._callback = lambda: None

    _check_value = staticmethod(label_value)

    def add_metrics_data(self, data):
        self._data = data

    def collect(self):
        self._callback()
        data, self._data = self._data, None
        parts = lines(self._prefixed(data), self._form, Memory(), set()) if data else []
        text = b"".join(chunks(parts)).decode() + EOF
        yield from map(self._family, text_string_to_metric_families(text))

    def _family(self, parsed):
        unit = {"unit": parsed.unit} if parsed.unit else {}
        family = FAMILIES[parsed.type](parsed.name, parsed.documentation, **unit)
        family.samples = parsed.samples
        return family

    def _prefixed(self, data):
        """Upstream can prefix all names; that is a change of what is rendered, not of how."""
        if not self._prefix:
            return data

        def renamed(scope):
            metrics = [replace(metric, name=f"{self._prefix}_{metric.name}") for metric in scope.metrics]
            return replace(scope, metrics=metrics)

        resources = [
            replace(each, scope_metrics=list(map(renamed, each.scope_metrics))) for each in data.resource_metrics
        ]
        return MetricsData(resources)


class Reader(PrometheusReader):
    """Our reader in the shape of upstream's."""

    def __init__(
        self,
        disable_target_info=False,
        prefix="",
        scope_info_enabled=True,
        *,
        resource_attribute_filter=None,
        registry=REGISTRY,
    ):
        super().__init__(target_info=not disable_target_info, scope_labels=scope_info_enabled)
        self._collector = Collector(disable_target_info, scope_info_enabled, prefix, resource_attribute_filter)
        self._collector._callback = self.collect
        self._registry = registry
        registry.register(self._collector)

    def _receive_metrics(self, metrics_data, timeout_millis=10_000, **kwargs):
        self._collector.add_metrics_data(metrics_data)

    def shutdown(self, timeout_millis=30_000, **kwargs):
        super().shutdown()
        with suppress(KeyError):
            self._registry.unregister(self._collector)


def exporter_module():
    """Upstream's module with our classes in it."""
    module = ModuleType(upstream.__name__)
    vars(module).update({name: value for name, value in vars(upstream).items() if name.startswith("_OTEL")})
    module.PrometheusMetricReader, module._CustomCollector = Reader, Collector
    return module


def mapping_module():
    """Upstream's naming rules with ours in their place."""
    module = ModuleType(upstream_mapping.__name__)
    module.sanitize_full_name = lambda name: metric_name(name, "", "up_down_counter")
    module.sanitize_attribute = label_name
    module.map_unit = unit_suffix
    return module


def cache():
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tachograph-tests"


def pip(*arguments):
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q", *arguments]
    run = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    if run.returncode:
        pytest.skip(f"UPSTREAM'S TESTS DID NOT RUN: pip cannot get them: {run.stderr.strip().splitlines()[-1:]}")


@pytest.fixture(scope="module")
def sources():
    """The folder of upstream's tests, and on the import path what they need."""
    version = importlib.metadata.version(PROJECT)
    folder = cache() / f"{PROJECT}-{version}"
    tests = folder / f"{PROJECT.replace('-', '_')}-{version}" / "tests"
    utils = folder / "utils"
    if not tests.exists():
        requirement = f"{PROJECT}=={version}"
        pip("download", "--no-deps", f"--no-binary={PROJECT}", "-d", str(folder), requirement)
        [archive] = folder.glob("*.tar.gz")
        with tarfile.open(archive) as tar:
            tar.extractall(folder, filter="data")
    if not (utils / "opentelemetry" / "test").exists():
        pip("install", "--no-deps", "--target", str(utils), f"opentelemetry-test-utils=={version}")
    return tests, utils


@pytest.fixture(scope="module")
def outcomes(sources):
    """Each test of theirs by name, with what went wrong or None."""
    tests, utils = sources
    found = {}
    modules = {upstream.__name__: exporter_module(), upstream_mapping.__name__: mapping_module()}
    modules["opentelemetry.test.metrictestutil"] = load(utils / "opentelemetry" / "test" / "metrictestutil.py")
    with mock.patch.dict(sys.modules, modules):
        for name in ("test_prometheus_exporter", "test_mapping"):
            suite = unittest.defaultTestLoader.loadTestsFromModule(load(tests / f"{name}.py"))
            found.update(run(suite))
    return found


def load(path):
    spec = importlib.util.spec_from_file_location(f"upstream_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(suite):
    registered = dict(REGISTRY._collector_to_names)
    for case in (case for group in suite for case in group):
        notices.forget()
        result = unittest.TestResult()
        case.run(result)
        wrong = [trace for _, trace in result.errors + result.failures]
        yield case.id().rpartition(".")[2], "\n".join(wrong) or None
    for collector in set(REGISTRY._collector_to_names) - set(registered):
        REGISTRY.unregister(collector)


class TestUpstream:
    def test_everything_passes_but_the_named_exceptions(self, outcomes):
        """What upstream promises of its exporter holds for ours."""
        failed = {name: wrong for name, wrong in outcomes.items() if wrong and name not in EXCEPTIONS}
        assert not failed, "\n\n".join(failed.values())

    def test_every_exception_is_still_needed(self, outcomes):
        """The list is honest: what is on it fails, where the installed version has it."""
        assert [name for name in EXCEPTIONS if name in outcomes and not outcomes[name]] == []

    def test_they_are_many(self, outcomes):
        """An empty suite would prove nothing."""
        assert len(outcomes) > 25
