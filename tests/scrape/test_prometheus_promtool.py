import os
import shutil
import subprocess

import pytest
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View
from prometheus_support import Bench

from tachograph.scrape.reader import PrometheusReader

PROMTOOL = os.environ.get("TACHOGRAPH_PROMTOOL") or shutil.which("promtool")

pytestmark = pytest.mark.skipif(
    PROMTOOL is None, reason="promtool is neither on PATH nor named by TACHOGRAPH_PROMTOOL: its checks did not run"
)


def complaints(text):
    run = subprocess.run([PROMTOOL, "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    return run.returncode, run.stdout + run.stderr


class TestPromtool:
    def test_it_finds_nothing(self):
        """Every kind of instrument, two scopes of one name, and labels with everything that has to be escaped."""
        view = View(instrument_name="fine.spread", aggregation=ExponentialBucketHistogramAggregation())
        bench = Bench(PrometheusReader(), views=[view])
        for scope in ("one", "two"):
            meter = bench.provider.get_meter(scope, "1.0")
            meter.create_counter("tool.calls", "{call}", "Calls.").add(1, {"gen_ai.tool.name": 'a"b\\c\nd'})
            meter.create_histogram("tool.duration", "s", "Durations.").record(0.3, {"scope": scope})
            meter.create_histogram("fine.spread", "By", "Sizes.").record(12345)
        meter.create_gauge("budget.utilization", "1", "Share.").set(0.5)
        meter.create_up_down_counter("runs.active").add(-1, {"ünï.côde": "\ud800"})
        assert complaints(bench.reader.text()) == (0, "")

    def test_it_would_find_something(self):
        """The check can fail."""
        assert complaints("# TYPE a_total counter\na_total 1\n")[0] != 0
