"""What an application may do to an operation without losing its span, its measurements or its own context."""

import contextlib
import enum

import pytest
from opentelemetry import trace

import tachograph


class Bad(Exception):
    def __str__(self):
        raise RuntimeError("no text")


class Word(enum.Enum):
    BLOCKED = "blocked"


def current():
    return trace.get_current_span().get_span_context().span_id


class TestExceptions:
    def test_one_without_a_text_costs_no_span(self, telemetry):
        """
        The span ends, with the exception's type.
        """
        with pytest.raises(Bad), tachograph.tool_call("t"):
            raise Bad

        (event,) = telemetry.span("execute_tool t").events
        assert event.attributes["exception.type"].endswith("Bad")
        assert telemetry.value("tachograph.tool.calls", outcome="failure") == 1


class TestOddArguments:
    @pytest.mark.parametrize("word", [None, Word.BLOCKED, 5, b"x"])
    def test_an_outcome_of_another_type_is_counted_as_other(self, telemetry, word):
        """
        Telemetry does not raise into the application.
        """
        with tachograph.tool_call("t") as call:
            call.outcome = word

        assert telemetry.value("tachograph.tool.calls", outcome="_OTHER") == 1

    def test_an_effect_of_another_type_is_treated_as_destructive(self, telemetry):
        """
        What cannot be understood gets the strictest treatment.
        """
        with tachograph.tool_call("t", effect=5):
            pass

        assert [record["meta"]["phase"] for record in telemetry.audit] == ["start", "end"]

    def test_a_value_that_cannot_be_recorded_costs_itself(self, telemetry):
        """
        The measurements beside it are there.
        """
        with tachograph.context_assembly(budget_tokens=100) as run:
            run.fragments = "three"
            run.tokens = 40

        assert telemetry.value("tachograph.context.assemblies", outcome="success") == 1
        assert telemetry.value("tachograph.context.budget_utilization") == 1


class TestGenerators:
    def test_a_context_manager_inside_a_generator_stays_inside(self, telemetry):
        """
        The caller of the generator never has the operation's span as its current one.
        """

        @contextlib.contextmanager
        def planned():
            with tachograph.plan("inner"):
                yield

        def generator():
            with planned():
                yield current()

        before = current()
        during = [current() for _ in generator()]

        assert during == [before]
        assert telemetry.span("plan inner")

    def test_an_exit_stack_inside_a_generator_stays_inside(self, telemetry):
        """
        Entered through contextlib, it is the generator's block all the same.
        """

        def generator():
            with contextlib.ExitStack() as stack:
                stack.enter_context(tachograph.plan("stacked"))
                yield

        before = current()
        during = [current() for _ in generator()]

        assert during == [before]
        assert telemetry.span("plan stacked")

    def test_a_context_manager_of_the_application_gives_its_caller_the_span(self, telemetry):
        """
        Being current in the caller's block is what it is for.
        """

        @contextlib.contextmanager
        def planned():
            with tachograph.plan("outer") as run:
                yield run

        with planned() as run:
            assert current() == run.span.get_span_context().span_id
        with contextlib.ExitStack() as stack:
            run = stack.enter_context(tachograph.plan("stacked"))
            assert current() == run.span.get_span_context().span_id
