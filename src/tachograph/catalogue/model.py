"""What a declaration is: a label that knows its values, an instrument, and the checks at declaration time."""

import re
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from tachograph.errors import DeclarationError

OTHER = "_OTHER"

Kind = Literal["counter", "histogram", "gauge", "up_down_counter"]

NAME = re.compile(r"[a-z][a-z0-9_]*(\.[a-z0-9_]+)*\Z")


class Label:
    """
    An attribute of instruments that knows which values it admits.

    A closed label admits its `values` and nothing else. An open one admits the first `cap` distinct values of this
    process. A `declarable` one is open, its `values` aside, until the application declares its words, and closed from
    then on. Anything beyond becomes `_OTHER`, so that cardinality is a property of the declaration.
    """

    def __init__(
        self, name: str, *, values: tuple[str, ...] | None = None, cap: int = 100, declarable: bool = False
    ) -> None:
        if not NAME.match(name):
            raise DeclarationError(f"label {name!r} is not a dotted lower-case name; write it like 'tachograph.reason'")
        if cap < 1:
            raise DeclarationError(f"label {name!r} has a cap of {cap}; write a whole number of 1 or more")
        if values is not None and not all(_is_word(value) for value in values):
            raise DeclarationError(f"label {name!r} has values {values!r}; write words, as in ('low', 'high')")

        self.name = name
        self.cap = cap
        self.values = values
        self.declarable = declarable
        self._declared: frozenset[str] = frozenset()
        self._admitted: dict[str, str] = {value: value for value in values or ()}
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        kinds = {
            "values": self.values,
            "cap": self.cap if self.values is None or self.declarable else None,
            "declarable": self.declarable or None,
        }
        return (
            f"Label({self.name!r}, {', '.join(f'{key}={kind!r}' for key, kind in kinds.items() if kind is not None)})"
        )

    @property
    def is_closed(self) -> bool:
        """True when no new value is admitted, however few there are."""
        return bool(self._declared) or (self.values is not None and not self.declarable)

    @property
    def words(self) -> tuple[str, ...]:
        """The values that are listed, by the declaration or by the application."""
        return (*(self.values or ()), *sorted(self._declared - set(self.values or ())))

    def admit(self, value: object) -> str:
        """Return `value` as the text that may stand on a metric, or `_OTHER`."""
        word = value if isinstance(value, str) else str(value)
        if word in self._admitted:
            return word
        if self.is_closed or word == OTHER:
            return OTHER
        return self._admit_new(word)

    def declare(self, words: Iterable[str]) -> None:
        """Close the label with `words` beside those that it lists; further calls add to them."""
        with self._lock:
            self._declared = self._declared | frozenset(words)
            self._admitted = {word: word for word in (*(self.values or ()), *sorted(self._declared))}

    def after_fork(self) -> None:
        """Make the label usable in a forked child, where another thread's lock would never be released."""
        self._lock = threading.Lock()

    def _admit_new(self, word: str) -> str:
        with self._lock:
            if word in self._admitted:
                return word
            if self.is_closed or len(self._admitted) - len(self.values or ()) >= self.cap:
                return OTHER
            self._admitted[word] = word
            return word


def _is_word(value: object) -> bool:
    return isinstance(value, str) and value != ""


@dataclass(frozen=True, kw_only=True)
class Instrument:
    """
    A metric, declared once: what is recorded, documented, drawn and checked comes from here.

    `unit` is a UCUM code or an annotation such as `{call}`; `bounds` are a histogram's explicit bucket bounds, in that
    unit.
    """

    name: str
    kind: Kind
    unit: str
    description: str
    labels: tuple[Label, ...] = ()
    bounds: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if not NAME.match(self.name):
            raise DeclarationError(
                f"instrument {self.name!r} is not a dotted lower-case name; write it like 'acme.deploy.runs'"
            )
        if not self.description:
            raise DeclarationError(f"instrument {self.name!r} has no description; write one sentence")
        if (self.kind == "histogram") != bool(self.bounds):
            raise DeclarationError(
                f"instrument {self.name!r}: bounds belong to histograms, and every histogram has them; "
                "write them like bounds=(0.1, 1, 10)"
            )
        if list(self.bounds) != sorted(set(self.bounds)):
            raise DeclarationError(
                f"instrument {self.name!r} has bounds that do not rise: {self.bounds}; write them from low to high"
            )

    @property
    def declaration(self) -> tuple[object, ...]:
        """Everything that it says, to tell whether two declarations are the same."""
        return self.name, self.kind, self.unit, self.description, tuple(map(repr, self.labels)), tuple(self.bounds)
