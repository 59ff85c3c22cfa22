"""What anybody may send: no bytes forge a log line, raise, or are trusted."""

import ipaddress
import string

from hypothesis import assume, given
from hypothesis import strategies as st
from opentelemetry import baggage
from opentelemetry.context import Context

from tachograph import correlation
from tachograph.integrations.asgi import HeaderGetter as AsgiGetter
from tachograph.integrations.mcp import extract_meta
from tachograph.integrations.wsgi import HeaderGetter as WsgiGetter
from tachograph.propagation import (
    RequestIdPropagator,
    ResponsePropagator,
    TrustedBaggagePropagator,
    is_trusted,
    leaves_for_trusted,
)

SAFE = set(string.ascii_letters + string.digits + "._:/+=-")
REQUEST_IDS = RequestIdPropagator("X-Request-ID", ())
BAGGAGE = TrustedBaggagePropagator(())

names = st.sampled_from(["plan_id", "run_id", "request_id", "gen_ai.conversation.id", "tenant", "x"])
members = st.builds("{}={}".format, names, st.text(max_size=200))
headers = st.one_of(st.text(), st.lists(members, max_size=300).map(",".join), st.text().map(lambda text: text * 500))


def safe(value: str) -> bool:
    return 0 < len(value) <= 128 and set(value) <= SAFE


class TestAnyHeader:
    @given(st.binary(max_size=500))
    def test_a_request_id_from_bytes_is_safe(self, sent: bytes) -> None:
        """
        Whatever bytes stand in the header, the id in force is short and of the safe alphabet; the answer repeats it.
        """
        scope = {"headers": [(b"x-request-id", sent)]}
        context = REQUEST_IDS.extract(scope, Context(), AsgiGetter())
        found = correlation.ids(context)["request_id"]
        answer: list[tuple[str, str]] = []
        with correlation.within(context):
            ResponsePropagator("X-Request-ID").inject(answer)

        assert safe(found)
        assert answer == [("X-Request-ID", found)]

    @given(
        st.dictionaries(st.text(max_size=20), st.one_of(st.none(), st.text(), st.integers(), st.binary()), max_size=5)
    )
    def test_an_environ_may_hold_anything(self, environ: dict[str, object]) -> None:
        """
        A WSGI environ of any content yields a safe id.
        """
        context = REQUEST_IDS.extract({**environ, "HTTP_X_REQUEST_ID": environ.get("")}, Context(), WsgiGetter())

        assert safe(correlation.ids(context)["request_id"])

    @given(headers)
    def test_baggage_stays_capped(self, header: str) -> None:
        """
        Any baggage header leaves at most 64 entries and 8192 bytes, and of its ids only declared ones with safe values.
        """
        context = BAGGAGE.extract({"baggage": header}, Context())
        entries, ids = baggage.get_all(context), correlation.ids(context)

        assert len(entries) <= 64
        assert sum(len(key) + len(str(value)) for key, value in entries.items()) <= 8192
        assert set(ids) <= set(correlation.declared())
        assert all(safe(value) for value in ids.values())
        assert all(entries[key] == value for key, value in ids.items())

    @given(st.dictionaries(names, st.text(max_size=300)))
    def test_whatever_is_bound_only_safe_ids_leave(self, bound: dict[str, str]) -> None:
        """
        An id that was bound to anything arrives as it was, or was not sent.
        """
        carrier: dict[str, str] = {}
        BAGGAGE.inject(carrier, correlation.with_ids(correlation.toward("localhost", Context()), **bound))
        arrived = baggage.get_all(BAGGAGE.extract(carrier, Context()))

        assert dict(arrived) == {key: value for key, value in bound.items() if safe(value) and value[0].isalnum()}

    @given(
        st.recursive(
            st.none() | st.text() | st.integers(), lambda each: st.lists(each) | st.dictionaries(st.text(), each)
        )
    )
    def test_meta_may_be_anything(self, meta: object) -> None:
        """
        What a peer calls `_meta` never raises.
        """
        assert isinstance(extract_meta(meta), Context)
        assert isinstance(extract_meta({"traceparent": meta, "baggage": meta, "tracestate": meta}), Context)


class TestAnyHost:
    @given(st.text())
    def test_a_name_is_trusted_for_a_reason(self, host: str) -> None:
        """
        Only a private address, one label, or an internal suffix makes a host trusted.
        """
        trusted = is_trusted(host)
        name = host.strip("[]").rstrip(".").lower()
        internal = (".svc", ".cluster.local", ".internal", ".local", ".localhost")
        plausible = "." not in name or name.endswith(internal) or name.replace(".", "").isdigit()

        assert trusted in (True, False)
        assert plausible or not trusted

    @given(st.ip_addresses())
    def test_a_public_address_is_never_trusted(self, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
        """
        No global address is inside, in no notation.
        """
        assume(address.is_global)

        assert not is_trusted(str(address))
        assert not is_trusted(f"[{address}]")
        assert not is_trusted(str(int(address)))
        assert not is_trusted(hex(int(address)))

    @given(st.from_regex(r"\A[a-z0-9-]{1,20}(\.[a-z0-9-]{1,20}){0,3}\.(com|ai|net|org|dev|io)\.?\Z"))
    def test_a_vendors_name_is_never_trusted(self, host: str) -> None:
        """
        No name in a public domain is inside.
        """
        assert not is_trusted(host)
        assert not is_trusted(host.upper())

    @given(st.text(), st.lists(st.text(), max_size=3))
    def test_any_list_of_trusted_hosts_will_do(self, host: str, trusted: list[str]) -> None:
        """
        No pattern raises.
        """
        assert is_trusted(host, tuple(trusted)) in (True, False)
        assert leaves_for_trusted(correlation.toward(host, Context()), tuple(trusted)) in (True, False)
