import asyncio
import gzip
import http.client
import os
import socket
import threading
import time

import pytest
from prometheus_support import Bench, read

from tachograph.contain import faults
from tachograph.scrape import app, server
from tachograph.scrape.negotiation import OPENMETRICS, TEXT, takes_gzip, wants_openmetrics

PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,"
    "application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,"
    "text/plain;version=0.0.4;q=0.2,*/*;q=0.1"
)


def bench(series=1):
    made = Bench()
    counter = made.meter.create_counter("calls")
    for number in range(series):
        counter.add(1, {"n": number})
    app.install(made.reader)
    return made


def asgi(scope, application=app.asgi_app, messages=()):
    """The messages that an ASGI app sends for one scope."""
    sent, waiting = [], list(messages)

    async def receive():
        return waiting.pop(0)

    async def send(message):
        sent.append(message)

    asyncio.run(application(scope, receive, send))
    return sent


def get_asgi(method="GET", path="/metrics", application=app.asgi_app, **headers):
    """Status, headers and body from an ASGI app."""
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    start, *body = asgi({"type": "http", "method": method, "path": path, "headers": raw}, application)
    found = {name.decode(): value.decode() for name, value in start["headers"]}
    return start["status"], found, b"".join(part["body"] for part in body)


def get_wsgi(method="GET", path="/metrics", application=app.wsgi_app, **headers):
    """Status, headers and body from a WSGI app."""
    started = []
    environ = {f"HTTP_{name.upper()}": value for name, value in headers.items()}
    body = application({"REQUEST_METHOD": method, "PATH_INFO": path, **environ}, lambda *args: started.append(args))
    [(status, found)] = started
    return int(status.split()[0]), {name.lower(): value for name, value in found}, b"".join(body)


@pytest.fixture
def served():
    """A function that asks a server on a free port."""
    running = app.MetricsServer("127.0.0.1", 0)

    def ask(method="GET", path="/metrics", **headers):
        connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=20)
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, headers=sent)
        response = connection.getresponse()
        found = {name.lower(): value for name, value in response.getheaders()}
        body = response.read()
        connection.close()
        return response.status, found, body

    ask.server = running
    yield ask
    running.shutdown()


@pytest.fixture(params=["asgi", "wsgi", "server"])
def ask(request, served):
    """The endpoint in each of its forms."""
    return {"asgi": get_asgi, "wsgi": get_wsgi, "server": served}[request.param]


class TestNegotiation:
    @pytest.mark.parametrize(
        ("accept", "expected"),
        [
            ("", False),
            ("*/*", False),
            ("text/html, */*;q=0.5", False),
            ("application/openmetrics-text", True),
            ("application/openmetrics-text; version=1.0.0", True),
            ('Application/OpenMetrics-Text; version="1.0.0"', True),
            ("application/openmetrics-text; version=0.0.1", False),
            ("application/openmetrics-text; version=2.0.0", False),
            ("application/openmetrics-text;q=0", False),
            ("application/openmetrics-text;q=0.2, text/plain;version=0.0.4;q=0.5", False),
            ("application/openmetrics-text;q=0.5, */*", False),
            ("application/openmetrics-text;q=0.5, text/plain;q=0, */*", True),
            ("application/openmetrics-text;q=0.5, text/*;q=0.1", True),
            ("application/openmetrics-text;q=broken", False),
            ("application/openmetrics-text;q=nan", False),
            (PROMETHEUS_3, True),
        ],
    )
    def test_the_format_is_what_the_client_likes_best(self, accept, expected):
        """Qualities and versions are respected, and the text format is the default."""
        assert wants_openmetrics(accept) is expected

    @pytest.mark.parametrize(
        ("header", "expected"),
        [
            ("", False),
            ("gzip", True),
            ("deflate, GZIP;q=0.5", True),
            ("gzip;q=0", False),
            ("gzip;q=0, *", False),
            ("*", True),
            ("identity", False),
        ],
    )
    def test_gzip_is_for_those_who_take_it(self, header, expected):
        """A quality of zero is a refusal."""
        assert takes_gzip(header) is expected


class TestEveryForm:
    def test_the_text_format_is_the_default(self, ask):
        """With the length, and with what the answer depends on."""
        bench()
        status, headers, body = ask()
        assert (status, headers["content-type"], headers["vary"]) == (200, TEXT, "Accept, Accept-Encoding")
        assert headers["content-length"] == str(len(body))
        assert "calls" in read(body.decode())

    def test_openmetrics_is_served_to_those_who_ask(self, ask):
        """In a document that ends as it must."""
        bench()
        status, headers, body = ask(accept=PROMETHEUS_3)
        assert (status, headers["content-type"]) == (200, OPENMETRICS)
        assert "calls" in read(body.decode(), openmetrics=True)

    def test_a_large_body_is_compressed(self, ask):
        """For those who take it."""
        bench(series=500)
        _, headers, body = ask(accept_encoding="gzip")
        assert (headers["content-encoding"], headers["content-length"]) == ("gzip", str(len(body)))
        assert len(read(gzip.decompress(body).decode())["calls"].samples) == 500

    def test_a_large_body_is_plain_for_the_others(self, ask):
        """Nobody gets what he cannot read."""
        bench(series=500)
        _, headers, body = ask()
        assert "content-encoding" not in headers
        assert len(read(body.decode())["calls"].samples) == 500

    def test_a_head_has_no_body(self, ask):
        """And collects nothing."""
        bench()
        status, headers, body = ask("HEAD")
        assert (status, headers["content-type"], body) == (200, TEXT, b"")

    @pytest.mark.parametrize("method", ["POST", "DELETE", "OPTIONS"])
    def test_other_methods_are_told_which_to_use(self, ask, method):
        """405 with Allow."""
        status, headers, body = ask(method)
        assert (status, headers["allow"]) == (405, "GET, HEAD")
        assert b"GET or HEAD" in body

    @pytest.mark.parametrize("method", ["GET", "HEAD"])
    def test_nothing_configured_is_said_so(self, ask, method):
        """503 with the reason, until a reader is in force."""
        status, headers, body = ask(method)
        assert (status, headers["content-type"]) == (503, "text/plain; charset=utf-8")
        assert (b"not configured" in body) is (method == "GET")

    def test_a_reader_is_in_force_until_it_is_replaced(self, ask):
        """Every form asks for it at every request."""
        reader = bench().reader
        assert app.in_force() is reader
        app.install(None)
        assert (app.in_force(), ask()[0]) == (None, 503)


class TestAsgi:
    def test_a_lifespan_passes(self):
        """A server waits for both answers."""
        messages = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
        sent = asgi({"type": "lifespan"}, messages=messages)
        assert [message["type"] for message in sent] == ["lifespan.startup.complete", "lifespan.shutdown.complete"]

    def test_a_websocket_is_closed(self):
        """There is nothing to talk about."""
        sent = asgi({"type": "websocket"}, messages=[{"type": "websocket.connect"}])
        assert [message["type"] for message in sent] == ["websocket.close"]

    def test_a_scope_of_the_future_is_left_alone(self):
        """Neither an answer nor an error."""
        assert asgi({"type": "future"}) == []

    def test_another_event_loop_is_served_too(self):
        """Without asyncio there is no thread to collect in."""
        bench()
        sent = []

        async def send(message):
            sent.append(message)

        scope = {"type": "http", "method": "GET", "path": "/", "headers": []}
        with pytest.raises(StopIteration):
            app.asgi_app(scope, None, send).send(None)
        assert sent[0]["status"] == 200


class TestServer:
    @pytest.mark.parametrize("path", ["/", "/metrics", "/metrics/", "/metrics?name[]=x"])
    def test_it_serves_the_metrics(self, served, path):
        """At their path and at the root."""
        bench()
        assert served(path=path)[0] == 200

    def test_other_paths_get_a_hint(self, served):
        """404, and where the metrics are."""
        status, _, body = served(path="/favicon.ico")
        assert (status, body) == (404, b"the metrics are at /metrics\n")
        assert served("HEAD", "/other")[2] == b""

    def test_it_is_silent(self, served, capfd):
        """Stderr belongs to the host."""
        bench()
        served()
        served(path="/nowhere")
        assert capfd.readouterr() == ("", "")

    def test_a_taken_port_is_an_error(self, served):
        """The caller says it in one line."""
        with pytest.raises(OSError, match="in use"):
            app.MetricsServer("127.0.0.1", served.server.port)

    @pytest.mark.parametrize("host", ["", "localhost", "::1", "[::1]"])
    def test_it_listens_where_it_is_told(self, host):
        """All interfaces, a name, and IPv6 with or without brackets."""
        try:
            running = app.MetricsServer(host, 0)
        except OSError as error:
            pytest.skip(f"this machine has no {host!r}: {error}")
        with socket.create_connection((host.strip("[]") or "localhost", running.port)):
            pass
        running.shutdown()

    def test_after_shutdown_the_port_is_free(self):
        """And a second shutdown does nothing."""
        running = app.MetricsServer("127.0.0.1", 0)
        running.shutdown()
        running.shutdown()
        again = app.MetricsServer("127.0.0.1", running.port)
        again.shutdown()

    def test_a_child_lets_go_of_the_port(self):
        """It has the socket and nobody who answers."""
        running = app.MetricsServer("127.0.0.1", 0)
        before = running._server.socket.fileno()
        running._server.wake()
        running._server.shutdown()
        running.after_fork()
        assert before >= 0
        assert running._server.socket.fileno() == -1
        running.shutdown()

    def test_a_shutdown_in_a_child_does_not_wait_for_a_thread_that_is_not_there(self, monkeypatch):
        """The serving thread stays with the parent."""
        running = app.MetricsServer("127.0.0.1", 0)
        parent = os.getpid()
        with monkeypatch.context() as child:
            child.setattr(os, "getpid", lambda: parent + 1)
            running.shutdown()
        assert running._server.socket.fileno() == -1

    def test_clients_that_never_finish_do_not_pile_up(self, served, monkeypatch):
        """Beyond the bound a connection is closed unanswered, and the others go on when one ends."""
        idle = [socket.create_connection(("127.0.0.1", served.server.port)) for _ in range(server._CONNECTIONS)]
        with socket.create_connection(("127.0.0.1", served.server.port)) as refused:
            refused.settimeout(20)
            assert refused.recv(1) == b""
        for each in idle:
            each.close()
        while served.server._server._since:
            time.sleep(0.01)
        assert served()[0] == 503

    def test_a_connection_has_an_end(self, served, monkeypatch):
        """Even if the client sends a byte now and then."""
        with socket.create_connection(("127.0.0.1", served.server.port)) as slow:
            slow.settimeout(20)
            slow.sendall(b"GET /met")
            while not served.server._server._since:
                time.sleep(0.01)
            served.server._server.service_actions()
            assert served.server._server._since
            monkeypatch.setattr(server, "_LIFETIME", -1.0)
            served.server._server.service_actions()
            assert slow.recv(1000) == b""

    def test_a_silent_client_is_let_go(self, monkeypatch):
        """A read has a limit of its own."""
        monkeypatch.setattr(server._Handler, "timeout", 0.01)
        running = app.MetricsServer("127.0.0.1", 0)
        with socket.create_connection(("127.0.0.1", running.port)) as silent:
            silent.settimeout(20)
            assert silent.recv(1) == b""
        running.shutdown()

    def test_a_fault_is_counted(self, served, monkeypatch):
        """And the server goes on."""
        before = faults().get("scrape.server", 0)

        def fail(*args):
            raise RuntimeError

        with monkeypatch.context() as broken:
            broken.setattr(server, "answer", fail)
            with pytest.raises(http.client.RemoteDisconnected):
                served()
        assert faults()["scrape.server"] == before + 1
        assert served()[0] == 503

    def test_an_attribute_that_is_no_method_is_missing(self):
        """Only what the base class looks for is made up."""
        with pytest.raises(AttributeError):
            server._Handler.__getattr__(object(), "nothing")

    def test_scrapes_at_once_are_all_answered(self, served):
        """Each in a thread of its own."""
        bench(series=50)
        found = []
        threads = [threading.Thread(target=lambda: found.append(served()[0])) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert found == [200] * 6
