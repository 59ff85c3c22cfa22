"""The demo's language model: an endpoint that speaks the OpenAI chat-completions format and follows a script."""

import json
import secrets
import sys
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import make_server

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

# The first word that the goal contains decides which tools the model asks for, one a turn, before it answers.
SCRIPTS: Mapping[str, tuple[str, ...]] = {
    "mail": ("search", "fetch_page", "shell", "send_mail"),
    "disk": ("shell",),
    "": ("search",),
}

_ARGUMENTS: Mapping[str, Mapping[str, str]] = {
    "search": {"query": "tachograph"},
    "fetch_page": {"url": "{endpoint}/annual-report"},
    "shell": {"command": "rm -rf build"},
    "send_mail": {"to": "team@example.com", "subject": "Report"},
}
_SECONDS = 0.02  # what thinking takes


def completion(request: Mapping[str, Any], endpoint: str = "http://127.0.0.1") -> dict[str, Any]:
    """Answer a chat-completions request: with the script's next tool call, or in words when none is left."""
    messages = request["messages"]
    message = _message(_next_tool(messages), endpoint)
    prompt, answer = _tokens(messages), _tokens(message)
    return {
        "id": f"chatcmpl-{secrets.token_hex(12)}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": request["model"],
        "choices": [{"index": 0, "message": message, "finish_reason": _finish_reason(message)}],
        "usage": {"prompt_tokens": prompt, "completion_tokens": answer, "total_tokens": prompt + answer},
    }


def application(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
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


def _next_tool(messages: Iterable[Mapping[str, Any]]) -> str | None:
    texts = {each["role"]: str(each["content"]) for each in messages}
    done = sum(each["role"] == "tool" for each in messages)
    script = next(tools for word, tools in SCRIPTS.items() if word in texts["user"])
    return script[done] if done < len(script) else None


def _message(tool: str | None, endpoint: str) -> dict[str, Any]:
    if tool is None:
        return {"role": "assistant", "content": "Done: a tachograph records what a vehicle does."}

    arguments = {key: value.format(endpoint=endpoint) for key, value in _ARGUMENTS[tool].items()}
    function = {"name": tool, "arguments": json.dumps(arguments)}
    call = {"id": f"call_{secrets.token_hex(8)}", "type": "function", "function": function}
    return {"role": "assistant", "content": None, "tool_calls": [call]}


def _finish_reason(message: Mapping[str, Any]) -> str:
    return "tool_calls" if "tool_calls" in message else "stop"


def _tokens(said: object) -> int:
    return len(json.dumps(said)) // 4


if __name__ == "__main__":
    serve(int(sys.argv[1]))
