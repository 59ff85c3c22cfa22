"""What a forked child must rebuild: locks that a thread of the parent held, threads that stayed behind, sockets."""

import os
from collections.abc import Callable

from tachograph.contain import contain


def after_fork(rebuild: Callable[[], None]) -> None:
    """Call `rebuild` in every child that this process forks; a fault of it is contained."""
    if not hasattr(os, "register_at_fork"):  # pragma: no cover - Windows has no fork
        return

    def in_child() -> None:
        with contain("fork"):
            rebuild()

    os.register_at_fork(after_in_child=in_child)
