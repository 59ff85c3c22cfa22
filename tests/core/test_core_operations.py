"""Operations: one span, one measurement, one audit record each, around any kind of block."""

import asyncio
import contextlib
import hashlib
import inspect
import threading

import pytest
from opentelemetry import trace
from opentelemetry.trace import StatusCode

import tachograph
from tachograph import contain, correlation, intake, notices
from tachograph.errors import AuditUnavailable
from tachograph.operations import agent, context_assembly, llm_call, plan, stage, tool_call


class Quiet(Exception):
    pass


@pytest.fixture(autouse=True)
def _nothing_said():
    notices.forget()
    yield
    notices.forget()


@pytest.fixture(autouse=True)
def _no_faults():
    before = contain.faults()
    yield
    assert contain.faults() == before


def current_span_id() -> int:
    return trace.get_current_span().get_span_context().span_id


class TestTree:
    def test_a_run_is_one_tree(self, telemetry) -> None:
        """
        A plan, its agent, its tools and model calls are one trace, each under the one around it.
        """
        with plan("p", plan_id="p-7"), agent("a", agent_id="a-1", conversation_id="c-1"):
            with tool_call("shell"):
                pass
            with llm_call("openai", "gpt-5"):
                pass
        by_name = {span.name: span for span in telemetry.spans}
        parents = {name: span.parent and span.parent.span_id for name, span in by_name.items()}

        assert list(by_name) == ["execute_tool shell", "chat gpt-5", "invoke_agent a", "plan p"]
        assert parents["plan p"] is None
        assert parents["invoke_agent a"] == by_name["plan p"].context.span_id
        assert parents["execute_tool shell"] == parents["chat gpt-5"] == by_name["invoke_agent a"].context.span_id

    def test_ids_are_on_everything_inside(self, telemetry) -> None:
        """
        The ids of the plan and the agent stand on the spans and audit records inside them.
        """
        with plan("p", plan_id="p-7"), agent("a", agent_id="a-1", run_id="r-1", conversation_id="c-1"), tool_call("t"):
            pass
        expected = {"plan_id": "p-7", "run_id": "r-1", "agent_id": "a-1", "gen_ai.conversation.id": "c-1"}
        (record,) = (each for each in telemetry.audit if each["event"] == "agent.tool.call")

        assert expected.items() <= dict(telemetry.span("execute_tool t").attributes).items()
        assert record["correlation"] == expected
        assert record["actor"] == {"id": "agent:a", "type": "service"}

    def test_ids_are_made_where_none_are_given(self, telemetry) -> None:
        """
        A plan has an id, an agent a run id, a tool call a call id; a run id in force is kept by inner agents.
        """
        with plan("p") as made, agent("outer"):
            run_id = correlation.ids()["run_id"]
            with agent("inner"), tool_call("t") as call:
                assert correlation.ids()["run_id"] == run_id

        assert len({made.plan_id, run_id, call.call_id}) == 3
        assert {len(each) for each in (made.plan_id, run_id, call.call_id)} == {32}
        assert telemetry.span("execute_tool t").attributes["gen_ai.tool.call.id"] == call.call_id

    def test_nothing_is_left_behind(self, telemetry) -> None:
        """
        After the block the span, the ids and the agent that were current before are current again.
        """
        with plan("p"), agent("a"):
            pass

        assert current_span_id() == 0
        assert dict(correlation.ids()) == {}
        assert correlation.agent() is None

    def test_attributes_of_the_caller_are_on_the_span(self, telemetry) -> None:
        """
        Keyword arguments go onto the span as they are.
        """
        with stage("fetch", repository="acme/web", attempt=2):
            pass

        assert telemetry.span("stage fetch").attributes["repository"] == "acme/web"
        assert telemetry.span("stage fetch").attributes["attempt"] == 2


class TestOutcomes:
    @pytest.mark.parametrize(
        ("error", "outcome", "status", "named"),
        [
            (ValueError("no"), "failure", StatusCode.ERROR, "ValueError"),
            (TimeoutError("late"), "timeout", StatusCode.ERROR, "TimeoutError"),
            (asyncio.CancelledError(), "cancelled", StatusCode.UNSET, "asyncio.exceptions.CancelledError"),
            (KeyboardInterrupt(), "cancelled", StatusCode.UNSET, "KeyboardInterrupt"),
            (SystemExit(3), "cancelled", StatusCode.UNSET, "SystemExit"),
            (None, "success", StatusCode.UNSET, None),
        ],
        ids=["ValueError", "TimeoutError", "CancelledError", "KeyboardInterrupt", "SystemExit", "none"],
    )
    def test_an_exception_sets_the_outcome_and_propagates(
        self, telemetry, error: BaseException | None, outcome: str, status: StatusCode, named: str | None
    ) -> None:
        """
        The very exception comes out; span, metrics and audit tell how it ended.
        """
        with contextlib.ExitStack() as stack:
            if error is not None:
                caught = stack.enter_context(pytest.raises(type(error)))
            with tool_call("shell"):
                if error is not None:
                    raise error
        span = telemetry.span("execute_tool shell")

        assert error is None or caught.value is error
        assert span.attributes["tachograph.outcome"] == outcome
        assert span.status.status_code is status
        assert telemetry.value("tachograph.tool.calls", outcome=outcome) == 1
        assert telemetry.audit[-1]["outcome"] == ("success" if outcome == "success" else "failure")
        assert span.attributes.get("error.type") == named

    def test_an_exception_is_named_with_its_module(self, telemetry) -> None:
        """
        `error.type` is the qualified name, bare for built-in exceptions.
        """
        with pytest.raises(Quiet), stage("s"):
            raise Quiet

        assert telemetry.span("stage s").attributes["error.type"] == f"{__name__}.Quiet"
        assert [event.name for event in telemetry.span("stage s").events] == ["exception"]

    def test_what_is_said_wins(self, telemetry) -> None:
        """
        An outcome of the closed list that the block says stands, with and without an exception.
        """
        with contextlib.suppress(Quiet), tool_call("a") as call:
            call.outcome = "blocked"
            raise Quiet
        with tool_call("b") as call:
            call.outcome = "skipped"

        assert telemetry.value("tachograph.tool.calls", gen_ai_tool_name="a", outcome="blocked") == 1
        assert telemetry.value("tachograph.tool.calls", gen_ai_tool_name="b", outcome="skipped") == 1
        assert [(each["outcome"], each["meta"]["tachograph.outcome"]) for each in telemetry.audit] == [
            ("failure", "blocked"),
            ("unknown", "skipped"),
        ]

    def test_a_word_of_no_list_is_other_and_said_once(self, telemetry, capsys: pytest.CaptureFixture[str]) -> None:
        """
        An unknown word becomes `_OTHER`; one line tells the words that there are.
        """
        for _ in range(2):
            with tool_call("a") as call:
                call.outcome = "exploded"

        assert call.outcome == "_OTHER"
        assert telemetry.value("tachograph.tool.calls", outcome="_OTHER") == 2
        said = [line for line in capsys.readouterr().err.splitlines() if "exploded" in line]
        assert len(said) == 1
        assert "write one of success, failure, blocked" in said[0]


class TestNotes:
    def test_notes_are_on_span_and_record(self, telemetry) -> None:
        """
        A note of any type stands on the span as a value or its text, and in the audit record's meta.
        """
        with tool_call("a") as call:
            call.note(rule="no-network", tries=2, paths=["a", "b"])

        assert telemetry.span("execute_tool a").attributes["paths"] == "['a', 'b']"
        assert telemetry.audit[-1]["meta"]["paths"] == ["a", "b"]
        assert telemetry.audit[-1]["meta"]["rule"] == "no-network"

    def test_arguments_are_kept_as_a_digest_only(self, telemetry) -> None:
        """
        Equal arguments have equal digests, whatever their order; the values are nowhere.
        """
        for arguments in ({"b": "s3cret", "a": 1}, {"a": 1, "b": "s3cret"}):
            with tool_call("a", arguments=arguments):
                pass
        digests = {record["meta"]["arguments.sha256"] for record in telemetry.audit}

        assert digests == {hashlib.sha256(b'{"a":1,"b":"s3cret"}').hexdigest()}
        assert "s3cret" not in str([dict(span.attributes) for span in telemetry.spans])
        assert "s3cret" not in str(telemetry.journal)

    def test_arguments_that_cannot_be_digested_cost_the_digest(self, telemetry) -> None:
        """
        Arguments that raise when they are looked at cost nothing but their digest.
        """

        class Hostile:
            def __repr__(self) -> str:
                raise Quiet

        with tool_call("a", arguments=Hostile()):
            pass
        with tool_call("b", arguments="\ud800"):
            pass

        assert "arguments.sha256" not in telemetry.audit[0]["meta"]
        assert len(telemetry.audit) == 2


class TestTools:
    @pytest.mark.parametrize("effect", [None, "read", "write"])
    def test_one_record_at_the_end(self, telemetry, effect: str | None) -> None:
        """
        A call that destroys nothing and stays inside is audited once.
        """
        with tool_call("shell", effect=effect, call_id="call-1"):
            assert telemetry.audit == ()
        (record,) = telemetry.audit

        assert record["action"] == "EXECUTE"
        assert record["resource"] == {"id": "tool:shell", "type": "tool"}
        assert record["meta"]["gen_ai.tool.call.id"] == "call-1"
        assert record["meta"].get("tachograph.tool.effect") == effect
        assert "phase" not in record["meta"]

    @pytest.mark.parametrize("effect", ["destructive", "external", "explosive"])
    def test_two_records_around_what_cannot_be_undone(self, telemetry, effect: str) -> None:
        """
        A destructive or external call is audited before and after, an unknown effect as a destructive one.
        """
        with tool_call("rm", effect=effect):
            (intent,) = telemetry.audit
        _, ended = telemetry.audit

        assert (intent["outcome"], intent["meta"]["phase"]) == ("unknown", "start")
        assert (ended["outcome"], ended["meta"]["phase"]) == ("success", "end")
        assert ended["meta"]["intent"] == intent["id"]
        assert intent["trace_id"] == ended["trace_id"]
        assert ended["meta"]["tachograph.tool.effect"] == (effect if effect != "explosive" else "destructive")

    def test_fail_closed_means_the_block_does_not_run(self, telemetry) -> None:
        """
        With a journal that must be there and is not, the call raises AuditUnavailable and does nothing else.
        """
        seen = []

        def refuse(event: intake.AuditEvent):
            seen.append(event)
            if event.required:
                raise AuditUnavailable(28, "No space left on device")

        intake.install(refuse, fail_closed=True)
        ran = False
        with pytest.raises(tachograph.AuditUnavailable), tool_call("rm", effect="destructive"):
            ran = True
        with tool_call("ls", effect="read"):
            pass

        assert not ran
        assert [(event.required, event.outcome) for event in seen] == [
            (True, "unknown"),
            (False, "failure"),
            (False, "success"),
        ]
        assert telemetry.span("execute_tool rm").status.status_code is StatusCode.ERROR
        assert telemetry.value("tachograph.tool.calls", gen_ai_tool_name="rm", outcome="failure") == 1
        assert current_span_id() == 0

    def test_fail_open_runs_without_a_journal(self, telemetry) -> None:
        """
        Without a journal that must be there, a destructive call runs, and its end names no intent.
        """
        seen = []
        intake.install(lambda event: seen.append(event))
        with tool_call("rm", effect="destructive"):
            pass

        assert [event.required for event in seen] == [False, False]
        assert "intent" not in seen[1].meta


class TestAgents:
    def test_turns_are_model_calls_inside(self, telemetry) -> None:
        """
        A turn is a model call that ended in the nearest agent, from any thread; embeddings are none.
        """

        def think() -> None:
            with llm_call("openai", "gpt-5"):
                pass

        with agent("outer") as outer:
            think()
            with agent("inner") as inner:
                think()
                with llm_call("openai", "small", operation="embeddings"):
                    pass
            context = trace.set_span_in_context(outer.span, outer.context)
            thread = threading.Thread(target=lambda: _in(context, think))
            thread.start()
            thread.join()

        assert (outer.turns, inner.turns) == (2, 1)
        assert telemetry.value("tachograph.agent.turns", gen_ai_agent_name="outer") == 2
        assert telemetry.value("tachograph.agent.turns", gen_ai_agent_name="inner") == 1
        assert telemetry.span("invoke_agent outer").attributes["tachograph.turns"] == 2
        (point,) = (p for p in telemetry.metrics("tachograph.agent.turns_per_invocation") if "inner" in str(p))
        assert (point.value, point.sum) == (1, 1)

    @pytest.mark.parametrize(
        ("says", "error", "reason"),
        [
            (None, None, "completed"),
            ("max_iterations", None, "max_iterations"),
            ("bored", None, "_OTHER"),
            (None, Quiet, "error"),
            (None, TimeoutError, "time_budget"),
            (None, KeyboardInterrupt, "cancelled"),
            ("handoff", Quiet, "handoff"),
        ],
    )
    def test_it_ends_for_a_reason(self, telemetry, says: str | None, error, reason: str) -> None:
        """
        The reason is the one that was said, else it follows from the outcome.
        """
        with contextlib.suppress(*([error] if error else [])), agent("a") as run:
            if says:
                run.finish(says)
            if error:
                raise error

        assert telemetry.value("tachograph.agent.finish", tachograph_reason=reason) == 1
        assert telemetry.span("invoke_agent a").attributes["tachograph.agent.finish_reason"] == reason

    def test_what_is_in_progress_is_a_gauge(self, telemetry) -> None:
        """
        Plans and agents in progress go up at the start and down at the end, whatever the end.
        """
        with plan("p"), agent("a"):
            assert telemetry.value("tachograph.plan.active") == 1
            assert telemetry.value("tachograph.agent.active", gen_ai_agent_name="a") == 1
        with contextlib.suppress(Quiet), plan("p"), agent("a"):
            raise Quiet

        assert telemetry.value("tachograph.plan.active") == 0
        assert telemetry.value("tachograph.agent.active") == 0


class TestPlans:
    @pytest.mark.parametrize(("error", "action", "to"), [(None, "FINISH", "finished"), (Quiet, "ABORT", "aborted")])
    def test_start_and_end_are_audited(self, telemetry, error, action: str, to: str) -> None:
        """
        A plan's transitions name the plan, its id, and from where to where.
        """
        with contextlib.suppress(Quiet), plan("p", plan_id="p-7"):
            if error:
                raise error
        started, ended = telemetry.audit

        assert {started["event"], ended["event"]} == {"agent.plan.transition"}
        assert (started["action"], started["meta"]) == ("START", {"plan_id": "p-7", "from": "created", "to": "running"})
        assert (ended["action"], ended["meta"]["from"], ended["meta"]["to"]) == (action, "running", to)
        assert ended["resource"]["id"] == "plan:p"


class TestModels:
    def test_usage_is_counted_by_kind(self, telemetry) -> None:
        """
        Input and output add up; parts of them are counted apart and stand on the span.
        """
        with agent("a"), llm_call("openai", "gpt-5") as call:
            call.first_chunk()
            first = call._first_chunk
            call.first_chunk()
            call.usage(
                input_tokens=100, output_tokens=20, cache_read_tokens=60, reasoning_tokens=5, cache_write_tokens=0
            )
        tokens = {
            point.attributes["gen_ai.token.type"]: point.value for point in telemetry.metrics("tachograph.llm.tokens")
        }
        detail = {p.attributes["gen_ai.token.type"]: p.value for p in telemetry.metrics("tachograph.llm.tokens.detail")}

        assert tokens == {"input": 100, "output": 20}
        assert detail == {"cache_read": 60, "reasoning": 5}
        assert telemetry.metrics("tachograph.llm.calls_without_usage") == ()
        assert telemetry.value("tachograph.llm.time_to_first_chunk") == 1
        assert call._first_chunk == first
        attributes = telemetry.span("chat gpt-5").attributes
        assert attributes["gen_ai.usage.cache_write.input_tokens"] == 0
        assert attributes["gen_ai.usage.input_tokens"] == 100

    def test_unknown_is_not_zero(self, telemetry) -> None:
        """
        A success that says no usage is counted as such, and no token is.
        """
        with llm_call("openai", "gpt-5"):
            pass
        with contextlib.suppress(Quiet), llm_call("openai", "gpt-5"):
            raise Quiet

        assert telemetry.value("tachograph.llm.calls_without_usage") == 1
        assert telemetry.metrics("tachograph.llm.tokens") == ()
        assert not [key for key in telemetry.spans[0].attributes if key.startswith("gen_ai.usage")]

    def test_a_call_is_a_client_span(self, telemetry) -> None:
        """
        A model call leaves the process.
        """
        with llm_call("openai", "small", operation="embeddings"):
            pass

        assert telemetry.span("embeddings small").kind is trace.SpanKind.CLIENT


class TestContexts:
    def test_what_was_assembled_is_measured(self, telemetry) -> None:
        """
        Fragments, tokens and the share of the budget are measured when they are said.
        """
        with context_assembly(budget_tokens=1000) as run:
            run.fragments, run.tokens = 12, 900
        with context_assembly(budget_tokens=0) as run:
            run.tokens = 5
        with context_assembly():
            pass

        assert [point.sum for point in telemetry.metrics("tachograph.context.budget_utilization")] == [0.9]
        assert [point.sum for point in telemetry.metrics("tachograph.context.fragments")] == [12]
        assert [point.value for point in telemetry.metrics("tachograph.context.tokens")] == [2]
        assert telemetry.value("tachograph.context.assemblies", outcome="success") == 3


def _in(context, function) -> None:
    from opentelemetry import context as otel_context

    otel_context.attach(context)
    function()


class TestDecorators:
    def test_functions(self, telemetry) -> None:
        """
        A decorated function keeps its name, its result and its exception, and makes a run a call.
        """

        @stage("double")
        def double(number: int, *, fail: bool = False) -> int:
            """Twice as much."""
            if fail:
                raise Quiet
            return number * 2

        assert [double(number) for number in range(3)] == [0, 2, 4]
        with pytest.raises(Quiet):
            double(1, fail=True)
        assert (double.__name__, double.__doc__) == ("double", "Twice as much.")
        assert len(telemetry.spans) == 4

    def test_coroutines(self, telemetry) -> None:
        """
        A decorated coroutine function is one still; calls at once have spans of their own.
        """

        @stage("work")
        async def work(number: int) -> int:
            mine = current_span_id()
            await asyncio.sleep(0)
            assert current_span_id() == mine
            return number

        async def main() -> list[int]:
            return await asyncio.gather(*(work(number) for number in range(5)))

        assert inspect.iscoroutinefunction(work)
        assert asyncio.run(main()) == [0, 1, 2, 3, 4]
        assert len({span.context.span_id for span in telemetry.spans}) == 5
        assert {span.parent for span in telemetry.spans} == {None}

    def test_generators_do_not_leak_their_span(self, telemetry) -> None:
        """
        A decorated generator computes in its span, its caller never does, and values go both ways.
        """

        @stage("produce")
        def produce():
            got = []
            for number in range(3):
                assert current_span_id() != 0
                try:
                    got.append((yield number))
                except Quiet:
                    got.append("thrown")
            return got

        outside, items = [], []
        generator = produce()
        items.append(next(generator))
        outside.append(current_span_id())
        items.append(generator.send("sent"))
        outside.append(current_span_id())
        items.append(generator.throw(Quiet()))
        with pytest.raises(StopIteration) as stopped:
            next(generator)

        assert inspect.isgeneratorfunction(produce)
        assert (items, outside, stopped.value.value) == ([0, 1, 2], [0, 0], ["sent", "thrown", None])
        assert telemetry.value("tachograph.pipeline.stage.duration", outcome="success") == 1

    def test_a_generator_that_is_left_is_a_success(self, telemetry) -> None:
        """
        Whoever takes two of many items ends the run well; an exception inside ends it as a failure.
        """
        closed = []

        @stage("produce")
        def produce(fail: bool):
            try:
                yield 1
                if fail:
                    raise Quiet
                yield 2
                yield 3
            finally:
                closed.append(fail)

        for _ in produce(False):
            break
        with pytest.raises(Quiet):
            list(produce(True))

        assert closed == [False, True]
        assert [span.attributes["tachograph.outcome"] for span in telemetry.spans] == ["success", "failure"]

    def test_async_generators(self, telemetry) -> None:
        """
        A decorated async generator keeps its span to itself, takes values and exceptions, and closes.
        """
        closed = []

        @stage("produce")
        async def produce():
            got = []
            try:
                for number in range(3):
                    assert current_span_id() != 0
                    await asyncio.sleep(0)
                    try:
                        got.append((yield number))
                    except Quiet:
                        got.append("thrown")
                yield got
            finally:
                closed.append(True)

        async def main() -> tuple[list[object], list[int]]:
            generator, outside = produce(), []
            items = [await anext(generator)]
            outside.append(current_span_id())
            items.append(await generator.asend("sent"))
            outside.append(current_span_id())
            items.append(await generator.athrow(Quiet()))
            items.append(await anext(generator))
            with pytest.raises(StopAsyncIteration):
                await anext(generator)
            async with contextlib.aclosing(produce()) as left:
                async for _ in left:
                    break
            return items, outside

        assert inspect.isasyncgenfunction(produce)
        assert asyncio.run(main()) == ([0, 1, 2, ["sent", "thrown", None]], [0, 0])
        assert closed == [True, True]
        assert [span.attributes["tachograph.outcome"] for span in telemetry.spans] == ["success", "success"]

    def test_async_generators_fail(self, telemetry) -> None:
        """
        An exception inside a decorated async generator comes out and is its outcome.
        """

        @stage("produce")
        async def produce():
            yield 1
            raise Quiet

        async def main() -> None:
            async for _ in produce():
                pass

        with pytest.raises(Quiet):
            asyncio.run(main())
        assert telemetry.span("stage produce").attributes["tachograph.outcome"] == "failure"


class TestBlocks:
    def test_async_with(self, telemetry) -> None:
        """
        `async with` works as `with` does, over awaits.
        """

        async def main() -> None:
            async with plan("p"), tool_call("t"):
                inside = current_span_id()
                await asyncio.sleep(0)
                assert current_span_id() == inside != 0

        asyncio.run(main())

        assert telemetry.span("execute_tool t").parent.span_id == telemetry.span("plan p").context.span_id

    @pytest.mark.parametrize("asynchronous", [False, True])
    def test_a_block_in_a_generator_is_not_its_callers_span(self, telemetry, caplog, asynchronous: bool) -> None:
        """
        A `with` inside a generator measures and ends, and is never current where the generator yields to.
        """

        def produce():
            with stage("inside"):
                yield current_span_id()

        async def aproduce():
            async with stage("inside"):
                yield current_span_id()

        async def arun() -> list[int]:
            return [current_span_id() async for _ in aproduce()]

        outside = asyncio.run(arun()) if asynchronous else [current_span_id() for _ in produce()]

        assert outside == [0]
        assert telemetry.span("stage inside").attributes["tachograph.outcome"] == "success"
        assert not [record for record in caplog.records if "detach" in record.message]

    @pytest.mark.parametrize("asynchronous", [False, True])
    def test_a_context_manager_made_of_a_generator_is_a_block(self, telemetry, asynchronous: bool) -> None:
        """
        A generator that contextlib drives is its caller's own block: the span is current in it.
        """

        @contextlib.contextmanager
        def managed():
            with stage("managed"):
                yield

        @contextlib.asynccontextmanager
        async def amanaged():
            async with stage("managed"):
                yield

        async def arun() -> None:
            async with amanaged():
                with stage("inner"):
                    pass

        if asynchronous:
            asyncio.run(arun())
        else:
            with managed(), stage("inner"):
                pass

        assert telemetry.span("stage inner").parent.span_id == telemetry.span("stage managed").context.span_id

    def test_one_operation_can_be_entered_again(self, telemetry) -> None:
        """
        The same object used for two blocks makes two runs.
        """
        operation = stage("again")
        with operation as first:
            pass
        with operation as second:
            pass

        assert first is not second
        assert len(telemetry.spans) == 2


class TestFaults:
    def test_a_fault_of_telemetry_does_not_reach_the_block(self, telemetry, monkeypatch, capsys) -> None:
        """
        When measuring, auditing or ending raises, the block runs and its result stands; the fault is counted.
        """
        before = contain.faults()

        def broken(*_args, **_kwargs):
            raise RuntimeError("broken telemetry")

        with monkeypatch.context() as patch:
            patch.setattr("tachograph.operations.kinds.RECORDER.record", broken)
            patch.setattr("tachograph.intake._sink", broken)
            patch.setattr("tachograph.operations.run.trace.get_tracer_provider", broken)
            with plan("p"), tool_call("t") as call:
                result = 7
                call.note(key=object())
        counted = {key: count - before.get(key, 0) for key, count in contain.faults().items()}
        contain._faults.clear()
        contain._faults.update(before)

        assert result == 7
        assert counted["operations.start"] == 2
        assert counted["operations.measure"] >= 2
        assert counted["operations.audit"] == 3
        assert "broken telemetry" in capsys.readouterr().err
