"""Replacing a function of another library, and giving it back."""

from collections.abc import Callable

Undo = Callable[[], None]


def replace(owner: object, name: str, new: object) -> Undo:
    """Set `owner.name` and return what restores it, unless somebody replaced it since."""
    before = vars(owner)[name]
    setattr(owner, name, new)

    def undo() -> None:
        if vars(owner)[name] is new:
            setattr(owner, name, before)

    return undo


def together(undos: list[Undo]) -> Undo:
    """Return what runs all of `undos`, the last first, once."""

    def undo() -> None:
        while undos:
            undos.pop()()

    return undo
