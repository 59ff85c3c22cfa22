"""An open file of the journal: opened only when it is safe, locked against other processes, synced to the disk."""

import errno
import os
import stat
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

if sys.platform != "win32":
    import fcntl

_FLAGS = os.O_RDWR | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
_OPEN_ATTEMPTS = 8
_FIRST_PAUSE_S = 0.00005
_LONGEST_PAUSE_S = 0.002


class LockTimeout(OSError):
    """Another thread or process held the journal for too long."""

    def __init__(self) -> None:
        super().__init__(errno.EAGAIN, "the audit journal is locked by another writer")


class Segment:
    """One descriptor on the journal's file; it counts writes, so that who waits for the disk knows his sync."""

    def __init__(self, fd: int) -> None:
        found = os.fstat(fd)
        self.fd = fd
        self.identity = (found.st_dev, found.st_ino)
        self.writes = 0
        self._synced = 0
        self._broken: OSError | None = None
        self._closed = False
        self._syncing = threading.RLock()

    def size(self) -> int:
        """Return the file's size in bytes."""
        return os.fstat(self.fd).st_size

    def read(self, offset: int, length: int) -> bytes:
        """Return the bytes there, fewer when the file ends before."""
        return os.pread(self.fd, length, offset)

    def write(self, data: bytes) -> int:
        """Append `data` in one write; return how many bytes went in, fewer on a full disk."""
        written = os.write(self.fd, data)
        self.writes += 1
        return written

    def is_ours(self) -> bool:
        """Tell whether the descriptor is still this file: a host that closes all descriptors gives the number away."""
        try:
            found = os.fstat(self.fd)
        except OSError:
            return False
        return (found.st_dev, found.st_ino) == self.identity

    def is_at(self, path: Path) -> bool:
        """Tell whether `path` still names this file."""
        try:
            found = path.lstat()
        except FileNotFoundError:
            return False
        return (found.st_dev, found.st_ino) == self.identity

    def lock(self, deadline: float) -> None:
        """Take the file's lock, or raise LockTimeout when `time.monotonic()` has passed `deadline`."""
        pause = _FIRST_PAUSE_S
        while not _try_lock(self.fd):
            if time.monotonic() >= deadline:
                raise LockTimeout
            time.sleep(pause)
            pause = min(pause * 1.5, _LONGEST_PAUSE_S)

    def unlock(self) -> None:
        """Let the next process write."""
        if sys.platform != "win32":
            fcntl.flock(self.fd, fcntl.LOCK_UN)

    def sync(self, ticket: int) -> None:
        """Return when a sync that began after write number `ticket` has ended; one serves all who wait."""
        with self._syncing:
            if self._broken is not None:
                raise OSError(self._broken.errno, f"an earlier sync failed: {self._broken.strerror}")
            if self._closed or self._synced >= ticket:
                return
            self._sync_all()

    def close(self) -> None:
        """Sync what is not synced, then close; a sync that fails is remembered for who still waits."""
        with self._syncing:
            if self._closed or not self.is_ours():
                self._closed = True
                return
            try:
                if self._broken is None and self._synced < self.writes:
                    self._sync_all()
            finally:
                self._closed = True
                os.close(self.fd)

    def abandon(self) -> None:
        """Close a descriptor inherited from a parent, without unlocking or syncing what is the parent's."""
        if self.is_ours() and not self._closed:
            os.close(self.fd)
        self._closed = True

    def _sync_all(self) -> None:
        upto = self.writes
        try:
            sync_data(self.fd)
        except OSError as error:
            # The kernel marks the lost pages clean: another sync would succeed and mean nothing.
            self._broken = error
            raise
        self._synced = max(self._synced, upto)


def open_segment(path: Path, mode: int) -> Segment:
    """
    Open the journal at `path`, made with `mode` when it is not there.

    Raises OSError; for a symbolic link, anything but a regular file, a foreign owner, and a file that group or others
    may write, too.
    """
    fd = _open_or_create(path, mode)
    try:
        _refuse_unsafe(os.fstat(fd), path)
        return Segment(fd)
    except BaseException:
        os.close(fd)
        raise


def sync_data(fd: int) -> None:
    """Put the file's data on the disk, through the drive's cache where the platform needs to be told."""
    if sys.platform == "darwin":
        fcntl.fcntl(fd, fcntl.F_FULLFSYNC)
    elif sys.platform == "win32":
        os.fsync(fd)
    else:
        os.fdatasync(fd)


def _open_or_create(path: Path, mode: int) -> int:
    for _ in range(_OPEN_ATTEMPTS):
        try:
            return os.open(path, _FLAGS)
        except FileNotFoundError:
            path.parent.mkdir(parents=True, exist_ok=True)
        try:
            return _create(path, mode)
        except FileExistsError:
            continue
    raise OSError(errno.ENOENT, "the audit journal appears and vanishes", str(path))


def _create(path: Path, mode: int) -> int:
    fd = os.open(path, _FLAGS | os.O_CREAT | os.O_EXCL, mode)
    try:
        os.fchmod(fd, mode)  # whatever the umask
        _sync_directory(path.parent)
    except BaseException:
        os.close(fd)
        raise
    return fd


def _sync_directory(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _refuse_unsafe(found: os.stat_result, path: Path) -> None:
    checks: tuple[tuple[Callable[[], bool], str], ...] = (
        (lambda: not stat.S_ISREG(found.st_mode), "is not a regular file; name a file of its own"),
        (lambda: found.st_uid != os.geteuid(), "belongs to another user; chown it to the user that writes it"),
        (lambda: bool(found.st_mode & 0o022), "may be written by group or others; chmod it to 0600 or 0640"),
    )
    for is_unsafe, text in checks:
        if is_unsafe():
            raise PermissionError(errno.EPERM, f"the audit journal {text}", str(path))


def _try_lock(fd: int) -> bool:
    if sys.platform == "win32":
        return True
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
