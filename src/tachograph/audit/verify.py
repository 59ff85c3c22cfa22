"""The verifier: reads journal files as a stream and says what is wrong; knows the format, never the writer."""

import glob
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO

from tachograph.audit import chain
from tachograph.audit.chain import Head, Record

FAULT_LIMIT = 10
OPEN_LIMIT = 10_000

INTACT_ANCHORED = 0
BROKEN = 1
INTACT = 2
UNCHECKED = 3

Anchors = Mapping[tuple[str, int], str]


class NotChecked(Exception):
    """The files or anchors could not be read, so that nothing is known about them."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Something wrong: in which file, at which byte, what."""

    path: str
    offset: int
    text: str


@dataclass
class Report:
    """What the files say; `faults` holds the first ten of `fault_count`."""

    records: int = 0
    heads: dict[str, Head] = field(default_factory=dict)
    fault_count: int = 0
    faults: list[Fault] = field(default_factory=list)
    recovered: list[Fault] = field(default_factory=list)
    backwards: list[Fault] = field(default_factory=list)
    unfinished: dict[str, str] = field(default_factory=dict)
    running: dict[str, str] = field(default_factory=dict)
    anchored: dict[str, int] = field(default_factory=dict)

    @property
    def unanchored(self) -> dict[str, int]:
        """How many records at the end of each stream no anchor vouches for."""
        return {stream: head.seq - self.anchored.get(stream, 0) for stream, head in self.heads.items()}

    @property
    def exit_code(self) -> int:
        """0 intact and anchored, 1 broken, 2 intact without anchors."""
        if self.fault_count:
            return BROKEN
        return INTACT_ANCHORED if self.heads and self.anchored.keys() >= self.heads.keys() else INTACT

    def fault(self, path: str, offset: int, text: str) -> None:
        """Note something wrong."""
        self.fault_count += 1
        _note(self.faults, Fault(path, offset, text))


def verify(patterns: Iterable[str], anchors: Anchors | None = None) -> Report:
    """
    Check the files named by `patterns` (paths or globs, in any order) against each other and the anchors.

    Memory does not grow with the files. Raises NotChecked when a file is missing or cannot be read.
    """
    checker = _Checker(dict(anchors or {}))
    try:
        for path in _in_order(expand(patterns)):
            checker.read(path)
    except OSError as error:
        raise NotChecked(str(error)) from error
    checker.finish()
    return checker.report


def read_anchors(path: Path) -> Anchors:
    """
    Read anchors, a JSON object a line: `stream`, `seq`, `hash`, or the attributes of shipped log records, as OTLP too.

    Raises NotChecked when the file cannot be read or a line is not JSON.
    """
    found: dict[tuple[str, int], str] = {}
    try:
        with path.open("rb") as lines:
            for line in lines:
                if line.strip():
                    found.update(_anchors_in(json.loads(line)))
    except (OSError, ValueError, RecursionError) as error:
        raise NotChecked(f"{path}: {error}") from error
    return found


def expand(patterns: Iterable[str]) -> list[Path]:
    """Return the files that `patterns` name; NotChecked for one that names none."""
    found: dict[Path, None] = {}
    for pattern in patterns:
        paths = [pattern] if Path(pattern).exists() else sorted(glob.glob(pattern))  # noqa: PTH207 - a pattern may be absolute
        if not paths:
            raise NotChecked(f"{pattern}: no such file")
        found.update(dict.fromkeys(map(Path, paths)))
    return list(found)


class _Checker:
    """The state of one verification: the heads expected, and damage that the next line may declare."""

    def __init__(self, anchors: dict[tuple[str, int], str]) -> None:
        self.report = Report()
        self._anchors = anchors
        self._damage: _Damage | None = None
        self._expected: Head | None = None
        self._is_lost = False  # behind an undeclared fault: the next good line is believed
        self._last_ts: dict[str, str] = {}

    def read(self, path: Path) -> None:
        """Check one file from its first byte to its last."""
        self._expected, self._is_lost, is_first = None, False, True
        with path.open("rb") as file:
            for offset, line, is_whole in _lines(file):
                record = _record(line) if is_whole else None
                if record is None:
                    self._damaged(offset, line, _why(line, is_whole))
                    continue
                if is_first:
                    self._expected = self.report.heads.get(record.stream)
                self._good(str(path), offset, record)
                is_first = False
        self._undeclared(str(path))

    def finish(self) -> None:
        """Check what only the whole can tell: anchors of these streams that no line fulfilled."""
        for (stream, seq), _ in sorted(self._anchors.items()):
            head = self.report.heads.get(stream)
            if head is not None and seq > head.seq:
                self.report.fault("", 0, f"an anchor knows seq {seq} of stream {stream}, the files end at {head.seq}")

    def _damaged(self, offset: int, line: bytes, why: str) -> None:
        if self._damage is None:
            self._damage = _Damage(offset)
        self._damage.add(offset, line, why)

    def _undeclared(self, path: str) -> None:
        if self._damage is None:
            return
        for offset, why in self._damage.faults:
            self.report.fault(path, offset, why)
        self.report.fault_count += self._damage.count - len(self._damage.faults)
        self._damage, self._is_lost = None, True

    def _good(self, path: str, offset: int, record: Record) -> None:
        said = json.loads(record.line)
        if self._damage is not None and not (self._damage.is_declared_by(said) and self._follows(record) is None):
            self._undeclared(path)
        elif self._damage is not None:
            _note(
                self.report.recovered,
                Fault(path, self._damage.offset, f"{self._damage.length} damaged bytes, declared"),
            )
            self._damage = None

        wrong = None if self._is_lost else self._follows(record)
        if wrong is not None:
            self.report.fault(path, offset, wrong)
        self._is_lost = False
        self._expected = self.report.heads[record.stream] = record.head
        self.report.records += 1
        self._check_time(path, offset, record)
        self._check_anchor(path, offset, record)
        self._follow_up(record, said)

    def _follows(self, record: Record) -> str | None:
        expected = self._expected
        if expected is None:
            return _beginning(record)
        if record.stream != expected.stream:
            return f"seq {record.seq} is of another stream, {record.stream}"
        if record.seq != expected.seq + 1:
            return f"seq {record.seq} where {expected.seq + 1} was expected"
        if record.prev != expected.hash:
            return f"seq {record.seq} does not continue the line before it: prev is not its hash"
        return None

    def _check_time(self, path: str, offset: int, record: Record) -> None:
        last = self._last_ts.get(record.stream, "")
        if record.ts < last:
            _note(
                self.report.backwards,
                Fault(path, offset, f"seq {record.seq} is of {record.ts}, the one before of {last}"),
            )
        self._last_ts[record.stream] = record.ts

    def _check_anchor(self, path: str, offset: int, record: Record) -> None:
        digest = self._anchors.get((record.stream, record.seq))
        if digest is None:
            return
        if digest != record.hash:
            self.report.fault(path, offset, f"seq {record.seq} is not the record that its anchor knows")
            return
        self.report.anchored[record.stream] = max(record.seq, self.report.anchored.get(record.stream, 0))

    def _follow_up(self, record: Record, said: dict[str, Any]) -> None:
        meta = said["meta"] if isinstance(said.get("meta"), dict) else {}
        if record.event in {"audit.writer.start", "audit.segment.start"} and meta.get("reason") != "missing":
            _bounded(self.report.running, record.id, said["actor"]["id"])
        elif record.event == "audit.writer.stop":
            self.report.running.pop(str(meta.get("start")), None)
        elif meta.get("phase") == "start" and said["outcome"] == "unknown":
            _bounded(self.report.unfinished, record.id, f"{record.event} on {said['resource']['id']}")
        elif meta.get("phase") == "end":
            self.report.unfinished.pop(str(meta.get("intent")), None)


class _Damage:
    """A run of bytes that are no good lines, until a record declares them or does not."""

    def __init__(self, offset: int) -> None:
        self.offset = offset
        self.length = 0
        self.count = 0
        self.faults: list[tuple[int, str]] = []
        self._digest = sha256()

    def add(self, offset: int, data: bytes, why: str) -> None:
        self.length += len(data)
        self.count += 1
        self._digest.update(data)
        if len(self.faults) < FAULT_LIMIT:
            self.faults.append((offset, why))

    def is_declared_by(self, said: Mapping[str, object]) -> bool:
        mine = {"offset": self.offset, "length": self.length, "sha256": self._digest.hexdigest()}
        return said["event"] == "audit.recovered" and said.get("meta") == mine


def _lines(file: BinaryIO) -> Iterator[tuple[int, bytes, bool]]:
    """Yield offset, bytes with newline, and whether they are a line: longer ones come in pieces that are none."""
    offset, is_inside = 0, False
    while piece := file.readline(chain.LINE_LIMIT):
        ends = piece.endswith(b"\n")
        yield offset, piece, ends and not is_inside
        offset, is_inside = offset + len(piece), not ends


def _record(line: bytes) -> Record | None:
    record = chain.parse(line[:-1])
    try:
        said = json.loads(line) if record is not None else {}
    except (ValueError, RecursionError):
        return None
    wanted = {"actor", "action", "resource", "outcome", "meta"}
    shaped = said.keys() >= wanted and all(
        isinstance(said[key], dict) and "id" in said[key] for key in ("actor", "resource")
    )
    return record if shaped else None


def _why(line: bytes, is_whole: bool) -> str:
    if not is_whole:
        return "a torn or overlong line, which no later record declares"
    if not chain.looks_like_a_line(line[:-1]):
        return "not a line of the journal"
    return "the line was changed: its bytes do not have the hash that it ends with"


def _beginning(record: Record) -> str | None:
    if record.seq == 1:
        return None if record.prev is None else "seq 1 names a line before it"
    if record.prev is None:
        return f"seq {record.seq} names no line before it"
    return (
        None
        if record.event == "audit.segment.start"
        else f"begins with seq {record.seq}: the records before it are missing"
    )


def _in_order(paths: list[Path]) -> list[Path]:
    return sorted(paths, key=_first_place)


def _first_place(path: Path) -> tuple[int, str]:
    with path.open("rb") as file:
        record = chain.parse(file.readline(chain.LINE_LIMIT)[:-1])
    return (0, str(path)) if record is None else (record.seq, str(path))


def _anchors_in(value: object) -> Iterator[tuple[tuple[str, int], str]]:
    if isinstance(value, list):
        for each in value:
            yield from _anchors_in(each)
    if not isinstance(value, dict):
        return
    for names in _ANCHOR_NAMES:
        stream, seq, digest = (_flat(value).get(name) for name in names)
        if stream is not None and seq is not None and digest is not None:
            yield (str(stream), int(str(seq))), str(digest)
    for each in value.values():
        yield from _anchors_in(each)


_ANCHOR_NAMES = (
    ("stream", "seq", "hash"),
    ("audit.sequence.stream_id", "audit.sequence.number", "audit.record.hash"),
)


def _flat(value: dict[str, Any]) -> dict[str, Any]:
    """Return an object's fields, with the OTLP attributes of a log record among them."""
    attributes = value.get("attributes")
    if not isinstance(attributes, list):
        return value
    pairs = (each for each in attributes if isinstance(each, dict) and isinstance(each.get("value"), dict))
    return value | {str(each.get("key")): next(iter(each["value"].values()), None) for each in pairs}


def _note(notes: list[Fault], fault: Fault) -> None:
    if len(notes) < FAULT_LIMIT:
        notes.append(fault)


def _bounded(known: dict[str, str], key: str, text: str) -> None:
    if len(known) < OPEN_LIMIT:
        known[key] = text
