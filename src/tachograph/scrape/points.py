"""Data points, brought to the two shapes that the text formats know and joined where their labels are the same."""

import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from opentelemetry.sdk.metrics import Exemplar
from opentelemetry.sdk.metrics.export import ExponentialHistogramDataPoint, HistogramDataPoint, NumberDataPoint

from tachograph.scrape import exponential


@dataclass(slots=True)
class Number:
    """One value with the exemplars of its measurements."""

    value: float
    exemplars: Sequence[Exemplar]


@dataclass(slots=True)
class Distribution:
    """A classic histogram: a count per bucket, one more than bounds."""

    bounds: Sequence[float]
    counts: Sequence[int]
    sum: float
    exemplars: Sequence[Exemplar]


Shape = Number | Distribution


def number(point: NumberDataPoint) -> Number:
    """Return the value of a counter or gauge."""
    return Number(point.value, point.exemplars)


def distribution(point: HistogramDataPoint | ExponentialHistogramDataPoint) -> Distribution:
    """Return any histogram as a classic one."""
    if isinstance(point, ExponentialHistogramDataPoint):
        bounds, counts = exponential.classic(point)
    else:
        bounds, counts = _finite(point.explicit_bounds, point.bucket_counts or [point.count])
    return Distribution(bounds, counts, point.sum, point.exemplars)


def sum_numbers(first: Number, second: Number) -> Number:
    """Add two counters of the same labels."""
    return Number(first.value + second.value, [*first.exemplars, *second.exemplars])


def last_number(_first: Number, second: Number) -> Number:
    """Return the later of two gauges of the same labels."""
    return second


def sum_distributions(first: Distribution, second: Distribution) -> Distribution | None:
    """Add two histograms of the same labels, or return None where their bounds differ."""
    if list(first.bounds) != list(second.bounds):
        return None
    counts = [one + other for one, other in zip(first.counts, second.counts, strict=True)]
    return Distribution(first.bounds, counts, first.sum + second.sum, [*first.exemplars, *second.exemplars])


def newest(exemplars: Sequence[Exemplar]) -> Exemplar | None:
    """Return the exemplar that was measured last."""
    return max(exemplars, key=lambda exemplar: exemplar.time_unix_nano, default=None)


def newest_per_bucket(bounds: Sequence[float], exemplars: Sequence[Exemplar]) -> Mapping[int, Exemplar]:
    """Return the newest exemplar of each bucket that has one, by the bucket's place."""
    found: dict[int, Exemplar] = {}
    for exemplar in sorted(exemplars, key=lambda each: each.time_unix_nano):
        found[bisect_left(bounds, exemplar.value)] = exemplar
    return found


def _finite(bounds: Sequence[float], counts: Sequence[int]) -> tuple[list[float], list[int]]:
    """Put buckets together of which the bounds are the same; what is bounded by infinity needs no bound."""
    merged: dict[float, int] = {}
    for bound, count in zip([*map(float, bounds), math.inf], counts, strict=False):
        merged[bound] = merged.get(bound, 0) + count
    last = merged.pop(math.inf, 0)
    return list(merged), [*merged.values(), last]
