"""What must hold of a run, and how each loss is named."""

from dataclasses import replace

import pytest

from tachograph.cli.demo_checks import checks
from tachograph.cli.demo_records import exposition
from tachograph.cli.demo_session import Answer, Verdict

NOTHING = exposition("")
FAULTS = exposition('tachograph_telemetry_faults_total{tachograph_where="operations.measure"} 28\n')

LOSSES = {
    "an unanswered request": ({"answers": (Answer("r-1", "mail", "500"),)}, "r-1: 500"),
    "traces": ({"spans": ()}, "no plan span of request r-1"),
    "logs": ({"logs": ()}, "no log line of request r-1"),
    "libraries": ({"logs": ()}, "no line of structlog; no line of logging"),
    "metrics": ({"scraped": NOTHING}, "/metrics counts 0 plans of 1"),
    "textfile": ({"textfile": NOTHING}, "metrics.demo-agent.prom counts 0 plans of 1"),
    "outcomes": (
        {"scraped": NOTHING},
        "no success of search; no failure of fetch_page; no blocked of shell; no success of send_mail",
    ),
    "faults": ({"scraped": FAULTS}, "28 in operations.measure"),
    "audit": ({"audit": ()}, "no audit record of request r-1"),
    "guard": ({"audit": ()}, "no agent.guard.violation in the audit trail"),
    "approval": ({"audit": ()}, "no approval was asked for"),
    "chain": ({"verdict": Verdict(3, ("byte 7: changed",))}, "byte 7: changed"),
    "journal": ({"verdict": Verdict()}, "no records"),
    "exemplar": ({"openmetrics": NOTHING}, "no metric exemplar with trace id t1"),
    "everything": (
        {"spans": (), "logs": (), "audit": (), "openmetrics": NOTHING},
        "; ".join(f"no {kind} with trace id None" for kind in ("span", "log line", "metric exemplar", "audit record")),
    ),
    "exit": ({"exit_code": -9}, "the service ended with exit code -9"),
    "flush": ({"audit": ()}, "0 plans of 1 are finished"),
}


def test_every_claim_holds_of_a_complete_run(evidence):
    """
    Nothing is missing where nothing is missing.
    """
    assert [check.problem for check in checks(evidence)] == [""] * 13


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_is_named(evidence, name):
    """
    What is missing makes a check fail that says what it is.
    """
    changes, problem = LOSSES[name]

    assert problem in {check.problem for check in checks(replace(evidence, **changes)) if not check.holds}


def test_an_undecided_approval_is_named(evidence):
    """
    An approval that was asked for and never decided is a problem, with its id.
    """
    undecided = tuple(each for each in evidence.audit if each.action != "APPROVE")
    problems = [check.problem for check in checks(replace(evidence, audit=undecided)) if not check.holds]

    assert problems == ["ap-1 was asked for and not decided"]


def test_request_with_an_exemplar_is_shown(evidence):
    """
    Of several requests the one is shown that a metric leads to, although another has more spans.
    """
    other = tuple(replace(each, trace_id="t9", attributes={"request_id": "r-9"}) for each in evidence.spans[:3])
    more = (*evidence.spans, *other, *other)
    both = replace(evidence, spans=more, answers=(*evidence.answers, Answer("r-9", "disk", "done")))

    assert both.shown == "r-1"
    assert replace(both, openmetrics=NOTHING).shown == "r-9"
