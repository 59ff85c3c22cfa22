"""
HTTP as the semantic conventions name it: recorded by the instrumentations of web frameworks and clients, not by us.

They are declared for what is drawn and checked from the catalogue; their labels are not admitted here.
"""

from tachograph.catalogue.bounds import HTTP_SECONDS
from tachograph.catalogue.model import Instrument, Label

METHOD = Label("http.request.method", cap=10)
STATUS_CODE = Label("http.response.status_code", cap=100)
ROUTE = Label("http.route", cap=1000)
SCHEME = Label("url.scheme", values=("http", "https"))
SERVER_ADDRESS = Label("server.address", cap=100)
SERVER_PORT = Label("server.port", cap=100)
ERROR_TYPE = Label("error.type", cap=100)
PROTOCOL_VERSION = Label("network.protocol.version", cap=5)

SERVER_DURATION = Instrument(
    name="http.server.request.duration",
    kind="histogram",
    unit="s",
    description="Duration of HTTP server requests.",
    labels=(METHOD, STATUS_CODE, ROUTE, SCHEME, ERROR_TYPE, PROTOCOL_VERSION),
    bounds=HTTP_SECONDS,
)
SERVER_ACTIVE = Instrument(
    name="http.server.active_requests",
    kind="up_down_counter",
    unit="{request}",
    description="Number of active HTTP server requests.",
    labels=(METHOD, SCHEME),
)
CLIENT_DURATION = Instrument(
    name="http.client.request.duration",
    kind="histogram",
    unit="s",
    description="Duration of HTTP client requests.",
    labels=(METHOD, STATUS_CODE, SERVER_ADDRESS, SERVER_PORT, ERROR_TYPE, PROTOCOL_VERSION),
    bounds=HTTP_SECONDS,
)
INSTRUMENTS = (SERVER_DURATION, SERVER_ACTIVE, CLIENT_DURATION)
