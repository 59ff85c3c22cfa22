"""What API, worker and driver tell each other through Redis: events, attempts and outcomes."""

import json
import os
from collections.abc import Mapping
from typing import Any

import redis

READY = "sre-agent:worker"
MAX_ATTEMPTS = 3


class Store:
    """The application's Redis."""

    def __init__(self, url: str | None = None) -> None:
        self._redis = redis.Redis.from_url(url or os.environ["SRE_AGENT_REDIS"], decode_responses=True)

    def save_event(self, run_key: str, event: Mapping[str, Any]) -> None:
        """Keep the event of a run."""
        self._redis.set(f"sre-agent:event:{run_key}", json.dumps(event))

    def attempts(self, failure_id: str) -> int:
        """Count one more attempt at a failure, and return how many there were."""
        return int(self._redis.incr(f"sre-agent:attempts:{failure_id}"))

    def remember_attempts(self, failure_id: str, attempts: int) -> None:
        """Say how many attempts there were before."""
        self._redis.set(f"sre-agent:attempts:{failure_id}", attempts)

    def save_outcome(self, run_key: str, outcome: str) -> None:
        """Say how a run ended, once all of it is done."""
        self._redis.set(f"sre-agent:outcome:{run_key}", outcome)

    def outcome(self, run_key: str) -> str | None:
        """Return how a run ended, or None while it goes on."""
        return self._redis.get(f"sre-agent:outcome:{run_key}")

    def say_ready(self) -> None:
        """Say that the worker takes tasks."""
        self._redis.set(READY, "ready")

    def is_ready(self) -> bool:
        """Tell whether the worker takes tasks."""
        return self._redis.get(READY) is not None
