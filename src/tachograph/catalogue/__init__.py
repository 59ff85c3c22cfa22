"""
Every instrument, label and event, declared once: recording, documentation and checks come from here.

Adding an instrument of ours is adding a declaration to its domain's module and to that module's `INSTRUMENTS`. An
application adds its own with `add`, and closes the sets that are its to define with `declare`.
"""

from tachograph.catalogue import (
    agents,
    budgets,
    health,
    http,
    models,
    pipelines,
    plans,
    security,
    tools,
    workers,
)
from tachograph.catalogue.events import EVENTS, Event
from tachograph.catalogue.model import OTHER, Instrument, Kind, Label
from tachograph.catalogue.registry import Registry
from tachograph.catalogue.rules import Finding, lint

INSTRUMENTS: tuple[Instrument, ...] = tuple(
    instrument
    for domain in (plans, agents, tools, models, budgets, security, pipelines, workers, health)
    for instrument in domain.INSTRUMENTS
)

# Recorded by the instrumentations of others, under the names of the semantic conventions.
FOREIGN: tuple[Instrument, ...] = http.INSTRUMENTS

_registry = Registry(INSTRUMENTS)

add = _registry.add
declare = _registry.declare
find = _registry.find
instruments = _registry.instruments

__all__ = [
    "EVENTS",
    "FOREIGN",
    "INSTRUMENTS",
    "OTHER",
    "Event",
    "Finding",
    "Instrument",
    "Kind",
    "Label",
    "add",
    "declare",
    "find",
    "instruments",
    "lint",
]
