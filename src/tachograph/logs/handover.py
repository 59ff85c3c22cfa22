"""How a structlog event reaches the stdlib record that carries it: matched by the message object itself."""

from contextvars import ContextVar
from typing import NamedTuple

from tachograph.logs.fields import Entry


class Offer(NamedTuple):
    """An event on its way into stdlib logging; an entry of None has been exported already."""

    message: object
    entry: Entry | None


_offer: ContextVar[Offer | None] = ContextVar("tachograph_logs_offer", default=None)


def offer(message: object, entry: Entry | None) -> None:
    """Announce that a record with this very `message` object may follow."""
    _offer.set(Offer(message, entry))


def peek(message: object) -> Offer | None:
    """Return what was announced for this very `message` object."""
    found = _offer.get()
    return found if found is not None and found.message is message else None


def take(message: object) -> Offer | None:
    """Return what was announced for this very `message` object, once."""
    found = peek(message)
    if found is not None:
        _offer.set(None)
    return found
