"""The front of the command line."""

import os
import subprocess
import sys

import pytest

import tachograph
from tachograph.cli import audit, main


def test_version_is_printed(capsys):
    """
    `tachograph --version` prints the version and ends well.
    """
    with pytest.raises(SystemExit) as raised:
        main(["--version"])

    assert raised.value.code == 0
    assert capsys.readouterr().out == f"tachograph {tachograph.__version__}\n"


def test_no_command_is_refused(capsys):
    """
    Without a command the usage is shown.
    """
    with pytest.raises(SystemExit) as raised:
        main([])

    assert raised.value.code == 2
    assert "COMMAND" in capsys.readouterr().err


def test_commands_of_audit_are_there(tmp_path, capsys):
    """
    `tachograph audit verify` reaches the verifier, whose exit code is the command's.
    """
    assert main(["audit", "verify", str(tmp_path / "missing.jsonl")]) == 3
    assert "no such file" in capsys.readouterr().err


def test_module_is_the_command():
    """
    `python -m tachograph` is `tachograph`, under that name.
    """
    done = subprocess.run([sys.executable, "-m", "tachograph", "--help"], capture_output=True, text=True, check=False)

    assert done.returncode == 0
    assert done.stdout.startswith("usage: tachograph ")
    assert "demo" in done.stdout


def test_starting_imports_no_extra():
    """
    The front and the demo's arguments need neither extras nor the SDK.
    """
    code = (
        "import sys; from tachograph.cli import demo, _parser; _parser();"
        "print([n for n in ('rich', 'fastapi', 'httpx', 'uvicorn', 'opentelemetry.sdk') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert done.stdout == "[]\n", done.stderr


def test_reader_that_leaves_is_no_traceback(monkeypatch, tmp_path):
    """
    `tachograph audit tail | head` ends quietly.
    """

    class Pipe:
        def fileno(self):
            return descriptor

    def broken(_args):
        raise BrokenPipeError

    descriptor = os.open(tmp_path / "pipe", os.O_CREAT | os.O_WRONLY)
    monkeypatch.setattr(sys, "stdout", Pipe())
    monkeypatch.setattr(audit, "print_tail", broken)

    assert main(["audit", "tail"]) == 1
    assert os.write(descriptor, b"x") == 1
    assert (tmp_path / "pipe").read_text() == ""
    os.close(descriptor)
