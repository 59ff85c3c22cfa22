"""An exponential histogram as a classic one, for formats that know no other."""

import math
from collections.abc import Iterator

from opentelemetry.sdk.metrics.export import Buckets, ExponentialHistogramDataPoint

# OpenTelemetry's own default for the size of an exponential histogram.
_MOST_BUCKETS = 160

Counts = dict[int, int]


def classic(point: ExponentialHistogramDataPoint) -> tuple[list[float], list[int]]:
    """Return the bounds and the counts per bucket; there is one count more than bounds, for what is above the last."""
    scale, positive, negative = _scaled(point.scale, _counted(point.positive), _counted(point.negative))
    found = [
        *_below_zero(negative, scale),
        *([(0.0, point.zero_count)] if point.zero_count or negative else []),
        *_above_zero(positive, scale),
    ]
    bounds, counts = _rising(found)
    return bounds, [*counts, max(0, point.count - sum(counts))]


def _counted(buckets: Buckets) -> Counts:
    return {buckets.offset + place: count for place, count in enumerate(buckets.bucket_counts) if count}


def _scaled(scale: int, positive: Counts, negative: Counts) -> tuple[int, Counts, Counts]:
    # Two neighbours become one bucket with every step down, so this ends.
    while _span(positive) + _span(negative) > _MOST_BUCKETS:
        scale, positive, negative = scale - 1, _halved(positive), _halved(negative)
    return scale, positive, negative


def _span(counts: Counts) -> int:
    return max(counts) - min(counts) + 1 if counts else 0


def _halved(counts: Counts) -> Counts:
    halved: Counts = {}
    for index, count in counts.items():
        halved[index >> 1] = halved.get(index >> 1, 0) + count
    return halved


def _above_zero(counts: Counts, scale: int) -> Iterator[tuple[float, int]]:
    if not counts:
        return
    # The lower edge of the lowest bucket, without which a quantile would be sought from zero upwards.
    yield _power(min(counts), scale), 0
    for index in range(min(counts), max(counts) + 1):
        yield _power(index + 1, scale), counts.get(index, 0)


def _below_zero(counts: Counts, scale: int) -> Iterator[tuple[float, int]]:
    for index in range(max(counts, default=-1), min(counts, default=0) - 1, -1):
        # A negative bucket does not contain its upper edge but `le` does: the bound is the float before the edge.
        yield math.nextafter(-_power(index, scale), -math.inf), counts.get(index, 0)


def _power(index: int, scale: int) -> float:
    """The base of `scale` to the power of `index`: exact where that is a power of two, infinite beyond floats."""
    if scale <= 0:
        return _ldexp(1.0, index << -scale)
    whole, rest = divmod(index, 1 << scale)
    return _ldexp(2.0 ** (rest / (1 << scale)), whole)


def _ldexp(mantissa: float, exponent: int) -> float:
    try:
        return math.ldexp(mantissa, exponent)
    except OverflowError:
        return math.inf


def _rising(found: list[tuple[float, int]]) -> tuple[list[float], list[int]]:
    """Put buckets together of which the bounds are the same float; what is bounded by infinity needs no bound."""
    merged: dict[float, int] = {}
    for bound, count in found:
        merged[bound] = merged.get(bound, 0) + count
    merged.pop(math.inf, None)
    return list(merged), list(merged.values())
