"""What an application can do to `/metrics` by its names and label sets: it is bounded, and it is said."""

import pytest
from opentelemetry.sdk.metrics.export import MetricReader
from prometheus_support import Bench, lines

from tachograph.scrape import reader as reader_module
from tachograph.scrape.reader import PrometheusReader

OVERFLOW = {"otel_metric_overflow": "true"}


@pytest.fixture
def bench(monkeypatch):
    """A reader of an SDK that does not limit label sets, at most three of each metric."""
    monkeypatch.setattr(reader_module, "_knows", lambda _argument: False)
    return Bench(PrometheusReader(scope_labels=False, series_limit=3))


class TestLabelSets:
    def test_a_counter_keeps_the_first_and_sums_the_rest(self, bench, capsys):
        """However many label sets there are, the total is right, and one line says so."""
        counter = bench.meter.create_counter("calls")
        for number in range(50):
            counter.add(2, {"n": str(number)})
        expected = [({"n": "0"}, 2), ({"n": "1"}, 2), ({"n": "2"}, 2), (OVERFLOW, 94)]
        assert [bench.samples("calls_total") for _ in range(2)] == [expected] * 2
        assert capsys.readouterr().err.count("metric calls has more than 3 label sets") == 1

    def test_no_sum_falls_from_scrape_to_scrape(self, bench):
        """A label set that was served by itself stays so, and one of the rest stays in the rest."""
        counter = bench.meter.create_counter("calls")
        for number in (7, 5):
            counter.add(1, {"n": number})
        first = bench.samples("calls_total")
        for number in range(10):
            counter.add(1, {"n": number})
        then = bench.samples("calls_total")
        assert first == [({"n": "7"}, 1), ({"n": "5"}, 1)]
        assert then == [({"n": "7"}, 2), ({"n": "5"}, 2), ({"n": "0"}, 1), (OVERFLOW, 7)]

    def test_every_kind_has_its_rest(self, bench):
        """Histograms and up-down counters are summed, and of gauges the last is served."""
        spread = bench.meter.create_histogram("spread", explicit_bucket_boundaries_advisory=[1])
        active, level = bench.meter.create_up_down_counter("active"), bench.meter.create_gauge("level")
        for number in range(5):
            spread.record(2, {"n": number})
            active.add(3, {"n": number})
            level.set(number, {"n": number})
        families = bench.families()
        rest = [[s.value for s in families[name].samples if s.labels == OVERFLOW] for name in ("active", "level")]
        assert rest == [[6], [4]]
        assert [(s.name, s.value) for s in families["spread"].samples if s.labels == OVERFLOW] == [
            ("spread_count", 2),
            ("spread_sum", 4),
        ]

    def test_each_metric_has_a_limit_of_its_own(self, bench):
        """A metric of few label sets does not pay for its neighbour's."""
        for number in range(5):
            bench.meter.create_counter("many").add(1, {"n": number})
        bench.meter.create_counter("few").add(1, {"n": 1})
        assert bench.samples("few_total") == [({"n": "1"}, 1)]

    def test_where_the_sdk_limits_them_it_does_that_alone(self, monkeypatch):
        """Two limits of which each keeps other label sets would lose some."""
        monkeypatch.setattr(reader_module, "_knows", lambda argument: argument == "cardinality_limits")
        monkeypatch.setattr(MetricReader, "__init__", _initialise_without_limits(MetricReader.__init__))
        bench = Bench(PrometheusReader(scope_labels=False, cardinality_limits={}, series_limit=1))
        for number in range(3):
            bench.meter.create_counter("calls").add(1, {"n": number})
        assert len(bench.samples("calls_total")) == 3


def _initialise_without_limits(initialise):
    def initialised(self, *args, cardinality_limits=None, **kwargs):
        initialise(self, *args, **kwargs)

    return initialised


class TestCollisions:
    def test_counters_that_become_one_are_added_and_said_once(self, capsys):
        """The line names both."""
        bench = Bench()
        bench.meter.create_counter("c.d").add(1)
        bench.meter.create_counter("c_d").add(2)
        assert [bench.samples("c_d_total") for _ in range(2)] == [[({}, 3)]] * 2
        assert capsys.readouterr().err.count("metrics c.d and c_d are both c_d_total") == 1

    def test_gauges_that_become_one_are_said_once(self, capsys):
        """The last of the same labels is the one that is served."""
        bench = Bench()
        bench.meter.create_gauge("g.x").set(1)
        bench.meter.create_gauge("g_x").set(2)
        assert lines(bench.reader.text(), "g_x ") == ["g_x 2"]
        said = capsys.readouterr().err
        assert said.count("metrics g.x and g_x are both g_x: where their labels are the same, the last one") == 1

    def test_one_name_of_several_scopes_is_no_collision(self, capsys):
        """Everybody who counts the same thing may."""
        bench = Bench()
        for scope in ("one", "two"):
            bench.provider.get_meter(scope).create_counter("calls").add(1)
        assert bench.samples("calls_total") == [({}, 2)]
        assert capsys.readouterr().err == ""

    def test_labels_that_become_one_are_said_once_a_pair(self, capsys):
        """The line names both attributes, however many points have them."""
        bench = Bench()
        counter = bench.meter.create_counter("calls")
        for number in range(3):
            counter.add(1, {"x.y": number, "x/y": "b"})
        assert bench.samples("calls_total")[0] == ({"x_y": "0;b"}, 1)
        assert capsys.readouterr().err.count("attributes 'x.y' and 'x/y' are both the label x_y") == 1

    def test_what_is_said_about_labels_is_bounded(self, capsys):
        """An application may make up its attributes."""
        bench = Bench()
        counter = bench.meter.create_counter("calls")
        for number in range(200):
            counter.add(1, {f"k.{number}": 1, f"k/{number}": 2})
        bench.reader.text()
        assert 0 < capsys.readouterr().err.count("are both the label") <= 100
