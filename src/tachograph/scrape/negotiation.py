"""What a client accepts: one of the two text formats, and gzip or not (RFC 9110, section 12)."""

from collections.abc import Iterator

OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
TEXT = "text/plain; version=0.0.4; charset=utf-8"

_VERSIONS = {"application/openmetrics-text": ("", "1.0.0"), "text/plain": ("", "0.0.4")}


def wants_openmetrics(accept: str) -> bool:
    """Return True where an `Accept` header asks for OpenMetrics 1.0 at least as much as for the text format."""
    quality = _qualities(accept)
    wanted = quality.get("application/openmetrics-text", 0.0)
    text = next((quality[kind] for kind in ("text/plain", "text/*", "*/*") if kind in quality), 0.0)
    return wanted > 0 and wanted >= text


def takes_gzip(accept_encoding: str) -> bool:
    """Return True where an `Accept-Encoding` header allows gzip."""
    quality = _qualities(accept_encoding)
    return next((quality[coding] for coding in ("gzip", "x-gzip", "*") if coding in quality), 0.0) > 0


def _qualities(header: str) -> dict[str, float]:
    """Return the best quality of each name of a header, leaving out versions that are not ours."""
    best: dict[str, float] = {}
    for name, parameters in _entries(header):
        if parameters.get("version", "") in _VERSIONS.get(name, (parameters.get("version", ""),)):
            best[name] = max(best.get(name, 0.0), _quality(parameters.get("q", "1")))
    return best


def _entries(header: str) -> Iterator[tuple[str, dict[str, str]]]:
    for entry in header.lower().split(","):
        name, *parameters = (part.strip() for part in entry.split(";"))
        pairs = (parameter.partition("=") for parameter in parameters)
        yield name, {key.strip(): value.strip().strip('"') for key, _, value in pairs}


def _quality(text: str) -> float:
    try:
        quality = float(text)
    except ValueError:
        return 0.0
    return quality if 0 <= quality <= 1 else 0.0
