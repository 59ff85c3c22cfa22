"""
Declarations become instruments: values go in through `record`, labels are admitted, overflow is counted.

The instruments belong to whichever meter provider is in force; `bind` moves them to another one.
"""

import threading
from collections import Counter as Tally
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import metadata
from typing import Protocol

from opentelemetry import metrics as otel
from opentelemetry.context import Context
from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation

from tachograph.catalogue import OTHER, Instrument, Label, instruments
from tachograph.contain import contain
from tachograph.notices import notice_once
from tachograph.version import __version__

SCOPE = "tachograph"

Values = Iterable[tuple[float, Mapping[str, object]]]
Observe = Callable[[], Values]
_Overflow = Callable[[Instrument, Label, object], None]

_SERIES_KEPT = 2000  # label sets that are told apart for each instrument
_OVERFLOWS_KEPT = 10_000  # values of observed instruments that are told apart


@dataclass(frozen=True, slots=True)
class Measurement:
    """One value for one instrument; `labels` is keyed by label name, a missing label is left out."""

    instrument: Instrument
    value: float
    labels: Mapping[str, object] = field(default_factory=dict)


class _Write(Protocol):
    def __call__(self, value: float, attributes: Mapping[str, str], context: Context | None = None, /) -> None: ...


class Recorder:
    """Records measurements through the OpenTelemetry API, creating each declared instrument on first use."""

    def __init__(self, provider: MeterProvider | None = None) -> None:
        self._provider = provider
        self._writes: dict[str, _Write] = {}
        self._observed: dict[str, tuple[Instrument, Observe]] = {}
        self._overflow: Tally[tuple[str, str]] = Tally()
        self._overflowed: set[tuple[str, str, str]] = set()
        self._series: defaultdict[str, set[tuple[tuple[str, str], ...]]] = defaultdict(set)
        self._held: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
        self._lock = threading.Lock()

    def bind(self, provider: MeterProvider | None) -> None:
        """Create instruments in `provider` from now on (None: the global one), observed ones at once."""
        with self._lock:
            self._provider = provider
            self._writes = {}
            observed = [instrument for instrument, _ in self._observed.values()]
        for instrument in observed:
            self._create_observed(instrument)

    def record(self, measurements: Iterable[Measurement], context: Context | None = None) -> None:
        """Record each measurement; `context` is where an exemplar finds its span (default: the current one)."""
        for each in measurements:
            with contain("metrics.record"):  # one value that cannot be recorded costs itself
                write = self._writes.get(each.instrument.name) or self._create(each.instrument)
                admitted = self.admit(each.instrument, each.labels)
                self._count_series(each.instrument, admitted)
                write(each.value, admitted, context)

    def observe(self, instrument: Instrument, observe: Observe) -> None:
        """
        Let `instrument` be read from `observe` at every collection: pairs of a value and its labels.

        What is observed replaces what was before under the same name. A fault of `observe` costs this instrument its
        values of that collection, and nothing else.
        """
        with self._lock:
            self._observed[instrument.name] = (instrument, observe)
        self._create_observed(instrument)

    def admit(self, instrument: Instrument, labels: Mapping[str, object]) -> dict[str, str]:
        """Return the labels that `instrument` declares, each with a value that its declaration admits."""
        return self._admitted(instrument, labels, self._count_overflow)

    def overflow(self) -> dict[tuple[str, str], int]:
        """
        Values that became `_OTHER` so far, by instrument and label name.

        A recorded value counts each time; a value of an observed instrument counts once, however often it is read.
        """
        with self._lock:
            return dict(self._overflow)

    def series(self) -> dict[str, int]:
        """Label sets that each instrument has had so far, by its name; 2,000 are told apart."""
        return {name: len(sets) for name, sets in list(self._series.items())}

    def after_fork(self) -> None:
        """Count from zero in a forked child, with locks that nobody holds."""
        self._lock = threading.Lock()
        self._overflow, self._overflowed, self._series = Tally(), set(), defaultdict(set)
        for label in {label for each in instruments() for label in each.labels}:
            label.after_fork()

    def _admitted(
        self,
        instrument: Instrument,
        labels: Mapping[str, object],
        overflow: Callable[[Instrument, Label, object], None],
    ) -> dict[str, str]:
        admitted: dict[str, str] = {}
        for label in instrument.labels:
            value = labels.get(label.name)
            if value is None:
                continue
            word = label.admit(value)
            if word == OTHER and value != OTHER:
                overflow(instrument, label, value)
            admitted[label.name] = word
        return admitted

    def _count_overflow(self, instrument: Instrument, label: Label, value: object) -> None:
        with self._lock:
            self._overflow[instrument.name, label.name] += 1
        say_overflow(label, value, instrument.name)

    def _count_observed_overflow(self, instrument: Instrument, label: Label, value: object) -> None:
        key = (instrument.name, label.name, str(value))
        if key not in self._overflowed and len(self._overflowed) < _OVERFLOWS_KEPT:
            self._overflowed.add(key)
            self._count_overflow(instrument, label, value)

    def _count_series(self, instrument: Instrument, admitted: Mapping[str, str]) -> None:
        sets = self._series[instrument.name]
        if len(sets) < _SERIES_KEPT:
            sets.add(tuple(admitted.items()))

    def _create(self, instrument: Instrument) -> _Write:
        meter = (self._provider or otel.get_meter_provider()).get_meter(SCOPE, __version__)
        name, unit, description = instrument.name, instrument.unit, instrument.description
        write: _Write
        if instrument.kind == "counter":
            write = meter.create_counter(name, unit, description).add
        elif instrument.kind == "up_down_counter":
            write = meter.create_up_down_counter(name, unit, description).add
        elif instrument.kind == "gauge" and _sdk_forgets_gauges():
            write = self._hold(instrument)
        elif instrument.kind == "gauge":
            write = meter.create_gauge(name, unit, description).set
        else:
            write = meter.create_histogram(
                name, unit, description, explicit_bucket_boundaries_advisory=instrument.bounds
            ).record
        self._writes[name] = write
        return write

    def _hold(self, instrument: Instrument) -> _Write:
        values = self._held.setdefault(instrument.name, {})
        self.observe(instrument, lambda: [(value, dict(key)) for key, value in list(values.items())])

        def write(value: float, attributes: Mapping[str, str], _context: Context | None = None, /) -> None:
            values[tuple(attributes.items())] = value

        return write

    def _create_observed(self, instrument: Instrument) -> None:
        meter = (self._provider or otel.get_meter_provider()).get_meter(SCOPE, __version__)

        def callback(_options: CallbackOptions) -> list[Observation]:
            return self._read(instrument.name)  # looked up, since a provider keeps the first callback of an instrument

        create = {
            "counter": meter.create_observable_counter,
            "up_down_counter": meter.create_observable_up_down_counter,
        }.get(instrument.kind, meter.create_observable_gauge)
        create(instrument.name, [callback], instrument.unit, instrument.description)

    def _read(self, name: str) -> list[Observation]:
        instrument, observe = self._observed[name]
        with contain(f"observe {name}"):
            found = []
            for value, labels in observe():
                admitted = self._admitted(instrument, labels, self._count_observed_overflow)
                self._count_series(instrument, admitted)
                found.append(Observation(value, admitted))
            return found
        return []


@cache
def _sdk_forgets_gauges() -> bool:
    """Before 1.45 a gauge that was set is in one scrape and in no later one; there its values are held here."""
    try:
        major, minor = metadata.version("opentelemetry-sdk").split(".")[:2]
        return (int(major), int(minor)) < (1, 45)
    except (metadata.PackageNotFoundError, ValueError):
        return False


def say_overflow(label: Label, value: object, instrument: str | None = None) -> None:
    """Say once a label that it was given a value that it does not admit; a closed one tells what it admits."""
    of = f"{label.name} of {instrument}" if instrument else label.name
    if label.is_closed:
        text = f"{label.name}={str(value)[:80]!r} is counted as {OTHER}; write one of {', '.join(label.words)}"
    else:
        text = f"label {of} does not admit a value it was given; beyond {label.cap} values they are counted as {OTHER}"
    notice_once(f"overflow {label!r}", text)


RECORDER = Recorder()


class Held:
    """A gauge whose values are held here and read at every collection: what is replaced disappears from the scrape."""

    def __init__(self, instrument: Instrument, recorder: Recorder = RECORDER) -> None:
        self._instrument = instrument
        self._recorder = recorder
        self._values: list[tuple[float, Mapping[str, object]]] = []
        self._observed = False

    def replace(self, values: Values) -> None:
        """Hold `values` instead of what was held; values whose labels become the same add up."""
        sums: dict[tuple[tuple[str, str], ...], float] = {}
        for value, labels in values:
            key = tuple(self._recorder.admit(self._instrument, labels).items())
            sums[key] = sums.get(key, 0) + value
        self._values = [(value, dict(key)) for key, value in sums.items()]
        if not self._observed:
            self._observed = True
            self._recorder.observe(self._instrument, lambda: self._values)

    def after_fork(self) -> None:
        """Hold nothing in a forked child: the parent says its own."""
        self._values = []
