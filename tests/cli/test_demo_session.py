"""The driver against servers that answer from memory, and folders that cannot be used."""

import json

import httpx
import pytest

from tachograph.cli.demo_processes import DemoError
from tachograph.cli.demo_session import Session, ask, scrape, verdict


def client(answer):
    return httpx.Client(transport=httpx.MockTransport(answer), base_url="http://service")


class TestAsk:
    def test_approvals_are_given_until_the_run_is_done(self):
        """
        Every wait is answered by a request of its own, whose id is derived from the first one's.
        """
        seen = []

        def service(request):
            seen.append((request.url.path, request.headers["X-Request-ID"], json.loads(request.content)))
            waiting = {"status": "waiting", "approval_id": f"ap-{len(seen)}"}
            return httpx.Response(200, json=waiting if len(seen) < 3 else {"status": "done"})

        with client(service) as http:
            answer = ask(http, "r-1", "mail")

        assert answer.status == "done"
        assert seen == [
            ("/runs", "r-1", {"goal": "mail"}),
            ("/approvals/ap-1", "r-1-approval", {"approver": "user:ada"}),
            ("/approvals/ap-2", "r-1-approval", {"approver": "user:ada"}),
        ]

    def test_service_that_fails_is_the_answer(self):
        """
        A server error is not an exception of the demo but how this request ended.
        """
        with client(lambda _request: httpx.Response(500)) as http:
            assert "500 Internal Server Error" in ask(http, "r-1", "mail").status

    def test_service_that_is_gone_is_the_answer(self):
        """
        An error without a text is named by its type.
        """

        def gone(_request):
            raise httpx.ReadTimeout("")

        with client(gone) as http:
            assert ask(http, "r-1", "mail").status == "ReadTimeout"


class TestScrape:
    def test_format_is_asked_for(self):
        """
        The Accept header decides between the formats.
        """
        with client(lambda request: httpx.Response(200, text=f'a{{b="{request.headers["Accept"]}"}} 1\n')) as http:
            assert scrape(http, "http://service/metrics", "text/x").total("a", b="text/x") == 1

    def test_endpoint_without_an_answer_has_no_metrics(self):
        """
        What is not served is missing, and a check will say so.
        """
        with client(lambda _request: httpx.Response(503)) as http:
            assert scrape(http, "http://service/metrics", "*/*").samples == ()


class TestVerdict:
    def test_missing_journal_is_a_fault(self, tmp_path):
        """
        What cannot be read cannot be intact.
        """
        found = verdict(tmp_path / "audit.jsonl")

        assert not found.intact
        assert "no such file" in found.faults[0]

    def test_fault_is_told_with_its_place(self, tmp_path):
        """
        Something that is no record is a fault at its byte.
        """
        (tmp_path / "audit.jsonl").write_text("nonsense\n")

        assert verdict(tmp_path / "audit.jsonl").faults == ("byte 0: not a line of the journal",)


class TestDirectory:
    def test_file_in_its_place_is_an_error(self, tmp_path):
        """
        A directory that cannot be made is named, with the reason.
        """
        (tmp_path / "file").write_text("")

        with pytest.raises(DemoError, match="file cannot be used: File exists"):
            Session(tmp_path / "file", 1, lambda _text: None).run()
