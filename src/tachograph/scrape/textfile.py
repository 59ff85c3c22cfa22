"""The metrics as a file, for the textfile collector of the Prometheus node exporter."""

import os
import tempfile
import threading
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from tachograph.contain import contain
from tachograph.notices import notice_at_most
from tachograph.scrape.reader import PrometheusReader

_MODE = 0o644
# Lines that are there without anybody having measured anything.
_NOTHING = (b"#", b"target_info")


def write_textfile(path: str | os.PathLike[str], chunks: Iterable[bytes]) -> None:
    """Replace the file at `path` in one step, mode 0644; its folder is made. `OSError` leaves the old file."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    # The collector reads `*.prom` only, and so never this one.
    descriptor, temporary = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".tmp", dir=target.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.writelines(chunks)
            os.fchmod(file.fileno(), _MODE)
        Path(temporary).replace(target)
    except BaseException:
        with suppress(OSError):
            Path(temporary).unlink()
        raise


class TextfileWriter:
    """
    Writes a reader's metrics to `path` every `interval` seconds, from a daemon thread that `start` starts.

    A disk that fails is said at most once a minute, and tried again. There is no file before there is something to
    say.
    """

    def __init__(self, reader: PrometheusReader, path: str | os.PathLike[str], interval: float) -> None:
        self._reader = reader
        self._path = Path(path)
        self._interval = interval
        self._thread: threading.Thread | None = None
        self._wanted = False
        self._renew()

    def start(self) -> None:
        """Start the thread, unless it runs."""
        with self._starting:
            if self._thread is None and not self._stopped.is_set():
                self._wanted = True
                self._thread = threading.Thread(target=self._run, name="tachograph-textfile", daemon=True)
                self._thread.start()

    def flush(self) -> bool:
        """Write now; False when the file could not be written. No file, with nothing to say yet, is nothing missing."""
        if self._wanted:
            self.start()
        return self._write()

    def shutdown(self, seconds: float = 5.0) -> None:
        """Stop the thread and write a last time, for at most `seconds`; a second call does nothing."""
        if self._stopped.is_set():
            return
        self._stopped.set()
        last = threading.Thread(target=self._write, name="tachograph-textfile-last", daemon=True)
        try:
            last.start()
        except RuntimeError:  # the interpreter is ending and has no more threads
            self._write()
        else:
            last.join(seconds)

    def after_fork(self) -> None:
        """Make the writer usable in a forked child; its thread starts again with the next `start` or `flush`."""
        self._thread = None
        self._renew()

    def _renew(self) -> None:
        self._starting = threading.Lock()
        self._writing = threading.Lock()
        self._stopped = threading.Event()

    def _run(self) -> None:
        while not self._stopped.wait(self._interval):
            self._write()

    def _write(self) -> bool:
        with contain("scrape.textfile"), self._writing:
            chunks = list(self._reader.render())
            return not any(map(_says_something, chunks)) or self._replace(chunks)
        return False

    def _replace(self, chunks: Iterable[bytes]) -> bool:
        try:
            write_textfile(self._path, chunks)
        except OSError as error:
            reason = error.strerror or error
            notice_at_most(f"disk {self._path.parent}", f"cannot write {self._path}: {reason}")
            return False
        return True


def _says_something(chunk: bytes) -> bool:
    return any(not line.startswith(_NOTHING) for line in chunk.splitlines())
