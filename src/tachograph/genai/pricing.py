"""
What a language model call costs: by the word of who made it, by the user's rates, or by the price table.

The table is that of the package genai-prices (extra `cost`): imported when the first call needs it, never from the
network. What nobody knows stays unknown.
"""

import json
import math
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from tachograph.contain import contain
from tachograph.genai.derive import is_known
from tachograph.genai.model import Call, Usage
from tachograph.notices import notice_once
from tachograph.settings import Settings

Price = Callable[[Usage], float | None]

# Names of providers in the semantic conventions that the table knows by another name.
_TABLE_NAMES = {
    "azure.ai.openai": "azure",
    "azure.ai.inference": "azure",
    "gcp.gen_ai": "google",
    "x_ai": "x-ai",
}
_TABLE_LIMIT = 1000  # models whose price is remembered; names of models come from outside


@dataclass(frozen=True, slots=True)
class Rates:
    """
    What a model costs, in USD per million tokens; None is unknown.

    Tokens that are read from or written to a cache cost as input where they have no rate of their own.
    """

    input: float | None = None
    output: float | None = None
    cache_read: float | None = None
    cache_write: float | None = None

    def price(self, usage: Usage) -> float | None:
        """Return the cost of `usage` in USD, None where a rate that it needs is unknown."""
        read, write = usage.cache_read_tokens or 0, usage.cache_write_tokens or 0
        priced = (
            (max((usage.input_tokens or 0) - read - write, 0), self.input),
            (read, self.input if self.cache_read is None else self.cache_read),
            (write, self.input if self.cache_write is None else self.cache_write),
            (usage.output_tokens or 0, self.output),
        )
        total = 0.0
        for tokens, rate in priced:
            if tokens and rate is None:
                return None
            total += tokens * (rate or 0.0)
        return total / 1_000_000


class Prices:
    """The user's rates and the price table; the file is read once, with the first price that is asked for."""

    def __init__(self, file: Path | None = None) -> None:
        self._file = file
        self._rates: Mapping[str, Rates] | None = None
        self._table: dict[tuple[str, str], Price] = {}
        self._lock = threading.Lock()

    def priced(self, call: Call) -> Call:
        """Return `call` with its cost where somebody knows it; a cost of 0 that the call came with is unknown."""
        if call.kind != "llm":
            return call
        if _is_amount(call.cost):
            return replace(call, cost_source=call.cost_source or "emitter")
        unknown = replace(call, cost=None, cost_source=None)
        if not is_known(call) or call.provider is None or call.model is None:
            return unknown
        if _is_amount(cost := self._by_user(call.provider, call.model, call.usage)):
            return replace(call, cost=cost, cost_source="user")
        if _is_amount(cost := self._by_table(call.provider, call.model, call.usage)):
            return replace(call, cost=cost, cost_source="price_table")
        return unknown

    def _by_user(self, provider: str, model: str, usage: Usage) -> float | None:
        if self._file is None:
            return None
        with self._lock:
            if self._rates is None:
                self._rates = read(self._file)
        rates = self._rates.get(f"{provider}/{model}")
        return None if rates is None else rates.price(usage)

    def _by_table(self, provider: str, model: str, usage: Usage) -> float | None:
        price = self._table.get((provider, model))
        if price is None:
            price = _table_price(_TABLE_NAMES.get(provider, provider), model)
            if len(self._table) < _TABLE_LIMIT:
                self._table[provider, model] = price
        return price(usage)


def read(file: Path) -> Mapping[str, Rates]:
    """
    Read a file of rates: `{"provider/model": {"input": USD, "output": USD, "cache_read": USD, "cache_write": USD}}`.

    What cannot be read costs itself only, with one line that says what to write.
    """
    try:
        given = json.loads(file.read_text(encoding="utf-8"))
        entries = dict(given).items()
    except (OSError, ValueError, TypeError) as error:
        notice_once(f"prices {file}", f"TACHOGRAPH_PRICES_FILE={file} cannot be read: {error}; no rate of it is used")
        return {}

    rates = {name: _rates(values) for name, values in entries}
    for name in (name for name, made in rates.items() if made is None):
        notice_once(
            f"prices {file} {name}",
            f'rates of {name!r} in {file} are not used; write them like {{"input": 0.15, "output": 0.6}}, '
            "in USD per million tokens",
        )
    return {name: made for name, made in rates.items() if made is not None}


def configure(file: Path | None) -> None:
    """Use the rates of `file` from now on; None: the price table alone."""
    global _prices
    _prices = Prices(file)


def priced(call: Call) -> Call:
    """Return `call` with its cost where it is known; never raises."""
    with contain("genai.pricing"):
        return _in_force().priced(call)
    return replace(call, cost=None, cost_source=None)


_prices: Prices | None = None


def _in_force() -> Prices:
    global _prices
    if _prices is None:
        _prices = Prices(Settings.from_environment().prices_file)
    return _prices


def _rates(values: object) -> Rates | None:
    if not isinstance(values, dict) or not set(values) <= {"input", "output", "cache_read", "cache_write"}:
        return None
    if not values or not all(_is_rate(value) for value in values.values()):
        return None
    return Rates(**values)


def _is_rate(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value >= 0


def _is_amount(value: float | None) -> bool:
    return value is not None and math.isfinite(value) and value > 0


def _unknown(_usage: Usage) -> float | None:
    return None


def _table_price(provider: str, model: str) -> Price:
    """Return how the table prices a model; a model that it does not know, or no table, is unknown for good."""
    try:
        import genai_prices
    except ImportError:
        return _unknown

    def price(usage: Usage) -> float | None:
        counts = genai_prices.Usage(
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            cache_read_tokens=usage.cache_read_tokens,
            cache_write_tokens=usage.cache_write_tokens,
        )
        try:
            return float(genai_prices.calc_price(counts, model, provider_id=provider).total_price)
        except (LookupError, ValueError):  # a model it does not know, or counts that contradict each other
            return None

    return _unknown if price(Usage(input_tokens=1, output_tokens=1)) is None else price
