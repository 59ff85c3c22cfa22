"""
requests: what was sent to a trusted host does not follow a redirect out of the trust boundary.

Upstream's span covers all hops of a call, and requests copies the first hop's headers to the next.
"""

import functools
from typing import Any

from tachograph.contain import contain
from tachograph.integrations.installing import Once, when_imported
from tachograph.logs.patching import Undo, replace
from tachograph.propagation import redirect

_once = Once()


def install() -> Undo:
    """Mend requests once the application has imported it; returns how to undo that, a second call changes nothing."""
    return _once.install(lambda: when_imported("requests.sessions", _hook))


def _hook(sessions: Any) -> Undo:
    original = sessions.SessionRedirectMixin.rebuild_auth

    @functools.wraps(original)
    def rebuild_auth(self: Any, prepared_request: Any, response: Any) -> Any:
        with contain("requests.redirect"):
            redirect(prepared_request.headers, prepared_request.url)
        return original(self, prepared_request, response)

    return replace(sessions.SessionRedirectMixin, "rebuild_auth", rebuild_auth)
