import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.processes import Running, environment, free_port, start

APPS = Path(__file__).parent / "apps"


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Redis of these tests' own, on a free port, which keeps nothing."""
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("no redis-server on PATH: nothing is known about real Celery workers; apt-get install redis-server")
    folder, port = tmp_path_factory.mktemp("redis"), free_port()
    command = (program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no")
    redis = Running((*command, "--dir", str(folder)), folder, environment(None), folder)
    try:
        redis.wait_for_port(port)
        yield f"redis://127.0.0.1:{port}"
    finally:
        redis.stop()


@pytest.fixture(scope="session")
def start_app():
    """Start a module or a command of `apps` under `opentelemetry-instrument`."""

    def start_it(*command: str, at: Path, **variables: str) -> Running:
        return start(*command, at=at, PYTHONPATH=str(APPS), **variables)

    return start_it
