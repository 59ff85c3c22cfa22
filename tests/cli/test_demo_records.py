"""Files read back, as upstream's encoder and our journal write them."""

import json

from tachograph.cli import demo_records
from tachograph.cli.demo_records import Tail, exposition

RESOURCE = {"attributes": []}
SPAN = {
    "traceId": "t",
    "spanId": "s",
    "name": "plan answer",
    "startTimeUnixNano": "1000000",
    "endTimeUnixNano": "3500000",
    "attributes": [
        {"key": "tachograph.outcome", "value": {"stringValue": "success"}},
        {"key": "tachograph.turns", "value": {"intValue": "3"}},
    ],
}
LOG = {"timeUnixNano": "5", "severityText": "INFO", "body": {"stringValue": "hello"}, "attributes": []}
RECORD = {
    "v": 1,
    "seq": 2,
    "ts": "2026-01-02T03:04:05.000000006Z",
    "event": "agent.tool.call",
    "actor": {"id": "agent:planner", "type": "service"},
    "action": "EXECUTE",
    "resource": {"id": "tool:shell", "type": "tool"},
    "outcome": "failure",
    "meta": {"rule": "r"},
}


def otlp(kind: str, items: str, *found: dict[str, object]) -> str:
    scope = {"scope": {"name": "demo.agent"}, items: list(found)}
    return json.dumps({f"resource{kind}": [{"resource": RESOURCE, f"scope{kind}": [scope]}]})


class TestSpans:
    def test_span_is_read_with_its_attributes_as_texts(self):
        """
        Ids, name, duration and attributes of a span come through; a root has no parent.
        """
        (span,) = demo_records.spans([otlp("Spans", "spans", SPAN)])

        assert (span.trace_id, span.span_id, span.parent_id, span.name) == ("t", "s", "", "plan answer")
        assert span.milliseconds == 2.5
        assert span.attributes == {"tachograph.outcome": "success", "tachograph.turns": "3"}

    def test_every_line_counts(self):
        """
        Each line of the file is an export of its own.
        """
        line = otlp("Spans", "spans", SPAN, SPAN)

        assert len(demo_records.spans([line, line])) == 4


class TestLogs:
    def test_log_outside_of_a_span_has_empty_ids(self):
        """
        A log record is named after its scope; one outside of any trace is read, too.
        """
        (log,) = demo_records.logs([otlp("Logs", "logRecords", LOG)])

        assert (log.logger, log.severity, log.body, log.trace_id) == ("demo.agent", "INFO", "hello", "")


class TestAudit:
    def test_record_is_read_with_its_time_in_nanoseconds(self):
        """
        All nine digits of a record's time are kept, so that records and spans can be put in order.
        """
        (record,) = demo_records.audit([json.dumps(RECORD)])

        assert record.time == 1767323045_000000006
        assert (record.actor, record.resource, record.meta, record.correlation) == (
            "agent:planner",
            "tool:shell",
            {"rule": "r"},
            {},
        )

    def test_journals_own_records_are_left_out(self):
        """
        What the journal says about itself is no record of the application.
        """
        assert demo_records.audit([json.dumps({**RECORD, "event": "audit.writer.start"})]) == ()


class TestExposition:
    def test_types_samples_and_exemplars_are_read(self):
        """
        Values are summed over matching labels, and an exemplar gives its trace id.
        """
        found = exposition(
            "# TYPE a_total counter\n"
            'a_total{b="x, \\" }",c="1"} 2 # {trace_id="t",span_id="s"} 1 1.5\n'
            'a_total{b="y",c="1"} 3\n'
            "a_total 4\n"
            "# EOF\n"
        )

        assert found.types == {"a_total": "counter"}
        assert found.total("a_total") == 9
        assert found.total("a_total", c="1") == 5
        assert found.total("a_total", c="2") == 0
        assert found.exemplars() == {"t"}

    def test_what_is_no_sample_is_left_out(self):
        """
        A text that is no exposition has no samples.
        """
        assert exposition("not a metric at all\n\n").samples == ()


class TestTail:
    def test_only_what_is_appended_later_is_returned(self, tmp_path):
        """
        An earlier run's lines are not this run's.
        """
        path = tmp_path / "f"
        path.write_text("before\n")
        tail = Tail(path)
        with path.open("a") as file:
            file.write("after\n")

        assert tail.lines() == ["after"]

    def test_file_begun_anew_is_read_from_its_start(self, tmp_path):
        """
        A rotated file is shorter than the one that was there, and all of it is new.
        """
        path = tmp_path / "f"
        path.write_text("a long line of before\n")
        tail = Tail(path)
        path.write_text("after\n")

        assert tail.lines() == ["after"]

    def test_missing_file_has_no_lines(self, tmp_path):
        """
        A file that was never written is no error.
        """
        assert Tail(tmp_path / "f").lines() == []
