"""What the host has registered with `prometheus_client`, served beside ours without being touched."""

import importlib
import re
import sys
from collections.abc import Callable, Iterator
from typing import Any

from tachograph.contain import contain
from tachograph.notices import notice_once

_TYPED = re.compile(r"^# TYPE (\S+) ", re.MULTILINE)
_EOF = "# EOF\n"

# Upstream's collector shows the metrics of a reader of its own: the same ones as ours, under other names.
_UPSTREAM = "opentelemetry.exporter.prometheus"


class _One:
    """A registry of one family, for `prometheus_client`'s own writers."""

    def __init__(self, family: Any) -> None:
        self._family = family

    def collect(self) -> list[Any]:
        return [self._family]


def blocks(taken: set[str], *, openmetrics: bool) -> Iterator[str]:
    """
    Yield the host's families as text, one by one, without the end mark; nothing if it has no `prometheus_client`.

    A family of which a name is `taken` is left out, said once; a collector that raises costs its own families.
    """
    client = sys.modules.get("prometheus_client")
    registry = getattr(client, "REGISTRY", None)
    if registry is None:
        return
    with contain("scrape.foreign"):
        write = _writer(openmetrics=openmetrics)
        for collector in _collectors(registry):
            yield from _collected(collector, write, taken)


def _collected(collector: Any, write: Callable[[Any], bytes], taken: set[str]) -> Iterator[str]:
    with contain("scrape.foreign"):
        for family in collector.collect():
            yield from _block(family, write, taken)


def _writer(*, openmetrics: bool) -> Callable[[Any], bytes]:
    module = importlib.import_module(f"prometheus_client{'.openmetrics' if openmetrics else ''}.exposition")
    write: Callable[[Any], bytes] = module.generate_latest
    return write


def _collectors(registry: Any) -> list[Any]:
    """Return the registry's collectors, or the registry itself where it does not show them."""
    known: dict[Any, Any] | None = getattr(registry, "_collector_to_names", None)
    if known is None:
        return [registry]
    target = [_Target(registry)] if registry.get_target_info() else []
    return [*target, *(each for each in known.copy() if not type(each).__module__.startswith(_UPSTREAM))]


class _Target:
    """The target's labels that the host has given its registry, which no collector has."""

    def __init__(self, registry: Any) -> None:
        self._registry = registry

    def collect(self) -> Any:
        return self._registry.restricted_registry(["target_info"]).collect()


def _block(family: Any, write: Callable[[Any], bytes], taken: set[str]) -> Iterator[str]:
    with contain("scrape.foreign"):
        text = write(_One(family)).decode("utf-8").removesuffix(_EOF)
        names = {*_TYPED.findall(text), *(sample.name for sample in family.samples)}
        if clash := names & taken:
            notice_once(
                f"prometheus foreign {family.name}",
                f"{family.name} of the prometheus_client registry is not served: "
                f"another metric has the name {min(clash)}",
            )
            return
        taken |= names
        yield text
