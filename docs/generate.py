"""Write the reference pages that come from declarations: `python docs/generate.py`; a test keeps them current."""

import logging
import sys
from dataclasses import Field
from pathlib import Path
from typing import Any

from tachograph import catalogue, errors, parsers
from tachograph.catalogue import events, render
from tachograph.settings import declarations

REFERENCE = Path(__file__).parent / "reference"

HEAD = "<!-- Written by docs/generate.py; change the declarations, not this page. -->\n\n"

METRICS_INTRODUCTION = """# Metrics

Every instrument of tachograph, as declared in `tachograph.catalogue`, with its name on each route to Prometheus. A
value that a label does not admit becomes `_OTHER`, is counted in `tachograph.telemetry.label_overflow`, and is said
once on stderr. [Metrics of your own](../how-to/own-metrics.md) are declared in the same way.
"""

FOREIGN_INTRODUCTION = """# Metrics of others

Recorded by the instrumentations of web frameworks and clients under the names of OpenTelemetry's semantic conventions.
"""

EVENTS_INTRODUCTION = """What is recorded in the [audit journal](audit-format.md). The list is closed: another name is
recorded all the same, and said once on stderr. `meta` lists what a record of the event must tell beside what every
record does; the functions of tachograph write null where it is unknown.

"""

OWN_EVENTS_INTRODUCTION = """Only the journal itself writes these; others that use such a name get `foreign.` before it.
A log record that asks to be audited and has no event name is `log.audit`.

"""

ROUTES: dict[render.Route, str] = {
    "scrape": "`/metrics` and textfile",
    "collector": "OTLP through the Collector's Prometheus exporter",
}


def metrics_page() -> str:
    """Every instrument with its name on each route, unit, labels and bounds."""
    parts = [HEAD + METRICS_INTRODUCTION]
    parts.extend(_instrument(each) for each in sorted(catalogue.INSTRUMENTS, key=lambda each: each.name))
    parts.append(FOREIGN_INTRODUCTION)
    parts.extend(_foreign(each) for each in catalogue.FOREIGN)
    return "\n".join(parts)


def events_page() -> str:
    """Every audit event with its verbs and the meta that each record of it has."""
    rows = "\n".join(_event(each) for each in catalogue.EVENTS)
    own = "\n".join(f"| `{each.name}` | {each.description} |" for each in events.OWN_EVENTS)
    return (
        f"{HEAD}# Events\n\n{EVENTS_INTRODUCTION}"
        f"| event | meaning | verbs | meta |\n|---|---|---|---|\n{rows}\n\n"
        f"## The journal's own\n\n{OWN_EVENTS_INTRODUCTION}| event | meaning |\n|---|---|\n{own}\n"
    )


def settings_page() -> str:
    """Every variable with its default and meaning."""
    rows = [
        f"| `{each.metadata['variable']}` | {_default(_text(each))} | {each.metadata['help']} |"
        for each in declarations()
    ]
    return (
        f"{HEAD}# Settings\n\n"
        "Operators set variables; developers pass the same settings to `tachograph.configure`. A value that cannot be\n"
        "used costs that setting only: one line on stderr says what to write, and the default holds.\n\n"
        "| variable | default | meaning |\n|---|---|---|\n" + "\n".join(rows) + "\n"
    )


def errors_page() -> str:
    """Every exception, as drawn in the module that declares them."""
    names = [name for name in vars(errors) if isinstance(getattr(errors, name), type)]
    entries = [f"## {name}\n\n{(getattr(errors, name).__doc__ or '').strip()}\n" for name in names]
    return f"{HEAD}# Errors\n\n```text{_tree()}```\n\n" + "\n".join(entries)


PAGES = {"metrics.md": metrics_page, "events.md": events_page, "settings.md": settings_page, "errors.md": errors_page}


def _instrument(each: catalogue.Instrument) -> str:
    labels = "".join(f"\n  - `{label.name}`: {_values(label)}" for label in each.labels) or " none"
    return f"{_head(each)}- labels:{labels}\n{_bounds(each)}"


def _foreign(each: catalogue.Instrument) -> str:
    return f"{_head(each)}- labels: {', '.join(f'`{label.name}`' for label in each.labels)}\n{_bounds(each)}"


def _head(each: catalogue.Instrument) -> str:
    routes = "".join(f"- {title}: {_route(each, route)}\n" for route, title in ROUTES.items())
    kind = each.kind.replace("_", "-")
    return f"## {each.name}\n\n{each.description}\n\n- kind: {kind}, unit `{each.unit}`\n{routes}"


def _route(each: catalogue.Instrument, route: render.Route) -> str:
    names = ", ".join(f"`{name}`" for name in render.labels(each, route))
    return f"`{render.family(each, route)}` ({render.series_type(each)})" + (f" with {names}" if names else "")


def _bounds(each: catalogue.Instrument) -> str:
    return f"- bounds: {', '.join(str(bound) for bound in each.bounds)}\n" if each.bounds else ""


def _values(label: catalogue.Label) -> str:
    words = ", ".join(label.words)
    if label.is_closed:
        return words
    if label.declarable:
        return f"{f'{words}, and ' if words else ''}what the application declares; open, {label.cap} values, until then"
    return f"open, {label.cap} values"


def _event(each: catalogue.Event) -> str:
    meta = ", ".join(f"`{key}`" for key in each.meta)
    return f"| `{each.name}` | {each.description} | {' '.join(each.verbs)} | {meta} |"


def _text(declared: "Field[Any]") -> object:
    """Return a setting's default as one writes it in the variable, where that is not its number."""
    if declared.metadata["parse"] is parsers.file_mode:
        return f"{declared.default:04o}"
    return logging.getLevelName(declared.default) if declared.metadata["parse"] is parsers.level else declared.default


def _default(value: object) -> str:
    if value is None or value in ("", ()):
        return "–"  # noqa: RUF001 - what readers see
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"`{value}`"


def _tree() -> str:
    return (errors.__doc__ or "").split("::", 1)[1].replace("\n    ", "\n").rstrip() + "\n"


if __name__ == "__main__":
    for file, page in PAGES.items():
        (REFERENCE / file).write_text(page())
        sys.stdout.write(f"wrote docs/reference/{file}\n")
