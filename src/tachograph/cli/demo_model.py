"""The demo's language model: an endpoint that speaks the OpenAI chat-completions format and follows a script."""

import json
import secrets
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any
from wsgiref.simple_server import make_server
from wsgiref.types import StartResponse, WSGIEnvironment

# The first word that the goal contains decides which tools the model asks for, turn by turn, before it answers.
SCRIPTS: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "mail": (("search", "fetch_page"), ("shell", "send_mail")),
    "disk": (("shell",),),
    "": (("search",),),
}

_ARGUMENTS: Mapping[str, Mapping[str, str]] = {
    "search": {"query": "tachograph"},
    "fetch_page": {"url": "{endpoint}/annual-report"},
    "shell": {"command": "rm -rf build"},
    "send_mail": {"to": "team@example.com", "subject": "Report"},
}
_SECONDS = 0.02  # what thinking takes


def completion(request: Mapping[str, Any], endpoint: str = "http://127.0.0.1") -> dict[str, Any]:
    """Answer a chat-completions request: with the script's next tool calls, or in words when none are left."""
    messages = request["messages"]
    message = _message(_next_tools(messages), endpoint)
    prompt, answer = _tokens(messages), _tokens(message)
    return {
        "id": f"chatcmpl-{secrets.token_hex(12)}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": request["model"],
        "choices": [{"index": 0, "message": message, "finish_reason": _finish_reason(message)}],
        "usage": {"prompt_tokens": prompt, "completion_tokens": answer, "total_tokens": prompt + answer},
    }


def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Serve `POST /v1/chat/completions`; every other page is missing."""
    if (environ["REQUEST_METHOD"], environ["PATH_INFO"]) != ("POST", "/v1/chat/completions"):
        start_response("404 Not Found", [("Content-Type", "text/plain")])
        return [b"no such page\n"]

    body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
    time.sleep(_SECONDS)
    answer = json.dumps(completion(json.loads(body), f"http://{environ['HTTP_HOST']}")).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(answer)))])
    return [answer]


def serve(port: int) -> None:
    """Serve on the loopback interface until interrupted."""
    with make_server("127.0.0.1", port, application) as server, suppress(KeyboardInterrupt):
        server.serve_forever()


def _next_tools(messages: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    goal = next(str(each["content"]) for each in messages if each["role"] == "user")
    turn = sum(each["role"] == "assistant" for each in messages)
    script = next(turns for word, turns in SCRIPTS.items() if word in goal)
    return script[turn] if turn < len(script) else ()


def _message(tools: Iterable[str], endpoint: str) -> dict[str, Any]:
    calls = [_call(tool, endpoint) for tool in tools]
    if calls:
        return {"role": "assistant", "content": None, "tool_calls": calls}
    return {"role": "assistant", "content": "A tachograph records what a vehicle does, so that it can be checked."}


def _call(tool: str, endpoint: str) -> dict[str, Any]:
    arguments = {key: value.format(endpoint=endpoint) for key, value in _ARGUMENTS[tool].items()}
    function = {"name": tool, "arguments": json.dumps(arguments)}
    return {"id": f"call_{secrets.token_hex(8)}", "type": "function", "function": function}


def _finish_reason(message: Mapping[str, Any]) -> str:
    return "tool_calls" if "tool_calls" in message else "stop"


def _tokens(said: object) -> int:
    return len(json.dumps(said)) // 4


if __name__ == "__main__":
    serve(int(sys.argv[1]))
