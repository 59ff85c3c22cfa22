import asyncio

import pytest
from test_prometheus_endpoint import bench, get_asgi, get_wsgi

from tachograph.errors import ConfigurationError
from tachograph.scrape import app


async def asgi_host(scope, receive, send):
    await send({"type": "http.response.start", "status": 401, "headers": []})
    await send({"type": "http.response.body", "body": b"log in"})


def wsgi_host(environ, start_response):
    start_response("401 Unauthorized", [])
    return [b"log in"]


class AsgiHost:
    async def __call__(self, scope, receive, send):
        await asgi_host(scope, receive, send)


class OldAsgiHost:
    def __call__(self, scope, receive, send):
        return asgi_host(scope, receive, send)


class StarletteLike:
    """What a Starlette app is to us: a middleware stack that is built at the first request, and wrapped by others."""

    def __init__(self):
        self.middleware_stack = None
        self.seen = []

    def build_middleware_stack(self):
        return asgi_host

    async def __call__(self, scope, receive, send):
        self.seen.append(scope["type"])
        if self.middleware_stack is None:
            self.middleware_stack = self.build_middleware_stack()
        await self.middleware_stack(scope, receive, send)


class FlaskLike:
    def wsgi_app(self, environ, start_response):
        return wsgi_host(environ, start_response)

    def __call__(self, environ, start_response):
        return self.wsgi_app(environ, start_response)


@pytest.fixture(autouse=True)
def _measured():
    bench()


class TestKinds:
    @pytest.mark.parametrize("host", [asgi_host, AsgiHost(), OldAsgiHost()])
    def test_an_asgi_app_is_wrapped(self, host):
        """A coroutine function, an object called as one, or three arguments."""
        mounted = app.mount(host)
        assert get_asgi(application=mounted)[0] == 200
        assert get_asgi(path="/users", application=mounted)[0] == 401

    def test_a_wsgi_app_is_wrapped(self):
        """Two arguments."""
        mounted = app.mount(wsgi_host)
        assert get_wsgi(application=mounted)[0] == 200
        assert get_wsgi(path="/users", application=mounted)[0] == 401

    def test_the_kind_can_be_said(self):
        """Where it cannot be seen."""

        def either(*args):
            return (asgi_host if len(args) == 3 else wsgi_host)(*args)

        assert get_asgi(application=app.mount(either, kind="asgi"))[0] == 200
        assert get_wsgi(path="/users", application=app.mount(either, kind="wsgi"))[0] == 401

    @pytest.mark.parametrize("host", [lambda: None, print, object()])
    def test_neither_is_an_error(self, host):
        """It says what to write."""
        with pytest.raises(ConfigurationError, match="kind='asgi'"):
            app.mount(host)

    def test_a_path_without_its_slash_is_an_error(self):
        """It says what to write."""
        with pytest.raises(ConfigurationError, match="'/metrics'"):
            app.mount(wsgi_host, "metrics")


class TestPaths:
    @pytest.mark.parametrize("path", ["/internal/metrics", "/internal/metrics/"])
    def test_the_path_is_the_host_s_choice(self, path):
        """With or without a slash at its end, in the request and in the argument."""
        assert get_asgi(path="/internal/metrics/", application=app.mount(asgi_host, path))[0] == 200
        assert get_wsgi(path="/internal/metrics", application=app.mount(wsgi_host, path))[0] == 200

    def test_the_root_is_a_path_too(self):
        """And covers nothing else."""
        mounted = app.mount(wsgi_host, "/")
        assert (get_wsgi(path="/", application=mounted)[0], get_wsgi(path="/x", application=mounted)[0]) == (200, 401)

    def test_a_root_path_in_front_is_seen_through(self):
        """A server behind a proxy may leave it in the path."""
        mounted = app.mount(asgi_host)

        async def at_root(scope, receive, send):
            await mounted({**scope, "root_path": "/api"}, receive, send)

        assert get_asgi(path="/api/metrics", application=at_root)[0] == 200
        assert get_asgi(path="/metrics", application=at_root)[0] == 200
        assert get_asgi(path="/api/users", application=at_root)[0] == 401

    def test_other_scopes_reach_the_app(self):
        """A lifespan is the app's own."""
        seen = []

        async def host(scope, receive, send):
            seen.append(scope["type"])

        asyncio.run(app.mount(host)({"type": "lifespan"}, None, None))
        assert seen == ["lifespan"]


class TestInPlace:
    def test_flask_is_changed_in_place(self):
        """What already refers to the app is covered."""
        host = FlaskLike()
        assert app.mount(host) is host
        assert get_wsgi(application=host)[0] == 200
        assert get_wsgi(path="/users", application=host)[0] == 401

    def test_starlette_is_changed_in_place(self):
        """The app does not even see the request."""
        host = StarletteLike()
        assert app.mount(host) is host
        assert get_asgi(application=host)[0] == 200
        assert host.seen == []
        assert get_asgi(path="/users", application=host)[0] == 401
        assert host.seen == ["http"]

    def test_what_wraps_the_stack_later_stays_behind(self):
        """Instrumentation replaces the method that builds it."""
        host = StarletteLike()
        app.mount(host)

        async def wrapped(scope, receive, send):
            raise AssertionError

        host.build_middleware_stack = lambda: wrapped
        assert get_asgi(application=host)[0] == 200

    def test_it_is_still_the_app_it_was(self):
        """Of the same class, by name and by instance, and mounted twice has both paths."""
        host = app.mount(app.mount(StarletteLike()), "/other")
        assert isinstance(host, StarletteLike)
        assert type(host).__qualname__ == "StarletteLike"
        assert [get_asgi(path=path, application=host)[0] for path in ("/metrics", "/other")] == [200, 200]

    def test_a_real_fastapi_app(self):
        """With middleware that lets nobody through, added afterwards, and instrumented."""
        fastapi = pytest.importorskip("fastapi")
        instrumentation = pytest.importorskip("opentelemetry.instrumentation.fastapi")
        host = fastapi.FastAPI()
        assert app.mount(host) is host

        @host.middleware("http")
        async def nobody(request, call_next):
            return fastapi.Response("log in", 401)

        instrumentation.FastAPIInstrumentor.instrument_app(host)
        assert get_asgi(application=host, accept="")[0] == 200
        instrumentation.FastAPIInstrumentor.uninstrument_app(host)
        assert get_asgi(application=host, accept="")[0] == 200

    def test_a_real_flask_app(self):
        """With a check before every request."""
        flask = pytest.importorskip("flask")
        host = flask.Flask("host")
        host.before_request(lambda: ("log in", 401))
        client = app.mount(host).test_client()
        assert (client.get("/metrics").status_code, client.get("/users").status_code) == (200, 401)
