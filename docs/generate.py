"""Write the reference pages that come from declarations: `python docs/generate.py`; a test keeps them current."""

import sys
from pathlib import Path

from tachograph import catalogue, errors
from tachograph.catalogue.prometheus import label_name, metric_name
from tachograph.settings import declarations

REFERENCE = Path(__file__).parent / "reference"

HEAD = "<!-- Written by docs/generate.py; change the declarations, not this page. -->\n\n"


def metrics_page() -> str:
    """Every instrument with its Prometheus name, unit, labels and bounds."""
    parts = [HEAD + "# Metrics\n\nEvery instrument of tachograph, as declared in `tachograph.catalogue`.\n"]
    parts.extend(_instrument(each) for each in sorted(catalogue.INSTRUMENTS, key=lambda each: each.name))
    return "\n".join(parts)


def settings_page() -> str:
    """Every variable with its default and meaning."""
    rows = [
        f"| `{each.metadata['variable']}` | {_default(each.default)} | {each.metadata['help']} |"
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


PAGES = {"metrics.md": metrics_page, "settings.md": settings_page, "errors.md": errors_page}


def _instrument(each: catalogue.Instrument) -> str:
    labels = ", ".join(f"`{label.name}` ({_values(label)})" for label in each.labels) or "none"
    bounds = f"- bounds: {', '.join(str(bound) for bound in each.bounds)}\n" if each.bounds else ""
    return (
        f"## {each.name}\n\n{each.description}\n\n"
        f"- kind: {each.kind.replace('_', '-')}, unit `{each.unit}`\n"
        f"- Prometheus: `{metric_name(each.name, each.unit, each.kind)}`"
        f"{_prometheus_labels(each)}\n"
        f"- labels: {labels}\n{bounds}"
    )


def _prometheus_labels(each: catalogue.Instrument) -> str:
    names = ", ".join(f"`{label_name(label.name)}`" for label in each.labels)
    return f" with {names}" if names else ""


def _values(label: catalogue.Label) -> str:
    return ", ".join(label.values) if label.values is not None else f"open, {label.cap} values"


def _default(value: object) -> str:
    if value is None or value in ("", ()):
        return "–"
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"`{value}`"


def _tree() -> str:
    return (errors.__doc__ or "").split("::", 1)[1].replace("\n    ", "\n").rstrip() + "\n"


if __name__ == "__main__":
    for file, page in PAGES.items():
        (REFERENCE / file).write_text(page())
        sys.stdout.write(f"wrote docs/reference/{file}\n")
