"""
The ids as propagators, and the trust boundary that they and all baggage stay within.

Instrumented servers, clients and task queues all call `extract` and `inject`, so that the ids need no middleware.
"""

import ipaddress
import re
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from typing import Any
from urllib.parse import urlsplit

from opentelemetry import baggage, propagate, trace
from opentelemetry import context as otel_context
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context import Context
from opentelemetry.propagators import textmap
from opentelemetry.trace import SpanKind

from tachograph import correlation
from tachograph.contain import contain
from tachograph.settings import Settings

_HOST_ATTRIBUTES = ("server.address", "net.peer.name", "http.host")
_URL_ATTRIBUTES = ("url.full", "http.url")
_INTERNAL_SUFFIXES = (".svc", ".cluster.local", ".internal", ".local", ".localhost")
_BAGGAGE = "baggage"
# Limits of the W3C Baggage recommendation; what upstream would log line by line is left out beforehand.
_MEMBERS, _BYTES = 64, 8192
_MEMBER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+[ \t]*=[ \t]*[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]*\Z")


_settings: Settings | None = None


def put_in_force(settings: Settings | None) -> None:
    """Let what is made without arguments follow `settings`; None: the environment, read each time."""
    global _settings
    _settings = settings


def header_in_force() -> str:
    """Return the name of the header that carries the request id."""
    return (_settings or Settings.from_environment()).request_id_header


def _trusted_in_force() -> tuple[str, ...]:
    return (_settings or Settings.from_environment()).trusted_hosts


class RequestIdPropagator(textmap.TextMapPropagator):
    """
    Carries the request id in `X-Request-ID`, or the header that the settings name.

    An id from outside is kept when it is short and of a safe alphabet, else replaced; one is made where there is none.
    It leaves only towards trusted hosts.
    """

    def __init__(self, header: str | None = None, trusted_hosts: tuple[str, ...] | None = None) -> None:
        self._header = header or header_in_force()
        self._trusted = _trusted_in_force() if trusted_hosts is None else trusted_hosts

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
        given = None
        with contain("propagation.extract"):
            given = _first(getter, carrier, self._header)
        if given is not None and correlation.is_safe_id(given):
            return correlation.with_ids(context, request_id=given)
        if given is None and (correlation.REQUEST_ID in correlation.ids(context) or correlation.is_received(context)):
            return otel_context.get_current() if context is None else context
        return correlation.with_ids(context, request_id=correlation.new_id())

    def inject(
        self,
        carrier: textmap.CarrierT,
        context: Context | None = None,
        setter: textmap.Setter[textmap.CarrierT] = textmap.default_setter,
    ) -> None:
        """Set the header when there is a request id and the receiver is trusted."""
        with contain("propagation.inject"):
            request_id = correlation.ids(context).get(correlation.REQUEST_ID)
            if request_id is None or not _may_leave(request_id):
                return
            if leaves_for_trusted(context, self._trusted):
                setter.set(carrier, self._header, request_id)
            else:
                _withdraw(carrier, self._header, request_id)


class TrustedBaggagePropagator(W3CBaggagePropagator):
    """
    W3C Baggage that carries the ids too and leaves only towards trusted hosts.

    A model vendor must not read an application's ids. Of what comes in, declared keys with a safe value become ids;
    the application's own baggage stays as it is.
    """

    def __init__(self, trusted_hosts: tuple[str, ...] | None = None) -> None:
        super().__init__()
        self._trusted = _trusted_in_force() if trusted_hosts is None else trusted_hosts

    def extract(
        self,
        carrier: textmap.CarrierT,
        context: Context | None = None,
        getter: textmap.Getter[textmap.CarrierT] = textmap.default_getter,
    ) -> Context:
        """Return `context` with the baggage of `carrier`, and with the ids in it."""
        found = otel_context.get_current() if context is None else context
        with contain("propagation.extract"):
            header = ",".join(_members(_first(getter, carrier, _BAGGAGE) or ""))
            found = super().extract({_BAGGAGE: [header]}, found)
            return correlation.with_ids(found, **_safe_ids(baggage.get_all(found)))
        return found

    def inject(
        self,
        carrier: textmap.CarrierT,
        context: Context | None = None,
        setter: textmap.Setter[textmap.CarrierT] = textmap.default_setter,
    ) -> None:
        """Set the header when the receiver is trusted."""
        with contain("propagation.inject"):
            written: dict[str, str] = {}
            super().inject(written, _with_ids_as_baggage(context))
            for header, value in written.items():
                if leaves_for_trusted(context, self._trusted):
                    setter.set(carrier, header, value)
                else:
                    _withdraw(carrier, header, value)


class ResponsePropagator:
    """Writes the request id in force onto HTTP responses, once: a header that the application has set stays alone."""

    def __init__(self, header: str | None = None) -> None:
        self._header = header or header_in_force()

    def inject(self, carrier: Any, context: Context | None = None, setter: Any = None) -> None:
        """
        Set the header on an ASGI message, a list of WSGI headers or a mapping.

        The id is that of the ambient context: upstream passes one that holds nothing but the server's span.
        """
        del context, setter  # upstream's setters append to what is there
        with contain("propagation.respond"):
            request_id = correlation.ids().get(correlation.REQUEST_ID)
            if request_id is not None and _may_leave(request_id):
                _set_once(carrier, self._header, request_id)


def leaves_for_trusted(context: Context | None, trusted: tuple[str, ...]) -> bool:
    """
    Tell whether what is being sent may carry ids: the receiver is known and trusted.

    The receiver is the one that `correlation.toward` named, else the host that the client span of `context` names; a
    message (a producer's span) goes to the application's own broker. A server's span names the server itself.
    """
    named = correlation.receiver(context)
    if named is not None:
        return is_trusted(named, trusted)
    span = trace.get_current_span(context)
    kind = getattr(span, "kind", None)
    if kind is not SpanKind.CLIENT:
        return kind is SpanKind.PRODUCER
    host = _host(getattr(span, "attributes", None) or {})
    return host is not None and is_trusted(host, trusted)


def redirect(headers: MutableMapping[str, str], url: str) -> None:
    """Make the headers of a request that is redirected to `url` those that the new host may have."""
    propagate.inject(headers, correlation.toward(_url_host(url) or ""))


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
        return any(address in network for network in _PRIVATE)
    return _NAME.match(name) is not None and ("." not in name or name.endswith(_INTERNAL_SUFFIXES))


Address = ipaddress.IPv4Address | ipaddress.IPv6Address
# RFC 1918, RFC 4193 and loopback; `is_private` would add documentation networks and the like.
_PRIVATE = tuple(
    ipaddress.ip_network(each)
    for each in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "127.0.0.0/8", "::1/128", "fc00::/7")
)
# Names of letters; one of digits alone is an address in another notation (`134744072` is 8.8.8.8).
_NAME = re.compile(r"(?=[a-z0-9._-]{1,253}\Z)(?!0x)(?:[a-z0-9_-]+\.)*[a-z0-9_-]*[a-z][a-z0-9_-]*\Z")


def _first(getter: textmap.Getter[textmap.CarrierT], carrier: textmap.CarrierT, header: str) -> str | None:
    found = getter.get(carrier, header) or getter.get(carrier, header.lower())
    return found[0] if found and isinstance(found[0], str) else None


def _withdraw(carrier: Any, header: str, value: str) -> None:
    """Take back what was set for a trusted host: clients copy all headers when they are redirected to another."""
    if not isinstance(carrier, MutableMapping):
        return
    for name in [each for each in carrier if each.lower() == header.lower() and carrier[each] == value]:
        del carrier[name]


def _set_once(carrier: Any, header: str, value: str) -> None:
    if isinstance(carrier, list):
        if header.lower() not in (name.lower() for name, _ in carrier):
            carrier.append((header, value))
    elif isinstance(carrier, dict) and "type" in carrier:
        _set_on_message(carrier, header.lower().encode(), value.encode())
    elif header not in carrier:
        carrier[header] = value


def _set_on_message(message: MutableMapping[str, Any], header: bytes, value: bytes) -> None:
    """Add to an ASGI message, of which only the first of a response has headers."""
    if message["type"] != "http.response.start":
        return
    headers = list(message.get("headers") or ())
    if header not in (bytes(name).lower() for name, _ in headers):
        message["headers"] = [*headers, (header, value)]


def _members(header: str) -> Iterator[str]:
    """Yield the members of a baggage header that are well-formed, within the limits."""
    if len(header) > _BYTES:
        return
    members = (each.strip(" \t") for each in header.split(",", _MEMBERS)[:_MEMBERS])
    yield from (each for each in members if _MEMBER.match(each.split(";", 1)[0].rstrip(" \t")))


def _safe_ids(entries: Mapping[str, object]) -> dict[str, str]:
    found = ((key, entries.get(key)) for key in correlation.declared())
    return {key: value for key, value in found if isinstance(value, str) and correlation.is_safe_id(value)}


def _with_ids_as_baggage(context: Context | None) -> Context | None:
    """Add the ids in force to the baggage of `context`, where they win over an entry of the same name."""
    for key, value in _sendable(correlation.ids(context).items()):
        context = baggage.set_baggage(key, value, context)
    return context


def _sendable(ids: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    safe = [(key, value) for key, value in ids if _may_leave(value)]
    return safe[: len(correlation.OWN_KEYS) + correlation.DECLARED_LIMIT]


def _may_leave(value: object) -> bool:
    return isinstance(value, str) and correlation.is_safe_id(value)


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
