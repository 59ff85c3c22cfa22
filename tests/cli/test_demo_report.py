"""The summary, for people and for programs."""

import json
from dataclasses import replace

import pytest

from tachograph.cli.demo_checks import checks
from tachograph.cli.demo_records import exposition
from tachograph.cli.demo_report import JsonReport, TextReport
from tachograph.cli.demo_session import Verdict


@pytest.fixture
def printed(evidence, capsys, monkeypatch):
    """What is printed of a run with these changes."""
    monkeypatch.delenv("FORCE_COLOR", raising=False)

    def make(no_color=False, **changes):
        changed = replace(evidence, **changes)
        TextReport(no_color=no_color).summary(changed, checks(changed))
        return capsys.readouterr().out

    return make


class TestText:
    def test_plain_where_there_is_no_terminal(self, printed):
        """
        Without a terminal there are no control sequences.
        """
        assert "\x1b" not in printed()

    def test_coloured_where_asked_for_and_not_where_refused(self, printed, monkeypatch):
        """
        Colours come with FORCE_COLOR as with a terminal, and --no-color switches them off.
        """
        monkeypatch.setenv("FORCE_COLOR", "1")
        monkeypatch.setenv("TERM", "xterm-256color")
        monkeypatch.delenv("NO_COLOR", raising=False)

        assert "\x1b[" in printed()
        assert "\x1b" not in printed(no_color=True)

    def test_signals_are_counted_with_their_files(self, printed):
        """
        Each signal says what was recorded and where; copies of audit records are told apart from log lines.
        """
        lines = printed().splitlines()

        assert any("5 spans, 2 traces" in line and "my dir/traces.jsonl" in line for line in lines)
        assert any("3 lines, 1 copies of audit records" in line and "my dir/logs.jsonl" in line for line in lines)
        assert any("4 families, 1 exemplars" in line and "my dir/metrics.demo-agent.prom" in line for line in lines)
        assert any("5 records" in line and "my dir/audit.jsonl" in line for line in lines)
        assert "chain    intact over 7 records: seq 7, hash abc" in lines

    def test_one_request_is_shown_with_its_lines_and_records(self, printed):
        """
        The tree names spans with outcomes, log lines with fields, and audit records with who did what.
        """
        out = printed()

        assert "X-Request-ID r-1, trace t1" in out
        assert "execute_tool shell  2.0 ms  blocked" in out
        assert "log  warn  demo.tools: not so" in out
        assert "audit  #2 agent:planner EXECUTE tool:x  intent" in out
        assert "audit  #3 agent:planner BLOCK tool:x  guard=no-shell" in out
        assert "trace t2" in out

    def test_families_of_tachograph_are_listed(self, printed):
        """
        Counters are broken down by outcome, histograms counted, and other families only numbered.
        """
        out = printed()

        assert "counter    4: 2 success, 1 failure, 1 blocked" in out
        assert "histogram  1 measurements" in out
        assert "and 1 families of others" in out
        assert "exemplar  tachograph_tool_calls_total of search names trace t1" in out

    def test_paths_can_be_typed_again(self, printed):
        """
        A command to type quotes a folder whose name has a space.
        """
        assert "tachograph audit verify 'my dir'/audit.jsonl" in printed()

    def test_what_does_not_hold_is_said(self, printed):
        """
        A broken chain is shown as broken, and its check as failed.
        """
        out = printed(verdict=Verdict(3, ("byte 7: changed",)))

        assert "chain    BROKEN" in out
        assert "FAILED  audit: the chain of hashes is intact: byte 7: changed" in out

    def test_nothing_recorded_is_still_a_summary(self, printed):
        """
        Without spans there is no request to show and everything else is said.
        """
        out = printed(spans=(), scraped=exposition(""), openmetrics=exposition(""))

        assert "X-Request-ID r" not in out
        assert "exemplar  " not in out
        assert "FAILED  traces: every request has its trace" in out

    def test_failure_is_left_to_stderr(self, capsys):
        """
        A run that could not be carried through prints no summary.
        """
        TextReport().failure("it broke")

        assert capsys.readouterr().out == ""


class TestJson:
    def test_one_object_tells_everything(self, evidence, capsys):
        """
        Counts, the request's tree, the families, the chain and the checks are there for programs.
        """
        JsonReport().summary(evidence, checks(evidence))
        said = json.loads(capsys.readouterr().out)

        assert said["ok"] is True
        assert said["signals"]["traces"] == {"recorded": {"spans": 5, "traces": 2}, "file": "my dir/traces.jsonl"}
        assert said["request"]["trace_id"] == "t1"
        plan = said["request"]["spans"][0]["items"][0]
        assert plan["name"] == "plan answer"
        assert plan["items"][0]["log"] == "run started"
        assert plan["items"][-1]["audit"] == "agent.plan.transition"
        assert set(said["families"]) >= {"tachograph_tool_calls_total", "tachograph_plan_executions_total"}
        assert said["audit"] == {"intact": True, "records": 7, "head": "seq 7, hash abc", "faults": []}
        assert all(check["holds"] for check in said["checks"])

    def test_failure_is_an_object_too(self, capsys):
        """
        A program that reads the summary learns why there is none.
        """
        JsonReport().failure("it broke")

        assert json.loads(capsys.readouterr().out) == {"ok": False, "problem": "it broke"}
