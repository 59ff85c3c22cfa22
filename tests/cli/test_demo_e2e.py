"""The real demo: processes, HTTP, files."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tachograph.cli import main

COMMAND = (sys.executable, "-m", "tachograph", "demo")
PATIENCE = 120

pytestmark = pytest.mark.e2e


def without_color():
    return {key: value for key, value in os.environ.items() if key not in ("FORCE_COLOR", "TTY_COMPATIBLE")}


def test_demo_records_four_signals_that_one_trace_id_joins(tmp_path):
    """
    `tachograph demo --json` ends well, every check holds, and what it counts is in its files.
    """
    done = subprocess.run(
        (*COMMAND, "--json"), cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE, check=False
    )

    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert {check["claim"]: check["problem"] for check in said["checks"] if not check["holds"]} == {}
    assert [request["status"] for request in said["requests"]] == ["done"] * 6
    assert all(count > 0 for signal_ in said["signals"].values() for count in signal_["recorded"].values())
    for signal_ in said["signals"].values():
        assert (tmp_path / signal_["file"]).stat().st_size > 0
    trace_id = said["request"]["trace_id"]
    for name in ("traces.jsonl", "logs.jsonl", "audit.jsonl"):
        assert trace_id in (tmp_path / ".tachograph" / name).read_text()
    assert "request 6 of 6" in done.stderr


def test_second_run_counts_itself_only(tmp_path, capsys):
    """
    A directory that holds an earlier run is used again, the chain goes on, and the counts are of the new run.
    """
    arguments = ["demo", "--json", "--dir", str(tmp_path / "d"), "--requests", "2"]
    said = []
    for _ in range(2):
        assert main(arguments) == 0
        said.append(json.loads(capsys.readouterr().out))

    first, second = said
    for name in ("traces", "logs", "audit"):
        assert second["signals"][name] == first["signals"][name]
    assert second["audit"]["intact"]
    assert second["audit"]["records"] > first["audit"]["records"]
    assert second["request"]["trace_id"] != first["request"]["trace_id"]


def test_plain_text_in_a_pipe(tmp_path):
    """
    A pipe gets the summary without control sequences, and the progress on stderr.
    """
    done = subprocess.run(
        (*COMMAND, "--requests", "1"),
        cwd=tmp_path,
        env=without_color(),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout + done.stderr
    assert "invoke_agent planner" in done.stdout
    assert "FAILED" not in done.stdout


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_demo_leaves_no_process_behind(tmp_path, number):
    """
    Ctrl-C and SIGTERM in the middle of a run stop the service and the model, too.
    """
    with subprocess.Popen((*COMMAND, "--requests", "500"), cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        while "request 2 of" not in process.stderr.readline():
            assert process.poll() is None
        children = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(number)
        process.communicate(timeout=PATIENCE)

    assert process.returncode == {signal.SIGINT: 130, signal.SIGTERM: 143}[number]
    assert len(children) == 2
    assert [child for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE] == []
    assert Path(tmp_path / ".tachograph" / "demo.log").read_text() != ""
