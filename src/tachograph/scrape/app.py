"""
The endpoint: as an ASGI app, as a WSGI app, mounted on the host's own app, and on a port of its own.

All of them answer from the reader in force, and with 503 and a reason while there is none.
"""

from tachograph.scrape.answer import in_force, install
from tachograph.scrape.gateways import AsgiApp, asgi_app, wsgi_app
from tachograph.scrape.mounting import mount
from tachograph.scrape.server import MetricsServer

__all__ = ["AsgiApp", "MetricsServer", "asgi_app", "in_force", "install", "mount", "wsgi_app"]
