import itertools
import json
from pathlib import Path

import pytest

from tachograph import audit, notices
from tachograph.audit.journal import Journal, JournalOptions


@pytest.fixture(autouse=True)
def _forgetful():
    notices.forget()
    yield
    notices.forget()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "audit.jsonl"


@pytest.fixture
def options(path: Path) -> JournalOptions:
    return JournalOptions(path=path, service_name="planner", sync=30.0)


@pytest.fixture
def journal(options: JournalOptions):
    """
    A journal of counted ids and a clock that goes one second a reading.
    """
    ids = (f"{number:032x}" for number in itertools.count(1))
    seconds = itertools.count(1_700_000_000)
    made = Journal(options, clock=lambda: next(seconds) * 1_000_000_000 + 7, new_id=lambda: next(ids))
    yield made
    made.close(1.0)


@pytest.fixture
def in_force(options: JournalOptions):
    """
    The journal that `tachograph.audit` writes to during the test.
    """
    before = dict(audit._in_force)
    audit._tally.after_fork()
    audit.configure(options)
    yield options.path
    audit.shutdown()
    audit._in_force.clear()
    audit._in_force.update(before)


@pytest.fixture
def lines():
    return lambda path: [json.loads(line) for line in Path(path).read_bytes().splitlines()]
