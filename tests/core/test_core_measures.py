"""Declarations, the recorder, and what follows from a call."""

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from tachograph import _otel, notices
from tachograph.catalogue import INSTRUMENTS, OTHER, Instrument, Label, labels
from tachograph.errors import DeclarationError
from tachograph.genai import derive
from tachograph.genai.model import Call, Usage
from tachograph.metrics import Measurement, Recorder

KIND = Label("test.kind", values=("one", "two"))
NAME = Label("test.name", cap=3)


def instrument(kind: str = "counter", **changes: object) -> Instrument:
    bounds = {"bounds": (1, 2, 5)} if kind == "histogram" else {}
    return Instrument(
        **{
            "name": f"test.{kind}",
            "kind": kind,
            "unit": "{thing}",
            "description": "Things.",
            "labels": (KIND,),
            **bounds,
            **changes,
        }
    )


@pytest.fixture(autouse=True)
def _nothing_said():
    notices.forget()
    yield
    notices.forget()


@pytest.fixture
def reader() -> InMemoryMetricReader:
    return InMemoryMetricReader()


@pytest.fixture
def recorder(reader: InMemoryMetricReader):
    provider = MeterProvider([reader], shutdown_on_exit=False)
    yield Recorder(provider)
    provider.shutdown()


def read(reader: InMemoryMetricReader) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    data = reader.get_metrics_data()
    found: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
    for resource in data.resource_metrics if data else ():
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                found[metric.name] = {
                    tuple(sorted(point.attributes.items())): getattr(point, "value", None) or getattr(point, "sum", 0)
                    for point in metric.data.data_points
                }
    return found


class TestLabels:
    def test_a_closed_label_admits_its_values(self) -> None:
        """
        A value of the list is itself, any other is `_OTHER`.
        """
        assert [KIND.admit(value) for value in ("one", "two", "three", 1, None)] == ["one", "two", OTHER, OTHER, OTHER]

    def test_an_open_label_admits_the_first_values(self) -> None:
        """
        The first values up to the cap stay admitted, later ones never are.
        """
        label = Label("test.open", cap=2)

        assert [label.admit(each) for each in ("a", "b", "c", "a", 7, "b")] == ["a", "b", OTHER, "a", OTHER, "b"]

    def test_other_itself_takes_no_place(self) -> None:
        """
        The word `_OTHER` is never one of the admitted.
        """
        label = Label("test.open", cap=1)

        assert [label.admit(each) for each in (OTHER, "a")] == [OTHER, "a"]

    def test_threads_share_one_cap(self) -> None:
        """
        Threads that bring new values at once admit no more than the cap together.
        """
        label, admitted, lock = Label("test.open", cap=50), set(), threading.Lock()

        def bring(offset: int) -> None:
            mine = {label.admit(f"{offset}-{number}") for number in range(100)}
            with lock:
                admitted.update(mine)

        threads = [threading.Thread(target=bring, args=(offset,)) for offset in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert len(admitted - {OTHER}) == 50

    @given(st.lists(st.one_of(st.text(), st.integers(), st.none()), max_size=50))
    def test_cardinality_is_a_property_of_the_declaration(self, values: list[object]) -> None:
        """
        Whatever values come, there are never more than the cap and `_OTHER`.
        """
        label = Label("test.open", cap=3)

        assert len({label.admit(value) for value in values} - {OTHER}) <= 3

    @pytest.mark.parametrize(
        ("given_name", "options"), [("Name", {}), ("a b", {}), ("", {}), ("a.", {}), ("ok", {"cap": 0}), ("a\n", {})]
    )
    def test_a_wrong_declaration_is_refused(self, given_name: str, options: dict[str, int]) -> None:
        """
        A label that is declared wrongly says so at once, with what to write.
        """
        with pytest.raises(DeclarationError, match="write"):
            Label(given_name, **options)

    def test_a_label_shows_what_it_is(self) -> None:
        """
        The representation tells the values or the cap.
        """
        assert repr(KIND) == "Label('test.kind', values=('one', 'two'))"
        assert repr(NAME) == "Label('test.name', cap=3)"


class TestInstruments:
    @pytest.mark.parametrize(
        "changes",
        [
            {"name": "Not.Lower"},
            {"description": ""},
            {"bounds": (1.0,)},
            {"kind": "histogram", "bounds": ()},
            {"kind": "histogram", "bounds": (2, 1)},
            {"kind": "histogram", "bounds": (1, 1)},
        ],
    )
    def test_a_wrong_declaration_is_refused(self, changes: dict[str, object]) -> None:
        """
        An instrument that is declared wrongly says so at once.
        """
        with pytest.raises(DeclarationError, match="instrument"):
            instrument(**changes)

    def test_names_are_unique(self) -> None:
        """
        No name is declared twice.
        """
        names = [each.name for each in INSTRUMENTS]

        assert len(names) == len(set(names))


class TestRecorder:
    def test_each_kind_records(self, recorder: Recorder, reader: InMemoryMetricReader) -> None:
        """
        A declaration of each kind becomes its instrument at the first value.
        """
        kinds = ("counter", "up_down_counter", "gauge", "histogram")
        for kind in kinds:
            recorder.record(Measurement(instrument(kind), value, {"test.kind": "one"}) for value in (2, 3))
        found = read(reader)

        assert {name: list(points.values()) for name, points in found.items()} == {
            "test.counter": [5],
            "test.up_down_counter": [5],
            "test.gauge": [3],
            "test.histogram": [5],
        }

    def test_labels_are_those_of_the_declaration(self, recorder: Recorder, reader: InMemoryMetricReader) -> None:
        """
        A label that is not declared is left out, a missing or None one too, an unknown value is `_OTHER`.
        """
        given_labels = ({"test.kind": "one", "other": "x"}, {"test.kind": None}, {}, {"test.kind": "nine"})
        recorder.record(Measurement(instrument(), 1, each) for each in given_labels)

        assert read(reader)["test.counter"] == {(("test.kind", "one"),): 1, (): 2, (("test.kind", OTHER),): 1}

    def test_overflow_is_counted_and_said_once(self, recorder: Recorder, capsys: pytest.CaptureFixture[str]) -> None:
        """
        Values that became `_OTHER` are counted by instrument and label, with one line; a given `_OTHER` is none.
        """
        recorder.record(Measurement(instrument(), 1, {"test.kind": each}) for each in ("nine", "ten", OTHER, "one"))

        assert recorder.overflow() == {("test.counter", "test.kind"): 2}
        assert len(capsys.readouterr().err.splitlines()) == 1

    def test_it_moves_to_another_provider(self, recorder: Recorder, reader: InMemoryMetricReader) -> None:
        """
        After `bind`, values go to the other provider, and what is observed is observed there too.
        """
        gauge, later = instrument("gauge", name="test.seen", labels=()), InMemoryMetricReader()
        recorder.observe(gauge, lambda: [(7, {})])
        recorder.record([Measurement(instrument(), 1)])
        provider = MeterProvider([later], shutdown_on_exit=False)
        recorder.bind(provider)
        recorder.record([Measurement(instrument(), 1)])
        found = read(later)
        provider.shutdown()

        assert found == {"test.counter": {(): 1}, "test.seen": {(): 7}}
        assert read(reader)["test.counter"] == {(): 1}

    def test_what_is_observed_is_admitted_too(self, recorder: Recorder, reader: InMemoryMetricReader) -> None:
        """
        An observed counter is read at each collection, its labels admitted as any other.
        """
        recorder.observe(instrument(), lambda: [(4, {"test.kind": "one"}), (6, {"test.kind": "nine"})])

        assert read(reader)["test.counter"] == {(("test.kind", "one"),): 4, (("test.kind", OTHER),): 6}

    def test_without_a_provider_the_global_one_is_used(self) -> None:
        """
        A recorder that is bound to nothing records to whatever is in force, even if that is nothing.
        """
        recorder = Recorder()
        recorder.record([Measurement(instrument(), 1)])
        recorder.observe(instrument(name="test.seen"), list)

        assert recorder.overflow() == {}


class TestDerive:
    @staticmethod
    def names(call: Call) -> dict[str, float]:
        return {each.instrument.name: each.value for each in derive.measurements(call)}

    def test_an_agent(self) -> None:
        """
        An invocation is counted, timed, and tells its turns and why it ended.
        """
        call = Call(kind="agent", name="a", outcome="success", seconds=2.0, turns=3, finish_reason="completed")

        assert self.names(call) == {
            "tachograph.agent.invocations": 1,
            "tachograph.agent.duration": 2.0,
            "tachograph.agent.turns_per_invocation": 3,
            "tachograph.agent.finish": 1,
        }
        assert derive.audit_event(call) is None

    def test_a_tool_seen_in_a_span_only(self) -> None:
        """
        Evidence from a span is said to be that; what is not known is not in the record.
        """
        event = derive.audit_event(
            Call(kind="tool", name="t", outcome="failure", seconds=1, evidence="span", error_type="E", notes={"k": 1})
        )

        assert event is not None
        assert (event.event, event.resource, event.outcome) == ("agent.tool.call", "tool:t", "failure")
        assert event.meta == {"k": 1, "gen_ai.tool.name": "t", "error.type": "E", "evidence": "span"}

    @pytest.mark.parametrize(
        ("outcome", "audited"),
        [(word, {"success": "success", "skipped": "unknown", "pending_approval": "unknown"}.get(word, "failure"))
         for word in (*(labels.OUTCOME.values or ()), OTHER)],
    )  # fmt: skip
    def test_outcomes_fold_to_three(self, outcome: str, audited: str) -> None:
        """
        Every finer word is success, failure or unknown in the audit trail.
        """
        assert derive.audit_outcome(outcome) == audited

    def test_a_model_call_of_no_agent(self) -> None:
        """
        Outside an agent a call is no turn; zero tokens are known and add nothing.
        """
        call = Call(
            kind="llm",
            name="m",
            outcome="success",
            seconds=1.0,
            provider="p",
            model="m",
            operation="chat",
            usage=Usage(input_tokens=0, output_tokens=0),
        )

        assert self.names(call) == {"tachograph.llm.calls": 1, "tachograph.llm.duration": 1.0}


class TestOtel:
    def test_versions(self) -> None:
        """
        The installed distributions of OpenTelemetry are named with their versions.
        """
        versions = _otel.versions()

        assert versions["opentelemetry-sdk"][0].isdigit()
        assert all(name.startswith("opentelemetry-") for name in versions)

    def test_limits_are_passed_where_the_sdk_has_them(self) -> None:
        """
        An SDK without cardinality limits gets no argument, one with them a limit for every kind.
        """

        class Old:
            def __init__(self) -> None: ...

        class New:
            def __init__(self, cardinality_limits: object = None) -> None: ...

        assert _otel.cardinality_limits(Old, 7) == {}
        limits = _otel.cardinality_limits(New, 7)["cardinality_limits"]
        assert len(limits) == 6
        assert set(limits.values()) == {7}

    def test_a_provider_without_known_insides_gets_the_processor_last(self) -> None:
        """
        Where the order cannot be changed, the processor is added at the end and the caller is told.
        """

        class Provider:
            def __init__(self) -> None:
                self.added: list[object] = []

            def add_log_record_processor(self, processor: object) -> None:
                self.added.append(processor)

        provider, processor = Provider(), object()

        assert not _otel.put_first(provider, processor)
        assert provider.added == [processor]
