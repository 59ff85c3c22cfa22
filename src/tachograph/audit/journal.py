"""The writer of the journal: one file, one chain, for all threads and processes that share the path."""

import errno
import os
import secrets
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache, partial
from hashlib import sha256
from pathlib import Path
from queue import SimpleQueue

from tachograph.audit import chain, entry
from tachograph.audit.chain import Head, Record, Tail
from tachograph.audit.entry import Entry
from tachograph.audit.segment import LockTimeout, Segment, open_segment
from tachograph.audit.tally import Tally
from tachograph.contain import contain
from tachograph.errors import AuditUnavailable
from tachograph.notices import notice_at_most

REQUIRED_WAIT_S = 5.0
OPTIONAL_WAIT_S = 0.1
QUEUE_LIMIT = 1000

_BATCH_LIMIT = 256
_REOPEN_ATTEMPTS = 8
_READ_BYTES = 1 << 20
_SHORTEST_PAUSE_S = 0.05
_NOTHING_KNOWN = Tail(None, 0)

Clock = Callable[[], int]
IdSource = Callable[[], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalOptions:
    """
    Where the journal is and how it is kept.

    `sync` is how many seconds a record that nobody waits for may stay off the disk; 0: every record waits.
    `required` makes `tachograph.audit.configure` refuse to start without a journal.
    """

    path: Path
    mode: int = 0o600
    sync: float = 1.0
    service_name: str = "unknown_service"
    required: bool = False


class _Reentered(LockTimeout):
    """A signal handler or a finalizer recorded while its own thread was writing."""


class _Pending:
    """A record on its way into the file, and what became of it."""

    __slots__ = ("_unclaimed", "entry", "error", "is_left", "record", "required", "segment", "ticket")

    def __init__(self, made: Entry, required: bool) -> None:
        self.entry = made
        self.required = required
        self.record: Record | None = None
        self.error: Exception | None = None
        self.segment: Segment | None = None
        self.ticket = 0
        self.is_left = False
        self._unclaimed = [True]

    @property
    def is_settled(self) -> bool:
        return self.record is not None or self.error is not None

    def claim(self) -> bool:
        """Answer True to the first who asks: writer and caller must not both count a failure."""
        try:
            return self._unclaimed.pop()
        except IndexError:
            return False


class _Batch:
    """Lines for one write, chained one to the next, each with what is to be done when it is in the file."""

    def __init__(self, head: Head | None, stream: str, prefix: bytes, clock: Clock) -> None:
        self.head = head
        self.stream = stream
        self.prefix = prefix
        self.clock = clock
        self.lines: list[tuple[Record, Callable[[Record], None]]] = []

    def add(self, made: Entry, done: Callable[[Record], None]) -> None:
        record = chain.seal(made, self.clock(), self.stream, self.head)
        self.head = record.head
        self.lines.append((record, done))

    def data(self) -> bytes:
        return self.prefix + b"".join(record.line + b"\n" for record, _ in self.lines)

    def commit(self, written: int) -> Head | None:
        """Tell each line that is whole among `written` bytes, its newline aside; return the last one's head."""
        left = written - len(self.prefix)
        head = None
        for record, done in self.lines:
            if left < len(record.line):
                break
            left -= len(record.line) + 1
            head = record.head
            done(record)
        return head


class Journal:
    """
    Appends to the file at `options.path`, opened by the first record and again after `close`.

    Threads queue, and whoever has the turn writes for all of them; processes take turns by the file's lock.
    """

    def __init__(
        self,
        options: JournalOptions,
        *,
        tally: Tally | None = None,
        clock: Clock = time.time_ns,
        new_id: IdSource = lambda: secrets.token_hex(16),
    ) -> None:
        self.options = options
        self._tally = tally or Tally()
        self._clock = clock
        self._new_id = new_id
        self._head: Head | None = None
        self._start_afresh()
        _journals.add(self)
        _watch_forks()

    @property
    def head(self) -> Head | None:
        """The last line that this process knows of."""
        return self._head

    @property
    def is_open(self) -> bool:
        """True from the first record on, until `close`."""
        return self._segment is not None

    def append(self, made: Entry, *, required: bool = False) -> Record | None:
        """
        Put a record into the file.

        A `required` one is on the disk when this returns, else AuditUnavailable is raised. Any other is in the file,
        or None is returned: it was dropped, which the chain will say, or it waits for a writer that gets the lock.
        """
        pending = _Pending(made, required)
        try:
            self._write(pending, REQUIRED_WAIT_S if required else OPTIONAL_WAIT_S)
            self._wait_for_disk(pending)
        except Exception as error:  # noqa: BLE001 - whatever it was, an act is refused or a drop is counted
            return self._settle(pending, error)
        return pending.record

    def open(self) -> None:
        """Write this process's start to the disk unless it stands there; OSError when that cannot be done."""
        with self._turn_within(REQUIRED_WAIT_S) as deadline, self._locked(deadline) as segment:
            self._write_batch(segment, ())
        segment.sync(segment.writes)

    def flush(self, timeout: float) -> bool:
        """Write what waits, for at most `timeout` seconds, and sync; False when not everything is on the disk."""
        try:
            if self._queue:
                with self._turn_within(timeout) as deadline:
                    self._write_queue(deadline)
            if (segment := self._segment) is not None:
                segment.sync(segment.writes)
        except OSError:
            return False
        return not self._queue

    def close(self, timeout: float) -> bool:
        """
        Write what waits and `audit.writer.stop`, sync and close; False when that failed.

        A later record opens the file again.
        """
        if self._segment is None and not self._queue:
            return True

        try:
            with self._turn_within(timeout) as deadline:
                self._stop(deadline)
        except OSError:
            return False
        return True

    def after_fork(self) -> None:
        """Forget what belongs to the parent: its queue, its locks, its descriptor, its thread, its drops."""
        inherited = self._segment
        self._start_afresh()
        self._tally.after_fork()
        if inherited is not None:
            inherited.abandon()

    def _start_afresh(self) -> None:
        self._queue: deque[_Pending] = deque()
        self._turn = threading.RLock()  # a signal handler that enters again must not wait for the frame below it
        self._is_writing = False
        self._segment: Segment | None = None
        self._end = 0
        self._started: str | None = None
        self._dropped = 0
        self._dropped_since = ""
        self._drops = threading.RLock()
        self._wake: SimpleQueue[bool] = SimpleQueue()  # its put may be re-entered, an Event's set may not
        self._syncer: threading.Thread | None = None
        self._is_awake = False

    # A record's way: the queue, the turn among threads, the lock among processes, one write.

    def _write(self, pending: _Pending, wait: float) -> None:
        self._queue.append(pending)
        with self._turn_within(wait) as deadline:
            if not pending.is_settled:
                self._write_queue(deadline)
        if self._queue:  # left by a signal handler that interrupted this
            self._wake_syncer()
        if pending.error is not None:
            raise pending.error

    @contextmanager
    def _turn_within(self, wait: float) -> Iterator[float]:
        deadline = time.monotonic() + wait
        turn = self._turn
        if not turn.acquire(timeout=wait):
            raise LockTimeout
        try:
            with self._writing():
                yield deadline
        finally:
            turn.release()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        if self._is_writing:
            raise _Reentered
        self._is_writing = True
        try:
            yield
        finally:
            self._is_writing = False

    @contextmanager
    def _locked(self, deadline: float) -> Iterator[Segment]:
        for _ in range(_REOPEN_ATTEMPTS):
            segment = self._current()
            segment.lock(deadline)
            try:
                if segment.is_at(self.options.path):
                    yield segment
                    return
            finally:
                segment.unlock()
            self._leave(segment)
        raise OSError(errno.ESTALE, "the audit journal is replaced all the time", str(self.options.path))

    def _current(self) -> Segment:
        if self._segment is not None and not self._segment.is_ours():
            self._leave(self._segment)
        if self._segment is None:
            self._segment = open_segment(self.options.path, self.options.mode)
        return self._segment

    def _leave(self, segment: Segment) -> None:
        self._segment, self._end = None, 0
        with contain("audit.leave"):
            segment.close()

    def _write_queue(self, deadline: float) -> None:
        with self._locked(deadline) as segment:
            while self._queue:
                self._write_some(segment)

    def _write_some(self, segment: Segment) -> None:
        taken: list[_Pending] = []
        try:
            while self._queue and len(taken) < _BATCH_LIMIT:
                taken.append(self._queue.popleft())
            self._write_batch(segment, taken)
        except Exception as error:  # noqa: BLE001 - goes to each who waits for one of these records
            self._fail(taken, error)
        except BaseException:
            self._fail(taken, OSError(errno.EINTR, "interrupted while writing"))
            raise

    def _write_batch(self, segment: Segment, taken: Sequence[_Pending], *, is_last: bool = False) -> None:
        size = segment.size()
        batch = self._opening(segment, size)
        for pending in taken:
            batch.add(pending.entry, partial(self._written, pending, segment))
        if is_last:
            batch.add(self._own("audit.writer.stop", {"start": self._started}), self._stopped)
        if not batch.lines:
            return

        data = batch.data()
        written = segment.write(data)
        self._head = batch.commit(written) or self._head
        self._end = size + written if written == len(data) else 0
        if written < len(data) - 1:
            raise OSError(errno.ENOSPC, f"only {written} of {len(data)} bytes were written")

    def _stop(self, deadline: float) -> None:
        with self._locked(deadline) as segment:
            while self._queue:
                self._write_some(segment)
            self._write_batch(segment, (), is_last=True)
        self._segment, self._end = None, 0
        self._wake.put(False)
        self._syncer, self._is_awake = None, False
        self._wake = SimpleQueue()
        try:
            segment.sync(segment.writes)
        finally:
            segment.close()

    # What stands in the file, and what has to be said about it before anything else.

    def _opening(self, segment: Segment, size: int) -> _Batch:
        tail = self._tail(segment, size)
        continues = self._head if size == 0 or self._is_rolled_back(tail) else tail.head
        damaged = _damage(segment, tail, size)
        stream = continues.stream if continues else self._new_id()
        batch = _Batch(continues, stream, damaged.prefix, self._clock)
        if size == 0:
            reason = "missing" if continues else "genesis"
            done = self._began if self._head is None else _ignore
            batch.add(self._own("audit.segment.start", {"reason": reason, **_boot()}), done)
        if damaged.meta:
            batch.add(self._own("audit.recovered", damaged.meta), _ignore)
        if size and self._is_rolled_back(tail):
            batch.add(self._own("audit.rollback_detected", _rollback(self._head, tail.head)), _ignore)
        if self._started is None and (size or self._head is not None):
            start = {"service": self.options.service_name, **_boot()}
            batch.add(self._own("audit.writer.start", start), self._began)
        self._declare_dropped(batch)
        return batch

    def _tail(self, segment: Segment, size: int) -> Tail:
        known = Tail(self._head, self._end) if self._stands(segment) else _NOTHING_KNOWN
        if known.head and known.end == size:
            return known
        return chain.find_tail(segment.read, size, known)

    def _stands(self, segment: Segment) -> bool:
        if self._head is None or self._end == 0:
            return False
        seal = self._head.seal
        return segment.read(self._end - len(seal), len(seal)) == seal

    def _is_rolled_back(self, tail: Tail) -> bool:
        mine, found = self._head, tail.head
        if mine is None:
            return False
        return found is None or found.seq < mine.seq or (found.seq == mine.seq and found.hash != mine.hash)

    def _declare_dropped(self, batch: _Batch) -> None:
        count = self._dropped
        if count:
            meta = {"count": count, "since": self._dropped_since}
            batch.add(self._own("audit.dropped", meta), partial(self._declared, count))

    def _own(self, name: str, meta: Mapping[str, object]) -> Entry:
        return entry.own(
            name,
            pid=os.getpid(),
            file=self.options.path.name,
            meta=meta,
            entry_id=self._new_id(),
        )

    # What happens when a line is in the file, or is not.

    def _began(self, record: Record) -> None:
        self._started = record.id
        self._tally.add(record.event, "written")

    def _stopped(self, record: Record) -> None:
        self._started = None
        self._tally.add(record.event, "written")

    def _declared(self, count: int, record: Record) -> None:
        with self._drops:
            self._dropped -= count
            self._dropped_since = record.ts
        self._tally.add(record.event, "written")

    def _written(self, pending: _Pending, segment: Segment, record: Record) -> None:
        pending.segment, pending.ticket = segment, segment.writes
        pending.record = record
        if not pending.required:  # who waits for the disk is counted when it has it
            self._tally.add(record.event, "written")

    def _wait_for_disk(self, pending: _Pending) -> None:
        if pending.segment is None:
            return
        if pending.required:
            pending.segment.sync(pending.ticket)
            self._tally.add(pending.entry.event, "written")
        elif self.options.sync > 0:
            self._wake_syncer()
        else:
            with contain("audit.sync"):
                pending.segment.sync(pending.ticket)

    def _settle(self, pending: _Pending, error: Exception) -> Record | None:
        if pending.required:
            self._forget(pending)
            self._tally.add(pending.entry.event, "refused")
            raise AuditUnavailable(_errno(error), f"the audit record could not be written: {error}") from error

        if isinstance(error, LockTimeout) and len(self._queue) <= QUEUE_LIMIT:
            pending.is_left = True
            self._wake_syncer()
        else:
            self._forget(pending)
            pending.error = pending.error or error
        if pending.record is None and pending.error is not None:
            self._drop(pending, pending.error)
        return pending.record

    def _fail(self, taken: Sequence[_Pending], error: Exception) -> None:
        for pending in taken:
            if pending.record is None:
                pending.error = error
                if pending.is_left:
                    self._drop(pending, error)

    def _drop(self, pending: _Pending, error: Exception) -> None:
        if not pending.claim():
            return
        with self._drops:
            if self._dropped == 0:
                self._dropped_since = entry.timestamp(self._clock())
            self._dropped += 1
        self._tally.add(pending.entry.event, "dropped")
        notice_at_most(
            f"audit dropped {self.options.path}",
            f"audit record dropped, the next that can be written will say so: {error}",
        )

    def _forget(self, pending: _Pending) -> None:
        with suppress(ValueError, IndexError):
            self._queue.remove(pending)

    # The thread that syncs what nobody waits for.

    def _wake_syncer(self) -> None:
        if self._is_awake:
            return
        self._is_awake = True
        with contain("audit.syncer"):
            if self._syncer is None:
                self._syncer = threading.Thread(
                    target=_sync_in_background, args=(self, self._wake), name="tachograph-audit-sync", daemon=True
                )
                self._syncer.start()
            self._wake.put(True)

    def _sync_now(self) -> None:
        self._is_awake = False
        if not self.flush(REQUIRED_WAIT_S):
            notice_at_most(
                f"audit sync {self.options.path}", f"the audit journal {self.options.path} is not on the disk"
            )
        if self._queue:
            self._wake_syncer()


@dataclass(frozen=True, slots=True)
class _Damage:
    """The bytes behind the last good line: what is said of them, and the newline that has to be put first."""

    prefix: bytes
    meta: Mapping[str, object]


def _damage(segment: Segment, tail: Tail, size: int) -> _Damage:
    if tail.lacks_newline:
        return _Damage(b"\n", {})
    if tail.end >= size:
        return _Damage(b"", {})

    digest = sha256()
    last = b""
    for offset in range(tail.end, size, _READ_BYTES):
        last = segment.read(offset, min(_READ_BYTES, size - offset))
        digest.update(last)
    prefix = b"" if last.endswith(b"\n") else b"\n"
    digest.update(prefix)
    meta = {"offset": tail.end, "length": size - tail.end + len(prefix), "sha256": digest.hexdigest()}
    return _Damage(prefix, meta)


def _rollback(mine: Head | None, found: Head | None) -> dict[str, object]:
    return {
        "expected": {"seq": mine.seq, "hash": mine.hash} if mine else None,
        "found": {"stream": found.stream, "seq": found.seq, "hash": found.hash} if found else None,
    }


def _ignore(_record: Record) -> None:
    return None


def _errno(error: Exception) -> int:
    return (error.errno if isinstance(error, OSError) else None) or errno.EIO


@cache
def _boot() -> Mapping[str, str]:
    try:
        return {"boot": Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()}
    except OSError:  # not Linux
        return {}


def _sync_in_background(journal: Journal, wake: "SimpleQueue[bool]") -> None:
    while wake.get():
        time.sleep(max(journal.options.sync, _SHORTEST_PAUSE_S))
        with contain("audit.syncer"):
            journal._sync_now()  # noqa: SLF001 - the thread is the journal's own


_journals: "weakref.WeakSet[Journal]" = weakref.WeakSet()


@cache
def _watch_forks() -> None:
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_after_fork)


def _after_fork() -> None:
    for journal in list(_journals):
        journal.after_fork()
