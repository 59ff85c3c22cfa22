"""`tachograph demo` as a command: arguments, exit codes, and what it says when something is wrong."""

import json
import sys
from dataclasses import replace

import pytest

from tachograph.cli import demo_processes, demo_session, main
from tachograph.cli.demo_processes import DemoError


@pytest.fixture
def demo(tmp_path, monkeypatch, capsys):
    """Run the command with a session that ends like this; returns exit code, stdout and stderr."""

    def make(ending, *arguments):
        def run(session):
            session.log.write_text("".join(f"line {number}\n" for number in range(20)))
            if isinstance(ending, BaseException):
                raise ending
            return ending

        monkeypatch.setattr(demo_session.Session, "run", run)
        code = main(["demo", "--dir", str(tmp_path), *arguments])
        return code, *capsys.readouterr()

    return make


class TestExitCode:
    def test_everything_holds(self, demo, evidence):
        """
        A run in which nothing is missing is a success without complaints.
        """
        code, out, err = demo(evidence)

        assert (code, err) == (0, "")
        assert "Recorded of 1 requests" in out

    def test_missing_signal_is_said(self, demo, evidence):
        """
        A signal that is missing makes the exit code 1, is named on stderr, and the children's last words follow.
        """
        code, out, err = demo(replace(evidence, logs=()))

        assert code == 1
        assert "FAILED  logs: every request's X-Request-ID is on its log lines" in out
        assert "no log line of request r-1" in err
        assert err.splitlines()[-1] == "  line 19"
        assert "line 7\n" not in err

    def test_demo_that_breaks_off_is_said(self, demo):
        """
        A child that died makes the exit code 1, with the reason and the end of the log on stderr.
        """
        code, out, err = demo(DemoError("the service ended with exit code 3"))

        assert (code, out) == (1, "")
        assert "tachograph demo: FAILED: the service ended with exit code 3\n" in err
        assert err.endswith("  line 19\n")

    def test_json_says_why_there_is_no_summary(self, demo):
        """
        With --json stdout is one JSON object even then.
        """
        code, out, _ = demo(DemoError("gone"), "--json")

        assert (code, json.loads(out)) == (1, {"ok": False, "problem": "gone"})

    def test_interrupted(self, demo):
        """
        Ctrl-C is reported as a shell would.
        """
        assert demo(KeyboardInterrupt())[0] == 130


def test_child_that_dies_at_once_ends_the_demo(tmp_path, monkeypatch, capsys):
    """
    A service that cannot start costs the demo its exit code, and its own words are shown.
    """
    monkeypatch.setattr(demo_processes.sysconfig, "get_path", lambda _name: str(tmp_path))
    fake = tmp_path / "opentelemetry-instrument"
    fake.write_text("#!/bin/sh\necho cannot start >&2\nexit 3\n")
    fake.chmod(0o755)

    assert main(["demo", "--dir", str(tmp_path / "d")]) == 1
    err = capsys.readouterr().err
    assert "the service ended with exit code 3" in err
    assert "cannot start" in err


@pytest.mark.e2e
def test_service_that_cannot_reach_its_model_ends_the_demo(tmp_path, monkeypatch, capsys):
    """
    The first request that fails is the last one that is sent, and it is said which one failed.
    """

    def without_model(session, port):
        return (sys.executable, "-m", "http.server", "--bind", "127.0.0.1", str(port)), demo_processes.environment()

    monkeypatch.setattr(demo_session.Session, "_model", without_model)

    assert main(["demo", "--dir", str(tmp_path / "d")]) == 1
    err = capsys.readouterr().err
    assert "FAILED: every request was answered: demo-" in err
    assert "-1: failed" in err
    assert "request 2 of" not in err


def test_folder_that_cannot_be_used_is_said(tmp_path, capsys):
    """
    Without a log there are no last words, and the reason is enough.
    """
    (tmp_path / "file").write_text("")

    assert main(["demo", "--dir", str(tmp_path / "file" / "d")]) == 1
    assert "cannot be used: Not a directory" in capsys.readouterr().err


class TestExtra:
    @pytest.mark.parametrize("module", ["rich", "fastapi", "opentelemetry.instrumentation.httpx"])
    def test_what_to_install_is_said(self, monkeypatch, capsys, module):
        """
        A package that is missing costs one line with the command that installs it, and exit code 2.
        """
        monkeypatch.setitem(sys.modules, module, None)

        assert main(["demo"]) == 2
        assert capsys.readouterr().err == (
            "tachograph: tachograph demo needs an optional dependency; run: pip install 'tachograph[demo]'\n"
        )

    def test_package_that_is_not_there_is_noticed(self, monkeypatch, capsys):
        """
        The same is said when nothing of that name is installed.
        """
        monkeypatch.setattr("tachograph.cli.demo._NEEDED", ("no_such_package.at_all",))

        assert main(["demo"]) == 2
        assert "pip install 'tachograph[demo]'" in capsys.readouterr().err


@pytest.mark.parametrize("number", ["0", "-1", "many", "1.5", "²"])
def test_number_of_requests_is_checked(capsys, number):
    """
    A number that is none is refused with what to write instead.
    """
    with pytest.raises(SystemExit) as raised:
        main(["demo", f"--requests={number}"])

    assert raised.value.code == 2
    assert "write 1 or more" in capsys.readouterr().err
