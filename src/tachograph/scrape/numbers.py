"""Numbers as Prometheus and OpenMetrics 1.0 write them."""

import math


def number(value: float) -> str:
    """Write a sample's value: integers digit by digit, everything else as the shortest float that reads back."""
    if isinstance(value, int):
        return f"{value:d}" if value.bit_length() < 1024 else "-Inf" if value < 0 else "+Inf"

    value = float(value)
    if math.isfinite(value):
        return float.__repr__(value)
    return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"


def bound(value: float) -> str:
    """Write a bucket's bound in OpenMetrics' canonical form: `1.0`, `0.005`, `1e+06`, `+Inf`."""
    text = number(float(value))
    whole, point, fraction = text.partition(".")
    if not point or value < 0 or len(whole) < 7:
        return text

    mantissa = f"{whole[0]}.{whole[1:]}{fraction}".rstrip("0").rstrip(".")
    return f"{mantissa}e+{len(whole) - 1:02d}"


def seconds(nanoseconds: int) -> str:
    """Write a moment in nanoseconds since the epoch as decimal seconds, without the rounding of a float."""
    return f"{nanoseconds // 1_000_000_000}.{nanoseconds % 1_000_000_000:09d}"
