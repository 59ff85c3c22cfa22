"""Traces and logs as OTLP JSON lines in files that several processes append to and that rotate by size."""

import fcntl
import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Generic, TypeVar, cast

from opentelemetry.exporter.otlp.json.file import FileSpanExporter
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk._logs.export import LogRecordExporter, LogRecordExportResult
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from tachograph._otel import file_log_exporter
from tachograph.fork import after_fork
from tachograph.notices import notice_at_most
from tachograph.settings import Settings

E = TypeVar("E", SpanExporter, LogRecordExporter)

_KEPT = 4


class LineFile:
    """
    A text stream for whole lines: each `write` is one append under a lock, so that lines of processes never mix.

    The folder and the file are made at the first write. A file that would grow beyond a quarter of `limit` bytes is
    renamed to `<stem>.1<suffix>` and so on; four are kept, the live one included. A disk that refuses costs the line:
    `write` never raises, `failed` tells.
    """

    closed = False

    def __init__(self, path: Path, limit: int) -> None:
        self._path = path
        self._segment = max(limit // _KEPT, 1)
        self._descriptor: int | None = None
        self.failed = False

    def write(self, line: str) -> int:
        """Append `line`, which ends in a newline, and return its length in characters."""
        try:
            self._append(line.encode("utf-8", "backslashreplace"))
            self.failed = False
        except OSError as error:
            self.failed = True
            self._drop_descriptor()
            notice_at_most(f"disk {self._path.parent}", f"cannot write {self._path}: {error.strerror or error}")
        return len(line)

    def flush(self) -> None:
        """Do nothing: a write is with the system when it returns."""

    def close(self) -> None:
        """Close the file; a later write opens it again."""
        self._drop_descriptor()

    def _append(self, data: bytes) -> None:
        while not self._appended(data):
            continue

    def _appended(self, data: bytes) -> bool:
        """Append under a lock on the file, or return False when another one has to be opened first."""
        descriptor = self._current()
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        try:
            if not _is_at(descriptor, self._path):  # somebody rotated it while we waited
                return False
            size = os.fstat(descriptor).st_size
            if size and size + len(data) > self._segment:
                self._shift()
                return False
            _write(descriptor, data if _ends_a_line(descriptor, size) else b"\n" + data)
            return True
        finally:
            fcntl.flock(descriptor, fcntl.LOCK_UN)

    def _current(self) -> int:
        """Return a descriptor of the file that stands at the path now."""
        if self._descriptor is not None and _is_at(self._descriptor, self._path):
            return self._descriptor
        self._drop_descriptor()
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        return self._descriptor

    def _shift(self) -> None:
        for number in range(_KEPT - 1, 0, -1):
            older = self._numbered(number)
            newer = self._numbered(number - 1) if number > 1 else self._path
            if newer.exists():
                newer.replace(older)

    def _numbered(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.stem}.{number}{self._path.suffix}")

    def _drop_descriptor(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


class _PerProcess(Generic[E]):
    """Upstream's exporter over a `LineFile`, built anew in a forked child: upstream does not renew its lock."""

    def __init__(self, path: Path, limit: int, build: Callable[[IO[str]], E]) -> None:
        self._path = path
        self._limit = limit
        self._build: Callable[[IO[str]], E] = build
        self._made: tuple[int, LineFile, E] | None = None
        self._lock = threading.Lock()
        after_fork(self._forget)

    def get(self) -> tuple[LineFile, E]:
        """Return this process's file and exporter."""
        with self._lock:
            if self._made is None or self._made[0] != os.getpid():
                file = LineFile(self._path, self._limit)
                self._made = (os.getpid(), file, self._build(cast("IO[str]", file)))
            return self._made[1], self._made[2]

    def close(self) -> None:
        """Close this process's file."""
        with self._lock:
            if self._made is not None and self._made[0] == os.getpid():
                self._made[1].close()

    def _forget(self) -> None:
        self._lock = threading.Lock()
        if self._made is not None:
            self._made[1].close()  # an inherited descriptor would keep a lock of a parent that dies
        self._made = None


class TraceFileExporter(SpanExporter):
    """Appends spans to `traces.jsonl` in the settings' directory, as OTLP JSON lines (upstream's encoding)."""

    def __init__(self, path: Path | str | None = None, limit: int | None = None) -> None:
        path, limit = _where(path, limit, "traces.jsonl")
        self._exporter = _PerProcess[SpanExporter](path, limit, lambda stream: FileSpanExporter(stream=stream))

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Append one line; FAILURE when it could not be encoded or written."""
        file, exporter = self._exporter.get()
        result = exporter.export(spans)
        return SpanExportResult.FAILURE if file.failed else result

    def shutdown(self) -> None:
        """Close the file."""
        self._exporter.close()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Return True: every export is with the system when it returns."""
        return True


class LogFileExporter(LogRecordExporter):
    """Appends log records to `logs.jsonl` in the settings' directory, as OTLP JSON lines (upstream's encoding)."""

    def __init__(self, path: Path | str | None = None, limit: int | None = None) -> None:
        path, limit = _where(path, limit, "logs.jsonl")
        self._exporter = _PerProcess[LogRecordExporter](path, limit, file_log_exporter)

    def export(self, batch: Sequence[ReadableLogRecord]) -> LogRecordExportResult:
        """Append one line; FAILURE when it could not be encoded or written."""
        file, exporter = self._exporter.get()
        result = exporter.export(batch)
        return LogRecordExportResult.FAILURE if file.failed else result

    def shutdown(self) -> None:
        """Close the file."""
        self._exporter.close()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Return True: every export is with the system when it returns."""
        return True


def _where(path: Path | str | None, limit: int | None, name: str) -> tuple[Path, int]:
    settings = Settings.from_environment()
    return (
        settings.directory / name if path is None else Path(path),
        settings.file_bytes if limit is None else limit,
    )


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        there = path.stat()
    except FileNotFoundError:
        return False
    here = os.fstat(descriptor)
    return (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino)


def _ends_a_line(descriptor: int, size: int) -> bool:
    return size == 0 or os.pread(descriptor, 1, size - 1) == b"\n"


def _write(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]
