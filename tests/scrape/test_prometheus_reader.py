import math
import threading

import pytest
from opentelemetry import trace
from opentelemetry.metrics import Observation
from opentelemetry.sdk.metrics import AlwaysOnExemplarFilter, Exemplar, TraceBasedExemplarFilter
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.metrics.view import View
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from prometheus_support import Bench, lines, read

from tachograph.contain import faults
from tachograph.scrape import labels as labels_module
from tachograph.scrape.exemplars import Exemplars
from tachograph.scrape.labels import LabelTexts
from tachograph.scrape.points import Number
from tachograph.scrape.reader import PrometheusReader
from tachograph.scrape.render import Format, Memory, chunks
from tachograph.scrape.render import lines as rendered

CUMULATIVE = AggregationTemporality.CUMULATIVE


def document(*metrics, openmetrics=False, scopes=None, resource=None):
    """A document of metrics that were never measured; one scope each where `scopes` are given."""
    scopes = scopes or [InstrumentationScope("") for _ in metrics]
    data = MetricsData(
        [
            ResourceMetrics(
                resource or Resource({}),
                [ScopeMetrics(scope, [metric], "") for scope, metric in zip(scopes, metrics, strict=True)],
                "",
            )
        ]
    )
    parts = rendered(data, Format(openmetrics=openmetrics), Memory(), set())
    return b"".join(chunks(parts)).decode() + ("# EOF\n" if openmetrics else "")


def number_metric(value=1, attributes=None, *, name="things", type_="gauge", unit="", exemplars=(), help_="x"):
    point = NumberDataPoint(attributes or {}, 0, 0, value, list(exemplars))
    data = Gauge([point]) if type_ == "gauge" else Sum([point], CUMULATIVE, is_monotonic=type_ == "counter")
    return Metric(name, help_, unit, data)


def histogram_metric(bounds, counts, *, total=1.0, attributes=None, exemplars=()):
    point = HistogramDataPoint(attributes or {}, 0, 0, sum(counts), total, counts, bounds, 0, 0, list(exemplars))
    return Metric("spread", "x", "", Histogram([point], CUMULATIVE))


class TestSamples:
    def test_every_kind_has_its_type(self):
        """Monotonic sums are counters, other sums and gauges are gauges, histograms are histograms."""
        bench = Bench()
        bench.meter.create_counter("a").add(1)
        bench.meter.create_up_down_counter("b").add(-2)
        bench.meter.create_gauge("c").set(3)
        bench.meter.create_histogram("d").record(4)
        types = {name: family.type for name, family in bench.families().items()}
        assert types == {"target_info": "gauge", "a": "counter", "b": "gauge", "c": "gauge", "d": "histogram"}

    def test_each_sample_has_its_own_labels(self):
        """Two scopes with one name and different labels are one family, and nobody gets the other's labels."""
        bench = Bench(PrometheusReader())
        bench.provider.get_meter("one", "1.0").create_counter("calls", description="c").add(1, {"x": "1"})
        bench.provider.get_meter("two").create_counter("calls", description="c").add(2, {"y": "2"})
        assert bench.samples("calls_total") == [
            ({"otel_scope_name": "one", "otel_scope_version": "1.0", "x": "1"}, 1),
            ({"otel_scope_name": "two", "y": "2"}, 2),
        ]
        assert len(lines(bench.reader.text(), "# TYPE calls_total")) == 1

    def test_a_scope_is_named_with_all_it_has(self):
        """The schema URL and the attributes of a scope are labels too, and its own names win over its attributes."""
        bench = Bench(PrometheusReader())
        meter = bench.provider.get_meter("one", "", "https://schema", {"region": "eu", "name": "not me"})
        meter.create_counter("calls").add(1)
        assert bench.samples("calls_total") == [
            ({"otel_scope_name": "one", "otel_scope_schema_url": "https://schema", "otel_scope_region": "eu"}, 1)
        ]

    def test_scope_labels_and_target_can_be_left_out(self):
        """Both are options of the reader."""
        bench = Bench(PrometheusReader(target_info=False, scope_labels=False))
        bench.provider.get_meter("one", "1.0").create_counter("calls").add(1)
        assert bench.reader.text() == "# HELP calls_total calls\n# TYPE calls_total counter\ncalls_total 1\n"

    def test_labels_that_become_one_are_joined_in_order_of_their_keys(self):
        """The specification joins the values with a semicolon."""
        bench = Bench()
        bench.meter.create_counter("calls").add(1, {"a_b": "second", "a.b": "first"})
        assert bench.samples("calls_total") == [({"a_b": "first;second"}, 1)]

    def test_values_that_are_not_strings_are_json(self):
        """Booleans, numbers and arrays read as JSON, bytes as base64."""
        text = document(number_metric(1, {"a": True, "b": 1, "c": 1.5, "d": ("x", "y"), "e": None, "f": b"\x00"}))
        assert read(text)["things"].samples[0].labels == {
            "a": "true",
            "b": "1",
            "c": "1.5",
            "d": '["x", "y"]',
            "e": "null",
            "f": '"AA=="',
        }

    def test_equal_values_of_other_types_keep_their_own_text(self):
        """One, 1.0 and True are equal in Python and are not the same label."""
        texts = LabelTexts()
        sets = [{"a": 1}, {"a": 1.0}, {"a": True}]
        assert [texts.of(each, "", {}, le=False) for each in sets] == ['a="1"', 'a="1.0"', 'a="true"']

    def test_a_kept_text_is_the_one_of_its_attribute_set(self, monkeypatch):
        """The cache is bounded, and starting again changes nothing."""
        monkeypatch.setattr(labels_module, "_KEPT", 2)
        texts = LabelTexts()
        sets = [{"a": str(number)} for number in range(5)]
        for _ in range(2):
            assert [texts.of(each, "", {}, le=False) for each in sets] == [f'a="{n}"' for n in range(5)]

    @pytest.mark.parametrize("openmetrics", [False, True])
    @pytest.mark.parametrize("value", ['say "hi"', "back\\slash", "two\nlines", "\\n", "a,b=c}", "ünï", " # {"])
    def test_any_text_survives_as_a_label_and_as_help(self, value, openmetrics):
        """Escaping and parsing give the same text back."""
        text = document(number_metric(1, {"a": value}, help_=f"x{value}x"), openmetrics=openmetrics)
        family = read(text, openmetrics=openmetrics)["things"]
        assert (family.samples[0].labels["a"], family.documentation) == (value, f"x{value}x")

    def test_a_lone_surrogate_is_replaced(self):
        """UTF-8 cannot say it, and a scrape must not fail on it; sets that become the same are joined."""
        data = Sum([NumberDataPoint({"a": half}, 0, 0, 1) for half in ("\ud800", "\udfff")], CUMULATIVE, True)
        family = read(document(Metric("calls", "\ud800", "", data)))["calls"]
        assert (family.documentation, family.samples[0].labels, family.samples[0].value) == ("?", {"a": "?"}, 2)

    def test_the_label_le_of_a_histogram_gives_way(self):
        """The bucket's bound needs the name; elsewhere the label is free."""
        spread = read(document(histogram_metric([1], [1, 0], attributes={"le": "mine"})))["spread"]
        assert spread.samples[0].labels == {"le": "1.0", "exported_le": "mine"}
        assert read(document(number_metric(1, {"le": "mine"})))["things"].samples[0].labels == {"le": "mine"}

    def test_a_metric_without_a_description_is_described_by_its_name(self):
        """promtool asks for a help text, and the name before translation says something."""
        assert "# HELP some_things some.things\n" in document(number_metric(name="some.things", help_=""))


class TestNumbers:
    @pytest.mark.parametrize(
        ("value", "written"),
        [
            (1, "1"),
            (2**60 + 1, "1152921504606846977"),
            (-3, "-3"),
            (True, "1"),
            (0.1, "0.1"),
            (1e300, "1e+300"),
            (math.inf, "+Inf"),
            (-math.inf, "-Inf"),
            (math.nan, "NaN"),
            (10**400, "+Inf"),
            (-(10**400), "-Inf"),
        ],
        ids=range(11),
    )
    def test_a_value_is_written_as_prometheus_reads_it(self, value, written):
        """Integers keep their digits, infinities and NaN have Prometheus' names."""
        assert lines(document(number_metric(value)), "things ") == [f"things {written}"]

    def test_bounds_are_canonical(self):
        """OpenMetrics has one way to write each bound."""
        text = document(histogram_metric([-2500000.0, 0, 0.005, 1, 25, 1000000, 12345678.9], [1] * 8))
        les = [line.partition('le="')[2].partition('"')[0] for line in lines(text, "spread_bucket")]
        assert les == ["-2500000.0", "0.0", "0.005", "1.0", "25.0", "1e+06", "1.23456789e+07", "+Inf"]


class TestHistograms:
    def test_buckets_are_cumulative_and_end_in_infinity(self):
        """The last bucket is the count."""
        text = document(histogram_metric([1, 5], [1, 2, 3], total=40))
        assert lines(text, "spread") == [
            'spread_bucket{le="1.0"} 1',
            'spread_bucket{le="5.0"} 3',
            'spread_bucket{le="+Inf"} 6',
            "spread_count 6",
            "spread_sum 40",
        ]

    @pytest.mark.parametrize(
        ("bounds", "counts"), [([], [3]), ([], []), ([1, math.inf], [1, 2, 0]), ([1, 1], [1, 0, 2])]
    )
    def test_unusual_bounds_are_no_error(self, bounds, counts):
        """No bounds, an infinite one and a repeated one give one bucket per bound."""
        metric = histogram_metric(bounds, counts)
        family = read(document(metric, openmetrics=True), openmetrics=True)["spread"]
        buckets = [sample for sample in family.samples if sample.name == "spread_bucket"]
        assert buckets[-1].labels == {"le": "+Inf"}
        assert buckets[-1].value == sum(counts)

    @pytest.mark.parametrize(("bounds", "total"), [([-1, 1], 5), ([1, 2], -5), ([1, 2], math.nan)])
    def test_a_sum_that_openmetrics_forbids_is_left_out_there(self, bounds, total):
        """Where measurements can be negative the sum is no counter; the text format has it."""
        metric = histogram_metric(bounds, [1, 1, 1], total=total)
        assert "spread_sum" not in document(metric, openmetrics=True)
        assert read(document(metric, openmetrics=True), openmetrics=True)["spread"]
        assert "spread_sum" in document(metric)


class TestConflicts:
    def test_the_first_help_is_served_and_the_other_said_once(self, capsys):
        """A family has one HELP."""
        bench = Bench()
        bench.provider.get_meter("one").create_counter("calls", description="first").add(1)
        bench.provider.get_meter("two").create_counter("calls", description="second").add(1)
        assert [bench.families()["calls"].documentation for _ in range(2)] == ["first", "first"]
        assert capsys.readouterr().err.count("more than one HELP") == 1

    def test_metrics_whose_names_become_one_are_one_family(self):
        """Counters of the same full label set are added."""
        metrics = [number_metric(2, name=name, type_="counter") for name in ("a.b", "a_b")]
        assert [sample.value for sample in read(document(*metrics))["a_b"].samples] == [4]

    def test_the_last_gauge_of_the_same_labels_wins(self):
        """Gauges cannot be added."""
        assert read(document(number_metric(2), number_metric(3)))["things"].samples[0].value == 3

    def test_histograms_of_the_same_bounds_are_added(self):
        """Count by count, and their sums."""
        text = document(histogram_metric([1], [1, 2], total=3), histogram_metric([1], [10, 20], total=30))
        assert lines(text, "spread") == [
            'spread_bucket{le="1.0"} 11',
            'spread_bucket{le="+Inf"} 33',
            "spread_count 33",
            "spread_sum 33",
        ]

    def test_histograms_of_other_bounds_are_not(self, capsys):
        """The first stays, and the other is said once."""
        metrics = histogram_metric([1], [1, 2]), histogram_metric([2], [10, 20])
        assert [lines(document(*metrics), "spread_count") for _ in range(2)] == [["spread_count 3"]] * 2
        assert capsys.readouterr().err.count("other bucket bounds") == 1

    def test_another_type_is_dropped_and_said_once(self, capsys):
        """There is never a second TYPE for a name."""
        metrics = number_metric(1, name="a.total", type_="counter"), number_metric(2, name="a_total")
        for _ in range(2):
            assert lines(document(*metrics), "# TYPE") == ["# TYPE a_total counter"]
        assert capsys.readouterr().err.count("is not served: a_total is a counter") == 1

    def test_a_name_that_only_openmetrics_takes_twice_is_dropped_there(self, capsys):
        """Without its _total a counter has a gauge's name; the text format has room for both."""
        metrics = number_metric(1, name="a", type_="counter"), number_metric(2, name="a")
        for _ in range(2):
            assert set(read(document(*metrics, openmetrics=True), openmetrics=True)) == {"a"}
        assert lines(document(*metrics), "# TYPE") == ["# TYPE a_total counter", "# TYPE a gauge"]
        assert capsys.readouterr().err.count("is not served as OpenMetrics") == 1

    def test_nobody_takes_a_sample_of_a_histogram(self):
        """`spread_count` belongs to the histogram `spread`."""
        text = document(histogram_metric([1], [1, 0]), number_metric(7, name="spread.count"))
        assert lines(text, "spread_count") == ["spread_count 1"]

    def test_a_metric_called_target_info_does_not_replace_the_target(self):
        """There is one target."""
        text = document(number_metric(name="target.info"), resource=Resource({"a": "b"}))
        assert lines(text, "target_info") == ['target_info{a="b"} 1']

    def test_data_that_prometheus_does_not_know_is_said_once(self, capsys):
        """A summary, say, of some later SDK."""
        for _ in range(2):
            assert document(Metric("odd", "", "", object())) == ""
        assert capsys.readouterr().err.count("metric odd is not served") == 1


class TestOpenMetrics:
    def test_units_and_names_follow_its_rules(self):
        """A counter's family has no _total, a unit is declared where the name ends in it, and there is one end."""
        text = document(
            number_metric(1, name="spent", unit="s", type_="counter"),
            number_metric(1, name="seconds.left", unit="s"),
            openmetrics=True,
        )
        assert text == (
            "# HELP spent_seconds x\n# TYPE spent_seconds counter\n# UNIT spent_seconds seconds\n"
            "spent_seconds_total 1\n# HELP seconds_left x\n# TYPE seconds_left gauge\nseconds_left 1\n# EOF\n"
        )

    def test_the_target_is_an_info(self):
        """OpenMetrics has a type for it."""
        bench = Bench()
        bench.meter.create_counter("calls").add(1)
        target = bench.families(openmetrics=True)["target"]
        assert (target.type, target.samples[0].labels) == ("info", {"service_name": "tests"})

    def test_a_counter_below_zero_is_left_out_there(self, capsys):
        """A callback may observe one; it is no counter to OpenMetrics."""
        metric = number_metric(-1, name="calls", type_="counter")
        for _ in range(2):
            assert "calls_total" not in document(metric, openmetrics=True)
        assert "calls_total -1" in document(metric)
        assert capsys.readouterr().err.count("a counter cannot be -1") == 1


class TestExemplars:
    def exemplar(self, value=1, at=1, *, trace_id=None, span_id=None, **attributes):
        return Exemplar(attributes, value, at, span_id, trace_id)

    def of(self, metric, name):
        family = read(document(metric, openmetrics=True), openmetrics=True)[metric.name]
        return [sample.exemplar for sample in family.samples if sample.name == name]

    def test_a_measurement_in_a_span_leads_to_its_trace(self):
        """The identifiers are hexadecimal, as traces show them."""
        bench = Bench(exemplar_filter=TraceBasedExemplarFilter())
        tracer = TracerProvider(shutdown_on_exit=False).get_tracer("t")
        with tracer.start_as_current_span("s") as span:
            bench.meter.create_counter("calls").add(2)
            bench.meter.create_histogram("spread").record(3)
        context = span.get_span_context()
        expected = {
            "trace_id": trace.format_trace_id(context.trace_id),
            "span_id": trace.format_span_id(context.span_id),
        }
        found = [
            (sample.name, sample.exemplar.labels, sample.exemplar.value)
            for family in bench.families(openmetrics=True).values()
            for sample in family.samples
            if sample.exemplar
        ]
        assert found == [("calls_total", expected, 2), ("spread_bucket", expected, 3)]
        assert "trace_id" not in bench.reader.text()

    def test_who_scrapes_second_gets_them_too(self):
        """The textfile, a second Prometheus or a curious curl takes no exemplar from anybody."""
        bench = Bench(exemplar_filter=AlwaysOnExemplarFilter())
        bench.meter.create_counter("calls").add(2)
        spread = bench.meter.create_histogram("spread", explicit_bucket_boundaries_advisory=[1, 5])
        spread.record(3)
        bench.reader.text()
        spread.record(7)

        found = [
            (sample.name, sample.exemplar.value)
            for family in bench.families(openmetrics=True).values()
            for sample in family.samples
            if sample.exemplar
        ]
        assert found == [("calls_total", 2), ("spread_bucket", 3), ("spread_bucket", 7)]

    def test_the_newest_takes_the_place_of_an_older_one(self):
        """One per bucket, however many scrapes have passed."""
        bench = Bench(exemplar_filter=AlwaysOnExemplarFilter())
        calls = bench.meter.create_counter("calls")
        calls.add(2)
        bench.reader.text()
        calls.add(5)

        (family,) = [each for name, each in bench.families(openmetrics=True).items() if name == "calls"]
        assert [sample.exemplar.value for sample in family.samples if sample.exemplar] == [5]

    def test_what_is_kept_is_bounded(self, monkeypatch):
        """Series that come and go do not add up for ever."""
        monkeypatch.setattr("tachograph.scrape.exemplars._KEPT", 2)
        exemplars = Exemplars()
        for number in range(5):
            exemplars.joined("calls", f'n="{number}"', Number(1, [self.exemplar()]))
        assert len(exemplars._kept) <= 2

    def test_attributes_that_a_view_removed_are_told(self):
        """That is what filtered attributes are."""
        bench = Bench(
            views=[View(instrument_name="calls", attribute_keys={"kept"})], exemplar_filter=AlwaysOnExemplarFilter()
        )
        bench.meter.create_counter("calls").add(1, {"kept": "a", "gone.too": 5})
        [sample] = bench.families(openmetrics=True)["calls"].samples
        assert (sample.labels, sample.exemplar.labels) == ({"kept": "a"}, {"gone_too": "5"})

    def test_a_bucket_shows_its_newest(self):
        """One exemplar per bucket, in the bucket that its value falls into, bound included."""
        exemplars = [self.exemplar(1, 9), self.exemplar(0.5, 3), self.exemplar(7, 4), self.exemplar(8, 6)]
        found = self.of(histogram_metric([1, 5], [2, 0, 2], exemplars=exemplars), "spread_bucket")
        assert [each and (each.value, float(each.timestamp) * 1e9) for each in found] == [(1, 9), None, (8, 6)]

    def test_a_counter_shows_its_newest(self):
        """One exemplar per counter."""
        exemplars = [self.exemplar(5, 2), self.exemplar(6, 1)]
        metric = number_metric(11, name="calls", type_="counter", exemplars=exemplars)
        assert [each.value for each in self.of(metric, "calls_total")] == [5]

    def test_a_gauge_has_none(self):
        """OpenMetrics allows them on counters and buckets only."""
        assert (
            " # " not in document(number_metric(exemplars=[self.exemplar()]), openmetrics=True).partition("things ")[2]
        )

    def test_what_does_not_fit_is_left_out(self):
        """128 characters, of which the identifiers take theirs first; a shorter attribute may still fit."""
        exemplar = self.exemplar(trace_id=1, span_id=2, long="x" * 70, short="y", quoted='a"b', trace_id_="z")
        metric = number_metric(1, name="calls", type_="counter", exemplars=[exemplar])
        assert self.of(metric, "calls_total")[0].labels == {
            "trace_id": f"{1:032x}",
            "span_id": f"{2:016x}",
            "short": "y",
            "trace_id_": "z",
        }

    def test_a_moment_keeps_its_nanoseconds(self):
        """A float would round them."""
        exemplar = self.exemplar(1, 1641946016139533244)
        metric = number_metric(1, name="calls", type_="counter", exemplars=[exemplar])
        assert document(metric, openmetrics=True).count("1641946016.139533244") == 1


class TestCollection:
    def test_a_failing_callback_costs_nobody_else(self):
        """Neither one that raises nor one that yields what the SDK cannot store."""
        bench = Bench()
        bench.meter.create_counter("calls").add(1)

        def fail(options):
            raise RuntimeError

        bench.meter.create_observable_gauge("bad", callbacks=[fail])
        bench.meter.create_observable_gauge("good", callbacks=[lambda _: [Observation(2)]])
        # SDK 1.44 ends the collection here, so that an instrument after this one would have no value.
        bench.meter.create_observable_gauge("worse", callbacks=[lambda _: [Observation(1, {"a": [["unhashable"]]})]])
        assert bench.samples("calls_total") == [({}, 1)]
        assert bench.samples("good") == [({}, 2)]

    def test_what_is_stored_is_served_when_a_collection_ends_early(self, monkeypatch):
        """The SDK gives up on the whole collection; everybody else's values are still there. It is counted."""
        bench = Bench()
        bench.meter.create_counter("calls").add(1)
        before = faults().get("scrape.collect", 0)

        class Consumer(type(bench.reader._collect.__self__)):
            def collect(self, *args, **kwargs):
                raise TimeoutError

        monkeypatch.setattr(bench.reader._collect.__self__, "__class__", Consumer)
        bench.reader._set_collect_callback(bench.reader._collect.__self__.collect)
        assert bench.samples("calls_total") == [({}, 1)]
        assert faults()["scrape.collect"] == before + 1

    def test_nothing_is_served_when_nothing_can_be_had(self):
        """A collection that fails for good leaves an empty document."""
        bench = Bench()

        def fail(*args, **kwargs):
            raise TimeoutError

        bench.reader._set_collect_callback(fail)
        assert (bench.reader.text(), bench.reader.text(True)) == ("", "# EOF\n")

    def test_a_rotten_point_costs_itself(self):
        """Its neighbours in the same metric are served, and it is counted."""
        before = faults().get("scrape.point", 0)

        class Rotten:
            def __str__(self):
                raise RuntimeError

        points = [NumberDataPoint({"a": value}, 0, 0, 1) for value in (Rotten(), "good")]
        text = document(Metric("things", "x", "", Gauge(points)))
        assert [sample.labels for sample in read(text)["things"].samples] == [{"a": "good"}]
        assert faults()["scrape.point"] == before + 1

    def test_concurrent_scrapes_are_each_whole(self):
        """Every one of them has one consistent collection."""
        bench = Bench()
        counter = bench.meter.create_counter("calls")
        for number in range(200):
            counter.add(1, {"n": number})
        found = []
        threads = [threading.Thread(target=lambda: found.append(bench.samples("calls_total"))) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [len(samples) for samples in found] == [200] * 4

    def test_a_large_document_comes_in_parts_of_whole_lines(self):
        """Nobody has to join thousands of lines at once."""
        bench = Bench()
        counter = bench.meter.create_counter("calls")
        for number in range(5000):
            counter.add(1, {"n": number})
        parts = list(bench.reader.render())
        assert len(parts) > 3
        assert max(map(len, parts)) < 20_000
        assert all(part.endswith(b"\n") for part in parts)

    def test_nothing_before_a_provider_and_after_shutdown(self):
        """Neither raises, and neither warns."""
        assert PrometheusReader().text() == ""
        bench = Bench()
        bench.meter.create_counter("calls").add(1)
        assert "calls_total" in bench.reader.text()
        bench.provider.shutdown()
        bench.reader.shutdown()
        assert (bench.reader.text(), bench.reader.text(openmetrics=True)) == ("", "# EOF\n")

    def test_a_flush_leaves_the_reader_as_it_is(self):
        """A pull reader has nothing to send."""
        bench = Bench()
        bench.meter.create_counter("calls").add(1)
        assert bench.provider.force_flush()
        assert bench.samples("calls_total") == [({}, 1)]

    def test_a_child_of_a_scraping_process_can_scrape(self):
        """A lock that another thread held at the fork is not the child's."""
        bench = Bench()
        bench.meter.create_counter("calls").add(1)
        with bench.reader._collecting:
            bench.reader.after_fork()
        assert bench.samples("calls_total") == [({}, 1)]

    def test_limits_that_the_sdk_does_not_know_are_left_out(self):
        """Only later SDKs take them."""
        assert PrometheusReader(cardinality_limits={}).text() == ""
