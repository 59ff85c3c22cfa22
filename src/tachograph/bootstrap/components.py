"""Exporters by name, each built on its own: a wrong one costs itself and says what to write."""

from collections.abc import Callable, Iterator
from importlib.metadata import entry_points
from typing import TypeVar

from tachograph.errors import ConfigurationError
from tachograph.notices import notice

T = TypeVar("T")


def each(signal: str, names: tuple[str, ...], build: Callable[[str], T]) -> Iterator[T]:
    """Yield what `build` makes of each name; a name it cannot use is said in one line and skipped."""
    for name in names:
        try:
            yield build(name)
        except Exception as error:  # noqa: BLE001 - an exporter of others may raise anything; the signal goes on
            notice(f"{signal} are not exported to {name!r}: {error}")


def load(group: str, name: str, kind: type[T]) -> T:
    """
    Make the component that an installed package registers as `name` in an OpenTelemetry entry point group.

    Raises ConfigurationError when there is none, or when it is not a `kind`.
    """
    found = sorted(entry_points(group=group), key=lambda point: point.name)
    point = next((point for point in found if point.name == name), None)
    if point is None:
        known = sorted({"otlp", "file", "none", *(point.name for point in found)})
        raise ConfigurationError(f"no package registers it; write one of {', '.join(known)}")

    made = point.load()()
    if not isinstance(made, kind):
        raise ConfigurationError(f"it is no {kind.__name__}")
    return made
