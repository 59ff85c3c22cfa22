"""Language models: calls, tokens and what they cost."""

from tachograph.catalogue.bounds import FIRST_CHUNK_SECONDS, WORK_SECONDS
from tachograph.catalogue.labels import (
    AGENT,
    COST_SOURCE,
    MODEL,
    OPERATION,
    OUTCOME,
    PROVIDER,
    TOKEN_DETAIL,
    TOKEN_TYPE,
)
from tachograph.catalogue.model import Instrument

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
LLM_COST = Instrument(
    name="tachograph.llm.cost",
    kind="counter",
    unit="{USD}",
    description="Cost of language model calls in USD, by who told the price.",
    labels=(PROVIDER, MODEL, AGENT, COST_SOURCE),
)
LLM_UNPRICED_CALLS = Instrument(
    name="tachograph.llm.unpriced_calls",
    kind="counter",
    unit="{call}",
    description="Language model calls whose cost is unknown; they are in no sum of costs.",
    labels=(PROVIDER, MODEL),
)

INSTRUMENTS = (
    LLM_CALLS,
    LLM_DURATION,
    LLM_TIME_TO_FIRST_CHUNK,
    LLM_TOKENS,
    LLM_TOKENS_DETAIL,
    LLM_CALLS_WITHOUT_USAGE,
    LLM_COST,
    LLM_UNPRICED_CALLS,
)
