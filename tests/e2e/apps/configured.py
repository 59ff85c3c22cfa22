"""The FastAPI app, set up by a line of its own instead of zero code."""

import tachograph

telemetry = tachograph.configure(service_name="shop")

from fastapi_httpx import app  # noqa: E402 - after the set-up

__all__ = ["app"]
