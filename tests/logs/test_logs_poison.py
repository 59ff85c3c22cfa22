"""Log calls that carry what no console and no exporter can: the app never sees an exception."""

import enum
import logging
from collections import UserDict

import orjson
import pytest
import structlog

from tachograph import correlation
from tachograph.contain import faults
from tachograph.logs.translate import severity


class Unprintable:
    def __str__(self) -> str:
        raise RuntimeError("no")


class UnprintableText(str):
    __slots__ = ()

    def __str__(self) -> str:
        raise RuntimeError("no")


class Mad(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no")


class Colour(enum.StrEnum):
    RED = "red"


def circle() -> list[object]:
    found: list[object] = [1]
    found.append(found)
    return found


def deep() -> dict[str, object]:
    found: dict[str, object] = {}
    for _ in range(2000):
        found = {"d": found}
    return found


def wide() -> list[object]:
    found: list[object] = [0]
    for _ in range(12):
        found = [found] * 12
    return found


VALUES = {
    "unprintable": (Unprintable(), "<Unprintable>"),
    "unprintable text": (UnprintableText("kept"), "kept"),
    "an enum of texts": (Colour.RED, "red"),
    "a lone surrogate": ("a\ud800b", "a?b"),
    "a huge integer": (2**70, str(2**70)),
    "the largest integer": (2**63 - 1, 2**63 - 1),
    "bytes": (b"\xff", b"\xff"),
    "a set": ({1}, "{1}"),
    "a list": ([1, None, 2], (1, None, 2)),
    "a list of numbers": ([1, None, 2.5], (1.0, None, 2.5)),
    "a list of everything": ([1, "a", None, [1]], ("1", "a", None, "[1]")),
    "a list of mappings": ([{"a": [1, "b"]}, {"": 2}], ({"a": ("1", "b")}, {"_": 2})),
    "keys that are no text": ({1: {None: 2}}, {"1": {"None": 2}}),
    "a mapping of another make": (UserDict(a=1), {"a": 1}),
    "an object": (ValueError("bad"), "bad"),
}
ENDLESS = {"circle": circle, "deep": deep, "wide": wide}


@pytest.fixture(autouse=True)
def nothing_contained():
    """No claim here rests on a fault that was swallowed."""
    before = faults()
    yield
    assert faults() == before


class TestValues:
    @pytest.mark.parametrize("name", VALUES)
    def test_stdlib_carries_them(self, installed, exported, lines, name):
        """What OpenTelemetry can carry arrives, everything else as text; the line is JSON."""
        value, expected = VALUES[name]
        logging.getLogger("app").info("x", extra={"value": value})
        assert exported.attributes == {"value": expected}
        assert "value" in lines()[0]

    @pytest.mark.parametrize("name", VALUES)
    def test_structlog_carries_them(self, installed, exported, lines, name):
        """The same from structlog."""
        value, expected = VALUES[name]
        structlog.get_logger("app").info("x", value=value)
        assert exported.attributes == {"value": expected}
        assert "value" in lines()[0]

    @pytest.mark.parametrize("make", ENDLESS.values(), ids=ENDLESS)
    def test_values_without_end_are_cut(self, installed, exported, lines, make):
        """A circle, a well and a bush arrive in part."""
        logging.getLogger("app").info("x", extra={"value": make()})
        structlog.get_logger("app").info("x", value=make())
        assert [line["event"] for line in lines()] == ["x", "x"]
        for record in exported.records:
            assert len(str(record.attributes["value"])) < 200_000

    def test_none_is_no_attribute(self, installed, exported, lines):
        """None is on the line, and not on the record."""
        structlog.get_logger("app").info("x", nothing=None)
        assert lines()[0]["nothing"] is None
        assert exported.attributes == {}

    def test_names_that_are_no_text_become_text(self, installed, exported, lines):
        """A field's name may be anything that `extra` takes."""
        logging.getLogger("app").info("x", extra={7: "a", "": "b", "s\ud800": "c"})
        assert exported.attributes == {"7": "a", "_": "b", "s?": "c"}
        assert lines()[0]["7"] == "a"


class TestMessages:
    @pytest.mark.parametrize(
        ("msg", "args", "expected"),
        [
            ("%d", ("x",), "%d ('x',)"),
            ("%s %s", ("x",), "%s %s ('x',)"),
            ("%(k)s", ("x",), "%(k)s ('x',)"),
            ("a\ud800b", (), "a?b"),
            (Unprintable(), (), "<Unprintable> ()"),
            ("%s", (Unprintable(),), "%s (<test_logs_poison.Unprintable object"),
            ({"a": 1}, (), "{'a': 1}"),
            (ValueError("bad"), (), "bad"),
        ],
    )
    def test_every_message_arrives(self, installed, exported, lines, msg, args, expected):
        """A message that cannot be formatted is shown beside its arguments."""
        logging.getLogger("app").error(msg, *args)
        assert exported.one.body.startswith(expected)
        assert lines()[0]["event"] == exported.one.body

    def test_a_loggers_name_may_be_anything(self, installed, exported, lines):
        """A lone surrogate in a name is a question mark."""
        logging.getLogger("a\ud800b").error("x")
        assert exported.scope == "a?b"

    def test_an_exception_without_text_arrives(self, installed, exported, lines):
        """An exception whose `__str__` raises has its type and its stack trace."""
        logging.getLogger("app").error("x", exc_info=Mad())
        assert exported.attributes["exception.type"] == "test_logs_poison.Mad"
        assert exported.attributes["exception.message"] == "<Mad>"
        assert "Mad" in exported.attributes["exception.stacktrace"]

    def test_an_exception_that_cannot_be_formatted_arrives(self, installed, exported, lines, monkeypatch):
        """Without a stack trace there is the type and the text."""
        monkeypatch.setattr("traceback.format_exception", lambda *_: 1 / 0)
        logging.getLogger("app").error("x", exc_info=ValueError("bad"))
        assert exported.attributes["exception.stacktrace"] == "ValueError: bad"

    @pytest.mark.parametrize("exc_info", [True, (None, None, None), 1, (1, 2)])
    def test_no_exception_is_no_field(self, installed, exported, exc_info, stderr):
        """`exc_info` that names no exception adds nothing."""
        structlog.get_logger("app").error("x", exc_info=exc_info)
        assert exported.attributes == {}


class TestLevels:
    @pytest.mark.parametrize(
        ("level", "number"),
        [
            (0, 0),
            (5, 1),
            (10, 5),
            (13, 8),
            (19, 8),
            (20, 9),
            (25, 12),
            (30, 13),
            (40, 17),
            (50, 21),
            (53, 24),
            (99, 24),
        ],
    )
    def test_every_number_has_its_place(self, level, number):
        """OpenTelemetry's scale has four steps between two levels."""
        assert severity(level).value == number


class TestManyAttributes:
    def test_they_are_cut_with_one_warning(self, installed, exported, stderr):
        """128 of 10,000 arrive, `audit`, `event`, the ids and the exception among them."""
        fields = {f"f{n}": n for n in range(10_000)}
        with correlation.bind(request_id="r-1"):
            for _ in range(2):
                logging.getLogger("app").error(
                    "x", exc_info=ValueError("bad"), extra={**fields, "audit": True, "event": "a.b"}
                )
        for record in exported.records:
            assert len(record.attributes) == 128
            assert {"audit", "event", "request_id", "exception.type", "f0"} <= set(record.attributes)
        warned = [text for text in stderr.getvalue().splitlines() if text.startswith("tachograph: ")]
        assert warned == ["tachograph: a log record had 10006 attributes; the first 128 are exported"]

    def test_the_line_has_them_all(self, installed, exported, stderr):
        """The console is not cut."""
        logging.getLogger("app").error("x", extra={f"f{n}": n for n in range(200)})
        assert len(orjson.loads(stderr.getvalue().splitlines()[0])) == 205


class TestALineCannotBeForged:
    def test_a_line_break_in_an_event_is_data(self, installed, exported, stderr):
        """JSON stays one line."""
        logging.getLogger("app").info("a\n{}")
        assert orjson.loads(stderr.getvalue())["event"] == "a\n{}"
