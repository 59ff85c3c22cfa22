"""Facts: one call each, counted, audited, and never an exception but for a wrong declaration."""

import os
import subprocess
import sys

import pytest

import tachograph
from tachograph import DeclarationError, catalogue, notices
from tachograph.catalogue import EVENTS, Instrument, Label
from tachograph.contain import faults
from tachograph.operations.approvals import QUEUE, Queue

KIND = Label("acme.kind", values=("a", "b"))


def declared(kind: str) -> Instrument:
    bounds = {"bounds": (1, 10)} if kind == "histogram" else {}
    return catalogue.add(
        Instrument(name=f"acme.facts.{kind}", kind=kind, unit="1", description="Facts.", labels=(KIND,), **bounds)
    )


@pytest.fixture(autouse=True)
def _nothing_pending():
    notices.forget()
    QUEUE.after_fork()
    yield
    QUEUE.after_fork()
    notices.forget()


class TestValues:
    def test_each_kind_has_its_verb(self, telemetry):
        """
        A counter counts, a gauge is set, a histogram records; by declaration or by name.
        """
        for kind in ("counter", "up_down_counter", "gauge", "histogram"):
            declared(kind)
        tachograph.count(declared("counter"))
        tachograph.count("acme.facts.counter", 2, {"acme.kind": "a"})
        tachograph.count("acme.facts.up_down_counter", -3)
        tachograph.set("acme.facts.gauge", 7)
        tachograph.record("acme.facts.histogram", 5)

        assert telemetry.value("acme.facts.counter") == 3
        assert telemetry.value("acme.facts.counter", acme_kind="a") == 2
        assert telemetry.value("acme.facts.up_down_counter") == -3
        assert telemetry.value("acme.facts.gauge") == 7
        assert telemetry.metrics("acme.facts.histogram")[0].sum == 5

    @pytest.mark.parametrize(
        ("verb", "kind", "right"),
        [("count", "gauge", "set"), ("set", "counter", "count"), ("record", "up_down_counter", "count"),
         ("count", "histogram", "record")],
    )  # fmt: skip
    def test_the_wrong_verb_names_the_right_one(self, verb, kind, right):
        """
        A verb of another kind is a mistake of the program, and told to it.
        """
        with pytest.raises(DeclarationError, match=rf"write {right}\('acme.facts.{kind}', …\)"):
            getattr(tachograph, verb)(declared(kind), 1)

    @pytest.mark.parametrize("instrument", ["acme.nothing", Instrument(
        name="acme.nothing", kind="counter", unit="1", description="Not added.")])  # fmt: skip
    def test_what_is_not_declared_is_refused(self, instrument):
        """
        An instrument must be added before it is used.
        """
        with pytest.raises(DeclarationError, match=r"write tachograph.catalogue.add"):
            tachograph.count(instrument)

    def test_another_declaration_of_the_name_is_refused(self):
        """
        What is recorded is what was added.
        """
        declared("counter")
        other = Instrument(name="acme.facts.counter", kind="counter", unit="1", description="Other.")

        with pytest.raises(DeclarationError, match=r"write what catalogue\.add returned"):
            tachograph.count(other)

    @pytest.mark.parametrize("value", [float("nan"), float("inf"), -1, "three", None])
    def test_a_value_that_is_none_costs_itself(self, telemetry, value):
        """
        At run time nothing is raised: the value is left out and the fault counted.
        """
        before = faults().get("operations.fact", 0)
        tachograph.count(declared("counter"), value)
        tachograph.count(declared("counter"), 1)

        assert faults()["operations.fact"] == before + 1
        assert telemetry.value("acme.facts.counter") == 1

    def test_a_label_that_is_not_declared_is_left_out_and_said(self, telemetry, capsys):
        """
        A label that the declaration does not have costs itself, with one line.
        """
        for _ in range(2):
            tachograph.count(declared("counter"), 1, {"acme.kind": "a", "acme.run": "x"})

        assert [point.attributes for point in telemetry.metrics("acme.facts.counter")] == [{"acme.kind": "a"}]
        assert capsys.readouterr().err.count("'acme.run'") == 1


class TestAudited:
    @pytest.mark.parametrize(
        ("fact", "event", "action", "meta"),
        [
            (lambda: tachograph.guardrail("egress", "block", rule="r1"), "agent.guard.violation", "BLOCK",
             {"guard": "egress", "rule": "r1", "verdict": "block"}),
            (lambda: tachograph.guardrail("pii", "redact"), "agent.guard.violation", "REDACT",
             {"guard": "pii", "rule": None, "verdict": "redact"}),
            (lambda: tachograph.guardrail("pii", "flag"), "agent.guard.violation", "FLAG",
             {"guard": "pii", "rule": None, "verdict": "flag"}),
            (lambda: tachograph.policy_violation("secrets", policy_id="p1", version="2"),
             "agent.policy.violation", "DENY",
             {"policy_id": "p1", "version": "2", "type": "secrets"}),
            (lambda: tachograph.policy_violation("secrets", action="WARN"), "agent.policy.violation", "WARN",
             {"policy_id": None, "version": None, "type": "secrets"}),
            (lambda: tachograph.finding("trivy", "high", digest="d"), "security.finding", "DETECT",
             {"scanner": "trivy", "severity": "HIGH", "digest": "d"}),
            (lambda: tachograph.handoff("writer", from_="planner", scope="docs"), "agent.delegation", "DELEGATE",
             {"from": "planner", "to": "writer", "scope": "docs"}),
            (lambda: tachograph.approval("requested", approval_id="a1", subject="call_0"), "agent.approval.requested",
             "REQUEST", {"approval_id": "a1", "subject": "call_0", "scope": None}),
            *((lambda word=word: tachograph.approval(word, approval_id="a1", approver="user:ada", scope="once"),
               "agent.approval.decided", verb,
               {"approval_id": "a1", "approver": "user:ada", "scope": "once", "subject": None})
              for word, verb in (("granted", "APPROVE"), ("denied", "REJECT"), ("expired", "EXPIRE"),
                                 ("modified", "MODIFY"))),
        ],
    )  # fmt: skip
    def test_the_record_is_that_of_the_catalogue(self, telemetry, fact, event, action, meta):
        """
        Event and verb are of the list, and everything that its records must tell is there.
        """
        fact()
        (record,) = telemetry.audit
        (known,) = [each for each in EVENTS if each.name == event]

        assert (record["event"], record["action"], record["meta"]) == (event, action, meta)
        assert action in known.verbs
        assert set(known.meta) <= set(record["meta"])

    def test_a_verb_of_no_list_is_said_and_kept(self, telemetry, capsys):
        """
        What was said stays in the record; one line tells the verbs that there are.
        """
        tachograph.policy_violation("secrets", action="SIGH")

        assert telemetry.audit[-1]["action"] == "SIGH"
        assert "write one of DENY, WARN" in capsys.readouterr().err

    def test_the_actor_is_who_acts(self, telemetry):
        """
        A handoff is the giving agent's, a decision the approver's.
        """
        with tachograph.agent("planner"):
            tachograph.handoff("writer")
            tachograph.approval("granted", approver="user:ada")

        assert [record["actor"]["id"] for record in telemetry.audit] == ["agent:planner", "user:ada"]
        assert telemetry.value("tachograph.agent.handoffs", gen_ai_agent_name="planner") == 1

    def test_passing_is_counted_only(self, telemetry):
        """
        A guardrail that lets pass writes no record.
        """
        tachograph.guardrail("egress", "pass")

        assert telemetry.audit == ()
        assert telemetry.value("tachograph.guardrail.verdicts", verdict="pass") == 1

    def test_the_span_tells_what_happened_in_it(self, telemetry):
        """
        Guardrails, violations, handoffs and approvals are events of the span around them, a danger an attribute.
        """
        with tachograph.tool_call("shell"):
            tachograph.guardrail("egress", "block", rule="r1")
            tachograph.policy_violation("secrets")
            tachograph.handoff("writer")
            tachograph.approval("requested")
            tachograph.danger(70)
        span = telemetry.span("execute_tool shell")

        assert [event.name for event in span.events] == [
            "tachograph.guardrail", "tachograph.policy_violation", "tachograph.handoff", "tachograph.approval",
        ]  # fmt: skip
        assert span.events[0].attributes["tachograph.rule"] == "r1"
        assert span.attributes["tachograph.danger.score"] == 70


class TestWrongWords:
    @pytest.mark.parametrize(
        ("fact", "instrument", "label"),
        [
            (lambda: tachograph.security_evaluation("maybe"), "tachograph.security.evaluations", "tachograph.verdict"),
            (lambda: tachograph.guardrail("g", "perhaps"), "tachograph.guardrail.verdicts", "tachograph.verdict"),
            (lambda: tachograph.finding("trivy", "bad"), "tachograph.scan.findings", "tachograph.severity"),
            (lambda: tachograph.scan_failure("trivy", "bad"), "tachograph.scan.failures", "tachograph.reason"),
            (lambda: tachograph.throttled("bad"), "tachograph.pipeline.throttled", "tachograph.scope"),
            (lambda: tachograph.change("bad"), "tachograph.pipeline.changes", "tachograph.label"),
            (lambda: tachograph.approval("perhaps"), "tachograph.tool.approvals", "tachograph.decision"),
        ],
    )  # fmt: skip
    def test_a_word_of_no_list_is_other_counted_and_said(self, telemetry, capsys, fact, instrument, label):
        """
        A fact never raises for a word: it is `_OTHER`, one line tells the words that there are.
        """
        overflow = {"tachograph_instrument": instrument, "tachograph_label": label}
        before = telemetry.value("tachograph.telemetry.label_overflow", **overflow)
        fact()
        fact()

        assert telemetry.value(instrument, **{label.replace(".", "_"): "_OTHER"}) == 2
        assert telemetry.value("tachograph.telemetry.label_overflow", **overflow) == before + 2
        assert capsys.readouterr().err.count("write one of") == 1

    def test_words_that_are_said_to_an_operation_are_counted_too(self, telemetry, capsys):
        """
        Each measurement that has `_OTHER` counts: an outcome is on the calls and on their duration.
        """

        def overflow(instrument):
            return telemetry.value("tachograph.telemetry.label_overflow", tachograph_instrument=instrument)

        names = ("tachograph.tool.calls", "tachograph.tool.duration", "tachograph.agent.finish")
        before = [overflow(name) for name in names]
        with tachograph.agent("a") as run:
            run.finish("bored")
            with tachograph.tool_call("t") as call:
                call.outcome = "exploded"

        assert [overflow(name) for name in names] == [number + 1 for number in before]
        assert telemetry.span("execute_tool t").attributes["tachograph.outcome"] == "_OTHER"
        assert len(capsys.readouterr().err.splitlines()) == 2


class TestApprovals:
    def test_pending_goes_up_and_down(self, telemetry):
        """
        What is requested waits until it is decided, whatever the decision.
        """
        first = tachograph.approval("requested")
        tachograph.approval("requested", approval_id="a2")
        both = telemetry.value("tachograph.tool.approvals.pending")
        oldest = telemetry.metrics("tachograph.tool.approvals.oldest_pending")
        tachograph.approval("granted", approval_id=first)
        tachograph.approval("denied", approval_id="a2")

        assert both == 2
        assert len(oldest) == 1
        assert telemetry.value("tachograph.tool.approvals.pending") == 0
        assert telemetry.metrics("tachograph.tool.approvals.oldest_pending") == ()
        assert telemetry.value("tachograph.tool.approvals") == 4

    def test_a_decision_without_an_id_finds_its_request(self):
        """
        It is on the oldest request about its subject, or the oldest of all; an unknown id changes nothing.
        """
        one, two, three = (tachograph.approval("requested", subject=subject) for subject in ("x", "y", "x"))

        assert tachograph.approval("granted", subject="y") == two
        assert tachograph.approval("granted", subject="z") is None
        assert tachograph.approval("granted", approval_id="other") == "other"
        assert tachograph.approval("expired") == one
        assert tachograph.approval("expired") == three

    def test_the_age_is_the_oldest_ones(self):
        """
        Asking again does not make a request younger.
        """
        now = iter([100.0, 105.0, 110.0, 130.0])
        queue = Queue(clock=lambda: next(now))
        for approval_id in ("a", "b", "a"):
            queue.request(approval_id, None)

        assert list(queue.oldest()) == [(30.0, {})]

    def test_the_queue_is_bounded(self, capsys):
        """
        Requests that nobody ever decides do not fill the memory.
        """
        queue = Queue(kept=2)
        for approval_id in "abc":
            queue.request(approval_id, None)

        assert list(queue.pending()) == [(2, {})]
        assert queue.decide(None, None) == "b"
        assert "the oldest is forgotten" in capsys.readouterr().err


class TestPopulations:
    def test_old_label_sets_disappear_from_the_scrape(self, telemetry):
        """
        What is said replaces the whole set: no stale gauge stays.
        """
        tachograph.agent_population({("active", "trusted"): 3, ("idle", "trusted"): 1})
        tachograph.task_population({("open", "planner"): 4})
        first = telemetry.metrics_text()
        tachograph.agent_population({("active", "trusted"): 2})
        tachograph.task_population({})
        second = telemetry.metrics_text()

        assert 'tachograph_status="idle",tachograph_trust_level="trusted"} 1' in first
        assert "tachograph_task_population{" in first
        assert 'tachograph_status="active",tachograph_trust_level="trusted"} 2' in second
        assert "idle" not in second
        assert "tachograph_task_population{" not in second

    def test_a_wrong_mapping_changes_nothing(self, telemetry):
        """
        A fault in what is said is contained, and what was said before stays.
        """
        tachograph.agent_population({("active", "trusted"): 3})
        before = faults().get("operations.fact", 0)
        tachograph.agent_population({"active": 3})

        assert faults()["operations.fact"] == before + 1
        assert telemetry.value("tachograph.agent.population") == 3


class TestFork:
    def test_a_child_says_its_own(self, tmp_path):
        """
        After a fork the parent's populations and approvals are the parent's, and the child's facts work.
        """
        code = """
import os, tachograph
from tachograph.operations.approvals import QUEUE
from tachograph.operations import facts
tachograph.agent_population({("active", "trusted"): 3})
tachograph.approval("requested", approval_id="a1")
budget = tachograph.budget("b", limit=20, spent=1)
child = os.fork()
if child == 0:
    clean = (facts._agents._values, list(QUEUE.pending())) == ([], [(0, {})])
    tachograph.agent_population({("idle", "trusted"): 1})
    tachograph.approval("requested")
    same = tachograph.budget("b", spent=1.5).spent == budget.spent == 1.5
    os._exit(0 if clean and same else 1)
assert os.waitpid(child, 0)[1] == 0
assert list(QUEUE.pending()) == [(1, {})] and budget.spent == 1
"""
        environment = {**os.environ, "TACHOGRAPH_DIR": str(tmp_path)}
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
        )

        assert (done.returncode, done.stderr) == (0, "")
