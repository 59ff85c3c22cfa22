"""The lines themselves, and the stream that they are written to."""

import io
import logging
import sys

import orjson
import pytest
import structlog

from tachograph import correlation
from tachograph.logs import default_format
from tachograph.logs.console import text_line


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Gone(io.StringIO):
    def isatty(self) -> bool:
        raise ValueError("closed")

    def write(self, text: str) -> int:
        raise BrokenPipeError


class TestTheFormat:
    def test_a_terminal_gets_text_and_everything_else_json(self):
        """The format follows the stream, whatever the stream is."""
        assert default_format(Terminal()) == "text"
        assert default_format(io.StringIO()) == "json"
        assert default_format(None) == "json"
        assert default_format(Gone()) == "json"


class TestTextLines:
    def test_a_line_reads_from_left_to_right(self, switch_on, stderr, tracer):
        """Time, level, logger, event, then the ids and the fields as key=value."""
        switch_on(form="text")
        with tracer.start_as_current_span("work") as span, correlation.bind(request_id="r-1"):
            logging.getLogger("app").warning("two words", extra={"n": 1, "s": "a b", "l": [1, "a"], "e": ""})
        line = stderr.getvalue()
        context = span.get_span_context()
        assert line[20:].split("Z ", 1)[1] == (
            f"warning  app  two words  trace_id={context.trace_id:032x} span_id={context.span_id:016x} "
            'service=shop request_id=r-1 n=1 s="a b" l=[1,"a"] e=""\n'
        )

    def test_structlogs_lines_are_the_same(self, switch_on, stderr):
        """Both libraries print one shape."""
        switch_on(form="text")
        structlog.get_logger("app").warning("x", n=1)
        logging.getLogger("app").warning("x", extra={"n": 1})
        first, second = (line.split("Z ", 1)[1] for line in stderr.getvalue().splitlines())
        assert first == second == "warning  app  x  service=shop n=1"

    def test_a_stack_trace_is_below_and_indented(self, switch_on, stderr):
        """An exception's trace follows its line."""
        switch_on(form="text")
        logging.getLogger("app").error("x", exc_info=ValueError("bad"))
        assert stderr.getvalue().splitlines()[1] == "    ValueError: bad"

    def test_a_second_line_cannot_pass_for_a_line(self, switch_on, stderr):
        """Line breaks of the app are indented, and terminal controls are spelled out."""
        switch_on(form="text")
        logging.getLogger("app").error("a\n2026 forged\x1b[2J\r", extra={"f": "b\nc"})
        lines = stderr.getvalue().splitlines()
        assert lines[1].startswith("    2026 forged\\x1b[2J\\x0d")
        assert '"b\\nc"' in lines[1]

    def test_a_line_needs_no_fields(self):
        """An event alone has no trailing key."""
        line = {"timestamp": "t", "level": "info", "logger": "app", "event": "x"}
        assert text_line(line) == b"t info     app  x"


class TestTheStream:
    def test_bytes_go_below_the_text(self, switch_on, monkeypatch):
        """Lines are UTF-8 whatever the stream's encoding, and after what was printed before."""
        raw = io.BytesIO()
        monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(raw, encoding="ascii", errors="backslashreplace"))
        switch_on()
        sys.stderr.write("before\n")
        logging.getLogger("app").error("größe")
        first, second = raw.getvalue().splitlines()
        assert first == b"before"
        assert orjson.loads(second)["event"] == "größe"

    def test_the_stream_of_the_moment_is_used(self, switch_on, monkeypatch, exported):
        """stderr may be replaced at any time."""
        switch_on()
        for text in ("first", "second"):
            stream = io.StringIO()
            monkeypatch.setattr(sys, "stderr", stream)
            logging.getLogger("app").error(text)
            assert text in stream.getvalue()

    @pytest.mark.parametrize("chosen", [None, logging.NullHandler()])
    def test_an_app_that_chose_its_last_resort_keeps_it(self, switch_on, monkeypatch, exported, stderr, chosen):
        """`logging.lastResort = None` is a choice; records are exported all the same."""
        monkeypatch.setattr(logging, "lastResort", chosen)
        monkeypatch.setattr(logging, "raiseExceptions", False)
        undo = switch_on()
        logging.getLogger("app").error("x")
        assert logging.lastResort is chosen
        undo()
        assert logging.lastResort is chosen
        assert stderr.getvalue() == ""
        assert exported.bodies == ["x"]

    @pytest.mark.parametrize("stream", [None, Gone()])
    def test_a_stream_that_is_gone_takes_nothing(self, switch_on, monkeypatch, exported, stream):
        """Neither library raises, and the record is exported."""
        monkeypatch.setattr(sys, "stderr", stream)
        switch_on()
        logging.getLogger("app").error("x")
        structlog.get_logger("app").error("y")
        assert exported.bodies == ["x", "y"]
