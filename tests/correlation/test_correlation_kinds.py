"""Every way of the standard library to do something elsewhere keeps the context, as real processes."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from support.processes import run

pytestmark = pytest.mark.e2e

APPS = Path(__file__).parent / "apps"


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    at = tmp_path_factory.mktemp("kinds")
    ended = run(
        sys.executable, str(APPS / "kinds.py"), at=at, PYTHONPATH=str(APPS), TACHOGRAPH_CORRELATION_IDS="delivery_id"
    )
    assert ended.returncode == 0, ended.stderr[-4000:]
    assert ended.notices == []
    return [json.loads(line) for line in ended.stdout.splitlines()]


class TestElsewhere:
    @pytest.mark.parametrize("number", [0, 1])
    def test_every_way_keeps_trace_and_ids(self, told: list[dict[str, Any]], number: int) -> None:
        """
        Threads, pools made earlier, forked and spawned processes and programs find the caller's trace and ids.
        """
        here = told[number]["here"]

        assert here[1] == {"request_id": f"r-{number}", "delivery_id": "d", "plan_id": f"p-{number}"}
        assert int(here[0], 16)
        assert len(told[number]) == 42
        assert {name: answer for name, answer in told[number].items() if answer != here} == {}

    def test_nothing_stays_behind(self, told: list[dict[str, Any]]) -> None:
        """
        Afterwards the caller is in no trace and has no ids, and the two rounds were two traces.
        """
        assert told[2]["after"] == ["0" * 32, {}]
        assert told[0]["here"][0] != told[1]["here"][0]
