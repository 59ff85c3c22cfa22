"""The fake model speaks the chat-completions format."""

import json
from wsgiref.simple_server import WSGIServer

import httpx
import pytest

from tachograph.cli import demo_model
from tachograph.cli.demo_model import completion

MAIL = {"role": "user", "content": "Report by mail"}


def asked(*messages):
    return {"model": "gpt-4o-mini", "messages": [{"role": "system", "content": "disk"}, *messages]}


def tools(answer):
    return [call["function"]["name"] for call in answer["choices"][0]["message"].get("tool_calls", [])]


class TestCompletion:
    def test_answer_has_the_shape_of_the_wire_format(self):
        """
        Id, model, choices, usage that adds up, and tool calls whose arguments are JSON in a text.
        """
        answer = completion(asked(MAIL), "http://127.0.0.1:1")
        (choice,) = answer["choices"]
        usage = answer["usage"]

        assert answer["id"].startswith("chatcmpl-")
        assert (answer["object"], answer["model"]) == ("chat.completion", "gpt-4o-mini")
        assert choice["finish_reason"] == "tool_calls"
        assert json.loads(choice["message"]["tool_calls"][1]["function"]["arguments"]) == {
            "url": "http://127.0.0.1:1/annual-report"
        }
        assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"] > 0

    def test_script_goes_on_with_every_turn_and_ends_in_words(self):
        """
        The model asks for the next tools each time it is asked, and answers when none are left.
        """
        turn = {"role": "assistant", "content": None}

        assert tools(completion(asked(MAIL))) == ["search", "fetch_page"]
        assert tools(completion(asked(MAIL, turn))) == ["shell", "send_mail"]
        last = completion(asked(MAIL, turn, turn))["choices"][0]
        assert last["finish_reason"] == "stop"
        assert "tachograph" in last["message"]["content"]

    @pytest.mark.parametrize(("goal", "wanted"), [("Free some disk space", ["shell"]), ("What?", ["search"])])
    def test_goal_decides_the_script(self, goal, wanted):
        """
        What the user wants decides which tools are asked for; the system's words do not.
        """
        assert tools(completion(asked({"role": "user", "content": goal}))) == wanted


class TestApplication:
    @pytest.fixture
    def client(self):
        with httpx.Client(
            transport=httpx.WSGITransport(demo_model.application), base_url="http://127.0.0.1:8000"
        ) as client:
            yield client

    def test_completions_are_posted(self, client):
        """
        The endpoint answers a chat-completions request, and its tools point back to it.
        """
        answer = client.post("/v1/chat/completions", json=asked(MAIL))

        assert answer.status_code == 200
        assert tools(answer.json()) == ["search", "fetch_page"]
        assert "http://127.0.0.1:8000/annual-report" in answer.text

    def test_every_other_page_is_missing(self, client):
        """
        The page that a tool fetches is not there: the tool that fails.
        """
        assert client.get("/annual-report").status_code == 404

    def test_interrupting_ends_it_without_a_word(self, monkeypatch):
        """
        Ctrl-C reaches all processes of a terminal, and the model ends quietly.
        """
        asked_to_serve = []

        def interrupted(server):
            asked_to_serve.append(server)
            raise KeyboardInterrupt

        monkeypatch.setattr(WSGIServer, "serve_forever", interrupted)
        demo_model.serve(0)

        assert len(asked_to_serve) == 1
