"""
Declarations become instruments: values go in through `record`, labels are admitted, overflow is counted.

The instruments belong to whichever meter provider is in force; `bind` moves them to another one.
"""

import threading
from collections import Counter as Tally
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from opentelemetry import metrics as otel
from opentelemetry.context import Context
from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation

from tachograph.catalogue import OTHER, Instrument
from tachograph.notices import notice_once
from tachograph.version import __version__

SCOPE = "tachograph"

Observe = Callable[[], Iterable[tuple[float, Mapping[str, object]]]]


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
        self._lock = threading.Lock()

    def bind(self, provider: MeterProvider | None) -> None:
        """Create instruments in `provider` from now on (None: the global one), observed ones at once."""
        with self._lock:
            self._provider = provider
            self._writes = {}
            observed = list(self._observed.values())
        for instrument, observe in observed:
            self._create_observed(instrument, observe)

    def record(self, measurements: Iterable[Measurement], context: Context | None = None) -> None:
        """Record each measurement; `context` is where an exemplar finds its span (default: the current one)."""
        for each in measurements:
            write = self._writes.get(each.instrument.name) or self._create(each.instrument)
            write(each.value, self.admit(each.instrument, each.labels), context)

    def observe(self, instrument: Instrument, observe: Observe) -> None:
        """Let `instrument` be read from `observe` at every collection: pairs of a value and its labels."""
        with self._lock:
            self._observed[instrument.name] = (instrument, observe)
        self._create_observed(instrument, observe)

    def admit(self, instrument: Instrument, labels: Mapping[str, object]) -> dict[str, str]:
        """Return the labels that `instrument` declares, each with a value that its declaration admits."""
        admitted: dict[str, str] = {}
        for label in instrument.labels:
            value = labels.get(label.name)
            if value is None:
                continue
            word = label.admit(value)
            if word == OTHER and value != OTHER:
                self._count_overflow(instrument.name, label.name)
            admitted[label.name] = word
        return admitted

    def overflow(self) -> dict[tuple[str, str], int]:
        """Values that became `_OTHER` so far, by instrument and label name."""
        with self._lock:
            return dict(self._overflow)

    def _count_overflow(self, instrument: str, label: str) -> None:
        with self._lock:
            self._overflow[(instrument, label)] += 1
        notice_once(
            f"overflow {label}",
            f"label {label} of {instrument} does not admit a value it was given; such values are counted as {OTHER}",
        )

    def _create(self, instrument: Instrument) -> _Write:
        meter = (self._provider or otel.get_meter_provider()).get_meter(SCOPE, __version__)
        name, unit, description = instrument.name, instrument.unit, instrument.description
        write: _Write
        if instrument.kind == "counter":
            write = meter.create_counter(name, unit, description).add
        elif instrument.kind == "up_down_counter":
            write = meter.create_up_down_counter(name, unit, description).add
        elif instrument.kind == "gauge":
            write = meter.create_gauge(name, unit, description).set
        else:
            write = meter.create_histogram(
                name, unit, description, explicit_bucket_boundaries_advisory=instrument.bounds
            ).record
        self._writes[name] = write
        return write

    def _create_observed(self, instrument: Instrument, observe: Observe) -> None:
        meter = (self._provider or otel.get_meter_provider()).get_meter(SCOPE, __version__)

        def callback(_options: CallbackOptions) -> list[Observation]:
            return [Observation(value, self.admit(instrument, labels)) for value, labels in observe()]

        name, unit, description = instrument.name, instrument.unit, instrument.description
        if instrument.kind == "counter":
            meter.create_observable_counter(name, [callback], unit, description)
        else:
            meter.create_observable_gauge(name, [callback], unit, description)


RECORDER = Recorder()
