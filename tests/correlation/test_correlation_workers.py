"""Servers with several workers, started by a process that is traced itself."""

import json
from pathlib import Path

import pytest

from support.processes import free_port, get, start

pytestmark = pytest.mark.e2e

APPS = Path(__file__).parent / "apps"
STARTER = {
    "TRACEPARENT": "00-11111111111111111111111111111111-2222222222222222-01",
    "BAGGAGE": "plan_id=of-the-starter",
    "TACHOGRAPH_REQUEST_ID": "of-the-starter",
}
SERVERS = {
    "uvicorn": ("uvicorn", "front:app", "--workers", "2", "--port"),
    "gunicorn": ("gunicorn", "back:app", "--workers", "2", "--bind"),
}


@pytest.mark.parametrize("server", SERVERS)
def test_a_request_is_not_its_servers_errand(server: str, tmp_path: Path) -> None:
    """
    Forked and spawned workers serve each request in its own trace, with its own ids and none of the starter's.
    """
    if server == "gunicorn":
        pytest.importorskip("gunicorn", reason="gunicorn is not installed")
    port = free_port()
    place = str(port) if server == "uvicorn" else f"127.0.0.1:{port}"
    running = start(*SERVERS[server], place, at=tmp_path, PYTHONPATH=str(APPS), **STARTER)
    try:
        running.wait_for_port(port)
        answers = [json.loads(get(f"http://127.0.0.1:{port}/seen", X_Request_ID=f"r-{n}")[2]) for n in range(6)]
        running.stop()
    finally:
        running.kill()

    assert [answer["ids"] for answer in answers] == [{"request_id": f"r-{n}"} for n in range(6)]
    assert len({answer["trace_id"] for answer in answers} - {"1" * 32, "0" * 32}) == 6
