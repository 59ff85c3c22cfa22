"""Log records that are marked `audit`: what reaches the journal, whatever the limits, the path and the time."""

from pathlib import Path

import pytest

from support.processes import Ended, python

SETUP = """
import logging, structlog, tachograph
from opentelemetry._logs import LogRecord, get_logger
telemetry = tachograph.configure("shop")
log, event = logging.getLogger("app"), structlog.get_logger("app")
many = {f"k{n}": n for n in range(300)}
who = {"actor": "user:x", "action": "go", "resource": "file:f", "outcome": "success"}
"""


def journaled(code: str, at: Path, **env: str) -> list[dict]:
    """The records of a process, without the journal's own."""
    ended = python(SETUP + code, at=at, **env)
    assert ended.returncode == 0, ended.stderr
    return own(ended)


def own(ended: Ended) -> list[dict]:
    return [line for line in ended.journal if not line["event"].startswith("audit.")]


def said(line: dict) -> tuple[str, ...]:
    return line["actor"]["id"], line["resource"]["id"], line["action"], line["outcome"]


@pytest.mark.parametrize("env", [{}, {"OTEL_ATTRIBUTE_COUNT_LIMIT": "2"}, {"OTEL_SDK_DISABLED": "true"}], ids=str)
class TestLimits:
    def test_log_calls_keep_who_did_what_and_all_meta(self, tmp_path: Path, env: dict[str, str]) -> None:
        """
        Neither the count of extras nor a limit of attributes takes anything from a record, in either library.
        """
        code = """
log.info("x.y", extra={**many, "audit": True, **who})
event.info("x.y", **many, audit=True, **who)
log.info("x.y", extra={"audit": True, "actor": "user:x", "k": 1})
"""
        first, second, third = journaled(code, tmp_path, **env)

        assert said(first) == said(second) == ("user:x", "file:f", "GO", "success")
        assert first["meta"] == second["meta"] == {f"k{n}": n for n in range(300)}
        assert (third["actor"]["id"], third["meta"]) == ("user:x", {"k": 1})

    def test_values_are_those_of_the_table(self, tmp_path: Path, env: dict[str, str]) -> None:
        """
        A value stands in the journal as `audit.record` writes it, whichever way it came.
        """
        code = """
deep = {}
for _ in range(20): deep = {"d": deep}
values = {"mixed": [1, "a", None, {"x": 1}], "set": {1, 2}, "none": None, "raw": b"x", "deep": deep, "big": 2**70}
log.info("x.y", extra={"audit": True, **values})
event.info("x.y", audit=True, **values)
tachograph.audit.record("x.y", action="go", resource="a:b", **values)
"""
        logged, structured, recorded = (line["meta"] for line in journaled(code, tmp_path, **env))

        assert logged == structured == recorded
        assert list(recorded) == ["mixed", "set", "none", "raw", "deep", "big"]

    def test_audit_means_the_same_everywhere(self, tmp_path: Path, env: dict[str, str]) -> None:
        """
        Words for no are no; a dotted `event` names the record.
        """
        code = """
for no in ("false", "0", " Off ", "", 0, None):
    log.debug("no.no", extra={"audit": no})
    log.info("no.no", extra={"audit": no})
    event.info("no.no", audit=no)
log.debug("hello", extra={"audit": "yes", "event": "order.placed"})
"""
        (line,) = journaled(code, tmp_path, **env)

        assert (line["event"], line["meta"]) == ("order.placed", {"message": "hello"})

    def test_a_logger_of_telemetrys_own_name_is_heard(self, tmp_path: Path, env: dict[str, str]) -> None:
        """
        What telemetry logs is not exported, but what is marked is journaled, once.
        """
        code = """
for name in ("opentelemetry.sdk", "tachograph.x"):
    logging.getLogger(name).warning("x.y", extra={"audit": True})
    logging.getLogger(name).warning("unmarked")
"""
        lines = journaled(code, tmp_path, **env)

        assert [line["resource"]["id"] for line in lines] == ["logger:opentelemetry.sdk", "logger:tachograph.x"]

    def test_after_the_end_records_still_arrive(self, tmp_path: Path, env: dict[str, str]) -> None:
        """
        Once telemetry has ended, only what is marked is recorded, and the journal is closed in order again.
        """
        code = """
import atexit
telemetry.shutdown()
log.warning("x.a", extra={"audit": True, "service": "mine"})
log.debug("x.b", extra={"audit": True})
log.warning("unmarked")
event.info("x.c", audit=True)
structlog.get_logger().info("x.d", audit=True)
structlog.get_logger().info("unmarked")
structlog.configure(wrapper_class=structlog.stdlib.BoundLogger, logger_factory=structlog.stdlib.LoggerFactory())
structlog.get_logger("std").warning("x.e", audit=True)
atexit.register(lambda: log.warning("x.f", extra={"audit": True}))
"""
        ended = python(SETUP + code, at=tmp_path, **env)

        assert [line["event"] for line in own(ended)] == ["x.a", "x.b", "x.c", "x.d", "x.e", "x.f"], ended.stderr
        assert own(ended)[0]["meta"] == {"service": "mine"}
        assert ended.journal[-1]["event"] == "audit.writer.stop"
        assert "trace_id" not in ended.stdout


class TestDirectRecords:
    @pytest.mark.parametrize("limit", ["2", "128"])
    def test_limits_do_not_switch_audit_off(self, tmp_path: Path, limit: str) -> None:
        """
        A record emitted through OpenTelemetry is journaled whole; the exported copy is limited.
        """
        code = 'get_logger("s").emit(LogRecord(body="b.c", attributes={"audit": True, **who, **many}))'
        ended = python(SETUP + code, at=tmp_path, OTEL_ATTRIBUTE_COUNT_LIMIT=limit)
        (line,) = own(ended)
        (copy,) = ended.own_logs

        assert said(line) == ("user:x", "file:f", "GO", "success")
        assert line["meta"] == {f"k{n}": n for n in range(300)}
        assert len(copy.attributes) == int(limit)

    def test_so_it_is_where_the_provider_takes_no_limits(self, tmp_path: Path) -> None:
        """
        For SDKs without the argument, loggers hand over records that are whole, by record or by keywords.
        """
        code = """
logger = get_logger("s")
logger.emit(LogRecord(body="b.c", attributes={"audit": True, **who, **many}))
logger.emit(body="b.d", attributes={"audit": True, **many})
"""
        setup = SETUP.replace(
            "telemetry =", "import tachograph.bootstrap.logs as l; l.uncut_log_records = dict\ntelemetry ="
        )
        ended = python(setup + code, at=tmp_path)

        assert [(line["event"], len(line["meta"])) for line in own(ended)] == [("b.c", 300), ("b.d", 300)], ended.stderr
        assert [len(copy.attributes) for copy in ended.own_logs] == [128, 128]


class TestHostileValues:
    def test_a_value_that_raises_anything_is_written_as_such(self, tmp_path: Path) -> None:
        """
        What is raised in a value's own code reaches nobody, except the user's interrupt and the exit.
        """
        code = """
class Bad:
    def __init__(self, error): self.error = error
    def __str__(self): raise self.error
class Mapped(dict):
    def items(self): raise ValueError
    def __bool__(self): raise ValueError
record = tachograph.audit.record
print(record("x.y", action="go", resource="a:b", v=Bad(GeneratorExit())) is not None)
log.info("x.y", extra={"audit": True, "v": Bad(GeneratorExit())})
log.info("x.y", extra={"audit": Mapped(a=1), "v": 1})
log.info("x.y", extra={"audit": True, "v": Mapped(a=1)})
for error in (KeyboardInterrupt, SystemExit):
    try:
        record("x.y", action="go", resource="a:b", v=Bad(error()))
    except error:
        print(error.__name__)
"""
        ended = python(SETUP + code, at=tmp_path)

        assert ended.stdout == "True\nKeyboardInterrupt\nSystemExit\n", ended.stderr
        bad = {"v": {"$unencodable": "Bad"}}
        assert [line["meta"] for line in own(ended)] == [bad, bad, {"v": 1}, {"v": {"a": 1}}]

    def test_a_record_made_while_another_is_exported_is_journaled(self, tmp_path: Path) -> None:
        """
        A value that logs for the audit while it is read does so without end only in itself.
        """
        code = """
class Loud:
    def __str__(self):
        log.info("inner.one", extra={"audit": True, "v": self})
        return "loud"
log.info("outer.one", extra={"v": Loud()})
"""
        assert {line["event"] for line in journaled(code, tmp_path)} == {"inner.one"}
