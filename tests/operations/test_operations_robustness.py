"""Whatever an application decorates, notes or says: its own code goes on, and what is known stays true."""

import asyncio
import contextlib
import functools
import inspect

import pytest
from opentelemetry import trace

import tachograph
from tachograph import contain, notices
from tachograph.operations import agent, context_assembly, llm_call, plan, stage, tool_call


@pytest.fixture(autouse=True)
def _nothing_said():
    notices.forget()
    yield
    notices.forget()


@pytest.fixture
def faults():
    """Faults since the test began, by where they happened; forgotten after it."""
    before = contain.faults()
    yield lambda: {key: n - before.get(key, 0) for key, n in contain.faults().items() if n != before.get(key, 0)}
    contain._faults.clear()
    contain._faults.update(before)


def current() -> int:
    return trace.get_current_span().get_span_context().span_id


class Work:
    """A callable object; its class decides how it is called."""

    async def __call__(self, *, fail: bool = False) -> int:
        inside = current()
        await asyncio.sleep(0)
        if fail:
            raise ConnectionError
        assert current() == inside
        return inside


def begin(*, fail: bool = False):
    return Work()(fail=fail)


class TestDecorated:
    @pytest.mark.parametrize("function", [Work(), begin, functools.partial(Work())], ids=["object", "function", "part"])
    def test_a_call_that_gives_a_coroutine_ends_with_it(self, telemetry, function):
        """
        It works in the span, and a failure after the first await is a failure.
        """
        work = tool_call("t")(function)

        async def main() -> int:
            inside = await work()
            with pytest.raises(ConnectionError):
                await work(fail=True)
            assert current() == 0
            return inside

        inside = asyncio.run(main())
        assert telemetry.spans[0].context.span_id == inside
        assert [span.attributes["tachograph.outcome"] for span in telemetry.spans] == ["success", "failure"]

    def test_a_coroutine_that_is_cancelled_is_cancelled(self, telemetry):
        """
        As one of a coroutine function is.
        """

        async def main() -> None:
            task = asyncio.create_task(tool_call("t")(lambda: asyncio.sleep(60))())
            await asyncio.sleep(0)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

        asyncio.run(main())
        assert telemetry.span("execute_tool t").attributes["tachograph.outcome"] == "cancelled"

    def test_an_object_with_an_async_call_is_a_coroutine_function(self):
        """
        Frameworks that ask how to call it get the right answer.
        """
        assert inspect.iscoroutinefunction(tool_call("t")(Work()))
        assert not inspect.iscoroutinefunction(tool_call("t")(Work))

    @pytest.mark.parametrize("kind", [classmethod, staticmethod])
    def test_it_may_stand_above_classmethod_and_staticmethod(self, telemetry, kind):
        """
        The order of the two decorators does not matter.
        """

        class Tools:
            @tool_call("t")
            @kind
            def run(*args):
                assert current() != 0
                return args

        expected = (Tools,) if kind is classmethod else ()
        assert (Tools.run(), Tools().run()) == (expected, expected)
        assert len(telemetry.spans) == 2

    @pytest.mark.parametrize("value", [property(lambda _self: 1), None, 5])
    def test_what_cannot_be_called_is_refused_where_it_is_written(self, value):
        """
        A property has no calls to run; the error names it.
        """
        with pytest.raises(TypeError, match=f"no {type(value).__name__}"):
            tool_call("t")(value)


class TestNotes:
    def test_a_note_leaves_what_the_operation_says(self, telemetry, capsys):
        """
        The tool's name, the outcome and the effect are the operation's; other notes of the same call are kept.
        """
        forged = {"gen_ai.tool.name": "evil", "tachograph.outcome": "skipped", "tachograph.tool.effect": "read"}
        with tool_call("t", effect="destructive", attempt=1) as call:
            call.note(**forged, rule="r", attempt=2)
        attributes, meta = telemetry.span("execute_tool t").attributes, telemetry.audit[-1]["meta"]

        assert [attributes[key] for key in forged] == ["t", "success", "destructive"]
        assert (attributes["attempt"], attributes["rule"], meta["rule"]) == (2, "r", "r")
        assert (meta["gen_ai.tool.name"], meta["tachograph.tool.effect"]) == ("t", "destructive")
        assert "tachograph.outcome" not in meta
        assert capsys.readouterr().err.count("a note cannot be called") == 3

    def test_a_note_that_cannot_be_kept_costs_itself(self, telemetry, faults):
        """
        The notes beside it are there.
        """

        class Hostile:
            def __str__(self) -> str:
                raise RuntimeError

        with stage("s") as run:
            run.note(first=1, bad=Hostile(), last=2)

        assert {"first": 1, "last": 2}.items() <= dict(telemetry.span("stage s").attributes).items()
        assert faults() == {"operations.note": 1}


class TestTurns:
    def test_a_model_call_that_failed_is_no_turn(self, telemetry):
        """
        The agent's own count and the metric are the same: calls that succeeded.
        """
        with agent("a") as run:
            with llm_call("openai", "gpt-5"):
                pass
            for error in (ConnectionError, TimeoutError):
                with contextlib.suppress(error), llm_call("openai", "gpt-5"):
                    raise error

        assert run.turns == 1
        assert telemetry.value("tachograph.agent.turns") == 1
        assert telemetry.span("invoke_agent a").attributes["tachograph.turns"] == 1


class TestOddValues:
    @pytest.mark.parametrize(
        "make",
        [
            lambda: plan(None),
            lambda: plan("p", plan_id=5),
            lambda: agent(None, agent_id=5),
            lambda: tool_call("t", effect=["x"]),
            lambda: tool_call(5, effect="external", call_id=object(), arguments=object()),
            lambda: stage("s", odd=object(), mixed=[1, object()], none=None),
            lambda: llm_call(None, None),
            lambda: context_assembly(budget_tokens="many"),
        ],
    )
    def test_odd_arguments_do_not_reach_the_block(self, telemetry, faults, make):
        """
        The block runs, and there is a span of it.
        """
        with make() as run:
            run.note(a=object(), **{"": 1})
            run.outcome = "retry"

        assert telemetry.spans[-1].attributes["tachograph.outcome"] == "retry"
        assert set(faults()) <= {"operations.start", "metrics.record"}

    def test_tokens_that_are_no_number_are_unknown(self, telemetry, faults):
        """
        Everything else about the call is counted, and the call is one without usage.
        """
        with llm_call("openai", "gpt-5") as call:
            call.usage(input_tokens="many", output_tokens=7, cache_read_tokens=-1)

        assert telemetry.value("tachograph.llm.calls", outcome="success") == 1
        assert telemetry.value("tachograph.llm.calls_without_usage") == 1
        assert [point.value for point in telemetry.metrics("tachograph.llm.tokens")] == [7]
        assert faults() == {"operations.usage": 2}

    def test_a_known_zero_is_known(self, telemetry):
        """
        Half of the usage missing counts, none of it missing does not, and embeddings have an input only.
        """
        with llm_call("openai", "gpt-5") as call:
            call.usage(input_tokens=0, output_tokens=0)
        with llm_call("openai", "small", operation="embeddings") as call:
            call.usage(input_tokens=3)
        assert telemetry.metrics("tachograph.llm.calls_without_usage") == ()
        for half in ({"input_tokens": 3}, {"output_tokens": 3}):
            with llm_call("openai", "gpt-5") as call:
                call.usage(**half)

        assert telemetry.value("tachograph.llm.calls_without_usage") == 2

    def test_a_budget_that_is_no_number_costs_the_share_of_it(self, telemetry, faults):
        """
        The assembly and its tokens are measured.
        """
        with context_assembly(budget_tokens="many") as run:
            run.tokens = 5

        assert telemetry.value("tachograph.context.assemblies") == 1
        assert [point.sum for point in telemetry.metrics("tachograph.context.tokens")] == [5]
        assert faults() == {"operations.measure": 1}

    def test_facts_of_odd_words_do_not_raise(self, telemetry):
        """
        They are counted as other words are.
        """
        tachograph.finding("trivy", None)
        tachograph.guardrail("egress", ["block"])
        tachograph.policy_violation("rule", action=5)

        assert telemetry.value("tachograph.scan.findings") == 1
        assert telemetry.value("tachograph.guardrail.verdicts") == 1

    def test_an_outcome_without_a_text_is_not_said(self, telemetry, faults):
        """
        It costs itself; the operation ends as it would have.
        """

        class Hostile:
            def __str__(self) -> str:
                raise RuntimeError

        with tool_call("t") as call:
            call.outcome = Hostile()

        assert telemetry.value("tachograph.tool.calls", outcome="success") == 1
        assert faults() == {"operations.word": 1}

    def test_an_intent_that_nobody_takes_costs_the_record(self, telemetry, faults, monkeypatch):
        """
        Where no record is required, a journal that breaks does not keep the act from happening.
        """

        def broken(_event):
            raise RuntimeError

        monkeypatch.setattr("tachograph.intake._sink", broken)
        with tool_call("t", effect="external") as call:
            ran = True

        assert ran
        assert call.outcome == "success"
        assert faults() == {"operations.audit": 2}


class TestGenerators:
    def test_a_function_that_a_generator_calls_has_its_block(self, telemetry):
        """
        A context manager as a decorator surrounds one call, whoever makes it: the span is current in it.
        """

        @contextlib.contextmanager
        def managed():
            with stage("managed"):
                yield

        @managed()
        def work() -> int:
            return current()

        def generator():
            yield work()

        (inside,) = generator()
        assert inside == telemetry.span("stage managed").context.span_id

    def test_a_budget_inside_a_generator_stays_inside(self, telemetry):
        """
        As an operation does: what the caller's model calls cost is not the generator's.
        """

        def generator():
            with contextlib.ExitStack() as stack:
                stack.enter_context(tachograph.budget("inside a generator", limit=1))
                yield

        for _ in generator():
            with llm_call("openai", "gpt-5") as call:
                call.cost(0.5)

        assert tachograph.budget("inside a generator").spent == 0

    def test_an_async_context_manager_inside_a_generator_stays_inside(self, telemetry):
        """
        Of asynchronous generators and stacks the same is true.
        """

        @contextlib.asynccontextmanager
        async def planned():
            async with plan("inner"):
                yield

        async def generator():
            async with contextlib.AsyncExitStack() as stack:
                await stack.enter_async_context(planned())
                yield

        async def main() -> list[int]:
            return [current() async for _ in generator()]

        assert asyncio.run(main()) == [0]
        assert telemetry.span("plan inner")
