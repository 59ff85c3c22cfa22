"""The bytes of the journal: how a line is sealed and read, and where a file's chain ends. Pure."""

import calendar
import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256

from tachograph.audit.entry import Entry, timestamp

LINE_LIMIT = 65536  # bytes, newline included
WINDOW = 2 * LINE_LIMIT

_SEAL_LENGTH = len(',"hash":"') + 64 + len('"}')
_LINE = re.compile(
    rb'\{"v":1,"seq":([1-9][0-9]{0,18}),"stream":"([0-9a-f]{32})"'
    rb',"ts":"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{9}Z)","id":"([0-9a-f]{32})"'
    rb',"event":("(?:[ !#-\[\]-~]|\\(?:["\\/bfnrt]|u[0-9a-f]{4}))*"),"actor":\{[ -~]*\}'
    rb'(?:,"trace_id":"[0-9a-f]{32}")?(?:,"span_id":"[0-9a-f]{16}")?'
    rb'(?:,"prev":"([0-9a-f]{64})")?,"hash":"([0-9a-f]{64})"\}'
)

Read = Callable[[int, int], bytes]


@dataclass(frozen=True, slots=True)
class Head:
    """Where a chain stands: the last line's stream, number and hash."""

    stream: str
    seq: int
    hash: str

    @property
    def seal(self) -> bytes:
        """The bytes that the line of this head ends with."""
        return f',"hash":"{self.hash}"}}\n'.encode("ascii")


@dataclass(frozen=True, slots=True)
class Record:
    """A line of the journal and what it says of its place; `line` has no newline, `prev` is None on a first line."""

    stream: str
    seq: int
    id: str
    ts: str
    event: str
    prev: str | None
    hash: str
    line: bytes = field(repr=False)

    @property
    def time_ns(self) -> int:
        """`ts` in nanoseconds since the epoch."""
        return calendar.timegm(time.strptime(self.ts[:19], "%Y-%m-%dT%H:%M:%S")) * 1_000_000_000 + int(self.ts[20:29])

    @property
    def head(self) -> Head:
        """The head of the chain when this is its last line."""
        return Head(self.stream, self.seq, self.hash)


@dataclass(frozen=True, slots=True)
class Tail:
    """
    How a file ends: its last good line, and the offset behind that line's newline.

    `lacks_newline`: the good line is the file's last bytes but for its newline. Other bytes behind `end` are damaged.
    """

    head: Head | None
    end: int
    lacks_newline: bool = False


def seal(entry: Entry, now_ns: int, stream: str, head: Head | None) -> Record:
    """Return `entry` as the line that follows `head` in `stream` at `now_ns`, or as the first of it."""
    seq, prev = (1, None) if head is None else (head.seq + 1, head.hash)
    ts = timestamp(now_ns)
    link = "" if prev is None else f',"prev":"{prev}"'
    body = f'{{"v":1,"seq":{seq},"stream":"{stream}","ts":"{ts}","id":"{entry.id}",{entry.body}{link}'.encode("ascii")
    digest = sha256(body).hexdigest()
    line = body + f',"hash":"{digest}"}}'.encode("ascii")
    return Record(stream, seq, entry.id, ts, entry.event, prev, digest, line)


def parse(line: bytes) -> Record | None:
    """Return the record of a line without its newline, None when it is not one or its hash is wrong."""
    if len(line) >= LINE_LIMIT:
        return None
    found = _LINE.fullmatch(line)
    if found is None or sha256(line[:-_SEAL_LENGTH]).hexdigest().encode("ascii") != found[7]:
        return None

    said = [str(each, "ascii") if each is not None else "" for each in found.groups()]
    seq, stream, ts, entry_id, event, prev, digest = said
    return Record(stream, int(seq), entry_id, ts, json.loads(event), prev or None, digest, line)


def looks_like_a_line(line: bytes) -> bool:
    """Tell whether `line` has the form of one, whatever its hash."""
    return _LINE.fullmatch(line) is not None


def find_tail(read: Read, size: int, known: Tail) -> Tail:
    """
    Return how a file of `size` bytes ends, where everything up to `known` is known already.

    `read(offset, length)` returns those bytes. Memory stays within two windows, however much of the file is damaged.
    """
    last = _unterminated(read, size, known)
    if last is not None:
        return last

    high = size
    while high > known.end:
        low = max(known.end, high - WINDOW)
        window = read(low, high - low)
        found = _last_line(window, low, low == known.end)
        if found is not None:
            return found
        high = low if low == known.end else _next_high(window, low)
    return Tail(known.head, known.end)


def _unterminated(read: Read, size: int, known: Tail) -> Tail | None:
    low = max(known.end, size - LINE_LIMIT)
    window = read(low, size - low)
    start = window.rfind(b"\n") + 1
    if not start and low != known.end:
        return None
    record = parse(window[start:])
    return None if record is None else Tail(record.head, size, lacks_newline=True)


def _last_line(window: bytes, low: int, whole: bool) -> Tail | None:
    end = window.rfind(b"\n")
    while end >= 0:
        start = window.rfind(b"\n", 0, end) + 1
        if not start and not whole:  # begins before the window
            return None
        record = parse(window[start:end])
        if record is not None:
            return Tail(record.head, low + end + 1)
        end = start - 1
    return None


def _next_high(window: bytes, low: int) -> int:
    first = window.find(b"\n", 0, LINE_LIMIT)
    return low if first < 0 else low + first + 1
