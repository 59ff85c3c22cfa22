"""The metric reader behind `/metrics` and the textfile: collects when it is asked to, and renders."""

import inspect
import threading
from collections.abc import Iterator
from typing import Any

from opentelemetry.sdk.metrics.export import MetricReader, MetricsData

from tachograph.contain import contain
from tachograph.scrape import foreign, render
from tachograph.scrape.render import Format, Memory
from tachograph.scrape.series import Series


class PrometheusReader(MetricReader):
    """
    A pull reader of cumulative metrics that writes the Prometheus text formats.

    `target_info` serves the resource's attributes, `scope_labels` the `otel_scope_` labels. `cardinality_limits` goes
    to the SDK where its readers take it; where they do not, `series_limit` is how many label sets of each metric are
    served, the rest as one.
    """

    def __init__(
        self,
        *,
        target_info: bool = True,
        scope_labels: bool = True,
        cardinality_limits: object = None,
        series_limit: int | None = None,
    ) -> None:
        super().__init__(**_supported(cardinality_limits=cardinality_limits))
        self._target_info = target_info
        self._scope_labels = scope_labels
        self._memory = Memory(Series(None if _knows("cardinality_limits") else series_limit))
        self._collecting = threading.Lock()
        self._received: MetricsData | None = None
        self._ended = False

    def render(self, openmetrics: bool = False, *, host: bool = False) -> Iterator[bytes]:
        """
        Collect, and yield the document in chunks of some 16 KiB; whole lines, UTF-8.

        `host` adds what the host has registered with `prometheus_client`, when it has imported that.
        """
        return render.chunks(self._lines(openmetrics=openmetrics, host=host))

    def text(self, openmetrics: bool = False) -> str:
        """Collect, and return the document."""
        return b"".join(self.render(openmetrics)).decode("utf-8")

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        """Do nothing: a pull reader has nothing to send."""
        return True

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: Any) -> None:
        """End collecting; later documents are empty."""
        self._ended = True

    def after_fork(self) -> None:
        """Make the reader usable in a forked child, where another thread's lock would never be released."""
        self._collecting = threading.Lock()
        self._received = None

    def _receive_metrics(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **kwargs: Any) -> None:
        self._received = metrics_data

    def _lines(self, *, openmetrics: bool, host: bool) -> Iterator[str]:
        taken: set[str] = set()
        data = self._collected()
        if data is not None:
            form = Format(openmetrics, self._target_info, self._scope_labels)
            yield from render.lines(data, form, self._memory, taken)
        if host:
            yield from foreign.blocks(taken, openmetrics=openmetrics)
        if openmetrics:
            yield render.EOF

    def _collected(self) -> MetricsData | None:
        if self._ended or self._collect is None:
            return None
        with self._collecting:
            self._received = None
            with contain("scrape.collect"):
                self.collect()
                return self._take()
            with contain("scrape.collect"):
                self._received = self._stored()
            return self._take()

    def _take(self) -> MetricsData | None:
        received, self._received = self._received, None
        return received

    def _stored(self) -> MetricsData | None:
        """
        Return what the SDK has stored, without asking the observable instruments.

        A callback that is too slow, or that yields what the SDK cannot store, ends a collection with an exception; the
        SDK's storage for this reader, found through the callback that it has set, still has everybody else's values.
        """
        storages = getattr(getattr(self._collect, "__self__", None), "_reader_storages", {})
        storage: Any = storages.get(self)
        data: MetricsData | None = storage.collect() if storage is not None else None
        return data


def _supported(**arguments: object) -> dict[str, Any]:
    return {name: value for name, value in arguments.items() if value is not None and _knows(name)}


def _knows(argument: str) -> bool:
    return argument in inspect.signature(MetricReader.__init__).parameters
