"""Exporters by name, each built on its own: a wrong one costs itself and says what to write."""

from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint, entry_points
from typing import TypeVar

from tachograph.bootstrap.plan import Exporters
from tachograph.errors import ConfigurationError
from tachograph.notices import notice

T = TypeVar("T")

_OWN = {"traces": ("otlp", "file"), "metrics": ("otlp", "file", "prometheus"), "logs": ("otlp", "file")}


def each(signal: str, names: tuple[str, ...], build: Callable[[str], T]) -> Iterator[T]:
    """Yield what `build` makes of each name; a name it cannot use is said in one line and skipped."""
    for name in names:
        try:
            yield build(name)
        except Exception as error:  # noqa: BLE001 - an exporter of others may raise anything; the signal goes on
            notice(_described(signal, name, error))


def unknown(chosen: Exporters) -> Iterator[str]:
    """Describe every exporter that is asked for and that nobody provides."""
    for signal, own in _OWN.items():
        for name in getattr(chosen, signal):
            try:
                name in own or find(f"opentelemetry_{signal}_exporter", name)
            except ConfigurationError as error:
                yield _described(signal, name, error)


def find(group: str, name: str) -> EntryPoint:
    """
    Return what an installed package registers as `name` in an OpenTelemetry entry point group.

    Raises ConfigurationError when there is none.
    """
    found = sorted(entry_points(group=group), key=lambda point: point.name)
    point = next((point for point in found if point.name == name), None)
    if point is None:
        known = sorted({*_OWN_NAMES.get(group, ()), "none", *(point.name for point in found)})
        raise ConfigurationError(f"no package registers it; write one of {', '.join(known)}")
    return point


def load(group: str, name: str, kind: type[T]) -> T:
    """Make the component that `find` finds; raises ConfigurationError when there is none, or it is no `kind`."""
    made = find(group, name).load()()
    if not isinstance(made, kind):
        raise ConfigurationError(f"it is no {kind.__name__}")
    return made


def _described(signal: str, name: str, error: Exception) -> str:
    return f"{signal} are not exported to {name[:80]!r}: {error}"


_OWN_NAMES = {f"opentelemetry_{signal}_exporter": names for signal, names in _OWN.items()}
