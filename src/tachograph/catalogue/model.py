"""What a declaration is: a label that knows its values, an instrument, and the checks at declaration time."""

import re
import threading
from dataclasses import dataclass
from typing import Literal

from tachograph.errors import DeclarationError

OTHER = "_OTHER"

Kind = Literal["counter", "histogram", "gauge", "up_down_counter"]

_NAME = re.compile(r"[a-z][a-z0-9_]*(\.[a-z0-9_]+)*\Z")


class Label:
    """
    An attribute of instruments that knows which values it admits.

    A closed label admits its `values` and nothing else. An open one admits the first `cap` distinct values of this
    process. Anything beyond becomes `_OTHER`, so that cardinality is a property of the declaration.
    """

    def __init__(self, name: str, *, values: tuple[str, ...] | None = None, cap: int = 100) -> None:
        if not _NAME.match(name):
            raise DeclarationError(f"label {name!r} is not a dotted lower-case name; write it like 'tachograph.reason'")
        if cap < 1:
            raise DeclarationError(f"label {name!r} has a cap of {cap}; write a whole number of 1 or more")

        self.name = name
        self.cap = cap
        self.values = values
        self._admitted: dict[str, str] = {value: value for value in values or ()}
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        kind = f"values={self.values!r}" if self.values is not None else f"cap={self.cap}"
        return f"Label({self.name!r}, {kind})"

    def admit(self, value: object) -> str:
        """Return `value` as the text that may stand on a metric, or `_OTHER`."""
        word = value if isinstance(value, str) else str(value)
        if word in self._admitted:
            return word
        if self.values is not None or word == OTHER:
            return OTHER
        return self._admit_new(word)

    def _admit_new(self, word: str) -> str:
        with self._lock:
            if word in self._admitted:
                return word
            if len(self._admitted) >= self.cap:
                return OTHER
            self._admitted[word] = word
            return word


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
        if not _NAME.match(self.name):
            raise DeclarationError(
                f"instrument {self.name!r} is not a dotted lower-case name; write it like 'acme.deploy.runs'"
            )
        if not self.description:
            raise DeclarationError(f"instrument {self.name!r} has no description; write one sentence")
        if (self.kind == "histogram") != bool(self.bounds):
            raise DeclarationError(
                f"instrument {self.name!r}: bounds belong to histograms, and every histogram has them"
            )
        if list(self.bounds) != sorted(set(self.bounds)):
            raise DeclarationError(f"instrument {self.name!r} has bounds that do not rise: {self.bounds}")
