import enum
import hashlib
import json
import uuid
from collections import UserDict, deque
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tachograph.audit import chain, entry
from tachograph.audit.entry import Origin
from tachograph.intake import AuditEvent

GOLDEN = Path(__file__).parent / "golden.jsonl"
NOW = 1_795_214_918_579_362_021
PLANNER = Origin("service:planner")


def event(**given):
    return AuditEvent(**{"event": "config.change", "action": "UPDATE", "resource": "setting:model", **given})


def made(meta=None, origin=PLANNER, phase=None, **given):
    return entry.make(event(meta={} if meta is None else meta, **given), origin, entry_id="1" * 32, phase=phase)


def sealed(*args, **given):
    return chain.seal(made(*args, **given), NOW, "a" * 32, None)


def said(*args, **given):
    return json.loads(sealed(*args, **given).line)


class Hostile:
    def __str__(self):
        raise RuntimeError("no text")

    __repr__ = __str__


class Anonymous:
    pass


class Colour(enum.Enum):
    RED = "red"


class RaisingDict(dict):
    def items(self):
        raise RuntimeError("no items")

    __iter__ = keys = items


class RaisingMapping(UserDict):
    def __iter__(self):
        raise RuntimeError("no items")


@dataclass
class Point:
    x: int
    y: object


def cycle():
    ring = {}
    ring["self"] = ring
    return ring


def deep(levels):
    value = 1
    for _ in range(levels):
        value = [value]
    return value


def laughs(levels):
    value = "ha"
    for _ in range(levels):
        value = [value] * 10
    return value


class TestGolden:
    def test_lines_are_written_byte_for_byte(self):
        """
        The format does not change by accident: this chain is these bytes.
        """
        own = entry.own(
            "audit.segment.start",
            pid=9723,
            file="audit.jsonl",
            meta={"reason": "genesis", "boot": "b"},
            entry_id="0" * 32,
        )
        call = made(
            {"gen_ai.tool.call.id": "call_0", "naïve": "ü\x7f\n😀", "n": [1, 2.5, None, True]},
            Origin("agent:planner", {"request_id": "r-1", "plan_id": "p-7"}, 0xABC, 0xDEF),
        )
        end = made({"key": "model"}, phase={"phase": "end", "intent": "0" * 32}, actor="user:ada", outcome="denied")
        first = chain.seal(own, NOW, "a" * 32, None)
        second = chain.seal(call, NOW + 1, "a" * 32, first.head)
        third = chain.seal(end, NOW + 2, "a" * 32, second.head)

        assert b"".join(each.line + b"\n" for each in (first, second, third)) == GOLDEN.read_bytes()

    def test_a_line_is_read_as_it_was_sealed(self):
        """
        Reading a line gives the record that was written.
        """
        for line in GOLDEN.read_bytes().splitlines():
            record = chain.parse(line)

            assert record is not None
            assert record.line == line
            assert record.hash == hashlib.sha256(line[: line.rindex(b',"hash":"')]).hexdigest()
            assert json.loads(line)["seq"] == record.seq

    def test_time_is_kept_to_the_nanosecond(self):
        """
        A record's time in nanoseconds is the clock's.
        """
        assert sealed().ts == "2026-11-20T22:48:38.579362021Z"
        assert sealed().time_ns == NOW

    @pytest.mark.parametrize(
        "line",
        [
            b"",
            b"{}",
            b"x" * 65536,
            GOLDEN.read_bytes().splitlines()[0][:-1],
            GOLDEN.read_bytes().splitlines()[0].replace(b"genesis", b"genesiz"),
        ],
    )
    def test_other_bytes_are_no_record(self, line):
        """
        What is not a line, or does not have its own hash, is not read as one.
        """
        assert chain.parse(line) is None


ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.text(st.characters(categories=["Cs", "Cc", "Lo"]))
    | st.binary()
    | st.datetimes()
    | st.timedeltas()
    | st.uuids()
    | st.decimals()
    | st.fractions()
    | st.builds(Hostile)
    | st.builds(Anonymous)
    | st.builds(cycle)
    | st.sampled_from([Colour.RED, ValueError("x"), object, len, range(9), 2**70]),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(st.text() | st.integers() | st.none() | st.binary(), inner)
        | st.builds(lambda values: RaisingDict(enumerate(values)), st.lists(inner))
        | st.builds(lambda values: RaisingMapping(enumerate(values)), st.lists(inner))
        | st.builds(Point, st.integers(), inner)
        | st.tuples(inner, inner)
        | st.sets(st.text() | st.integers())
    ),
    max_leaves=20,
)


class TestAnyValue:
    @settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(meta=st.dictionaries(st.text(), ANYTHING), name=st.text(), actor=ANYTHING, outcome=ANYTHING)
    def test_any_meta_makes_one_good_line(self, meta, name, actor, outcome):
        """
        Whatever is given, there is one printable line of at most 64 KiB with the right hash, and it is JSON.
        """
        record = sealed(meta, event=name, action=name, resource=actor, actor=actor, outcome=outcome)

        assert len(record.line) < chain.LINE_LIMIT
        assert all(0x20 <= byte <= 0x7E for byte in record.line)
        assert chain.parse(record.line) == record
        assert list(json.loads(record.line))[:9] == list(json.loads(GOLDEN.read_bytes().splitlines()[0]))[:9]
        assert json.dumps(json.loads(record.line), separators=(",", ":")).encode() == record.line

    @settings(max_examples=50, deadline=None)
    @given(value=ANYTHING)
    def test_encoding_is_deterministic(self, value):
        """
        The same value is encoded the same way twice.
        """
        assert entry.encode(value) == entry.encode(value)

    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            (float("nan"), "NaN"),
            (float("inf"), "Infinity"),
            (float("-inf"), "-Infinity"),
            (2**63 - 1, 2**63 - 1),
            (2**63, "9223372036854775808"),
            (-(2**300), hex(-(2**300))),
            (b"\x00\xff", {"$bytes": "AP8="}),
            (memoryview(b"a"), {"$bytes": "YQ=="}),
            ({"b", "a"}, ["a", "b"]),
            (deque([1]), [1]),
            (range(3), [0, 1, 2]),
            (Colour.RED, "red"),
            (Point(1, (2,)), {"x": 1, "y": [2]}),
            (KeyError("k"), {"type": "KeyError", "message": "'k'"}),
            (datetime(2026, 1, 2, tzinfo=UTC), "2026-01-02T00:00:00+00:00"),
            (timedelta(seconds=1.5), 1.5),
            (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
            (Decimal("1.10"), "1.10"),
            (PurePosixPath("/etc"), "/etc"),
            ("\ud800x", "\\ud800x"),
            (Hostile(), {"$unencodable": "Hostile"}),
            (Anonymous(), "<Anonymous>"),
            (Anonymous, f"{__name__}.Anonymous"),
            (RaisingMapping(), {"$unencodable": "RaisingMapping"}),
            (RaisingDict(a=1), {"a": 1}),
            ({1: "a", "1": "b", None: "c", (1, 2): "d"}, {"1": "a", "1#2": "b", "null": "c", "[1,2]": "d"}),
            (UserDict(a=1), {"a": 1}),
            (cycle(), {"self": {"$cycle": "dict"}}),
        ],
    )
    def test_each_kind_has_one_form(self, value, expected):
        """
        What JSON cannot say is said in one documented way.
        """
        assert json.loads(entry.encode(value)) == expected

    def test_depth_is_bounded(self):
        """
        What is nested too deep is left out, and the line says so.
        """
        assert '{"$omitted":"list"}' in entry.encode(deep(5000))

    def test_a_value_that_grows_without_end_is_cut(self):
        """
        A small value whose text would be endless is walked only so far.
        """
        assert '{"$omitted":"more"}' in entry.encode([laughs(9), {"a": 1}])
        assert '"$omitted":"more"' in entry.encode([range(10**12), {str(n): n for n in range(3)}])

    def test_a_walk_that_is_used_up_says_what_it_left_out(self):
        """
        Text, bytes and mappings beyond the limit leave a word behind.
        """
        walk = entry._Walk()
        walk.left = 10

        assert walk.text("x" * 11) == {"$omitted": "str of 11 characters"}
        assert walk.mapping([("a", 1)]) == {"$omitted": "more"}
        assert entry._bytes(walk, b"abc") == {"$omitted": "3 bytes"}
        assert entry._set(walk, {1}) == [{"$omitted": "more"}]


class TestSize:
    @pytest.mark.parametrize("size", [65_400, 65_536, 1_000_000, 100_000_000])
    def test_large_meta_is_cut_with_its_digest(self, size):
        """
        Meta that does not fit is replaced by its length, digest and beginning.
        """
        record = sealed({"blob": "x" * size})
        cut = json.loads(record.line)["meta"]["$truncated"]
        whole = json.dumps({"blob": "x" * size}, separators=(",", ":"))

        assert len(record.line) < chain.LINE_LIMIT
        assert cut["bytes"] == len(whole)
        assert cut["sha256"] == hashlib.sha256(whole.encode()).hexdigest()
        assert whole.startswith(cut["head"])

    def test_the_phase_of_an_action_survives_the_cut(self):
        """
        However large its meta, an intent stays an intent.
        """
        meta = said({"blob": "x" * 100_000, "phase": "none"}, phase={"phase": "start"})["meta"]

        assert meta["phase"] == "start"
        assert "$truncated" in meta

    def test_the_largest_line_fits(self):
        """
        With every field as large as it can be, the line keeps to its limit.
        """
        big = "\U0001f600" * 100_000
        record = sealed(
            {"blob": big},
            Origin("service:x", {f"{n}{big}": big for n in range(50)}, 2**128 - 1, 2**64 - 1),
            event=big,
            action=big,
            resource={"id": big, "type": big},
            actor={"id": big, "type": big},
        )
        last = chain.seal(made({"blob": big}), NOW, "a" * 32, chain.Head("a" * 32, 10**18, "f" * 64))

        assert chain.parse(record.line) == record
        assert chain.parse(last.line) == last
        assert "$truncated" in json.loads(record.line)["correlation"]

    def test_meta_just_below_the_limit_is_whole(self):
        """
        The cut begins where the line would not fit, not before.
        """
        assert len(said({"blob": "x" * 64_500})["meta"]["blob"]) == 64_500


class TestParties:
    @pytest.mark.parametrize(
        ("actor", "expected"),
        [
            ("user:ada", {"id": "user:ada", "type": "user"}),
            ("agent:planner", {"id": "agent:planner", "type": "service"}),
            ("service:api", {"id": "service:api", "type": "service"}),
            ("system:cron", {"id": "system:cron", "type": "system"}),
            ("planner", {"id": "planner", "type": "service"}),
            ({"id": "x:1", "type": "user"}, {"id": "x:1", "type": "user"}),
            ({"id": "user:x", "type": "human"}, {"id": "user:x", "type": "user"}),
            ({}, {"id": "unknown", "type": "service"}),
            ("", {"id": "unknown", "type": "service"}),
            (7, {"id": "7", "type": "service"}),
            (None, {"id": "service:planner", "type": "service"}),
        ],
    )
    def test_actor_type_is_user_service_or_system(self, actor, expected):
        """
        An actor's type is one of three, by its prefix when it says no other.
        """
        assert said(actor=actor)["actor"] == expected

    @pytest.mark.parametrize(
        ("resource", "expected"),
        [
            ("tool:shell", {"id": "tool:shell", "type": "tool"}),
            ("shell", {"id": "shell", "type": "unknown"}),
            ({"id": "x", "type": "secret"}, {"id": "x", "type": "secret"}),
        ],
    )
    def test_resource_type_is_its_prefix(self, resource, expected):
        """
        A resource's type is what stands before the colon, or what the mapping says.
        """
        assert said(resource=resource)["resource"] == expected

    def test_other_keys_of_a_party_go_to_meta(self):
        """
        Nothing that a mapping says is lost.
        """
        assert said(actor={"id": "agent:x", "user.id": "ada"})["meta"] == {"actor.user.id": "ada"}

    def test_another_outcome_is_unknown_and_kept(self):
        """
        An outcome of another word is unknown; the word stays in meta.
        """
        record = said(outcome="denied")

        assert (record["outcome"], record["meta"]) == ("unknown", {"outcome": "denied"})

    def test_verbs_are_upper_case(self):
        """
        An action is an upper-case verb.
        """
        assert said(action="update")["action"] == "UPDATE"

    def test_names_of_the_journal_cannot_be_claimed(self):
        """
        Nobody else writes an event that only the journal may write.
        """
        assert said(event="audit.recovered")["event"] == "foreign.audit.recovered"

    def test_meta_that_is_no_object_becomes_one(self):
        """
        Meta is an object, whatever was given.
        """
        assert said([1])["meta"] == {"value": [1]}

    def test_a_span_without_a_trace_is_left_out(self):
        """
        A span id means nothing without its trace id.
        """
        assert "span_id" not in said(None, Origin("service:x", span_id=5))
        assert said(None, Origin("service:x", trace_id=5))["trace_id"] == f"{5:032x}"
