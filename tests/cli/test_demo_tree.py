"""The tree of a trace."""

from dataclasses import replace

from tachograph.cli import demo_tree
from tachograph.cli.demo_records import AuditRecord, LogLine
from tachograph.cli.demo_tree import Node


def outline(node: Node) -> list[object]:
    return [node.span.name, *(outline(item) if isinstance(item, Node) else described(item) for item in node.items)]


def described(item: LogLine | AuditRecord) -> str:
    return item.body if isinstance(item, LogLine) else item.event


def test_log_lines_and_records_stand_in_their_span_in_the_order_of_time(evidence):
    """
    Children, log lines and audit records of a span are merged by time; noise and copies are left out.
    """
    (root,) = evidence.tree("t1").roots()

    assert outline(root) == [
        "POST /runs",
        [
            "plan answer",
            "run started",
            [
                "execute_tool shell",
                "agent.tool.call",
                "agent.guard.violation",
                "agent.approval.requested",
                "not so",
            ],
            "agent.plan.transition",
        ],
    ]


def test_span_whose_parent_is_missing_is_a_root(evidence):
    """
    A lost parent does not lose its children.
    """
    without = replace(evidence, spans=evidence.spans[2:])

    assert [root.span.name for root in without.tree("t1").roots()] == ["plan answer"]


def test_other_traces_are_found_by_the_plan_id(evidence):
    """
    The approval came with another request, and the plan's id leads to it.
    """
    assert demo_tree.joined_by_plan("t1", evidence.audit) == ("t2",)


def test_records_without_plan_id_join_nothing(evidence):
    """
    Records without the id, or without a trace, are nobody's relatives.
    """
    bare = [replace(each, correlation={}) for each in evidence.audit]

    assert demo_tree.joined_by_plan("t1", bare) == ()
