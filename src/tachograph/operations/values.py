"""Values for declared instruments, ours and the application's."""

import math
from collections.abc import Mapping

from tachograph import catalogue
from tachograph.catalogue import Instrument, Kind
from tachograph.contain import contain
from tachograph.errors import DeclarationError
from tachograph.metrics import RECORDER, Measurement
from tachograph.notices import notice_once

_VERBS: Mapping[Kind, str] = {"counter": "count", "up_down_counter": "count", "gauge": "set", "histogram": "record"}


def count(instrument: Instrument | str, value: float = 1, labels: Mapping[str, object] | None = None) -> None:
    """
    Add `value` to a counter or an up-down counter.

    `labels` is keyed by label name. Raises DeclarationError for an instrument that is not declared or of another kind.
    """
    _record("count", instrument, value, labels or {})


def set_value(instrument: Instrument | str, value: float, labels: Mapping[str, object] | None = None) -> None:
    """
    Set a gauge to `value`.

    `labels` is keyed by label name. Raises DeclarationError for an instrument that is not declared or of another kind.
    """
    _record("set", instrument, value, labels or {})


def record(instrument: Instrument | str, value: float, labels: Mapping[str, object] | None = None) -> None:
    """
    Put `value` into a histogram, in the histogram's unit.

    `labels` is keyed by label name. Raises DeclarationError for an instrument that is not declared or of another kind.
    """
    _record("record", instrument, value, labels or {})


def _record(verb: str, instrument: Instrument | str, value: float, labels: Mapping[str, object]) -> None:
    declared = _declared(instrument)
    right = _VERBS[declared.kind]
    if verb != right:
        article = "an" if declared.kind == "up_down_counter" else "a"
        kind = declared.kind.replace("_", "-")
        raise DeclarationError(f"instrument {declared.name!r} is {article} {kind}; write {right}({declared.name!r}, …)")
    with contain("operations.fact"):
        _say_unknown(declared, labels)
        if not math.isfinite(value):
            raise ValueError(f"{declared.name} was given {value!r}, which is no number; it is not recorded")
        if declared.kind == "counter" and value < 0:
            raise ValueError(f"{declared.name} was given {value!r}, but a counter only rises; it is not recorded")
        RECORDER.record((Measurement(declared, value, labels),))


def _declared(instrument: Instrument | str) -> Instrument:
    name = instrument if isinstance(instrument, str) else instrument.name
    found = catalogue.find(name)
    if found is None:
        raise DeclarationError(
            f"instrument {name!r} is not declared; write tachograph.catalogue.add(Instrument(name={name!r}, …)) first"
        )
    if isinstance(instrument, Instrument) and found.declaration != instrument.declaration:
        raise DeclarationError(f"instrument {name!r} is declared differently; write what catalogue.add returned")
    return found


def _say_unknown(instrument: Instrument, labels: Mapping[str, object]) -> None:
    known = {label.name for label in instrument.labels}
    for name in labels.keys() - known:
        notice_once(
            f"label {instrument.name} {name}",
            f"label {str(name)[:80]!r} of {instrument.name} is left out; write one of {', '.join(sorted(known))}",
        )
