"""Attributes as labels: named, valued, escaped, and kept per attribute set."""

import base64
import json
from collections.abc import Mapping
from typing import Any

from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from tachograph.catalogue.prometheus import label_name
from tachograph.notices import notice_once

# Attribute sets of which the label text is kept; beyond it the whole cache starts again, which costs one slow scrape.
_KEPT = 50_000

# Pairs of attributes that are said to be one label; their names may be any that an application makes up.
_JOINED_SAID = 100
_joined: set[tuple[str, str]] = set()

_ESCAPES = str.maketrans({"\\": "\\\\", "\n": "\\n", '"': '\\"'})

Labels = dict[str, str]


def labels_of(attributes: Mapping[str, Any] | None) -> Labels:
    """
    Return attributes as label names and values (specification: "Metric Attributes").

    Values of keys that become one name are joined with `;` in the order of the original keys.
    """
    found: Labels = {}
    keys: dict[str, str] = {}
    for key, value in sorted((str(key), value) for key, value in (attributes or {}).items()):
        name, text = label_name(key), label_value(value)
        found[name] = f"{found[name]};{text}" if name in found else text
        if (first := keys.setdefault(name, key)) != key:
            _say_joined(first, key, name)
    return found


def scope_labels(scope: InstrumentationScope) -> Labels:
    """Return the labels that name a scope (specification: "Instrumentation Scope"), without empty ones."""
    attributes = {f"otel_scope_{key}": value for key, value in (scope.attributes or {}).items()}
    named = {
        "otel_scope_name": scope.name,
        "otel_scope_version": scope.version,
        "otel_scope_schema_url": scope.schema_url,
    }
    return {**labels_of(attributes), **{name: str(value) for name, value in named.items() if value}}


def label_value(value: object) -> str:
    """Return an attribute's value as text: strings as they are, everything else as JSON."""
    if isinstance(value, str):
        return str.__str__(value)
    return json.dumps(value, default=_plain)


def escape(text: str) -> str:
    """Escape a label's value; a lone surrogate, which UTF-8 cannot say, becomes `?`."""
    return sayable(text).translate(_ESCAPES)


def sayable(text: str) -> str:
    """Return `text` with `?` for each lone surrogate."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def label_text(labels: Mapping[str, str]) -> str:
    """Write labels in the order of their names, escaped, without the braces."""
    return ",".join(f'{name}="{escape(value)}"' for name, value in sorted(labels.items()))


class LabelTexts:
    """
    The label text of each attribute set, kept from scrape to scrape.

    The key is the attribute set's identity, because equal ones can differ in text (`1`, `1.0` and `True`); the set is
    kept beside its text, so that its identity cannot pass to another one.
    """

    def __init__(self) -> None:
        self._kept: dict[tuple[str, bool, int], tuple[object, str]] = {}

    def of(self, attributes: Mapping[str, Any] | None, scope: str, scoped: Mapping[str, str], *, le: bool) -> str:
        """Return the text for a point's attributes and its scope's labels; `le` is free for the bucket's bound."""
        key = (scope, le, id(attributes))
        kept = self._kept.get(key)
        if kept is not None and kept[0] is attributes:
            return kept[1]

        text = label_text(_merged(labels_of(attributes), scoped, le=le))
        self._keep(key, attributes, text)
        return text

    def _keep(self, key: tuple[str, bool, int], attributes: object, text: str) -> None:
        if len(self._kept) >= _KEPT:
            self._kept.clear()
        self._kept[key] = (attributes, text)


def _merged(labels: Labels, scoped: Mapping[str, str], *, le: bool) -> Labels:
    if le and "le" in labels:
        # Prometheus gives a label that is in the way the same prefix.
        labels["exported_le"] = labels.pop("le")
    return {**scoped, **labels}


def _say_joined(first: str, second: str, name: str) -> None:
    if len(_joined) < _JOINED_SAID or (first, second) in _joined:
        _joined.add((first, second))
        notice_once(
            f"prometheus label {first} {second}",
            f"attributes {first[:80]!r} and {second[:80]!r} are both the label {name[:80]}: their values are joined",
        )


def _plain(value: object) -> str:
    return base64.b64encode(value).decode("ascii") if isinstance(value, bytes) else str(value)
