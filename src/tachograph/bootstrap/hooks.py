"""The hooks of logging, which `configure` and a capture of tests both need: they stay until nobody does."""

from collections.abc import Callable

from tachograph.logs import config
from tachograph.logs.config import LogOptions

Undo = Callable[[], None]

_wanted: list[tuple[object, LogOptions]] = []
_undo: list[Undo] = []


def install(options: LogOptions) -> Undo:
    """
    Hook logging, unless somebody has, and return what takes this call back.

    The hooks stay until every call is taken back, with the options of the earliest that is left.
    """
    token = object()
    _wanted.append((token, options))
    _hook_first()
    return lambda: _take_back(token)


def _take_back(token: object) -> None:
    places = [place for place, (each, _) in enumerate(_wanted) if each is token]
    for place in places:
        del _wanted[place]
    if 0 in places:
        _undo.pop()()
        _hook_first()


def _hook_first() -> None:
    if _wanted and not _undo:
        _undo.append(config.install(_wanted[0][1]))
