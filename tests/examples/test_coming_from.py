"""The page that maps other systems' names to ours: every name exists, and the reference application shows it."""

import re
from functools import reduce
from pathlib import Path

import pytest

import tachograph
from support.processes import families, total
from tachograph import catalogue
from tachograph.catalogue import FOREIGN
from tachograph.settings import declarations

pytestmark = pytest.mark.e2e

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "coming-from.md"


def rows():
    for line in PAGE.read_text().splitlines():
        if line.startswith("|") and not line.startswith(("|---", "| theirs ")):
            theirs, ours, _ = (cell.strip() for cell in line.strip("|").split("|"))
            yield pytest.param(re.findall(r"`([^`]+)`", ours), id=theirs)


def is_metric(name):
    return catalogue.find(name) is not None or name in {each.name for each in FOREIGN}


def has_metric(reference, name):
    """Whether any process pushed it, or the worker's main process served it while it ran."""
    scraped = f"# TYPE {name.replace('.', '_')}" in reference.worker_metrics
    return is_metric(name) and (scraped or name in {point.metric for point in reference.points})


def has_function(_reference, name):
    path = name.removesuffix("()").split(".")[1:]
    return callable(reduce(getattr, path, tachograph))


def has_setting(_reference, name):
    return name in {each.metadata["variable"] for each in declarations()}


def has_id(reference, name):
    """Whether a log record of the application has it, and a span or an audit record says the same."""
    records = [log for log in reference.logs if log.scope == "sre_agent.pipeline"]
    if name in ("trace_id", "span_id"):
        return {getattr(log, name) for log in records} <= {getattr(span, name) for span in reference.spans}
    said = {log.attributes[name] for log in records if name in log.attributes}
    return bool(said) and said <= {
        record["correlation"].get(name) for record in reference.journal if "correlation" in record
    }


def is_served(reference, _name):
    return total(families(reference.api_metrics), "http_server_request_duration_seconds_count") >= 8


def is_written(reference, name):
    return (reference.ended.directory / name).stat().st_size > 0


CHECKS = (
    (r"[a-z_.]+\(\)", has_function),
    (r"GET /metrics", is_served),
    (r"[A-Z_]+", has_setting),
    (r"[a-z]+\.jsonl", is_written),
    (r"[a-z]+(_[a-z]+)*", has_id),
    (r"[a-z_]+(\.[a-z_]+)+", has_metric),
)


@pytest.mark.parametrize("ours", list(rows()))
def test_every_row_holds(reference, ours):
    """
    Each name of the second column is what it looks like: a metric of the run, a function, a setting, an id or a file.
    """
    assert ours
    for name in ours:
        check = next(check for pattern, check in CHECKS if re.fullmatch(pattern, name))
        assert check(reference, name), f"{name}: {check.__name__}"


def test_every_system_is_there():
    """
    The page has a table for each of the four systems.
    """
    assert re.findall(r"^## (.)", PAGE.read_text(), flags=re.MULTILINE) == ["A", "B", "C", "D"]
