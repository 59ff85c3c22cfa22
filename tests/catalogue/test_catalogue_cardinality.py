"""Cardinality is a property of the declaration: whatever comes, series stay few, and what is cut is counted."""

import dataclasses

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from tachograph import metrics, notices
from tachograph.catalogue import INSTRUMENTS, OTHER, Instrument, Label
from tachograph.metrics import Held, Measurement, Recorder

VALUES = 10_000


def twin(label: Label) -> Label:
    """The same declaration, with nothing admitted yet."""
    return Label(label.name, values=label.values, cap=label.cap, declarable=label.declarable)


OPEN = {id(label): (each, label) for each in INSTRUMENTS for label in each.labels if not label.is_closed}.values()


@pytest.fixture
def reader():
    return InMemoryMetricReader()


@pytest.fixture
def recorder(reader):
    notices.forget()
    provider = MeterProvider([reader], shutdown_on_exit=False)
    yield Recorder(provider)
    provider.shutdown()
    notices.forget()


def points(reader):
    data = reader.get_metrics_data()
    return {
        metric.name: {tuple(point.attributes.values()): point for point in metric.data.data_points}
        for resource in (data.resource_metrics if data else ())
        for scope in resource.scope_metrics
        for metric in scope.metrics
    }


class TestTenThousand:
    @pytest.mark.parametrize(("each", "label"), OPEN, ids=[f"{each.name} {label.name}" for each, label in OPEN])
    def test_an_open_label_is_bounded_and_exact(self, each, label, recorder, reader, capsys):
        """
        Of 10,000 values the first are kept, the rest is `_OTHER`, counted to the last one, and said in one line.
        """
        own = twin(label)
        counter = dataclasses.replace(each, kind="counter", bounds=(), labels=(own,))
        recorder.record(Measurement(counter, 1, {own.name: f"value-{number}"}) for number in range(VALUES))
        found = points(reader)[each.name]
        said = capsys.readouterr().err.splitlines()

        assert len(found) == own.cap + 1
        assert found[(OTHER,)].value == VALUES - own.cap
        assert recorder.overflow() == {(each.name, own.name): VALUES - own.cap}
        assert recorder.series() == {each.name: own.cap + 1}
        assert len(said) == 1
        assert own.name in said[0]

    def test_two_sets_of_one_name_are_said_each(self, recorder, capsys):
        """
        The one line is one for each set, so that the second mistake is seen as well.
        """
        for n, values in enumerate((("a",), ("b",))):
            counter = Instrument(
                name=f"test.n{n}", kind="counter", unit="1", description="N.", labels=(Label("test.x", values=values),)
            )
            recorder.record(Measurement(counter, 1, {"test.x": "z"}) for _ in range(3))

        said = capsys.readouterr().err.splitlines()
        assert [line.rpartition(" ")[2] for line in said] == ["a", "b"]

    def test_series_are_counted_up_to_a_bound(self, recorder):
        """
        Telling label sets apart takes bounded memory itself.
        """
        counter = Instrument(
            name="test.n",
            kind="counter",
            unit="1",
            description="N.",
            labels=(Label("test.x", cap=1000), Label("test.y")),
        )
        recorder.record(
            Measurement(counter, 1, {"test.x": f"{x}", "test.y": f"{y}"}) for x in range(100) for y in range(50)
        )

        assert recorder.series() == {"test.n": 2000}


class TestObserved:
    LABEL = ("test.x",)

    def gauge(self, name="test.gauge", kind="gauge", cap=2):
        return Instrument(name=name, kind=kind, unit="{x}", description="X.", labels=(Label("test.x", cap=cap),))

    def test_what_is_read_again_overflows_once(self, recorder, reader):
        """
        A scrape is no new value: overflow of what is observed does not grow with the scrapes.
        """
        recorder.observe(self.gauge(), lambda: [(1, {"test.x": word}) for word in "abcd"])
        for _ in range(3):
            points(reader)

        assert recorder.overflow() == {("test.gauge", "test.x"): 2}

    def test_a_fault_costs_one_instrument_its_values(self, recorder, reader, capsys):
        """
        A callback that fails spoils neither the scrape nor its neighbours, before or after it.
        """

        def half():
            yield 1, {"test.x": "a"}
            raise OSError("source is away")

        recorder.observe(self.gauge("test.before"), lambda: [(1, {})])
        recorder.observe(self.gauge("test.half"), half)
        recorder.observe(self.gauge("test.after", "up_down_counter"), lambda: [(-1, {})])
        found = points(reader)

        assert {name: [point.value for point in each.values()] for name, each in found.items()} == {
            "test.before": [1],
            "test.after": [-1],
        }
        assert "source is away" in capsys.readouterr().err

    def test_what_replaces_a_callback_silences_it(self, recorder, reader):
        """
        Observed twice, or bound twice to one provider, an instrument still has its values once.
        """
        for number in (1, 2):
            recorder.observe(self.gauge(kind="counter"), lambda number=number: [(number, {})])
        recorder.bind(recorder._provider)

        assert {name: [point.value for point in each.values()] for name, each in points(reader).items()} == {
            "test.gauge": [2]
        }

    def test_what_is_no_longer_held_disappears(self, recorder, reader):
        """
        A held gauge shows the last whole set; what became `_OTHER` adds up.
        """
        held = Held(self.gauge(), recorder)
        held.replace((number, {"test.x": word}) for word, number in (("a", 1), ("b", 2), ("c", 3), ("d", 4)))
        first = {key: point.value for key, point in points(reader)["test.gauge"].items()}
        held.replace([(5, {"test.x": "b"})])
        second = {key: point.value for key, point in points(reader)["test.gauge"].items()}
        held.after_fork()

        assert first == {("a",): 1, ("b",): 2, (OTHER,): 7}
        assert second == {("b",): 5}
        assert points(reader) == {}

    @pytest.mark.parametrize("forgets", [True, False])
    def test_a_gauge_is_in_every_scrape(self, recorder, reader, monkeypatch, forgets):
        """
        What was set stays until it is set again, with SDKs before 1.45 too, which show it once.
        """
        if not forgets and metrics._sdk_forgets_gauges():
            pytest.skip("this SDK shows a gauge once; the other case is what is done about it")
        monkeypatch.setattr(metrics, "_sdk_forgets_gauges", lambda: forgets)
        gauge = self.gauge()
        for value, word in ((1, "a"), (2, "b"), (3, "a"), (4, "z")):
            recorder.record([Measurement(gauge, value, {"test.x": word})])
        shown = [{key: point.value for key, point in points(reader)["test.gauge"].items()} for _ in range(2)]

        assert shown == [{("a",): 3, ("b",): 2, (OTHER,): 4}] * 2
        assert recorder.overflow() == {("test.gauge", "test.x"): 1}

    def test_the_sdk_is_known_by_its_version(self, monkeypatch):
        """
        The line of the SDK decides; one that cannot be told is a new one.
        """
        answers = []
        for version in ("1.44.0", "1.45.2", "2.0.0", "odd"):
            metrics._sdk_forgets_gauges.cache_clear()
            monkeypatch.setattr(metrics.metadata, "version", lambda _name, version=version: version)
            answers.append(metrics._sdk_forgets_gauges())
        metrics._sdk_forgets_gauges.cache_clear()

        assert answers == [True, False, False, False]

    def test_a_forked_child_counts_from_zero(self, recorder):
        """
        What the parent counted is the parent's; admitted values stay admitted.
        """
        counter = self.gauge(kind="counter", cap=1)
        recorder.record(Measurement(counter, 1, {"test.x": word}) for word in "ab")
        recorder.after_fork()

        assert (recorder.overflow(), recorder.series()) == ({}, {})
