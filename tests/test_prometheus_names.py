import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tachograph.catalogue.prometheus import label_name, metric_name, unit_suffix

KINDS = st.sampled_from(["counter", "histogram", "gauge", "up_down_counter"])
UNITS = st.one_of(st.sampled_from(["", "1", "s", "By/s", "{call}", "%", "USD", "1/s", "m/", "/"]), st.text(max_size=8))


class TestMetricNames:
    @pytest.mark.parametrize(
        ("name", "unit", "kind", "expected"),
        [
            ("tachograph.tool.calls", "{call}", "counter", "tachograph_tool_calls_total"),
            ("tachograph.tool.duration", "s", "histogram", "tachograph_tool_duration_seconds"),
            ("tachograph.budget.utilization", "1", "gauge", "tachograph_budget_utilization_ratio"),
            ("tachograph.llm.cost", "USD", "counter", "tachograph_llm_cost_USD_total"),
            ("items", "1", "counter", "items_total"),
            ("open.files", "1", "up_down_counter", "open_files"),
            ("share", "1", "histogram", "share"),
            ("memory.usage", "By", "gauge", "memory_usage_bytes"),
            ("requests", "1/s", "gauge", "requests_per_second"),
            ("throughput", "By/s", "gauge", "throughput_bytes_per_second"),
            ("pressure", "%", "gauge", "pressure_percent"),
            ("custom", "By/{custom}", "gauge", "custom_bytes"),
            ("custom", "unit@with#special/chars", "gauge", "custom_unit_with_special_per_chars"),
            ("metric__with--runs", "unit__too", "gauge", "metric_with_runs_unit_too"),
            ("metric:with:colons", "", "gauge", "metric:with:colons"),
        ],
    )
    def test_a_name_is_what_the_collector_makes_of_it(self, name, unit, kind, expected):
        """Characters, units and types are translated as the compatibility specification says."""
        assert metric_name(name, unit, kind) == expected

    @pytest.mark.parametrize(
        ("name", "unit", "kind", "expected"),
        [
            ("response.time.seconds", "s", "gauge", "response_time_seconds"),
            ("seconds.spent", "s", "counter", "seconds_spent_total"),
            ("cpu.seconds.total", "s", "counter", "cpu_seconds_total"),
            ("total.requests", "", "counter", "requests_total"),
            ("total", "", "counter", "total_total"),
            ("cpu.usage.ratio", "1", "gauge", "cpu_usage_ratio"),
            ("traffic.bytes", "By/s", "gauge", "traffic_bytes_per_second"),
            ("traffic.bytes_per_second", "By/s", "gauge", "traffic_bytes_per_second"),
        ],
    )
    def test_a_suffix_is_there_once(self, name, unit, kind, expected):
        """What the name says already is not said again."""
        assert metric_name(name, unit, kind) == expected

    def test_a_leading_digit_is_kept_behind_an_underscore(self):
        """A name may not begin with a digit."""
        assert metric_name("3d.prints", "", "gauge") == "_3d_prints"

    def test_a_name_of_nothing_sayable_is_still_a_name(self):
        """A metric is served even if its name is lost."""
        assert metric_name("字", "", "gauge") == "_"

    @settings(deadline=None)
    @given(st.text(max_size=20), UNITS, KINDS)
    def test_every_name_is_valid(self, name, unit, kind):
        """Whatever a metric is called, Prometheus can read its name, and a counter's ends in _total."""
        made = metric_name(name, unit, kind)
        assert re.fullmatch(r"[a-zA-Z_:][a-zA-Z0-9_:]*", made)
        assert "__" not in made
        assert kind != "counter" or made.endswith("_total")


class TestUnits:
    @pytest.mark.parametrize(
        ("unit", "expected"),
        [
            ("s", "seconds"),
            ("KiBy", "kibibytes"),
            ("m/s", "meters_per_second"),
            ("km/h", "km_per_hour"),
            ("{foo}/s", "per_second"),
            ("g{dogfood}", "grams"),
            ("m/{bar}", "meters"),
            ("1", ""),
            ("{request}", ""),
            ("{{{;@#$}}}", ""),
            ("____", ""),
            ("1:foo#@!", "1:foo"),
        ],
    )
    def test_a_unit_is_spelled_out(self, unit, expected):
        """Abbreviations become words, annotations nothing."""
        assert unit_suffix(unit) == expected

    def test_only_a_gauge_of_one_is_a_ratio(self):
        """The Collector says ratio of gauges and of nothing else."""
        assert [unit_suffix("1", kind) for kind in ("gauge", "counter", "histogram", "up_down_counter")] == [
            "ratio",
            "",
            "",
            "",
        ]


class TestLabelNames:
    @pytest.mark.parametrize(
        ("key", "expected"),
        [
            ("gen_ai.tool.name", "gen_ai_tool_name"),
            ("with:colons", "with_colons"),
            ("123label", "key_123label"),
            ("_private", "_private"),
            ("__reserved__name__", "_reserved_name_"),
            ("ようこそ", "_"),
            ("", "_"),
        ],
    )
    def test_a_key_becomes_a_label_name(self, key, expected):
        """Runs of other characters are one underscore, a leading digit is prefixed."""
        assert label_name(key) == expected

    @settings(deadline=None)
    @given(st.text(max_size=20))
    def test_every_label_name_is_valid_and_none_is_reserved(self, key):
        """Prometheus keeps names with two leading underscores for itself."""
        made = label_name(key)
        assert re.fullmatch(r"[a-zA-Z_][a-zA-Z0-9_]*", made)
        assert not made.startswith("__")
