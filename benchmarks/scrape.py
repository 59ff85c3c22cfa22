"""
What a scrape costs: ours against upstream's reader, side by side in one process.

`python benchmarks/scrape.py [SERIES]` prints a table of CPU medians and their ratio, and exits with 1 when the goal is
missed. Both readers see the same provider, whose histograms have 15 buckets.
"""

import statistics
import sys
import time
from collections.abc import Callable

from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import MeterProvider
from prometheus_client import CollectorRegistry, generate_latest

from tachograph.catalogue.bounds import WORK_SECONDS
from tachograph.scrape.reader import PrometheusReader

GOAL = 0.25
ROUNDS = 5


def main(series: int) -> int:
    registry = CollectorRegistry()
    ours, theirs = PrometheusReader(), PrometheusMetricReader(registry=registry)
    provider = MeterProvider(metric_readers=[ours, theirs], shutdown_on_exit=False)
    record(provider, series)
    costs = interleaved(
        {"upstream": lambda: len(generate_latest(registry)), "tachograph": lambda: sum(map(len, ours.render()))}
    )
    return report(series, costs)


def record(provider: MeterProvider, series: int) -> None:
    """Fill `series` label sets, in instruments small enough for the SDK's limit of label sets."""
    meter = provider.get_meter("benchmark")
    for start in range(0, series, 1000):
        histogram = meter.create_histogram(
            f"benchmark.{start}.duration", "s", "Time.", explicit_bucket_boundaries_advisory=WORK_SECONDS
        )
        for number in range(start, min(start + 1000, series)):
            histogram.record(number % 7 / 3, {"route": f"/items/{number}", "method": "GET"})


def interleaved(scrapes: dict[str, Callable[[], int]]) -> dict[str, float]:
    """Median CPU seconds of each, measured in turns so that noise hits both; the first round warms up."""
    taken: dict[str, list[float]] = {name: [] for name in scrapes}
    for _ in range(ROUNDS + 1):
        for name, scrape in scrapes.items():
            start = time.process_time()
            scrape()
            taken[name].append(time.process_time() - start)
    return {name: statistics.median(times[1:]) for name, times in taken.items()}


def report(series: int, costs: dict[str, float]) -> int:
    ratio = costs["tachograph"] / costs["upstream"]
    print(f"scrape of {series} histogram series, CPU, median of {ROUNDS} rounds")
    for name, seconds in costs.items():
        print(f"  {name:<12}{seconds * 1000:>10.1f} ms{seconds / costs['upstream']:>8.2f}x")
    print(f"  goal: at most {GOAL}x: {'held' if ratio <= GOAL else 'MISSED'}")
    return 0 if ratio <= GOAL else 1


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000))
