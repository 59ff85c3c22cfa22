"""The label sets of each metric that are served by themselves, where the SDK does not limit how many there are."""

from collections.abc import Mapping
from typing import Any

from tachograph.notices import notice_once

# What the SDK's own limit calls the rest (specification: "Cardinality limits").
OVERFLOW: Mapping[str, Any] = {"otel_metric_overflow": True}


class Series:
    """At most `limit` label sets a metric, the first that came and for good, so that no sum ever falls; None: all."""

    def __init__(self, limit: int | None = None) -> None:
        self._limit = limit
        self._admitted: dict[tuple[str, str], set[frozenset[tuple[str, Any]]]] = {}

    def of(self, scope: str, metric: str, attributes: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
        """Return `attributes`, or those of the rest when the metric has as many label sets as it may have."""
        if self._limit is None:
            return attributes

        admitted = self._admitted.setdefault((scope, metric), set())
        key = frozenset((attributes or {}).items())
        if key in admitted:
            return attributes
        if len(admitted) < self._limit:
            admitted.add(key)
            return attributes

        notice_once(
            f"prometheus series {metric}",
            f"metric {metric} has more than {self._limit} label sets: the rest is served as one, "
            'otel_metric_overflow="true"',
        )
        return OVERFLOW
