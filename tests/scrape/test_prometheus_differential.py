"""Upstream's own exporter as the oracle: the same measurements through both, equal but for what is named here."""

import re
from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.metrics import Observation
from opentelemetry.sdk.metrics import AlwaysOnExemplarFilter, MeterProvider
from opentelemetry.sdk.metrics.view import View
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families
from prometheus_support import RESOURCE

from tachograph.scrape.reader import PrometheusReader

KINDS = ["counter", "up_down_counter", "gauge", "histogram", "o_counter", "o_up_down_counter", "o_gauge"]
UNITS = ["", "1", "s", "ms", "By", "KiBy", "By/s", "{call}", "%", "USD", "1/s", "m/s", "{x}/s", "GBy", "m/", "a#b"]

# Why a name may differ from upstream's, each with the condition under which it does.
NAMES: dict[str, Callable[[str, str, str], bool]] = {
    "upstream has no _ratio for gauges of the unit 1": lambda name, unit, kind: unit == "1" and kind.endswith("gauge"),
    "upstream keeps underscores at the end, doubling the one before a suffix": lambda name, unit, kind: (
        not name[-1].isalnum()
    ),
    "upstream keeps a total that is not behind the rest": lambda name, unit, kind: (
        kind in ("counter", "o_counter") and ("total" in words(name)[:-1] or words(name) == ["total"])
    ),
    "upstream repeats a unit that is in the name but not at its end": lambda name, unit, kind: bool(
        set(words(name)) & {"seconds", "bytes", "percent", "meters", "usd"}
    ),
    "upstream does not spell a unit out before an empty denominator": lambda name, unit, kind: unit == "m/",
}


def words(name):
    return re.findall("[a-z0-9]+", name.lower())


class Both:
    """One provider, two readers."""

    def __init__(self, **provider):
        self.registry = CollectorRegistry()
        self.ours = PrometheusReader()
        readers = [self.ours, PrometheusMetricReader(registry=self.registry)]
        self.provider = MeterProvider(metric_readers=readers, resource=RESOURCE, shutdown_on_exit=False, **provider)
        self.meter = self.provider.get_meter("tests", "1.0")

    def measure(self, kind, name, unit, value, attributes):
        """Make an instrument of the kind and measure once."""
        if kind.startswith("o_"):
            make = getattr(self.meter, f"create_observable_{kind[2:]}")
            make(name, [lambda _: [Observation(value, attributes)]], unit, "text")
            return
        instrument = getattr(self.meter, f"create_{kind}")(name, unit, "text")
        getattr(instrument, {"gauge": "set", "histogram": "record"}.get(kind, "add"))(value, attributes)

    def documents(self):
        """Samples as a set, ours and upstream's."""
        return samples(self.ours.text()), samples(generate_latest(self.registry).decode())


def samples(text):
    """Name, labels and value of each sample; an empty label is no label to Prometheus, and bounds are numbers."""
    found = set()
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = {name: value for name, value in sample.labels.items() if value}
            if "le" in labels and sample.name.endswith("_bucket"):
                labels["le"] = str(float(labels["le"]))
            found.add((sample.name, tuple(sorted(labels.items())), float(sample.value)))
    return found


def without_names(document):
    return {(labels, value) for _, labels, value in document}


NAME = st.from_regex(r"[a-zA-Z][-_./a-zA-Z0-9]{0,20}", fullmatch=True) | st.lists(
    st.sampled_from(["total", "ratio", "seconds", "bytes", "info", "count", "per", "second", "x", "usd"]), min_size=1
).map(".".join)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
PLAIN = st.one_of(TEXT, st.booleans(), st.integers(), st.floats(allow_nan=False))


def takes_lists():
    """SDK 1.44 raises for them."""
    try:
        Both().measure("counter", "probe", "", 1, {"a": ["b"]})
    except TypeError:
        return False
    return True


VALUE = st.one_of(PLAIN, st.lists(TEXT, max_size=3)) if takes_lists() else PLAIN
KEY = st.from_regex(r"[a-z][a-z.\-ü/]{0,8}[a-z]", fullmatch=True).filter(
    lambda key: key != "le" and not key.startswith("otel")
)
# Keys that become one label are a difference of their own: upstream keeps the last value, the specification all.
ATTRIBUTES = st.dictionaries(KEY, VALUE, max_size=4).filter(
    lambda found: len({re.sub("[^a-z]+", "_", key) for key in found}) == len(found)
)
AMOUNT = st.one_of(st.integers(0, 2**70), st.floats(0, 1e300))


class TestOracle:
    def test_a_working_day_is_the_same(self):
        """Every kind and several scopes; only upstream's empty scope labels, which are none, are not there."""
        both = Both()
        for place, kind in enumerate(KINDS):
            for turn in range(3):
                both.measure(kind, f"day.{kind}.of{turn}", "s", place + turn, {"tool.name": f"t{turn}", "ok": True})
        other = both.provider.get_meter("other", "2.0", "https://schema", {"region": "eu"})
        other.create_counter("day.other", "By", "text").add(5, {"a": 'x"\\\n'})
        ours, theirs = both.documents()
        assert ours == theirs
        assert len(ours) > 30

    @settings(deadline=None)
    @given(st.sampled_from(KINDS), NAME, st.sampled_from(UNITS), AMOUNT, ATTRIBUTES)
    def test_any_instrument_is_the_same(self, kind, name, unit, value, attributes):
        """Labels and values always, and its name unless a named difference is the reason."""
        both = Both()
        both.measure(kind, name, unit, value, attributes)
        ours, theirs = both.documents()
        assert without_names(ours) == without_names(theirs)
        if not any(applies(name, unit, kind) for applies in NAMES.values()):
            assert ours == theirs

    @settings(deadline=None)
    @given(st.sampled_from(KINDS), NAME, st.sampled_from(UNITS), AMOUNT, ATTRIBUTES, st.sets(KEY, max_size=2))
    def test_any_instrument_is_valid_openmetrics(self, kind, name, unit, value, attributes, kept):
        """With an exemplar of whatever a view has removed; the parser is upstream's own."""
        views = [View(instrument_name="*", attribute_keys=kept)]
        both = Both(views=views, exemplar_filter=AlwaysOnExemplarFilter())
        both.measure(kind, name, unit, value, attributes)
        families = list(parse_openmetrics(both.ours.text(openmetrics=True)))
        assert families[0].name == "target"
        exemplars = [sample.exemplar for family in families for sample in family.samples if sample.exemplar]
        assert len(exemplars) == (kind in ("counter", "o_counter", "histogram"))


class TestNamedDifferences:
    """Each is a fault or an older rule of upstream's; when one goes away there, its place here goes too."""

    def differs(self, measure):
        both = Both()
        measure(both)
        ours, theirs = both.documents()
        assert ours != theirs
        return {name for name, *_ in ours - theirs}, {name for name, *_ in theirs - ours}

    def test_ratio(self):
        """The specification and the Collector say ratio."""
        found = self.differs(lambda both: both.measure("gauge", "share", "1", 0.5, {}))
        assert found == ({"share_ratio"}, {"share"})

    def test_underscores_at_the_end(self):
        """The specification allows no two in a row."""
        found = self.differs(lambda both: both.measure("gauge", "a_", "s", 1, {}))
        assert found == ({"a_seconds"}, {"a__seconds"})

    def test_a_total_that_is_not_at_the_end(self):
        """The Collector moves it."""
        found = self.differs(lambda both: both.measure("counter", "total.calls", "", 1, {}))
        assert found == ({"calls_total"}, {"total_calls_total"})

    def test_a_unit_in_the_name(self):
        """The specification does not repeat it."""
        found = self.differs(lambda both: both.measure("gauge", "seconds.left", "s", 1, {}))
        assert found == ({"seconds_left"}, {"seconds_left_seconds"})

    def test_an_empty_denominator(self):
        """What is left is a unit that has a name."""
        found = self.differs(lambda both: both.measure("gauge", "height", "m/", 1, {}))
        assert found == ({"height_meters"}, {"height_m"})

    def test_labels_that_become_one(self):
        """Upstream loses all values but one."""
        found = self.differs(lambda both: both.measure("gauge", "a", "", 1, {"x.y": "1", "x_y": "2"}))
        assert found == ({"a"}, {"a"})

    def test_a_label_that_begins_with_a_digit(self):
        """Upstream replaces the digit."""
        found = self.differs(lambda both: both.measure("gauge", "a", "", 1, {"1st": "1", "2st": "2"}))
        assert found == ({"a"}, {"a"})

    def test_one_name_with_two_descriptions(self):
        """Upstream writes the family twice, which is no document; here it is one."""
        both = Both()
        for scope in ("one", "two"):
            both.provider.get_meter(scope).create_counter("calls", "", f"text of {scope}").add(1)
        theirs = generate_latest(both.registry).decode()
        assert (both.ours.text().count("# TYPE calls_total"), theirs.count("# TYPE calls_total")) == (1, 2)

    def test_two_scopes_with_different_labels(self):
        """Upstream gives the second scope's values to the first one's labels."""
        both = Both()
        both.provider.get_meter("one").create_counter("calls", "", "text").add(1, {"x": "1"})
        both.provider.get_meter("two").create_counter("calls", "", "text").add(2, {"y": "2"})
        ours, theirs = both.documents()
        expected = ("calls_total", (("otel_scope_name", "two"), ("y", "2")), 2.0)
        assert expected in ours
        assert expected not in theirs
