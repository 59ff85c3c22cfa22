"""
What OpenTelemetry names, units and attribute keys are called in Prometheus.

The rules are those of the OpenTelemetry specification "Prometheus and OpenMetrics Compatibility", as the Collector's
exporter applies them under the translation strategy `UnderscoreEscapingWithSuffixes`.
"""

import re
from functools import lru_cache
from typing import Literal

Kind = Literal["counter", "histogram", "gauge", "up_down_counter"]

# The units that the Collector's translator and upstream's exporter both know; anything else stays as it is.
_UNITS = {
    "d": "days",
    "h": "hours",
    "min": "minutes",
    "s": "seconds",
    "ms": "milliseconds",
    "us": "microseconds",
    "ns": "nanoseconds",
    "By": "bytes",
    "KiBy": "kibibytes",
    "MiBy": "mebibytes",
    "GiBy": "gibibytes",
    "TiBy": "tibibytes",
    "KBy": "kilobytes",
    "MBy": "megabytes",
    "GBy": "gigabytes",
    "TBy": "terabytes",
    "m": "meters",
    "V": "volts",
    "A": "amperes",
    "J": "joules",
    "W": "watts",
    "g": "grams",
    "Cel": "celsius",
    "Hz": "hertz",
    "1": "",
    "%": "percent",
}
_PER_UNITS = {
    "s": "second",
    "m": "minute",
    "h": "hour",
    "d": "day",
    "w": "week",
    "mo": "month",
    "y": "year",
}

_WORD = re.compile(r"[a-zA-Z0-9:]+")
_NOT_IN_LABELS = re.compile(r"[^a-zA-Z0-9]+")
_ANNOTATION = re.compile(r"\{[^}]*\}")


@lru_cache(maxsize=4096)
def metric_name(name: str, unit: str, kind: Kind) -> str:
    """
    Return the name under which samples of an instrument appear (specification: "OTLP Metric points to Prometheus").

    A counter's name ends in `_total` once. A gauge of the unit `1` ends in `_ratio`. A unit that the name has already
    is not repeated.
    """
    words = _with_unit(_WORD.findall(name), unit)
    if kind == "counter":
        words = [*([word for word in words if word != "total"] or ["total"]), "total"]
    if kind == "gauge" and unit == "1":
        words = [*(word for word in words if word != "ratio"), "ratio"]

    joined = "_".join(words) or "_"
    return f"_{joined}" if joined[0].isdigit() else joined


def unit_suffix(unit: str, kind: Kind | None = None) -> str:
    """
    Return a UCUM unit in Prometheus' words (`By/s` is `bytes_per_second`), empty when there is none to name.

    `1` is `ratio` for a gauge and nothing otherwise; annotations such as `{call}` are dropped.
    """
    if kind == "gauge" and unit == "1":
        return "ratio"
    return "_".join(filter(None, _unit_parts(unit)))


@lru_cache(maxsize=4096)
def label_name(key: str) -> str:
    """
    Return an attribute's key as a label name (specification: "Metric Attributes").

    Runs of other characters become one `_`, so that no name is in the reserved `__` space; a leading digit is put
    behind `key_`, as the Collector does.
    """
    name = _NOT_IN_LABELS.sub("_", key) or "_"
    return f"key_{name}" if name[0].isdigit() else name


def _unit_parts(unit: str) -> tuple[str, str]:
    main, _, per = _ANNOTATION.sub("", unit).partition("/")
    main, per = main.strip(), per.strip()
    main = _words(_UNITS.get(main, main))
    per = _words(_PER_UNITS.get(per, per))
    return main, per and f"per_{per}"


def _words(text: str) -> str:
    return "_".join(_WORD.findall(text))


def _with_unit(words: list[str], unit: str) -> list[str]:
    main, per = _unit_parts(unit)
    if _contains(words, f"{main}_{per}" if main and per else main or per):
        return words
    return [*words, *([] if not main or _contains(words, main) else [main]), *([per] if per else [])]


def _contains(words: list[str], unit: str) -> bool:
    return f"_{unit}_" in f"_{'_'.join(words)}_"
