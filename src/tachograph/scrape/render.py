"""
A collection as lines of the Prometheus text format 0.0.4 or of OpenMetrics 1.0.

Nothing here touches the world, apart from what is said once about metrics that are in each other's way.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

from opentelemetry.sdk.metrics import Exemplar
from opentelemetry.sdk.metrics.export import MetricsData, Sum

from tachograph.contain import contain
from tachograph.notices import notice_once
from tachograph.scrape import points
from tachograph.scrape.exemplars import Exemplars
from tachograph.scrape.families import Family, Source, Type, claim, families, resource_attributes
from tachograph.scrape.labels import LabelTexts, escape, label_text, labels_of, sayable
from tachograph.scrape.numbers import bound, number, seconds
from tachograph.scrape.points import Distribution, Number, Shape
from tachograph.scrape.series import Series

EOF = "# EOF\n"

# The characters of one chunk, about: small enough not to hold the interpreter, large enough for a socket.
_CHUNK = 16_384
# What OpenMetrics 1.0 allows for an exemplar's label names and values together.
_EXEMPLAR_CHARACTERS = 128

Merge = Callable[[Any, Any], Shape | None]
_MERGES: dict[Type, Merge] = {
    "counter": points.sum_numbers,
    "gauge": points.last_number,
    "histogram": points.sum_distributions,
}


@dataclass(frozen=True, slots=True)
class Format:
    """How a document is written: in which format, and whether with the target's and the scopes' labels."""

    openmetrics: bool = False
    target_info: bool = True
    scope_labels: bool = True


@dataclass(frozen=True, slots=True)
class Memory:
    """What a reader keeps from scrape to scrape: which label sets it serves, their texts, and exemplars."""

    series: Series = field(default_factory=Series)
    texts: LabelTexts = field(default_factory=LabelTexts)
    exemplars: Exemplars = field(default_factory=Exemplars)


def lines(data: MetricsData, form: Format, memory: Memory, taken: set[str]) -> Iterator[str]:
    """
    Write a collection, family by family and without the end mark; `taken` receives the names that are used.

    A fault costs what it is about, never its neighbours: it is contained and counted.
    """
    with contain("scrape.target"):
        if form.target_info:
            yield from _target(data, form, taken)
    for family in families(data, scoped=form.scope_labels):
        with contain("scrape.family"):
            if claim(family, taken, openmetrics=form.openmetrics):
                yield from _family(family, form, memory)


def chunks(parts: Iterable[str]) -> Iterator[bytes]:
    """Put lines together into chunks of moderate size, as UTF-8."""
    kept: list[str] = []
    size = 0
    for part in parts:
        kept.append(part)
        size += len(part)
        if size >= _CHUNK:
            yield "".join(kept).encode("utf-8", "replace")
            kept, size = [], 0
    if kept:
        yield "".join(kept).encode("utf-8", "replace")


def _target(data: MetricsData, form: Format, taken: set[str]) -> Iterator[str]:
    labels = labels_of(resource_attributes(data))
    if not labels:
        return
    taken |= {"target", "target_info"} if form.openmetrics else {"target_info"}
    name, type_ = ("target", "info") if form.openmetrics else ("target_info", "gauge")
    yield f"# HELP {name} Target metadata\n# TYPE {name} {type_}\ntarget_info{{{label_text(labels)}}} 1\n"


def _family(family: Family, form: Format, memory: Memory) -> Iterator[str]:
    merged = _merged(family, memory)
    yield _metadata(family, form)
    for text, shape in merged.items():
        shape.exemplars = memory.exemplars.joined(family.name, text, shape)
        if isinstance(shape, Number):
            yield from _number(family, text, shape, form)
        else:
            yield from _distribution(family.name, text, shape, form)


def _metadata(family: Family, form: Format) -> str:
    name = family.name_in(openmetrics=form.openmetrics)
    # `promtool check metrics` asks for a text, and the name before translation is one that says something.
    help_ = family.help or family.sources[0].metric.name
    unit = f"# UNIT {name} {family.unit}\n" if form.openmetrics and _names_unit(name, family.unit) else ""
    return f"# HELP {name} {_help(help_, form)}\n# TYPE {name} {family.type}\n{unit}"


def _names_unit(name: str, unit: str) -> bool:
    return bool(unit) and name.endswith(f"_{unit}")


def _help(text: str, form: Format) -> str:
    return escape(text) if form.openmetrics else sayable(text).replace("\\", "\\\\").replace("\n", "\\n")


def _merged(family: Family, memory: Memory) -> dict[str, Shape]:
    """Bring the points of all sources to one shape per label set."""
    found: dict[str, Shape] = {}
    for source in family.sources:
        for point in source.metric.data.data_points:
            with contain("scrape.point"):
                text = _text(point.attributes, family, source, memory)
                _put(found, text, _shape(family.type, point), family, source)
    return found


def _text(attributes: Mapping[str, Any] | None, family: Family, source: Source, memory: Memory) -> str:
    served = memory.series.of(source.scope_text, source.metric.name, attributes)
    return memory.texts.of(served, source.scope_text, source.scope, le=family.type == "histogram")


def _shape(type_: Type, point: Any) -> Shape:
    return points.distribution(point) if type_ == "histogram" else points.number(point)


def _put(found: dict[str, Shape], text: str, shape: Shape, family: Family, source: Source) -> None:
    first = found.get(text)
    merged = shape if first is None else _merge(family, source)(first, shape)
    if merged is not None:
        found[text] = merged
        return
    notice_once(
        f"prometheus bounds {family.name} {source.metric.name}",
        f"some of {source.metric.name} is not served: {family.name} has these labels with other bucket bounds already",
    )


def _merge(family: Family, source: Source) -> Merge:
    # An up-down counter is a gauge to Prometheus, and can be added nevertheless.
    return points.sum_numbers if isinstance(source.metric.data, Sum) else _MERGES[family.type]


def _number(family: Family, text: str, shape: Number, form: Format) -> Iterator[str]:
    if form.openmetrics and family.type == "counter":
        if not shape.value >= 0:
            notice_once(
                f"prometheus negative {family.name}",
                f"some of {family.name} is not served as OpenMetrics: a counter cannot be {number(shape.value)}",
            )
            return
        exemplar = _exemplar(points.newest(shape.exemplars))
    else:
        exemplar = ""
    yield f"{family.name}{_braces(text)} {number(shape.value)}{exemplar}\n"


def _distribution(name: str, text: str, shape: Distribution, form: Format) -> Iterator[str]:
    prefix = f'{name}_bucket{{{text}{"," if text else ""}le="'
    exemplars = points.newest_per_bucket(shape.bounds, shape.exemplars) if form.openmetrics else {}
    for place, (le, count) in enumerate(zip([*shape.bounds, math.inf], accumulate(shape.counts), strict=True)):
        yield f'{prefix}{bound(le)}"}} {count}{_exemplar(exemplars.get(place))}\n'

    if not form.openmetrics or _has_sum(shape):
        yield f"{name}_count{_braces(text)} {sum(shape.counts)}\n{name}_sum{_braces(text)} {number(shape.sum)}\n"


def _has_sum(shape: Distribution) -> bool:
    """OpenMetrics has `_sum`, and `_count` with it, only where no measurement can be negative."""
    return shape.sum >= 0 and not any(le < 0 for le in shape.bounds)


def _braces(text: str) -> str:
    return f"{{{text}}}" if text else ""


def _exemplar(exemplar: Exemplar | None) -> str:
    if exemplar is None:
        return ""
    labels = ",".join(f'{name}="{escape(value)}"' for name, value in _exemplar_labels(exemplar).items())
    return f" # {{{labels}}} {number(exemplar.value)} {seconds(exemplar.time_unix_nano)}"


def _exemplar_labels(exemplar: Exemplar) -> dict[str, str]:
    """Return the identifiers, and of the filtered attributes those that fit into OpenMetrics' limit."""
    found: dict[str, str] = {}
    if exemplar.trace_id:
        found["trace_id"] = f"{exemplar.trace_id:032x}"
    if exemplar.span_id:
        found["span_id"] = f"{exemplar.span_id:016x}"

    room = _EXEMPLAR_CHARACTERS - _characters(found)
    for name, value in labels_of(exemplar.filtered_attributes).items():
        # A quote is legal here, but parsers in use take it for the end of the value.
        if name not in found and '"' not in value and len(name) + len(value) <= room:
            found[name] = value
            room -= len(name) + len(value)
    return found


def _characters(labels: dict[str, str]) -> int:
    return sum(len(name) + len(value) for name, value in labels.items())
