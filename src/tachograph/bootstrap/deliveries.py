"""What exporters answer, which upstream's processors do not pass on."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

E = TypeVar("E")


class Deliveries:
    """Counts the batches of one provider that an exporter did not take."""

    def __init__(self) -> None:
        self.refused = 0

    def watch(self, exporter: E) -> E:
        """Count what this exporter answers with anything but success, and return it."""
        watched: Any = exporter
        export = watched.export

        def counted(*arguments: Any, **options: Any) -> Any:
            try:
                answer = export(*arguments, **options)
            except BaseException:
                self.refused += 1
                raise
            self.refused += getattr(answer, "name", None) == "FAILURE"
            return answer

        with suppress(AttributeError):  # one with slots is not watched
            watched.export = counted
        return exporter

    def told(self, step: Callable[[float], bool]) -> Callable[[float], bool]:
        """Return `step`, which is False also when a batch was refused since it began."""

        def run(seconds: float) -> bool:
            before = self.refused
            return step(seconds) and self.refused == before

        return run
