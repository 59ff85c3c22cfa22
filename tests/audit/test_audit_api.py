import asyncio
import contextvars
import json
import subprocess
import sys
from pathlib import Path

import pytest
from opentelemetry import _logs, trace
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

from tachograph import audit, contain, correlation, intake
from tachograph.audit import mirror, verify
from tachograph.audit.bridge import AuditBridge
from tachograph.audit.journal import JournalOptions
from tachograph.errors import AuditUnavailable


def record(event="config.change", /, **given):
    return audit.record(event, **{"action": "UPDATE", "resource": "setting:model", **given})


def acting(**given):
    return audit.action("agent.tool.call", **{"action": "EXECUTE", "resource": "tool:shell", **given})


@pytest.fixture
def nowhere(in_force, tmp_path):
    (tmp_path / "file").touch()
    audit.configure(JournalOptions(path=tmp_path / "file" / "audit.jsonl"))
    yield
    audit.configure(JournalOptions(path=in_force))


class TestRecord:
    def test_a_record_says_who_did_what(self, in_force, lines):
        """
        What was given stands in the line.
        """
        made = record(actor="user:ada", outcome="failure", key="model", event="x", self="y")
        said = lines(in_force)[-1]

        assert made.line == in_force.read_bytes().splitlines()[-1]
        assert said["actor"] == {"id": "user:ada", "type": "user"}
        assert (said["action"], said["resource"]["type"], said["outcome"]) == ("UPDATE", "setting", "failure")
        assert said["meta"] == {"key": "model", "event": "x", "self": "y"}
        assert audit.head() == made.seq == 2

    def test_the_actor_is_the_agent_in_force_else_the_service(self, in_force):
        """
        Who acts need not be said.
        """
        service = json.loads(record().line)
        token = contextvars.copy_context()
        from opentelemetry import context

        agent = token.run(lambda: (context.attach(correlation.with_agent("coder")), json.loads(record().line))[1])

        assert service["actor"] == {"id": "service:planner", "type": "service"}
        assert agent["actor"] == {"id": "agent:coder", "type": "service"}

    def test_ids_and_span_in_force_stand_in_the_line(self, in_force):
        """
        A record can be joined with the trace and the request it belongs to.
        """
        span = NonRecordingSpan(SpanContext(0xA, 0xB, is_remote=False, trace_flags=TraceFlags(1)))
        with trace.use_span(span), correlation.bind(request_id="r-1"):
            said = json.loads(record().line)

        assert (said["trace_id"], said["span_id"]) == (f"{10:032x}", f"{11:016x}")
        assert said["correlation"] == {"request_id": "r-1"}

    def test_the_neutral_sink_records(self, in_force):
        """
        What operations submit becomes a record.
        """
        before = intake.install(audit.sink)
        try:
            receipt = intake.submit(intake.AuditEvent("budget.exceeded", "EXCEED", "budget:day", required=True))
        finally:
            intake.install(before)

        assert receipt.seq == 2

    def test_counts_are_by_event_and_result(self, in_force):
        """
        Metrics read what was written.
        """
        record()
        record("made.up")

        assert audit.counts()["config.change", "written"] == 1
        assert audit.counts()["_OTHER", "written"] == 1

    def test_failure_policies(self, nowhere):
        """
        Required raises, optional answers None.
        """
        assert record() is None
        with pytest.raises(AuditUnavailable):
            record(required=True)

    def test_many_coroutines_record_without_blocking(self, in_force):
        """
        Two hundred coroutines record at once, each in its own context, while the loop runs.
        """

        async def one(number):
            with correlation.bind(task_id=f"t-{number}"):
                return await audit.arecord("config.change", action="UPDATE", resource="setting:x", number=number)

        async def main():
            return await asyncio.gather(*(one(number) for number in range(200)))

        made = asyncio.run(main())
        said = [json.loads(each.line) for each in made]

        assert sorted(each.seq for each in made) == list(range(2, 202))
        assert all(each["correlation"] == {"task_id": f"t-{each['meta']['number']}"} for each in said)
        assert verify.verify([str(in_force)]).fault_count == 0


class TestLife:
    def test_importing_does_nothing(self, tmp_path):
        """
        The import reads no environment, starts no thread, opens no file and does not load the SDK.
        """
        code = """
import os, sys, threading
import types
import opentelemetry.trace, opentelemetry.context, opentelemetry._logs, asyncio
package = sys.modules["tachograph"] = types.ModuleType("tachograph")  # without what else the package imports
package.__path__ = [sys.argv[1]]
class Untouchable(dict):
    def __getitem__(self, key): raise AssertionError(key)
    get = __contains__ = __getitem__
os.environ.__class__.__getitem__ = Untouchable.__getitem__
before = set(os.listdir("/proc/self/fd"))
import tachograph.audit
assert set(os.listdir("/proc/self/fd")) == before
assert threading.active_count() == 1
assert not [name for name in sys.modules if name.startswith("opentelemetry.sdk")]
assert "tachograph.audit.bridge" not in sys.modules
"""
        package = str(Path(audit.__file__).parents[1])
        done = subprocess.run([sys.executable, "-c", code, package], cwd=tmp_path, capture_output=True, text=True)

        assert (done.returncode, done.stderr) == (0, "")
        assert list(tmp_path.iterdir()) == []

    def test_without_configuration_the_first_call_opens_the_journal(self, tmp_path):
        """
        The settings say where; an exit writes the writer's stop.
        """
        code = """
from tachograph import audit
assert audit.counts() == {} and audit.head() == 0 and audit.flush() and audit.shutdown()
assert audit.record("config.change", action="UPDATE", resource="setting:x").seq == 2
"""
        env = {"TACHOGRAPH_DIR": str(tmp_path / "state"), "OTEL_SERVICE_NAME": "api", "OTEL_SDK_DISABLED": "true"}
        done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
        said = [json.loads(each) for each in (tmp_path / "state" / "audit.jsonl").read_bytes().splitlines()]

        assert (done.returncode, done.stderr) == (0, "")
        assert said[1]["actor"]["id"] == "service:api"
        assert said[-1]["event"] == "audit.writer.stop"

    def test_the_settings_say_where_and_how(self, in_force, tmp_path, monkeypatch, lines):
        """
        Path, mode, sync and service are those of the environment.
        """
        monkeypatch.setenv("TACHOGRAPH_DIR", str(tmp_path / "state"))
        monkeypatch.setenv("TACHOGRAPH_AUDIT_MODE", "0640")
        monkeypatch.setenv("TACHOGRAPH_AUDIT_SYNC", "always")
        monkeypatch.setenv("OTEL_SERVICE_NAME", "api")
        audit._in_force.clear()
        record()

        assert lines(tmp_path / "state" / "audit.jsonl")[-1]["actor"]["id"] == "service:api"
        assert audit._in_force["journal"].options == JournalOptions(
            path=tmp_path / "state" / "audit.jsonl", mode=0o640, sync=0.0, service_name="api"
        )

    def test_a_required_journal_refuses_to_start(self, nowhere, tmp_path):
        """
        Where audit is required, a journal that cannot be written is an error at the start.
        """
        with pytest.raises(AuditUnavailable, match="cannot be written"):
            audit.configure(JournalOptions(path=tmp_path / "file" / "other.jsonl", required=True))

    def test_a_probe_writes_the_start_or_warns(self, in_force, tmp_path, capsys):
        """
        A journal that is not required warns at the start, and runs.
        """
        assert audit.probe()
        assert in_force.exists()
        (tmp_path / "file").touch()
        audit.configure(JournalOptions(path=tmp_path / "file" / "audit.jsonl"))
        assert not audit.probe()
        assert "cannot be written" in capsys.readouterr().err

    def test_configuring_again_keeps_or_closes(self, in_force, tmp_path, lines):
        """
        The same options change nothing; others close the journal before.
        """
        record()
        options = audit._in_force["journal"].options
        audit.configure(options)
        assert len(lines(in_force)) == 2

        audit.configure(JournalOptions(path=tmp_path / "b.jsonl", required=True))
        assert lines(in_force)[-1]["event"] == "audit.writer.stop"
        assert (tmp_path / "b.jsonl").exists()

    def test_flush_and_shutdown_tell_the_truth(self, in_force, lines):
        """
        After a flush all is on the disk; after a shutdown the file says that the writer stopped.
        """
        record()

        assert audit.flush(1.0)
        assert audit.shutdown(1.0)
        assert lines(in_force)[-1]["event"] == "audit.writer.stop"


class TestAction:
    def test_intent_stands_before_the_act_and_outcome_after(self, in_force, lines):
        """
        Two records, the second naming the first.
        """
        with acting(key=1) as act:
            intent = lines(in_force)[-1]
            act.note(rows=3)
        end = lines(in_force)[-1]

        assert (intent["outcome"], intent["meta"]) == ("unknown", {"phase": "start", "key": 1})
        assert intent["id"] == act.intent_id
        assert end["outcome"] == "success"
        assert end["meta"] == {"phase": "end", "intent": intent["id"], "key": 1, "rows": 3}
        assert verify.verify([str(in_force)]).unfinished == {}

    def test_an_outcome_can_be_said(self, in_force, lines):
        """
        A finer word is kept.
        """
        with acting() as act:
            act.outcome = "failure"

        assert lines(in_force)[-1]["outcome"] == "failure"

    @pytest.mark.parametrize("error", [ValueError("x"), KeyboardInterrupt(), asyncio.CancelledError()])
    def test_an_exception_is_a_failure_and_propagates(self, in_force, lines, error):
        """
        The block's exception is the caller's, unchanged.
        """
        with pytest.raises(type(error)) as caught, acting():
            raise error

        assert caught.value is error
        assert lines(in_force)[-1]["outcome"] == "failure"
        assert lines(in_force)[-1]["meta"]["error.type"] == type(error).__qualname__

    def test_no_record_no_act(self, nowhere):
        """
        The block does not run when its intent cannot be written; unless it need not be.
        """
        with pytest.raises(AuditUnavailable), acting():
            pytest.fail("the act happened")
        with acting(required=False) as act:
            act.note(happened=True)

    def test_an_async_block_is_recorded_the_same(self, in_force, lines):
        """
        `async with` writes both records off the loop and lets exceptions through.
        """

        async def main():
            async with acting(actor="user:ada") as act:
                act.note(n=1)
            with pytest.raises(ZeroDivisionError):
                async with acting():
                    raise ZeroDivisionError

        asyncio.run(main())
        said = lines(in_force)[1:]

        assert [each["outcome"] for each in said] == ["unknown", "success", "unknown", "failure"]
        assert verify.verify([str(in_force)]).unfinished == {}

    def test_a_dead_process_leaves_an_unfinished_action(self, tmp_path):
        """
        An intent without an outcome is found by its id.
        """
        code = """
import os, sys
from pathlib import Path
from tachograph import audit
audit.configure(audit.JournalOptions(path=Path(sys.argv[1])))
with audit.action("agent.tool.call", action="EXECUTE", resource="tool:rm") as act:
    print(act.intent_id, flush=True)
    os.kill(os.getpid(), 9)
"""
        path = tmp_path / "audit.jsonl"
        done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True)

        assert verify.verify([str(path)]).unfinished == {done.stdout.strip(): "agent.tool.call on tool:rm"}


@pytest.fixture
def exported(in_force, monkeypatch):
    """
    Log records as exported by a provider with the bridge first, in force for the API.
    """
    exporter = InMemoryLogRecordExporter()
    provider = LoggerProvider(shutdown_on_exit=False)
    provider.add_log_record_processor(AuditBridge())
    provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))
    monkeypatch.setattr(mirror, "get_logger", provider.get_logger)
    yield provider, exporter
    provider.shutdown()


def emit(exported, scope="app.payments", **given):
    exported[0].get_logger(scope).emit(_logs.LogRecord(**given))
    return exported[1].get_finished_logs()[-1]


class TestMirror:
    def test_a_record_stands_with_the_logs_and_is_journaled_once(self, exported, in_force, lines):
        """
        The copy has the exact line and tells its place; the bridge leaves it alone.
        """
        made = record()
        (copy,) = exported[1].get_finished_logs()

        assert copy.log_record.body == made.line.decode()
        assert copy.log_record.event_name == "config.change"
        assert copy.log_record.timestamp == made.time_ns
        assert dict(copy.log_record.attributes) == mirror.attributes(made)
        assert copy.instrumentation_scope.name == "tachograph.audit"
        assert len(lines(in_force)) == 2

    def test_a_failing_logger_does_not_fail_the_record(self, in_force, monkeypatch):
        """
        The copy is telemetry: its faults are contained.
        """
        before = contain.faults().get("audit.mirror", 0)
        monkeypatch.setattr(mirror, "get_logger", None)

        assert record().seq == 2
        assert contain.faults()["audit.mirror"] == before + 1


class TestBridge:
    @pytest.mark.parametrize("flag", [True, 1, "true", "yes", "on", "anything", 0.5, ["x"], {"a": 1}, b"x"])
    def test_any_truthy_audit_counts(self, exported, in_force, lines, flag):
        """
        In whatever form it is said, the record is journaled, without the flag.
        """
        emit(exported, body="hello", attributes={"audit": flag})

        assert lines(in_force)[-1]["meta"] == {"message": "hello"}

    @pytest.mark.parametrize("flag", [False, 0, "", "false", "No", " off ", "0", (), None])
    def test_a_falsy_audit_does_not(self, exported, in_force, flag):
        """
        What says no is an ordinary log record.
        """
        emit(exported, body="hello", attributes={"audit": flag})

        assert not in_force.exists()

    def test_nothing_in_meta_switches_it_off(self, exported, in_force, lines):
        """
        An event of the audit's list is journaled even when its flag was overwritten or evicted.
        """
        emit(exported, event_name="secret.access", attributes={"audit": False})
        emit(exported, scope="tachograph.audit", body="x")

        assert [each["event"] for each in lines(in_force)] == ["audit.segment.start", "secret.access", "log.audit"]

    def test_a_plain_record_has_plain_defaults(self, exported, in_force, lines):
        """
        What is not said has a documented default.
        """
        emit(exported, body="something happened", attributes={"audit": True, "user": "ada"})
        said = lines(in_force)[-1]

        assert (said["event"], said["action"], said["outcome"]) == ("log.audit", "LOG", "unknown")
        assert said["actor"]["id"] == "service:planner"
        assert said["resource"] == {"id": "logger:app.payments", "type": "logger"}
        assert said["meta"] == {"user": "ada", "message": "something happened"}

    @pytest.mark.parametrize("prefix", ["", "audit."])
    def test_fields_are_taken_from_the_record(self, exported, in_force, lines, prefix):
        """
        Actor, action, resource and outcome are fields of those names, bare or prefixed.
        """
        fields = {"actor": "user:ada", "action": "delete", "resource": {"id": "x", "type": "row"}, "outcome": "failure"}
        emit(exported, event_name="app.row", attributes={"audit": 1, **{prefix + k: v for k, v in fields.items()}})
        said = lines(in_force)[-1]

        assert (said["event"], said["actor"]["id"], said["action"]) == ("app.row", "user:ada", "DELETE")
        assert (said["resource"], said["outcome"], said["meta"]) == ({"id": "x", "type": "row"}, "failure", {})

    @pytest.mark.parametrize(
        ("given", "event", "meta"),
        [
            ({"body": "config.change"}, "config.change", {}),
            ({"body": "not a name"}, "log.audit", {"message": "not a name"}),
            ({"body": "x.y", "event_name": "a.b"}, "a.b", {"message": "x.y"}),
            ({"body": "text", "attributes": {"event": "a.b"}}, "a.b", {"message": "text"}),
            ({"body": "a.b", "attributes": {"audit.event": "a.b"}}, "a.b", {}),
            (
                {"body": "text", "attributes": {"event": "not dotted"}},
                "log.audit",
                {"event": "not dotted", "message": "text"},
            ),
            ({"body": {"event": "a.b", "n": 1}}, "a.b", {"n": 1}),
            ({"body": "text", "attributes": {"message": "mine"}}, "log.audit", {"message": "mine", "body": "text"}),
            ({"body": 7}, "log.audit", {"message": 7}),
            ({}, "log.audit", {}),
        ],
    )
    def test_the_event_is_the_first_name_found(self, exported, in_force, lines, given, event, meta):
        """
        Event name, structlog event, message when dotted, else log.audit; no text is lost.
        """
        emit(exported, **{**given, "attributes": {**given.get("attributes", {}), "audit": True}})
        said = lines(in_force)[-1]

        assert (said["event"], said["meta"]) == (event, meta)

    def test_a_body_that_is_a_mapping_may_ask_for_the_audit(self, exported, in_force, lines):
        """
        Fields in the body count as fields.
        """
        emit(exported, body={"audit": "yes", "event": "a.b"})

        assert lines(in_force)[-1]["event"] == "a.b"

    def test_correlation_and_span_of_the_record_are_kept(self, exported, in_force, lines):
        """
        Ids of the context go to correlation, not to meta; another value under the same name stays in meta.
        """
        context = correlation.with_ids(request_id="r-1", plan_id="p-1")
        span = NonRecordingSpan(SpanContext(0xA, 0xB, is_remote=False))
        context = trace.set_span_in_context(span, context)
        emit(exported, context=context, attributes={"audit": 1, "request_id": "r-1", "plan_id": "other"})
        said = lines(in_force)[-1]

        assert said["correlation"] == {"request_id": "r-1", "plan_id": "p-1"}
        assert said["meta"] == {"plan_id": "other"}
        assert (said["trace_id"], said["span_id"]) == (f"{10:032x}", f"{11:016x}")

    def test_the_exported_copy_tells_its_line_and_nothing_forged(self, exported, in_force, lines):
        """
        Places are overwritten on journaled records and removed from all others.
        """
        forged = {"audit.sequence.number": 99, "audit.record.hash": "f"}
        journaled = emit(exported, body="x", attributes={"audit": True, **forged}).log_record
        plain = emit(exported, body="x", attributes={"n": 1, **forged}).log_record

        assert journaled.attributes["audit.record.hash"] == lines(in_force)[-1]["hash"]
        assert journaled.attributes["audit.sequence.number"] == 2
        assert dict(plain.attributes) == {"n": 1}

    def test_unencodable_things_are_journaled(self, exported, in_force, lines):
        """
        Surrogates, huge numbers and odd objects do not lose the record.
        """
        emit(
            exported,
            body="\ud800",
            attributes={"audit": 1, "n": 2**70, "nan": float("nan"), "b": b"\xff", "o": object()},
        )
        meta = lines(in_force)[-1]["meta"]

        assert (meta["message"], meta["n"], meta["nan"]) == ("\\ud800", str(2**70), "NaN")

    def test_a_journal_that_fails_does_not_reach_the_application(self, exported, nowhere):
        """
        Log records are fail open, and say no line that does not exist.
        """
        forged = {"audit": True, "audit.record.hash": "f"}

        assert "audit.record.hash" not in emit(exported, body="x", attributes=forged).log_record.attributes

    def test_a_fault_of_the_bridge_is_contained(self, exported):
        """
        Whatever breaks, logging goes on.
        """

        def write(*_):
            raise RuntimeError("no")

        before = contain.faults().get("audit.bridge", 0)
        exported[0]._multi_log_record_processor._log_record_processors[0]._write = write
        emit(exported, body="x", attributes={"audit": True})

        assert contain.faults()["audit.bridge"] == before + 1

    def test_a_record_without_a_scope_has_one_without_a_name(self, exported, in_force, lines):
        """
        A record that passed no logger is journaled, too.
        """
        from opentelemetry.sdk._logs import ReadWriteLogRecord

        bridge = AuditBridge()
        made = ReadWriteLogRecord(_logs.LogRecord(attributes={"audit": True}), resource=None)
        bridge.on_emit(made)
        made.log_record.attributes = None
        bridge.on_emit(made)

        assert lines(in_force)[-1]["resource"]["id"] == "logger:"

    def test_flush_and_shutdown_put_it_on_the_disk(self, exported):
        """
        The provider's flush is the journal's.
        """
        emit(exported, body="x", attributes={"audit": True})

        assert exported[0].force_flush(1000)
        AuditBridge().shutdown()
