"""Metrics of all scopes by their Prometheus name: one family per name, whatever the scopes call it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from opentelemetry.sdk.metrics.export import (
    ExponentialHistogram,
    Gauge,
    Histogram,
    Metric,
    MetricsData,
    ScopeMetrics,
    Sum,
)

from tachograph.catalogue.prometheus import Kind, metric_name, unit_suffix
from tachograph.contain import contain
from tachograph.notices import notice_once
from tachograph.scrape.labels import Labels, label_text, scope_labels

Type = Literal["counter", "gauge", "histogram"]

_SUFFIXES = {"counter": ("",), "gauge": ("",), "histogram": ("", "_bucket", "_count", "_sum")}
_OPENMETRICS_SUFFIXES = {
    "counter": ("", "_total", "_created"),
    "gauge": ("",),
    "histogram": ("", "_bucket", "_count", "_sum", "_created"),
}


@dataclass(slots=True)
class Source:
    """One scope's metric of a family, with the labels that name its scope."""

    metric: Metric
    scope: Labels
    scope_text: str


@dataclass(slots=True)
class Family:
    """Everything that is called by one Prometheus name."""

    name: str
    type: Type
    help: str
    unit: str
    sources: list[Source] = field(default_factory=list)

    def name_in(self, *, openmetrics: bool) -> str:
        """Return the name of the family's metadata; OpenMetrics names a counter without its `_total`."""
        return self.name.removesuffix("_total") if openmetrics and self.type == "counter" else self.name

    def names(self, *, openmetrics: bool) -> set[str]:
        """Return every name that no other family of the same document may use."""
        suffixes = (_OPENMETRICS_SUFFIXES if openmetrics else _SUFFIXES)[self.type]
        name = self.name_in(openmetrics=openmetrics)
        return {f"{name}{suffix}" for suffix in suffixes}


def families(data: MetricsData, *, scoped: bool) -> list[Family]:
    """
    Group metrics into families, in the order of their first appearance.

    What cannot stand in one family is dropped; that, and metadata which had to be chosen, is said once.
    """
    found: dict[str, Family] = {}
    for scope_metrics in _scopes(data):
        with contain("scrape.scope"):
            labels = scope_labels(scope_metrics.scope) if scoped else {}
            _add(found, scope_metrics, labels)
    return list(found.values())


def _scopes(data: MetricsData) -> Iterator[ScopeMetrics]:
    for resource_metrics in data.resource_metrics:
        yield from resource_metrics.scope_metrics


def _add(found: dict[str, Family], scope_metrics: ScopeMetrics, labels: Labels) -> None:
    text = label_text(labels)
    for metric in scope_metrics.metrics:
        with contain("scrape.metric"):
            kind = _kind(metric)
            if kind is not None:
                _join(found, _family(metric, kind), Source(metric, labels, text))


def _kind(metric: Metric) -> Kind | None:
    data: object = metric.data
    if isinstance(data, Sum):
        return "counter" if data.is_monotonic else "up_down_counter"
    if isinstance(data, Gauge):
        return "gauge"
    if isinstance(data, Histogram | ExponentialHistogram):
        return "histogram"

    notice_once(
        f"prometheus data {metric.name}",
        f"metric {metric.name} is not served: Prometheus has nothing for a {type(data).__name__}",
    )
    return None


def _family(metric: Metric, kind: Kind) -> Family:
    unit = metric.unit or ""
    type_: Type = "gauge" if kind == "up_down_counter" else kind
    return Family(metric_name(metric.name, unit, kind), type_, metric.description or "", unit_suffix(unit, kind))


def _join(found: dict[str, Family], new: Family, source: Source) -> None:
    family = found.setdefault(new.name, new)
    if family.type != new.type:
        notice_once(
            f"prometheus type {new.name} {source.metric.name}",
            f"metric {source.metric.name} is not served: {new.name} is a {family.type} "
            f"of {family.sources[0].metric.name} already and cannot be a {new.type} too",
        )
        return

    _settle(family, new)
    _say_shared(family, source)
    family.sources.append(source)


def _settle(family: Family, new: Family) -> None:
    """Keep the first metadata, saying where later ones differ."""
    for what, first, later in (("HELP", family.help, new.help), ("UNIT", family.unit, new.unit)):
        if first and later and first != later:
            notice_once(
                f"prometheus {what} {family.name}",
                f"{family.name} has more than one {what}: {first!r} is served and {later!r} is not",
            )
    family.help = family.help or new.help


def _say_shared(family: Family, source: Source) -> None:
    """Say once that metrics of two names are one family."""
    name = source.metric.name
    if family.sources and (first := family.sources[0].metric.name) != name:
        what = "the last one is served" if isinstance(source.metric.data, Gauge) else "they are added"
        notice_once(
            f"prometheus shared {family.name} {name}",
            f"metrics {first} and {name} are both {family.name}: where their labels are the same, {what}",
        )


def claim(family: Family, taken: set[str], *, openmetrics: bool) -> bool:
    """Take the family's names for one document, or say once which of them another family has."""
    names = family.names(openmetrics=openmetrics)
    if clash := names & taken:
        notice_once(
            f"prometheus name {family.name} {openmetrics}",
            f"{family.name} is not served{' as OpenMetrics' if openmetrics else ''}: "
            f"another metric has the name {min(clash)}",
        )
        return False

    taken |= names
    return True


def resource_attributes(data: MetricsData) -> Mapping[str, object]:
    """Return the attributes of the resource; there is one, because a reader belongs to one provider."""
    return {key: value for each in data.resource_metrics for key, value in each.resource.attributes.items()}
