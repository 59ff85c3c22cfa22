"""How hooks of others' code are installed: once, on import where need be, and so that they can be taken back."""

from collections.abc import Callable
from typing import Any

from tachograph.contain import contain
from tachograph.logs.patching import Undo, together


class Once:
    """An installation that is made once, however often it is asked for, until it is undone."""

    def __init__(self) -> None:
        self._undo: Undo | None = None

    def install(self, make: Callable[[], Undo]) -> Undo:
        """Call `make` unless that has been done; returns what undoes it, once."""
        if self._undo is None:
            self._undo = make()
        return self._remove

    def _remove(self) -> None:
        undo, self._undo = self._undo, None
        if undo is not None:
            undo()


def when_imported(name: str, hook: Callable[[Any], Undo]) -> Undo:
    """Call `hook` with the module `name` as soon as it is imported, at once if it is; returns what undoes the hook."""
    from wrapt import register_post_import_hook

    wanted, undos = [True], list[Undo]()

    def imported(module: Any) -> None:
        with contain(f"install {name}"):
            undos.extend([hook(module)] if wanted else ())

    def undo() -> None:
        wanted.clear()
        together(undos)()

    register_post_import_hook(imported, name)
    return undo
