"""The instruments in force: ours, and those that the application has added."""

import threading
from collections.abc import Iterable

from tachograph.catalogue.model import OTHER, Instrument, Label
from tachograph.catalogue.rules import lint
from tachograph.errors import DeclarationError


class Registry:
    """Holds declared instruments by name, and checks what is added to them."""

    def __init__(self, instruments: Iterable[Instrument]) -> None:
        self._instruments = {each.name: each for each in instruments}
        self._lock = threading.Lock()

    def instruments(self) -> tuple[Instrument, ...]:
        """Every declared instrument, ours and the application's."""
        return tuple(self._instruments.values())

    def find(self, name: str) -> Instrument | None:
        """Return the instrument that is declared under `name`, or None."""
        return self._instruments.get(name)

    def add(self, instrument: Instrument) -> Instrument:
        """
        Declare an instrument of the application, and return the one in force.

        The same declaration may be made again. Raises DeclarationError, saying what to write, for one that breaks a
        rule of `catalogue.rules` or differs from an earlier one of its name.
        """
        with self._lock:
            known = self._instruments.get(instrument.name)
            if known is not None and known.declaration == instrument.declaration:
                return known
            findings = lint((*self._instruments.values(), instrument))
            if findings:
                raise DeclarationError("; ".join(str(each) for each in findings))
            self._instruments[instrument.name] = instrument
        return instrument

    def declare(self, label: str, *words: str, instrument: str | None = None) -> None:
        """
        Close a label that is the application's to define: `words` (and those listed already) are admitted from now on.

        Where several instruments have a label of that name with sets of their own, `instrument` says whose is meant.
        Further calls add words. Raises DeclarationError for a label that is not the application's to define.
        """
        found = self._declarable(label, instrument)
        if len(found) != 1:
            raise DeclarationError(self._why(label, instrument, found))
        if not words or not all(_is_word(word) for word in words):
            raise DeclarationError(
                f"label {label!r} was declared with {words!r}; write words, as in declare({label!r}, 'first', 'second')"
            )
        next(iter(found.values())).declare(words)

    def _declarable(self, name: str, instrument: str | None) -> dict[int, Label]:
        """Return each label object of that name once."""
        return {
            id(label): label
            for each in self._instruments.values()
            for label in each.labels
            if label.name == name and label.declarable and instrument in (None, each.name)
        }

    def _why(self, name: str, instrument: str | None, found: dict[int, Label]) -> str:
        if found:
            of = [each.name for each in self._instruments.values() if any(id(label) in found for label in each.labels)]
            return (
                f"label {name!r} has a set of its own in each of {', '.join(of)}; write instrument={of[0]!r} or another"
            )
        known = sorted({label.name for each in self._instruments.values() for label in each.labels if label.declarable})
        where = f" of {instrument!r}" if instrument else ""
        return f"label {name!r}{where} is not the application's to declare; write one of {', '.join(known)}"


def _is_word(word: object) -> bool:
    return isinstance(word, str) and word not in ("", OTHER)
