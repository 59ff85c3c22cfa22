"""The exemplars of each series, kept from scrape to scrape: the SDK forgets them with every collection."""

from collections.abc import Sequence

from opentelemetry.sdk.metrics import Exemplar

from tachograph.scrape.points import Number, Shape, newest, newest_per_bucket

# Series of which exemplars are kept; beyond it all are forgotten, as the SDK would.
_KEPT = 50_000


class Exemplars:
    """
    The newest exemplar of each counter and bucket.

    Without it, whoever scrapes first (a second Prometheus, the textfile) takes the exemplars from everybody else.
    """

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str], Sequence[Exemplar]] = {}

    def joined(self, family: str, text: str, shape: Shape) -> Sequence[Exemplar]:
        """Return the newest exemplars of the series with the label text `text`, those of `shape` included."""
        key = (family, text)
        kept = self._kept.get(key, ())
        if not shape.exemplars:
            return kept

        if key not in self._kept and len(self._kept) >= _KEPT:
            self._kept.clear()
        self._kept[key] = found = _newest(shape, [*kept, *shape.exemplars])
        return found


def _newest(shape: Shape, exemplars: Sequence[Exemplar]) -> Sequence[Exemplar]:
    if isinstance(shape, Number):
        last = newest(exemplars)
        return () if last is None else (last,)
    return tuple(newest_per_bucket(shape.bounds, exemplars).values())
