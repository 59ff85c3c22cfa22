"""Budgets and cost: who knows a price, what is added where, and what happens at the limit."""

import asyncio
import json
import logging
import os
import subprocess
import sys
import threading
from importlib.util import find_spec
from itertools import count

import pytest

import tachograph
from tachograph import BudgetExceeded, DeclarationError, notices
from tachograph.contain import faults
from tachograph.genai import budgets, pricing
from tachograph.genai.budgets import Account, Accounts
from tachograph.genai.model import Call, Usage
from tachograph.genai.pricing import Prices, Rates

_numbers = count()

needs_table = pytest.mark.skipif(
    find_spec("genai_prices") is None,
    reason="genai-prices (extra `cost`) is not installed: its prices were not asked for",
)


@pytest.fixture
def name():
    """Budgets live as long as the process: each test has one of its own."""
    return f"budget {next(_numbers)}"


@pytest.fixture(autouse=True)
def _prices():
    notices.forget()
    pricing.configure(None)
    yield
    pricing.configure(None)
    notices.forget()


def call(cost=None, *, provider="openai", model="gpt-4o-mini", **usage):
    with tachograph.llm_call(provider, model) as run:
        run.usage(**(usage or {"input_tokens": 100, "output_tokens": 10}))
        if cost is not None:
            run.cost(cost)
    return run


def made(cost=None, **changes):
    usage = changes.pop("usage", Usage(input_tokens=1_000_000, output_tokens=1_000_000))
    fields = {"kind": "llm", "name": "m", "outcome": "success", "seconds": 1.0, "provider": "p", "model": "m"}
    return Call(**{**fields, "operation": "chat", "usage": usage, "cost": cost, **changes})


class TestAdding:
    def test_cost_and_tokens_of_the_calls_inside(self, telemetry, name):
        """
        Calls of the block count, calls around it do not.
        """
        call(0.5)
        with tachograph.budget(name, limit=10) as budget:
            call(0.25)
            call(0.25)
        call(0.5)

        assert (budget.spent, budget.tokens, budget.limit, budget.remaining) == (0.5, 220, 10, 9.5)
        assert budget.utilization == 0.05
        assert repr(budget) == f"Budget({name!r}, limit=10, spent=0.5)"
        assert telemetry.value("tachograph.budget.spent", budget=name) == 0.5
        assert telemetry.value("tachograph.budget.limit", budget=name) == 10
        assert telemetry.value("tachograph.budget.utilization", budget=name) == 0.05

    def test_the_same_name_is_the_same_budget(self, name):
        """
        What is given is set, what is not stays.
        """
        first = tachograph.budget(name, limit=10)
        second = tachograph.budget(name, spent=4)

        assert (first.spent, second.limit, first.name) == (4, 10, name)

    def test_nested_budgets_all_accumulate(self, name):
        """
        A call counts for every budget around it, once each.
        """
        outer, inner = tachograph.budget(f"{name} out"), tachograph.budget(f"{name} in")
        with outer, inner, tachograph.budget(f"{name} out"):
            call(1.0)
        with outer:
            call(1.0)

        assert (outer.spent, inner.spent) == (2.0, 1.0)

    def test_without_a_limit_nothing_is_exhausted(self, telemetry, name):
        """
        What is not known is not shown: no limit, no utilization, nothing left to tell.
        """
        with tachograph.budget(name) as budget:
            call(3.0)

        assert (budget.utilization, budget.remaining, budget.exhausted) == (None, None, False)
        assert [point for point in telemetry.metrics("tachograph.budget.limit") if name in str(point)] == []

    def test_a_cost_that_nobody_knows_adds_tokens_only(self, name):
        """
        An unpriced call is not one of 0 USD; its tokens are known.
        """
        with tachograph.budget(name) as budget:
            call(provider="nobody", model="nothing")

        assert (budget.spent, budget.tokens, budget.burn) == (0.0, 110, None)

    def test_threads_and_tasks_add_to_one_budget(self, name):
        """
        One object entered by many threads and tasks at once loses nothing.
        """
        budget = tachograph.budget(name)

        def work():
            with budget:
                for _ in range(20):
                    call(1.0)

        async def at_once():
            async def one():
                async with budget as same:
                    await asyncio.sleep(0)
                    call(1.0)
                    assert same is budget

            await asyncio.gather(*(one() for _ in range(20)))

        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        asyncio.run(at_once())

        assert budget.spent == 180

    def test_a_generator_does_not_leak_it(self, name):
        """
        A budget around a `yield` would be in force for whoever drives the generator: it is not.
        """
        budget = tachograph.budget(name)

        def steps():
            with budget:
                yield 1

        for _ in steps():
            call(1.0)

        assert budget.spent == 0.0

    @pytest.mark.parametrize("wrong", [{"limit": -1}, {"spent": float("nan")}, {"limit": "much"}])
    def test_an_amount_that_is_none_is_refused(self, name, wrong):
        """
        A wrong amount is a mistake of the program, and told to it.
        """
        with pytest.raises(DeclarationError, match="write USD, 0 or more"):
            tachograph.budget(name, **wrong)

    def test_burn_is_usd_an_hour(self):
        """
        What the process has added since its first call, by the hour; what was set is not burnt.
        """
        now = iter([60.0, 60.0, 1860.0])
        account = Account("a", clock=lambda: next(now))
        account.set(spent=100.0)
        before = account.burn
        account.charge(1.0, 0)
        too_soon = account.burn
        account.charge(1.0, 0)

        assert (before, too_soon, account.burn) == (None, None, 4.0)

    def test_budgets_are_bounded(self, capsys):
        """
        Names without end do not fill the memory: the budget used longest ago is forgotten.
        """
        accounts = Accounts(kept=2)
        accounts._observed = True
        first = accounts.open("a")
        second = accounts.open("b")
        accounts.open("a")
        accounts.open("c")

        assert accounts.open("a") is first
        assert accounts.open("b") is not second
        assert "used longest ago" in capsys.readouterr().err

    def test_after_a_fork_they_go_on(self):
        """
        A lock that a thread of the parent holds is not the child's; what was spent stays spent.
        """
        accounts = Accounts()
        accounts._observed = True
        account = accounts.open("a")
        account.charge(1.0, 5)
        account._lock.acquire()
        accounts._lock.acquire()
        accounts.after_fork()
        accounts.open("a").charge(1.0, 5)

        assert (account.spent, account.tokens) == (2.0, 10)


class TestLimit:
    def test_each_threshold_is_said_once_a_crossing(self, telemetry, name, caplog):
        """
        At 50, 80, 95 and 100 % a line is logged; going back under a threshold arms it again.
        """
        with caplog.at_level(logging.WARNING, "budget"), tachograph.budget(name, limit=1.0):
            for cost in (0.4, 0.2, 0.05, 0.2, 0.11, 0.1, 1.0):
                call(cost)
            tachograph.budget(name, spent=0.7)
            call(0.15)

        assert [record.getMessage().rpartition(" at ")[2] for record in caplog.records] == [
            "50 % of its limit", "80 % of its limit", "95 % of its limit", "100 % of its limit", "80 % of its limit",
        ]  # fmt: skip
        assert caplog.records[0].budget == name

    def test_exhausted_is_counted_audited_and_marked(self, telemetry, name):
        """
        Once a crossing: a count, a record, and every span that ends over the budget.
        """
        with tachograph.agent("spender"), tachograph.budget(name, limit=1.0) as budget:
            call(1.0)
            with tachograph.tool_call("later"):
                call(1.0)

        assert budget.exhausted
        assert budget.remaining == 0.0
        assert telemetry.value("tachograph.budget.exhausted", budget=name) == 1
        (record,) = (each for each in telemetry.audit if each["event"] == "budget.exceeded")
        assert (record["action"], record["resource"]["id"]) == ("EXCEED", f"budget:{name}")
        assert record["meta"] == {"budget": name, "limit": 1.0, "used": 1.0}
        assert record["actor"]["id"] == "agent:spender"
        marked = [span.name for span in telemetry.spans if span.attributes.get("tachograph.budget.exhausted") == name]
        assert marked == ["chat gpt-4o-mini", "chat gpt-4o-mini", "execute_tool later", "invoke_agent spender"]

    def test_a_span_before_the_limit_is_not_marked(self, telemetry, name):
        """
        The mark means that the budget was spent.
        """
        with tachograph.budget(name, limit=1.0):
            call(0.9)

        assert "tachograph.budget.exhausted" not in telemetry.span("chat gpt-4o-mini").attributes

    def test_a_budget_that_refuses_does_not_run_the_block(self, telemetry, name):
        """
        The next model call raises before its block, is blocked, costs nothing and is no turn.
        """
        ran = []

        @tachograph.llm_call("openai", "refused")
        def refused():
            ran.append(1)

        def spend():
            with tachograph.budget(name, limit=1.0, refuse=True):
                call(1.5)
                refused()

        with pytest.raises(BudgetExceeded, match="raise its limit") as caught, tachograph.agent("a") as agent:
            spend()

        error = caught.value
        assert ran == []
        assert (error.budget, error.limit, error.spent) == (name, 1.0, 1.5)
        assert (agent.turns, agent.outcome) == (1, "blocked")
        assert telemetry.value("tachograph.llm.calls", gen_ai_request_model="refused", outcome="blocked") == 1
        assert telemetry.value("tachograph.llm.unpriced_calls", gen_ai_request_model="refused") == 0
        assert telemetry.value("tachograph.agent.finish", reason="cost_budget") == 1

    def test_refusing_ends_with_a_higher_limit_or_by_word(self, name):
        """
        What is set at run time holds for the next call.
        """

        def again():
            with budget:
                call(0.1)

        budget = tachograph.budget(name, limit=1.0, spent=1.0, refuse=True)
        with pytest.raises(BudgetExceeded):
            again()
        tachograph.budget(name, refuse=False)
        again()
        tachograph.budget(name, refuse=True, limit=9.0)
        again()

        assert budget.spent == pytest.approx(1.2)

    def test_a_limit_of_zero_allows_nothing(self, name):
        """
        A budget of nothing is spent from the start, and has no share.
        """
        budget = tachograph.budget(name, limit=0)

        assert (budget.exhausted, budget.utilization) == (True, None)

    def test_outside_of_budgets_nothing_is_charged(self):
        """
        Whoever observes a call may charge it: without a budget around it, or for another kind, nothing happens.
        """
        context = budgets.with_account(account := Account("kind"))
        budgets.charge(made(cost=1.0), budgets.otel_context.get_current())
        budgets.charge(made(cost=1.0, kind="tool"), context)

        assert account.spent == 0.0


class TestCost:
    @needs_table
    def test_the_emitter_knows_best(self, telemetry, tmp_path):
        """
        What the code of the call says wins over the user's rates, those over the table.
        """
        rates = tmp_path / "rates.json"
        rates.write_text(json.dumps({"openai/gpt-4o-mini": {"input": 10, "output": 100}}))
        pricing.configure(rates)
        call(0.125)
        call()
        call(model="gpt-4o", input_tokens=1000, output_tokens=1000)

        def cost(source):
            return telemetry.value("tachograph.llm.cost", source=source)

        assert cost("emitter") == 0.125
        assert cost("user") == pytest.approx(0.002)
        assert cost("price_table") > 0
        assert [span.attributes["tachograph.llm.cost"] for span in telemetry.spans][:2] == [0.125, 0.002]

    def test_unknown_is_counted_and_never_zero(self, telemetry):
        """
        A call that nobody can price, or whose tokens nobody tells, is unpriced; one that failed without any is not.
        """
        call(provider="nobody", model="nothing")
        with tachograph.llm_call("openai", "gpt-4o-mini"):
            pass
        with tachograph.llm_call("openai", "gpt-4o-mini") as run:
            run.outcome = "failure"
        with tachograph.llm_call("openai", "gpt-4o-mini") as run:
            run.usage(input_tokens=10)

        assert telemetry.value("tachograph.llm.unpriced_calls") == 3
        assert telemetry.metrics("tachograph.llm.cost") == ()
        assert telemetry.value("tachograph.llm.calls_without_usage") == 2

    @needs_table
    @pytest.mark.parametrize("said", [0, 0.0, -1.0, float("nan")])
    def test_an_emitters_zero_is_unknown(self, telemetry, said):
        """
        A library that does not know a price says 0: the other sources are asked.
        """
        call(said)
        call(said, provider="nobody", model="nothing")

        assert telemetry.value("tachograph.llm.cost", source="emitter") == 0
        assert telemetry.value("tachograph.llm.cost", source="price_table") > 0
        assert telemetry.value("tachograph.llm.unpriced_calls") == 1

    def test_estimated_tokens_are_said_to_be(self, telemetry):
        """
        A call whose tokens are an estimate is one without usage; the estimate is kept.
        """
        call(input_tokens=10, output_tokens=5, estimated=True)

        assert telemetry.value("tachograph.llm.calls_without_usage") == 1
        assert telemetry.value("tachograph.llm.tokens") == 15

    @needs_table
    def test_embeddings_need_no_output(self, telemetry):
        """
        An embedding has input only, and is priced by it.
        """
        with tachograph.llm_call("openai", "text-embedding-3-small", operation="embeddings") as run:
            run.usage(input_tokens=1000)

        assert telemetry.value("tachograph.llm.cost", source="price_table") > 0

    @pytest.mark.parametrize(
        ("rates", "usage", "usd"),
        [
            (Rates(input=1, output=2), Usage(input_tokens=10**6, output_tokens=10**6), 3.0),
            (Rates(input=1, output=2, cache_read=0.1),
             Usage(input_tokens=10**6, output_tokens=0, cache_read_tokens=10**6), 0.1),
            (Rates(input=1, output=2, cache_write=1.25),
             Usage(input_tokens=10**6, output_tokens=0, cache_write_tokens=10**6), 1.25),
            (Rates(input=1, output=2), Usage(input_tokens=10**6, output_tokens=0, cache_read_tokens=5 * 10**5), 1.0),
            (Rates(output=2), Usage(input_tokens=1, output_tokens=1), None),
            (Rates(input=1), Usage(input_tokens=10**6), 1.0),
        ],
    )  # fmt: skip
    def test_cached_tokens_cost_what_they_cost(self, rates, usage, usd):
        """
        Cached tokens have their own rate where it is known, else that of input; an unknown rate makes it unknown.
        """
        assert rates.price(usage) == usd

    @pytest.mark.parametrize(
        ("text", "says"),
        [
            (None, "cannot be read"),
            ("{", "cannot be read"),
            ("[1]", "cannot be read"),
            ('{"p/m": 3}', "rates of 'p/m'"),
            ('{"p/m": {}}', "rates of 'p/m'"),
            ('{"p/m": {"input": "1"}}', "rates of 'p/m'"),
            ('{"p/m": {"input": true}}', "rates of 'p/m'"),
            ('{"p/m": {"price": 1}}', "rates of 'p/m'"),
            ('{"p/m": {"input": -1}}', "rates of 'p/m'"),
        ],
    )
    def test_a_file_that_cannot_be_used_costs_itself(self, tmp_path, capsys, text, says):
        """
        One line says what to write; the table is asked as if there were no file.
        """
        file = tmp_path / "rates.json"
        if text is not None:
            file.write_text(text)
        prices = Prices(file)

        assert [prices.priced(made(model="m")).cost for _ in range(2)] == [None, None]
        assert capsys.readouterr().err.count(says) == 1

    @needs_table
    def test_contradicting_counts_are_unknown(self, capsys):
        """
        More tokens from the cache than there were at all: the table does not answer, and nothing is a fault.
        """
        before = faults().get("genai.pricing", 0)
        usage = Usage(input_tokens=10, output_tokens=1, cache_read_tokens=20)

        assert pricing.priced(made(provider="openai", model="gpt-4o-mini", usage=usage)).cost is None
        assert faults().get("genai.pricing", 0) == before

    @needs_table
    def test_a_table_that_breaks_costs_the_price_only(self, monkeypatch, capsys):
        """
        Whatever the package does, the call goes on: unpriced, the fault counted.
        """
        import genai_prices

        def broken(*_args, **_kwargs):
            raise RuntimeError("table is broken")

        monkeypatch.setattr(genai_prices, "calc_price", broken)

        assert pricing.priced(made(provider="openai", model="gpt-4o-mini")).cost is None
        assert "table is broken" in capsys.readouterr().err

    def test_other_calls_are_left_alone(self):
        """
        Tools and agents have no price; a call without a model neither.
        """
        tool = made(kind="tool")

        assert pricing.priced(tool) is tool
        assert pricing.priced(made(model=None)).cost is None

    @needs_table
    @pytest.mark.parametrize("provider", ["aws.bedrock", "azure.ai.inference", "gcp.vertex_ai", "x_ai", "mistral_ai"])
    def test_providers_have_the_names_of_the_conventions(self, provider):
        """
        The names of the semantic conventions are known to the table.
        """
        models = {
            "aws.bedrock": "anthropic.claude-3-5-sonnet-20240620-v1:0",
            "azure.ai.inference": "gpt-4o",
            "gcp.vertex_ai": "gemini-2.5-flash",
            "x_ai": "grok-3",
            "mistral_ai": "mistral-large-latest",
        }

        assert pricing.priced(made(provider=provider, model=models[provider])).cost_source == "price_table"

    def test_the_table_is_imported_with_the_first_price(self):
        """
        Importing and configuring import no price list, and without the extra a call is unpriced.
        """
        code = """
import sys, tachograph
with tachograph.llm_call("openai", "gpt-4o-mini") as call:
    call.usage(input_tokens=1, output_tokens=1)
    call.cost(1.0)
assert "genai_prices" not in sys.modules
sys.modules["genai_prices"] = None
with tachograph.llm_call("openai", "gpt-4o-mini") as call:
    call.usage(input_tokens=1, output_tokens=1)
assert call._call.cost is None
"""
        environment = {**os.environ, "TACHOGRAPH_PRICES_FILE": ""}
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
        )

        assert (done.returncode, done.stderr) == (0, "")

    def test_the_models_that_are_remembered_are_bounded(self, monkeypatch):
        """
        Names of models come from outside: no more than so many prices are kept.
        """
        monkeypatch.setattr(pricing, "_TABLE_LIMIT", 2)
        prices = Prices()
        for number in range(4):
            prices.priced(made(model=f"unknown-{number}"))

        assert len(prices._table) == 2
