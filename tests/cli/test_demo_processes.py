"""Children that die, hang or do not listen."""

import signal
import socket
import sys

import pytest

from tachograph.cli import demo_processes
from tachograph.cli.demo_processes import Child, DemoError, ending_in_order, environment, free_ports, launcher

DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"


@pytest.fixture
def start(tmp_path):
    """A child that runs this code."""
    children = []

    def make(code):
        child = Child("service", (sys.executable, "-c", code), environment(), tmp_path / "log")
        children.append(child)
        return child

    yield make
    for child in children:
        child.stop(patience=0)


class TestChild:
    def test_one_that_dies_is_reported_with_its_exit_code(self, start, tmp_path):
        """
        A child that ends instead of listening is an error at once, and its last words are in the log.
        """
        child = start("raise SystemExit('no luck')")

        with pytest.raises(DemoError, match="the service ended with exit code 1"):
            child.wait_for_port(free_ports(1)[0])
        assert (tmp_path / "log").read_text() == "no luck\n"

    def test_one_that_does_not_listen_is_given_up(self, start):
        """
        Patience ends, and the error says for what.
        """
        (port,) = free_ports(1)

        with pytest.raises(DemoError, match=f"does not listen on port {port} after 0 s"):
            start("import time; time.sleep(60)").wait_for_port(port, patience=0)

    def test_one_that_ignores_sigterm_is_killed(self, start, tmp_path):
        """
        No child outlives its block.
        """
        child = start(DEAF)
        while not (tmp_path / "log").read_text():
            pass

        assert child.stop(patience=0) == -signal.SIGKILL

    def test_leaving_the_block_stops_it(self, start):
        """
        A child is asked to end with SIGTERM when its block is left.
        """
        with start("import time; time.sleep(60)") as child:
            pass

        assert child.stop() == -signal.SIGTERM

    def test_listening_is_noticed(self, start):
        """
        Waiting ends as soon as somebody listens.
        """
        with socket.socket() as server:
            server.bind(("127.0.0.1", 0))
            server.listen()
            start("import time; time.sleep(60)").wait_for_port(server.getsockname()[1], patience=0)

            assert server.getsockname()[1] > 0


class TestEnvironment:
    def test_telemetry_is_not_inherited(self, monkeypatch):
        """
        What the user's shell sets for other services does not reach the demo; everything else does.
        """
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318")
        monkeypatch.setenv("TACHOGRAPH_STRICT", "1")
        monkeypatch.setenv("EDITOR", "ed")
        made = environment(OTEL_SERVICE_NAME="demo")

        assert {key: value for key, value in made.items() if key.startswith(("OTEL_", "TACHOGRAPH_"))} == {
            "OTEL_SERVICE_NAME": "demo"
        }
        assert made["EDITOR"] == "ed"

    def test_launcher_that_is_missing_is_an_error(self, monkeypatch, tmp_path):
        """
        Without `opentelemetry-instrument` the demo says so.
        """
        monkeypatch.setenv("PATH", str(tmp_path))
        monkeypatch.setattr(demo_processes.sysconfig, "get_path", lambda _name: str(tmp_path))
        monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
        monkeypatch.setattr(sys, "argv", [str(tmp_path / "tachograph")])

        with pytest.raises(DemoError, match="opentelemetry-instrument is not to be found"):
            launcher()

    def test_ports_are_distinct(self):
        """
        Two services never get one port.
        """
        assert len(set(free_ports(20))) == 20


class TestSignals:
    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
    def test_signal_unwinds_the_block(self, number):
        """
        SIGTERM and SIGHUP leave the block as an exit does, and what handled them before does so again.
        """
        before = signal.getsignal(number)
        with pytest.raises(SystemExit) as raised, ending_in_order():
            signal.raise_signal(number)

        assert raised.value.code == 128 + number
        assert signal.getsignal(number) is before
