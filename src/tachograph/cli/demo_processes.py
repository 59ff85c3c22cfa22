"""The demo's children: processes that are waited for, stopped, and never left behind."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType, TracebackType
from typing import NoReturn, Self

from tachograph.errors import TachographError

LOOPBACK = "127.0.0.1"
PATIENCE = 20.0  # seconds for a child to listen, and to end

_INHERITED_NOT = ("OTEL_", "TACHOGRAPH_")


class DemoError(TachographError):
    """The demo could not be carried through; the text says why."""


class Child:
    """A process whose output goes to a file; leaving the block stops it."""

    def __init__(self, name: str, command: Sequence[str], environ: Mapping[str, str], log: Path) -> None:
        self._name = name
        with log.open("ab") as output:
            self._process = subprocess.Popen(  # noqa: S603 - our own commands
                list(command),
                cwd=log.parent,
                env=dict(environ),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def wait_for_port(self, port: int, patience: float = PATIENCE) -> None:
        """Wait until it listens on `port`; DemoError when it ends before that, or takes too long."""
        deadline = time.monotonic() + patience
        while not _listens(port):
            if self._process.poll() is not None:
                raise DemoError(f"the {self._name} ended with exit code {self._process.returncode}")
            if time.monotonic() > deadline:
                raise DemoError(f"the {self._name} does not listen on port {port} after {patience:g} s")
            time.sleep(0.02)

    def stop(self, patience: float = PATIENCE) -> int:
        """Send SIGTERM, wait for the end, and return the exit code; one that does not end is killed."""
        self._process.terminate()
        try:
            return self._process.wait(patience)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()


def environment(**variables: str) -> dict[str, str]:
    """Return this process's environment without what configures telemetry, and with `variables`."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(_INHERITED_NOT)}
    return {**inherited, **variables}


def launcher() -> str:
    """Return the path of `opentelemetry-instrument`: beside this interpreter, beside this command, or in PATH."""
    beside = (sysconfig.get_path("scripts"), str(Path(sys.executable).parent), str(Path(sys.argv[0]).parent))
    found = shutil.which("opentelemetry-instrument", path=os.pathsep.join((*beside, os.environ.get("PATH", ""))))
    if found is None:
        raise DemoError("opentelemetry-instrument is not to be found; is its folder in PATH?")
    return found


def free_ports(count: int) -> list[int]:
    """Return distinct ports of the loopback interface that nobody listens on."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind((LOOPBACK, 0))
        return [int(each.getsockname()[1]) for each in sockets]


@contextmanager
def ending_in_order() -> Iterator[None]:
    """Let SIGTERM and SIGHUP unwind the block as an exit does, so that no child outlives it."""

    def leave(number: int, _frame: FrameType | None) -> NoReturn:
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, leave) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((LOOPBACK, port)) == 0
