"""
Every instrument, declared once: recording, documentation and checks come from here.

Adding an instrument is adding a declaration to its domain's module and to that module's `INSTRUMENTS`.
"""

from tachograph.catalogue import agents, health, plans
from tachograph.catalogue.model import OTHER, Instrument, Label

INSTRUMENTS: tuple[Instrument, ...] = (*plans.INSTRUMENTS, *agents.INSTRUMENTS, *health.INSTRUMENTS)

__all__ = ["INSTRUMENTS", "OTHER", "Instrument", "Label"]
