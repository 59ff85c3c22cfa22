"""urllib: what was sent to a trusted host does not follow a redirect out of the trust boundary."""

import functools
from typing import Any

from tachograph.contain import contain
from tachograph.integrations.installing import Once, when_imported
from tachograph.logs.patching import Undo, replace
from tachograph.propagation import redirect

_once = Once()


def install() -> Undo:
    """Mend urllib once the application has imported it; returns how to undo that, a second call changes nothing."""
    return _once.install(lambda: when_imported("urllib.request", _hook))


def _hook(request: Any) -> Undo:
    original = request.HTTPRedirectHandler.redirect_request

    @functools.wraps(original)
    def redirect_request(self: Any, *args: Any, **kwargs: Any) -> Any:
        following = original(self, *args, **kwargs)
        with contain("urllib.redirect"):
            redirect(following.headers, following.full_url)
        return following

    return replace(request.HTTPRedirectHandler, "redirect_request", redirect_request)
