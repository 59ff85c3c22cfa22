"""What an audit record says, before it is numbered and chained: names, actors, outcomes, and values made safe."""

import base64
import dataclasses
import json
import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from datetime import time as clock_time
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from hashlib import sha256
from pathlib import PurePath
from typing import Any, TypeAlias
from uuid import UUID

from tachograph.catalogue import events
from tachograph.intake import AuditEvent

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"

LOG_EVENT = events.LOG_EVENT
EVENTS = frozenset(each.name for each in events.EVENTS)
OWN_EVENTS = frozenset(each.name for each in events.OWN_EVENTS)
KNOWN_EVENTS = EVENTS | OWN_EVENTS | {LOG_EVENT}
FOREIGN = "foreign."
OUTCOMES = frozenset({"success", "failure", "unknown"})

BODY_LIMIT = 65536 - 320  # a line less what surrounds its body: sequence, stream, time, id, both hashes, newline
HEAD_LENGTH = 1024
CORRELATION_LIMIT = 8192

_ACTOR_TYPES = frozenset({"user", "service", "system"})
_ACTOR_TYPE_BY_PREFIX = {
    "user": "user",
    "system": "system",
    "pid": "system",
    "process": "system",
    "host": "system",
}
_DEPTH = 32
_NODE_COST = 256  # a value counts as so many characters, so that 2**20 small ones are the most that is walked
_WALK_LIMIT = 1 << 28
_INT64 = range(-(1 << 63), 1 << 63)


@dataclass(frozen=True, slots=True)
class Entry:
    """A record without its place in the chain; `body` is the line's text from `"event"` up to where `prev` goes."""

    id: str
    event: str
    body: str


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a record comes from: the actor when it names none, its correlation ids, and its span (0: none)."""

    actor: str
    ids: Mapping[str, str] = field(default_factory=dict)
    trace_id: int = 0
    span_id: int = 0


def make(event: AuditEvent, origin: Origin, *, entry_id: str, phase: Mapping[str, str] | None = None) -> Entry:
    """
    Encode `event`; never raises for a value.

    `phase` is meta that survives the cutting of a large one. A name that only the journal itself may use gets
    `foreign.` before it.
    """
    name = _name(event.event, 256, "unknown")
    if name in OWN_EVENTS:
        name = FOREIGN + name

    meta = _object(event.meta)
    actor = _party(origin.actor if event.actor is None else event.actor, "actor", meta)
    actor_type = actor[1] if actor[1] in _ACTOR_TYPES else _actor_type(actor[0])
    resource = _party(event.resource, "resource", meta)
    outcome = _outcome(event.outcome, meta)
    said = _said(name, (actor[0], actor_type), _name(event.action, 64, "unknown").upper(), resource, outcome)
    body = _with_meta(said, dict(phase or {}), meta, _trace(origin) + _correlation(origin.ids))
    return Entry(id=entry_id, event=name, body=body)


def own(name: str, *, pid: int, file: str, meta: Mapping[str, object], entry_id: str) -> Entry:
    """Encode one of the journal's own events: the process `pid` about the file it writes."""
    said = _said(name, (f"pid:{pid}", "system"), "AUDIT", (_name(file, 512, "unknown"), "file"), "success")
    return Entry(id=entry_id, event=name, body=f'{said},"meta":{_dumps(_object(meta))}')


def timestamp(now_ns: int) -> str:
    """Return nanoseconds since the epoch as RFC 3339 in UTC, nine digits of a second."""
    seconds, nanoseconds = divmod(now_ns, 1_000_000_000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{nanoseconds:09d}Z"


def encode(value: object) -> str:
    """Return `value` as ASCII JSON; what JSON cannot say becomes a `$` object or text, and nothing raises."""
    return _dumps(plain(value))


def plain(value: object) -> Json:
    """Return `value` as a tree of JSON types that every parser reads."""
    return _Walk().plain(value)


_dumps = json.JSONEncoder(ensure_ascii=True, separators=(",", ":"), check_circular=False, allow_nan=False).encode


class _Walk:
    """One walk over a value: what it may still cost, and the containers it is inside of."""

    __slots__ = ("inside", "left")

    def __init__(self) -> None:
        self.left = _WALK_LIMIT
        self.inside: set[int] = set()

    def plain(self, value: object) -> Json:
        self.left -= _NODE_COST
        if value is None or value is True or value is False:
            return value
        if type(value) is str:
            return self.text(value)
        if self.left < 0 or len(self.inside) >= _DEPTH:
            return {"$omitted": _type_name(value)}
        if id(value) in self.inside:
            return {"$cycle": _type_name(value)}

        self.inside.add(id(value))
        try:
            return self._converted(value)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException:  # noqa: BLE001 - a value's own code may raise anything, the record is written without it
            return {"$unencodable": _type_name(value)}
        finally:
            self.inside.discard(id(value))

    def text(self, value: str) -> Json:
        self.left -= len(value)
        if self.left < 0:
            return {"$omitted": f"str of {len(value)} characters"}
        return printable(value)

    def mapping(self, items: Iterable[tuple[object, object]]) -> Json:
        made: dict[str, Json] = {}
        for key, value in items:
            if self.left < 0:
                made["$omitted"] = "more"
                break
            made[_free(made, _key(key))] = self.plain(value)
        return made

    def sequence(self, values: Iterable[object]) -> Json:
        made: list[Json] = []
        for value in values:
            if self.left < 0:
                made.append({"$omitted": "more"})
                break
            made.append(self.plain(value))
        return made

    def _converted(self, value: object) -> Json:
        for types, convert in _CONVERSIONS:
            if isinstance(value, types):
                return convert(self, value)

        if dataclasses.is_dataclass(value):
            return self.mapping((each.name, getattr(value, each.name, None)) for each in dataclasses.fields(value))
        return self.text(_described(value))


def _integer(value: int) -> Json:
    if value in _INT64:
        return value
    return str(value) if value.bit_length() <= 256 else hex(value)


def _number(value: float) -> Json:
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")


def _bytes(walk: _Walk, value: bytes | bytearray | memoryview) -> Json:
    raw = bytes(value)
    walk.left -= len(raw)
    if walk.left < 0:
        return {"$omitted": f"{len(raw)} bytes"}
    return {"$bytes": base64.b64encode(raw).decode("ascii")}


def _exception(walk: _Walk, value: BaseException) -> Json:
    return {"type": _type_name(value), "message": walk.text(str(value))}


def _set(walk: _Walk, value: Iterable[object]) -> Json:
    made = walk.sequence(value)
    return sorted(made, key=_dumps) if isinstance(made, list) else made


# Tried in order, the first type that fits; a value of no type here is a dataclass or its own text.
_CONVERSIONS: tuple[tuple[type | tuple[type, ...], Callable[[_Walk, Any], Json]], ...] = (
    (type, lambda walk, value: walk.text(f"{value.__module__}.{value.__qualname__}")),
    (Enum, lambda walk, value: walk.plain(value.value)),
    (str, lambda walk, value: walk.text(str.__str__(value))),
    (int, lambda _walk, value: _integer(int.__int__(value))),
    (float, lambda _walk, value: _number(float.__float__(value))),
    (dict, lambda walk, value: walk.mapping(list(dict.items(value)))),
    ((list, tuple, deque), lambda walk, value: walk.sequence(value)),
    ((set, frozenset), _set),
    ((bytes, bytearray, memoryview), _bytes),
    (BaseException, _exception),
    ((datetime, date, clock_time), lambda walk, value: walk.text(value.isoformat())),
    (timedelta, lambda _walk, value: _number(value.total_seconds())),
    ((UUID, PurePath, Decimal, Fraction), lambda walk, value: walk.text(str(value))),
    (Mapping, lambda walk, value: walk.mapping(value.items())),
    (Sequence, lambda walk, value: walk.sequence(value)),
)


def printable(value: str) -> str:
    r"""Return `value` with each lone surrogate as the six characters `\udXXX`, which every JSON parser reads."""
    if value.isascii():
        return value
    return value.encode("utf-8", "backslashreplace").decode("utf-8")


def text_of(value: object) -> str:
    """Return `value` as text, whatever it is: a string as it stands, anything else as its JSON."""
    made = plain(value)
    return made if isinstance(made, str) else _dumps(made)


def _described(value: object) -> str:
    kind = type(value)
    if kind.__str__ is object.__str__ and kind.__repr__ is object.__repr__:  # would say its address
        return f"<{_type_name(value)}>"
    return str.__str__(str(value))


def _type_name(value: object) -> str:
    return printable(type(value).__qualname__)[:256]


def _key(value: object) -> str:
    return _cut(value if type(value) is str else text_of(value), HEAD_LENGTH)


def _free(taken: Mapping[str, Json], key: str) -> str:
    count = 2
    free = key
    while free in taken:
        free, count = f"{key}#{count}", count + 1
    return free


def _name(value: object, limit: int, default: str) -> str:
    return _cut(value if type(value) is str else text_of(value), limit) or default


def _cut(value: str, limit: int) -> str:
    safe = printable(value[: 1 << 20])
    if len(safe) <= limit and len(value) <= 1 << 20:
        return safe
    digest = sha256(value.encode("utf-8", "backslashreplace")).hexdigest()
    return f"{safe[: limit - 27]}...sha256:{digest[:16]}"


def _object(meta: object) -> dict[str, Json]:
    made = plain(meta)
    return made if isinstance(made, dict) else {"value": made}


def _party(value: object, role: str, meta: dict[str, Json]) -> tuple[str, str]:
    made = plain(value)
    if not isinstance(made, dict):
        name = _name(made, 512, "unknown")
        return name, _prefix(name)

    for key in made.keys() - {"id", "type"}:
        meta.setdefault(f"{role}.{key}", made[key])
    name = _name(made.get("id") or "unknown", 512, "unknown")
    return name, _name(made.get("type") or _prefix(name), 64, "unknown")


def _prefix(name: str) -> str:
    prefix, colon, _ = name.partition(":")
    return _cut(prefix, 64) if prefix and colon else "unknown"


def _actor_type(name: str) -> str:
    return _ACTOR_TYPE_BY_PREFIX.get(_prefix(name), "service")


def _outcome(value: object, meta: dict[str, Json]) -> str:
    if isinstance(value, str) and value in OUTCOMES:
        return str.__str__(value)

    meta.setdefault("outcome", plain(value))
    return "unknown"


def _said(event: str, actor: tuple[str, str], action: str, resource: tuple[str, str], outcome: str) -> str:
    return (
        f'"event":{_dumps(event)},"actor":{_dumps({"id": actor[0], "type": actor[1]})},"action":{_dumps(action)}'
        f',"resource":{_dumps({"id": resource[0], "type": resource[1]})},"outcome":"{outcome}"'
    )


def _with_meta(said: str, phase: dict[str, Json], meta: dict[str, Json], after: str) -> str:
    whole = _dumps({**phase, **{key: value for key, value in meta.items() if key not in phase}})
    if len(said) + len(whole) + len(after) + len(',"meta":') > BODY_LIMIT:
        whole = _dumps({**phase, **_truncated(whole)})
    return f'{said},"meta":{whole}{after}'


def _truncated(encoded: str) -> dict[str, Json]:
    digest = sha256(encoded.encode("ascii")).hexdigest()
    return {"$truncated": {"bytes": len(encoded), "sha256": digest, "head": encoded[:HEAD_LENGTH]}}


def _trace(origin: Origin) -> str:
    trace = f',"trace_id":"{origin.trace_id:032x}"' if origin.trace_id else ""
    return f'{trace},"span_id":"{origin.span_id:016x}"' if trace and origin.span_id else trace


def _correlation(ids: Mapping[str, str]) -> str:
    if not ids:
        return ""

    encoded = encode(ids)
    if len(encoded) > CORRELATION_LIMIT:
        encoded = _dumps(_truncated(encoded))
    return f',"correlation":{encoded}'
