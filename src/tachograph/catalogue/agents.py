"""Agents, their tools and their language models."""

from tachograph.catalogue.bounds import FIRST_CHUNK_SECONDS, RUN_SECONDS, TURNS, WORK_SECONDS
from tachograph.catalogue.labels import (
    AGENT,
    FINISH_REASON,
    MODEL,
    OPERATION,
    OUTCOME,
    PROVIDER,
    TOKEN_DETAIL,
    TOKEN_TYPE,
    TOOL,
)
from tachograph.catalogue.model import Instrument

AGENT_INVOCATIONS = Instrument(
    name="tachograph.agent.invocations",
    kind="counter",
    unit="{invocation}",
    description="Agent invocations, by how they ended.",
    labels=(AGENT, OUTCOME),
)
AGENT_DURATION = Instrument(
    name="tachograph.agent.duration",
    kind="histogram",
    unit="s",
    description="Time from the start of an agent invocation to its end.",
    labels=(AGENT, OUTCOME),
    bounds=RUN_SECONDS,
)
AGENT_ACTIVE = Instrument(
    name="tachograph.agent.active",
    kind="up_down_counter",
    unit="{invocation}",
    description="Agent invocations in progress.",
    labels=(AGENT,),
)
AGENT_TURNS = Instrument(
    name="tachograph.agent.turns",
    kind="counter",
    unit="{turn}",
    description="Language model calls completed inside an agent.",
    labels=(AGENT,),
)
AGENT_TURNS_PER_INVOCATION = Instrument(
    name="tachograph.agent.turns_per_invocation",
    kind="histogram",
    unit="{turn}",
    description="Language model calls that an agent invocation took.",
    labels=(AGENT,),
    bounds=TURNS,
)
AGENT_FINISH = Instrument(
    name="tachograph.agent.finish",
    kind="counter",
    unit="{invocation}",
    description="Agent invocations, by the reason why they ended.",
    labels=(AGENT, FINISH_REASON),
)
TOOL_CALLS = Instrument(
    name="tachograph.tool.calls",
    kind="counter",
    unit="{call}",
    description="Tool calls, by how they ended.",
    labels=(TOOL, OUTCOME),
)
TOOL_DURATION = Instrument(
    name="tachograph.tool.duration",
    kind="histogram",
    unit="s",
    description="Time that a tool call took.",
    labels=(TOOL, OUTCOME),
    bounds=WORK_SECONDS,
)
LLM_CALLS = Instrument(
    name="tachograph.llm.calls",
    kind="counter",
    unit="{call}",
    description="Language model calls, by how they ended.",
    labels=(PROVIDER, MODEL, OPERATION, OUTCOME),
)
LLM_DURATION = Instrument(
    name="tachograph.llm.duration",
    kind="histogram",
    unit="s",
    description="Time that a language model call took.",
    labels=(PROVIDER, MODEL, OPERATION, OUTCOME),
    bounds=WORK_SECONDS,
)
LLM_TIME_TO_FIRST_CHUNK = Instrument(
    name="tachograph.llm.time_to_first_chunk",
    kind="histogram",
    unit="s",
    description="Time from a streamed request to the first chunk of its answer.",
    labels=(PROVIDER, MODEL),
    bounds=FIRST_CHUNK_SECONDS,
)
LLM_TOKENS = Instrument(
    name="tachograph.llm.tokens",
    kind="counter",
    unit="{token}",
    description="Tokens used; input and output add up.",
    labels=(PROVIDER, MODEL, AGENT, TOKEN_TYPE),
)
LLM_TOKENS_DETAIL = Instrument(
    name="tachograph.llm.tokens.detail",
    kind="counter",
    unit="{token}",
    description="Parts of the tokens used (cache reads and writes, reasoning); never to be added to them.",
    labels=(PROVIDER, MODEL, TOKEN_DETAIL),
)
LLM_CALLS_WITHOUT_USAGE = Instrument(
    name="tachograph.llm.calls_without_usage",
    kind="counter",
    unit="{call}",
    description="Language model calls that succeeded without saying how many tokens they used.",
    labels=(PROVIDER, MODEL),
)

INSTRUMENTS = (
    AGENT_INVOCATIONS,
    AGENT_DURATION,
    AGENT_ACTIVE,
    AGENT_TURNS,
    AGENT_TURNS_PER_INVOCATION,
    AGENT_FINISH,
    TOOL_CALLS,
    TOOL_DURATION,
    LLM_CALLS,
    LLM_DURATION,
    LLM_TIME_TO_FIRST_CHUNK,
    LLM_TOKENS,
    LLM_TOKENS_DETAIL,
    LLM_CALLS_WITHOUT_USAGE,
)
