"""Limits on attributes are for what is exported: they cannot switch an audit record off, nor change who acted."""

import inspect
import json

import pytest
from opentelemetry.sdk._logs import LoggerProvider

from support.processes import python

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(
        "log_record_limits" not in inspect.signature(LoggerProvider).parameters,
        reason="this SDK cuts a log record's attributes before any processor sees it; later ones can be told not to",
    ),
]

CODE = """
import logging
import structlog
import tachograph
from opentelemetry._logs import LogRecord, get_logger
telemetry = tachograph.configure(service_name="limits")
many = {f"k{number}": number for number in range(300)}
who = {"audit": True, "actor": "user:ada", "resource": "db:x", "action": "DROP", "outcome": "success"}
logging.getLogger("app").info("by.logging", extra={**many, **who})
structlog.get_logger("app").info("by.structlog", **many, **who)
get_logger("app").emit(LogRecord(body="by.emit", attributes={**who, **many}))
assert telemetry.shutdown(20)
"""


@pytest.mark.parametrize("limits", [{}, {"OTEL_ATTRIBUTE_COUNT_LIMIT": "2"}], ids=["default", "two"])
def test_an_audit_record_is_whole_whatever_the_limits(tmp_path, limits):
    """
    300 more attributes, or a limit of two, leave actor, resource and all of meta in the journal.
    """
    ended = python(CODE, at=tmp_path, **limits)
    lines = [json.loads(line) for line in (tmp_path / ".tachograph" / "audit.jsonl").read_text().splitlines()]
    found = {line["event"]: line for line in lines if line["event"].startswith("by.")}

    assert ended.returncode == 0, ended.stderr
    assert sorted(found) == ["by.emit", "by.logging", "by.structlog"]
    for line in found.values():
        assert line["actor"]["id"] == "user:ada"
        assert line["resource"]["id"] == "db:x"
        assert (line["action"], line["outcome"]) == ("DROP", "success")
        assert len([key for key in line["meta"] if key.startswith("k")]) == 300


def test_what_is_exported_keeps_to_the_limits(tmp_path):
    """
    The exported copy of a record has as many attributes as the standard variable allows.
    """
    python(CODE, at=tmp_path, OTEL_ATTRIBUTE_COUNT_LIMIT="5")
    text = (tmp_path / ".tachograph" / "logs.jsonl").read_text()
    records = [
        record
        for line in text.splitlines()
        for resource in json.loads(line)["resourceLogs"]
        for scope in resource["scopeLogs"]
        if scope["scope"]["name"] == "app"
        for record in scope["logRecords"]
    ]

    assert len(records) == 3
    assert [len(record["attributes"]) for record in records] == [5, 5, 5]
