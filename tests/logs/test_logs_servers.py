"""Frameworks and servers, each with its own idea of logging, in real processes."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest
from logs_support import PREAMBLE

import tachograph

APP = (
    PREAMBLE
    + """
install(LogOptions("shop", "json", logging.INFO))
import atexit, json
from pathlib import Path
def keep():
    Path(OUT).write_text(json.dumps(bodies()))
atexit.register(keep)
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    logging.getLogger("shop").info("handled %s", scope["path"])
    if scope["path"] == "/boom":
        raise ValueError("boom")
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"ok"})
def wsgi(environ, start_response):
    logging.getLogger("shop").info("handled %s", environ["PATH_INFO"])
    if environ["PATH_INFO"] == "/boom":
        raise ValueError("boom")
    start_response("200 OK", [])
    return [b"ok"]
"""
)


@pytest.fixture
def serve(tmp_path):
    """Start a server of `app.py`, ask it for two pages, stop it; its stderr, stdout and exported bodies."""

    def run(module: str, *arguments: str, stop: signal.Signals = signal.SIGTERM):
        out = tmp_path / "out.json"
        (tmp_path / "app.py").write_text(APP.replace("OUT", repr(str(out))))
        port = free_port()
        command = [sys.executable, "-m", module, *(a.replace("PORT", str(port)) for a in arguments)]
        process = subprocess.Popen(
            command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ}
        )
        try:
            ask(port)
        finally:
            process.send_signal(stop)
            stdout, stderr = process.communicate(timeout=30)
        return stdout, stderr, [tuple(found) for found in json.loads(out.read_text())]

    return run


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def ask(port: int) -> None:
    for _ in range(200):
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/fine", timeout=5).read()
            break
        except urllib.error.URLError:
            time.sleep(0.05)
    with pytest.raises(urllib.error.HTTPError, match="500"):
        urllib.request.urlopen(f"http://127.0.0.1:{port}/boom", timeout=5)


@pytest.mark.e2e
class TestServers:
    def test_uvicorns_loggers_are_exported_and_shown(self, serve):
        """Access lines, start-up lines and the traceback of a 500 arrive once; the console is uvicorn's."""
        stdout, stderr, bodies = serve("uvicorn", "app:app", "--port", "PORT", stop=signal.SIGINT)
        names = [name for name, _body in bodies]
        assert names.count("uvicorn.access") == 2
        assert bodies.count(("shop", "handled /fine")) == 1
        assert bodies.count(("uvicorn.error", "Exception in ASGI application\n")) == 1
        assert ("uvicorn.error", "Application startup complete.") in bodies
        assert '"GET /fine HTTP/1.1" 200' in stdout
        assert "INFO:     Application startup complete." in stderr
        assert stderr.count("ValueError: boom") == 1
        assert stderr.count('"event":"handled /fine"') == 1

    def test_gunicorns_loggers_are_exported_and_shown(self, serve):
        """Its loggers do not propagate, and their records arrive all the same."""
        _stdout, stderr, bodies = serve("gunicorn", "app:wsgi", "-b", "127.0.0.1:PORT", "--access-logfile", "-")
        assert [name for name, _body in bodies].count("gunicorn.access") == 2
        assert bodies.count(("shop", "handled /fine")) == 1
        assert bodies.count(("gunicorn.error", "Error handling request GET /boom")) == 1
        assert stderr.count("ValueError: boom") == 1

    def test_flasks_logger_shows_what_it_showed(self, script):
        """Flask's default handler prints errors as ever and no INFO; both are exported."""
        code = """
        import flask
        app = flask.Flask("shop")
        @app.get("/")
        def home():
            app.logger.info("quiet")
            app.logger.error("loud")
            return "ok"
        app.test_client().get("/")
        print(globals().get("bodies")())
        """
        plain, ours = script(code, on=False), script(code)
        assert ours.stderr.split(" ", 2)[2] == plain.stderr.split(" ", 2)[2] == "ERROR in app: loud\n"
        assert ours.stdout == "[('shop', 'quiet'), ('shop', 'loud')]\n"


class TestScripts:
    def test_a_script_without_configuration_gets_lines(self, script):
        """stdlib and structlog, under a span: one JSON line each on stderr, nothing on stdout."""
        result = script(
            """
            import structlog
            with tracer.start_as_current_span("work"), correlation.bind(request_id="r-1"):
                logging.getLogger("app").info("one")
                structlog.get_logger("app").info("two")
                logging.info("three")
            assert [body for _, body in bodies()] == ["one", "two", "three"]
            """
        )
        lines = [json.loads(line) for line in result.stderr.splitlines()]
        assert [line["event"] for line in lines] == ["one", "two", "three"]
        assert {line["request_id"] for line in lines} == {"r-1"}
        assert len({line["trace_id"] for line in lines}) == 1
        assert (result.stdout, result.returncode) == ("", 0)

    def test_text_is_for_people(self, script):
        """As text the same line reads from left to right."""
        result = script("logging.getLogger('app').info('one', extra={'n': 1})", form="text")
        assert result.stderr.split("Z ", 1)[1] == "info     app  one  service=shop n=1\n"

    def test_importing_needs_no_sdk(self):
        """`tachograph.logs` by itself, without what the package's front door imports, loads the API only."""
        code = f"""
import sys, types
package = types.ModuleType("tachograph")
package.__path__ = {list(tachograph.__path__)!r}
sys.modules["tachograph"] = package
import tachograph.logs
print([name for name in sys.modules if name.startswith("opentelemetry.sdk")])
"""
        result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
        assert (result.stdout, result.stderr) == ("[]\n", "")
