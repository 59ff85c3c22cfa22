"""How declarations look outside: their names on each route to Prometheus."""

from typing import Literal

from tachograph.catalogue.model import Instrument
from tachograph.catalogue.prometheus import label_name, metric_name

Route = Literal["scrape", "collector"]

# `scrape`: our `/metrics` and textfile. `collector`: OTLP through the Collector's Prometheus exporter.
ROUTES: tuple[Route, ...] = ("scrape", "collector")


def family(instrument: Instrument, route: Route = "scrape") -> str:
    """Return the name of `instrument` on `route`: that of its samples, or what a histogram's begin with."""
    return {"scrape": metric_name, "collector": metric_name}[route](instrument.name, instrument.unit, instrument.kind)


def samples(instrument: Instrument, route: Route = "scrape") -> tuple[str, ...]:
    """Return the names of the samples of `instrument` on `route`."""
    name = family(instrument, route)
    if instrument.kind == "histogram":
        return f"{name}_bucket", f"{name}_sum", f"{name}_count"
    return (name,)


def labels(instrument: Instrument, route: Route = "scrape") -> tuple[str, ...]:
    """Return the names of the labels of `instrument` on `route`, in the order of the declaration."""
    to_name = {"scrape": label_name, "collector": label_name}[route]
    return tuple(to_name(label.name) for label in instrument.labels)


def series_type(instrument: Instrument) -> Literal["counter", "gauge", "histogram"]:
    """Return the Prometheus type of `instrument`: an up-down counter is a gauge there."""
    return "gauge" if instrument.kind == "up_down_counter" else instrument.kind
