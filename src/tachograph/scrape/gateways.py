"""The endpoint for the two gateway interfaces of Python web servers: ASGI 3 and WSGI (PEP 3333)."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from tachograph.scrape.answer import Answer, answer

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Environ = dict[str, Any]
StartResponse = Callable[..., Any]


class AsgiApp:
    """Answers every HTTP request with the metrics, lets lifespans pass, and closes websockets."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        match scope["type"]:
            case "http":
                await _send(await _answer(scope), send)
            case "lifespan":
                await _live(receive, send)
            case "websocket":
                await receive()
                await send({"type": "websocket.close", "code": 1000})


def wsgi_app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Answer a WSGI request with the metrics."""
    found = answer(environ["REQUEST_METHOD"], environ.get("HTTP_ACCEPT", ""), environ.get("HTTP_ACCEPT_ENCODING", ""))
    start_response(f"{found.status.value} {found.status.phrase}", found.headers_sent())
    return found.body


asgi_app = AsgiApp()


async def _answer(scope: Scope) -> Answer:
    request = scope["method"], _header(scope, b"accept"), _header(scope, b"accept-encoding")
    try:
        asyncio.get_running_loop()
    except RuntimeError:  # another event loop than asyncio's, which has no thread for us
        return answer(*request)
    # A thread, because observable instruments may block and the loop serves the host's users too.
    return await asyncio.to_thread(answer, *request)


async def _send(found: Answer, send: Send) -> None:
    headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in found.headers_sent()]
    await send({"type": "http.response.start", "status": found.status.value, "headers": headers})
    for part in found.body:
        await send({"type": "http.response.body", "body": part, "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _live(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


def _header(scope: Scope, name: bytes) -> str:
    return ",".join(value.decode("latin-1") for key, value in scope["headers"] if key.lower() == name)
