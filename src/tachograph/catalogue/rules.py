"""What a declaration must fulfil, as a tuple of functions: each looks at all instruments and yields what is wrong."""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from tachograph.catalogue import render
from tachograph.catalogue.model import NAME, Instrument


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong with an instrument, and what to write instead."""

    instrument: str
    problem: str
    advice: str

    def __str__(self) -> str:
        return f"instrument {self.instrument!r} {self.problem}; {self.advice}"


Rule: TypeAlias = Callable[[Sequence[Instrument]], Iterator[Finding]]

# UCUM codes that both exporters name in words; everything else is an annotation.
UNITS = frozenset(
    "1 % s ms us ns min h d By KiBy MiBy GiBy TiBy KBy MBy GBy TBy bit Cel Hz V A J W g m".split()  # noqa: SIM905
)

_ANNOTATION = re.compile(r"\{[\x21-\x7a\x7c\x7e]+\}\Z")
_MAX_NAME = 255  # OpenTelemetry's limit for instrument names
_MAX_LABELS = 8
_MAX_BOUNDS = 50
_MAX_CAP = 1000
_RESERVED = frozenset({"le", "quantile", "job", "instance"})

# Words that make a label unbounded or tell what must not leave: anywhere in its name, or at its end.
_FORBIDDEN_WORDS = {
    "a repository's name": frozenset({"repo", "repos", "repository", "repositories"}),
    "a commit": frozenset({"commit", "sha", "sha1", "sha256", "revision"}),
    "an id": frozenset({"uuid", "guid"}),
    "a person": frozenset({"email", "username"}),
    "content": frozenset({"prompt", "prompts", "completion", "completions"}),
}
_FORBIDDEN_ENDS = {
    "an id": frozenset({"id", "ids"}),
    "a URL": frozenset({"url", "urls", "uri"}),
    "a person": frozenset({"user", "users"}),
    "content": frozenset({"message", "messages", "arguments"}),
    "a digest": frozenset({"digest", "hash"}),
}
_FORBIDDEN_NAMES = {
    "a URL": frozenset({"url.full", "url.original", "url.path", "url.query", "http.url", "http.target"}),
    "a person": frozenset({"user.name", "user.full_name"}),
}


def names(instruments: Sequence[Instrument]) -> Iterator[Finding]:
    """Names are dotted, lower-case, and not too long."""
    for each in instruments:
        if not NAME.match(each.name) or len(each.name) > _MAX_NAME:
            yield Finding(each.name, "has no dotted lower-case name", "write it like 'acme.deploy.runs'")
        if each.kind == "counter" and each.name.endswith(("_total", ".total")):
            yield Finding(each.name, "ends in total, which exporters add", "write the name without it")


def units(instruments: Sequence[Instrument]) -> Iterator[Finding]:
    """Units are UCUM codes or annotations."""
    for each in instruments:
        if not _is_unit(each.unit):
            yield Finding(
                each.name, f"has the unit {each.unit!r}", "write a UCUM code like 's', 'By' or '1', or '{call}'"
            )


def bounds(instruments: Sequence[Instrument]) -> Iterator[Finding]:
    """A histogram has bounds, they rise, and they are not too many; nothing else has any."""
    for each in instruments:
        given = list(each.bounds)
        if (each.kind == "histogram") != bool(given):
            yield Finding(each.name, f"is a {each.kind} with {len(given)} bounds", "write bounds for histograms alone")
        if given != sorted(set(given)) or any(abs(bound) == float("inf") for bound in given):
            yield Finding(each.name, f"has bounds that do not rise: {given}", "write them from low to high")
        if len(given) > _MAX_BOUNDS:
            yield Finding(each.name, f"has {len(given)} bounds", f"write at most {_MAX_BOUNDS}")


def duplicates(instruments: Sequence[Instrument]) -> Iterator[Finding]:
    """A name is declared once."""
    for name, count in Counter(each.name for each in instruments).items():
        if count > 1:
            yield Finding(name, "is declared already, and differently", "write another name, or the same declaration")


def labels(instruments: Sequence[Instrument]) -> Iterator[Finding]:
    """Labels are bounded, few, named once, and nothing that identifies a run, a person, a repository or a text."""
    for each in instruments:
        if len(each.labels) > _MAX_LABELS:
            yield Finding(each.name, f"has {len(each.labels)} labels", f"write at most {_MAX_LABELS}")
        for label in each.labels:
            if what := forbidden(label.name):
                yield Finding(
                    each.name,
                    f"has the label {label.name!r}, which reads as {what}",
                    "write a label with few values; ids, names and texts belong on spans and log lines",
                )
            if not label.is_closed and label.cap > _MAX_CAP:
                yield Finding(
                    each.name, f"has the label {label.name!r} with a cap of {label.cap}", f"write at most {_MAX_CAP}"
                )


def label_names(instruments: Sequence[Instrument]) -> Iterator[Finding]:
    """The labels of an instrument stay apart on every route, and none has a reserved name."""
    for each in instruments:
        for route in render.ROUTES:
            counted = Counter(render.labels(each, route))
            wrong = [name for name, count in counted.items() if count > 1 or name in _RESERVED]
            if wrong:
                yield Finding(each.name, f"has labels that are {wrong[0]!r} in Prometheus", "write another label name")
                break


def prometheus_names(instruments: Sequence[Instrument]) -> Iterator[Finding]:
    """No two instruments have a sample name in common on any route."""
    for route in render.ROUTES:
        owners: dict[str, set[str]] = defaultdict(set)
        for each in instruments:
            for sample in {render.family(each, route), *render.samples(each, route)}:
                owners[sample].add(each.name)
        for sample, of in owners.items():
            if len(of) > 1:
                yield Finding(
                    max(of, key=[each.name for each in instruments].index),
                    f"is {sample!r} in Prometheus, as {' and '.join(sorted(of))} are",
                    "write another name",
                )


RULES: tuple[Rule, ...] = (names, units, bounds, duplicates, labels, label_names, prometheus_names)


def lint(instruments: Iterable[Instrument]) -> tuple[Finding, ...]:
    """Return what is wrong with `instruments`, each finding once."""
    given = tuple(instruments)
    return tuple(dict.fromkeys(finding for rule in RULES for finding in rule(given)))


def forbidden(label: str) -> str | None:
    """Return what a label of this name would hold that no metric may, or None."""
    words = re.split(r"[._]", label)
    tests = (
        *((what, not found.isdisjoint(words)) for what, found in _FORBIDDEN_WORDS.items()),
        *((what, words[-1] in found) for what, found in _FORBIDDEN_ENDS.items()),
        *((what, label in found) for what, found in _FORBIDDEN_NAMES.items()),
    )
    return next((what for what, is_so in tests if is_so), None)


def _is_unit(unit: str) -> bool:
    if len(unit) > 63:  # OpenTelemetry's limit
        return False
    return all(part in UNITS or _ANNOTATION.match(part) for part in unit.split("/", 1))
