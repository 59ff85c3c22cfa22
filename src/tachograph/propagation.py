"""
The request id as a propagator, and the trust boundary that ids and baggage stay within.

Instrumented servers, clients and task queues all call `extract` and `inject`, so that the id needs no middleware.
"""

import ipaddress
from collections.abc import Mapping
from urllib.parse import urlsplit

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context import Context
from opentelemetry.propagators import textmap
from opentelemetry.trace import SpanKind

from tachograph import correlation
from tachograph.settings import Settings

_HOST_ATTRIBUTES = ("server.address", "net.peer.name", "http.host")
_URL_ATTRIBUTES = ("url.full", "http.url")
_INTERNAL_SUFFIXES = (".svc", ".cluster.local", ".internal", ".local", ".localhost")


class RequestIdPropagator(textmap.TextMapPropagator):
    """
    Carries the request id in `X-Request-ID`, or the header that the settings name.

    An id from outside is kept when it is short and of a safe alphabet, else replaced; one is made where there is none.
    It leaves only towards trusted hosts.
    """

    def __init__(self, header: str | None = None, trusted_hosts: tuple[str, ...] | None = None) -> None:
        settings = Settings.from_environment() if header is None or trusted_hosts is None else None
        self._header = header or (settings.request_id_header if settings else "")
        self._trusted = trusted_hosts if trusted_hosts is not None else (settings.trusted_hosts if settings else ())

    @property
    def fields(self) -> set[str]:
        """The header that is set."""
        return {self._header}

    def extract(
        self,
        carrier: textmap.CarrierT,
        context: Context | None = None,
        getter: textmap.Getter[textmap.CarrierT] = textmap.default_getter,
    ) -> Context:
        """Return `context` with the request id of `carrier`, or a new one."""
        given = _first(getter, carrier, self._header)
        if given is None and correlation.REQUEST_ID in correlation.ids(context):
            return otel_context.get_current() if context is None else context

        request_id = given if given is not None and correlation.is_safe_id(given) else correlation.new_id()
        return correlation.with_ids(context, request_id=request_id)

    def inject(
        self,
        carrier: textmap.CarrierT,
        context: Context | None = None,
        setter: textmap.Setter[textmap.CarrierT] = textmap.default_setter,
    ) -> None:
        """Set the header when there is a request id and the receiver is trusted."""
        request_id = correlation.ids(context).get(correlation.REQUEST_ID)
        if request_id is not None and leaves_for_trusted(context, self._trusted):
            setter.set(carrier, self._header, request_id)


class TrustedBaggagePropagator(W3CBaggagePropagator):
    """W3C Baggage that leaves only towards trusted hosts: a model vendor must not read an application's ids."""

    def __init__(self, trusted_hosts: tuple[str, ...] = ()) -> None:
        super().__init__()
        self._trusted = trusted_hosts

    def inject(
        self,
        carrier: textmap.CarrierT,
        context: Context | None = None,
        setter: textmap.Setter[textmap.CarrierT] = textmap.default_setter,
    ) -> None:
        """Set the header when the receiver is trusted."""
        if leaves_for_trusted(context, self._trusted):
            super().inject(carrier, context, setter)


def leaves_for_trusted(context: Context | None, trusted: tuple[str, ...]) -> bool:
    """
    Tell whether what is being sent may carry ids: the receiver is known and trusted.

    The receiver is the host that the span of `context` names; a message (a producer's span) goes to the application's
    own broker.
    """
    span = trace.get_current_span(context)
    if getattr(span, "kind", None) is SpanKind.PRODUCER:
        return True
    host = _host(getattr(span, "attributes", None) or {})
    return host is not None and is_trusted(host, trusted)


def is_trusted(host: str, trusted: tuple[str, ...] = ()) -> bool:
    """
    Tell whether `host` may receive ids: loopback and private addresses, single-label and cluster-internal names.

    `trusted` adds names, `*.suffixes`, addresses and networks in CIDR notation. Nothing is looked up.
    """
    name = host.strip("[]").rstrip(".").lower()
    address = _address(name)
    if any(_matches(name, address, pattern.lower()) for pattern in trusted):
        return True
    if address is not None:
        return (address.is_private or address.is_loopback) and not address.is_link_local and not address.is_unspecified
    return bool(name) and ("." not in name or name.endswith(_INTERNAL_SUFFIXES))


Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def _first(getter: textmap.Getter[textmap.CarrierT], carrier: textmap.CarrierT, header: str) -> str | None:
    found = getter.get(carrier, header) or getter.get(carrier, header.lower())
    return found[0] if found else None


def _host(attributes: Mapping[str, object]) -> str | None:
    for key in _HOST_ATTRIBUTES:
        if isinstance(host := attributes.get(key), str):
            return host
    for key in _URL_ATTRIBUTES:
        if isinstance(url := attributes.get(key), str):
            return _url_host(url)
    return None


def _url_host(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None


def _address(name: str) -> Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None


def _matches(name: str, address: Address | None, pattern: str) -> bool:
    if pattern.startswith("*."):
        return name.endswith(pattern[1:])
    if address is None:
        return name == pattern
    try:
        return address in ipaddress.ip_network(pattern, strict=False)
    except ValueError:
        return False
