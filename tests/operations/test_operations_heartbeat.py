"""A run in progress is visible before it ends, and after it was killed."""

import gc
import json
import logging
import os
import signal
import threading
import time

import pytest

import tachograph
from support.processes import start
from tachograph.operations import heartbeat
from tachograph.operations.heartbeat import Heartbeat
from tachograph.operations.kinds import PlanRun

LOGGER = "heartbeat"


def run(number: int = 0) -> PlanRun:
    return PlanRun(f"p{number}", "id", {})


@pytest.fixture
def beating():
    made = Heartbeat(0.01)
    yield made
    made.configure(0)


def wait_for(condition) -> None:
    """Wait until `condition` holds; the test's own time limit is what ends it otherwise."""
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


class TestBeat:
    def test_it_tells_about_each_run_with_its_ids(self, telemetry, caplog):
        """
        A line for the plan and one for the agent, in the context of each.
        """
        with tachograph.plan("fix", plan_id="p-7"), tachograph.agent("planner"), caplog.at_level(logging.INFO, LOGGER):
            assert heartbeat.HEARTBEAT.beat()
        told = [record for record in telemetry.logs if "in progress" in str(record.log_record.body)]

        assert [record.getMessage() for record in caplog.records] == [
            "plan fix has been in progress for 0 s",
            "agent planner has been in progress for 0 s",
        ]
        assert all(record.log_record.attributes["plan_id"] == "p-7" for record in told)
        assert [record.log_record.span_id for record in told] == [
            telemetry.span(name).context.span_id for name in ("plan fix", "invoke_agent planner")
        ]
        assert not heartbeat.HEARTBEAT.beat()

    def test_only_so_many_lines_a_beat(self, caplog):
        """
        A thousand agents are no thousand lines.
        """
        made, runs = Heartbeat(0), [run(number) for number in range(25)]
        for each in runs:
            made.opened(each)
        with caplog.at_level(logging.INFO, LOGGER):
            made.beat()

        assert len(caplog.records) == 21
        assert caplog.records[-1].getMessage() == "5 more runs are in progress"

    def test_a_run_that_nobody_has_any_more_is_forgotten(self):
        """
        A run that never ends is not kept alive by being told about.
        """
        made = Heartbeat(0)
        made.opened(run())
        gc.collect()

        assert not made.beat()


class TestThread:
    def test_it_runs_while_something_is_open(self, beating, caplog):
        """
        It starts with the first run, tells about it, and ends after the last.
        """
        with caplog.at_level(logging.INFO, LOGGER):
            first, second = run(1), run(2)
            before = beating._thread
            beating.opened(first)
            thread = beating._thread
            beating.opened(second)
            wait_for(lambda: len(caplog.records) >= 2)
            same = beating._thread
            beating.closed(first)
            beating.closed(second)
            thread.join(30)

        assert (before, same, beating._thread) == (None, thread, None)
        assert thread.daemon
        assert not thread.is_alive()

    def test_zero_is_off(self):
        """
        With an interval of 0 there is no thread.
        """
        made = Heartbeat(0)
        made.opened(open_ := run())

        assert made._thread is None
        assert made.beat()
        made.closed(open_)

    def test_a_new_interval_ends_the_old_thread(self, beating):
        """
        `configure` takes effect for what is open too: with the next run.
        """
        first = run()
        beating.opened(first)
        thread = beating._thread
        beating.configure(60)
        thread.join(30)

        assert not thread.is_alive()
        assert beating._thread is None

    def test_the_setting_is_read_when_nobody_configured(self, monkeypatch):
        """
        Without `configure` the variable holds.
        """
        monkeypatch.setenv("TACHOGRAPH_HEARTBEAT", "7")

        assert Heartbeat()._seconds() == 7

    def test_a_child_has_its_own(self, beating):
        """
        After a fork the parent's runs are the parent's, and a run of the child starts a thread again.
        """
        outer = run()
        beating.opened(outer)
        child = os.fork()
        if child == 0:
            ok = not beating.beat() and beating._thread is None
            inner = run(1)
            beating.opened(inner)
            ok = ok and beating._thread.is_alive() and beating.beat()
            beating.closed(outer)
            os._exit(0 if ok else 1)

        assert os.waitpid(child, 0)[1] == 0
        assert beating.beat()

    def test_after_a_fork_nothing_of_the_parent_is_held(self, beating):
        """
        A lock that a thread of the parent holds, its thread and its runs are not the child's.
        """
        outer = run()
        beating.opened(outer)
        beating._lock.acquire()
        thread, end = beating._thread, beating._end
        beating.after_fork()
        end.set()
        thread.join(30)

        assert beating._thread is None
        assert not beating.beat()

    def test_a_thread_goes_on_while_another_run_is_open(self, beating, caplog):
        """
        The end of one run ends no thread that another needs.
        """
        first, second = run(1), run(2)
        with caplog.at_level(logging.INFO, LOGGER):
            beating.opened(first)
            beating.opened(second)
            beating.closed(first)
            seen = len(caplog.records)
            wait_for(lambda: len(caplog.records) >= seen + 3)

        assert beating._thread.is_alive()


class TestKilled:
    def test_a_killed_run_is_in_the_logs(self, tmp_path):
        """
        Of a process that is killed in an agent, the log says which agent was at work in which plan.
        """
        code = (
            "import tachograph, time\n"
            "tachograph.configure(service_name='x', heartbeat='0.05')\n"
            "with tachograph.plan('fix', plan_id='p-7'), tachograph.agent('planner'):\n"
            "    print('open', flush=True)\n"
            "    time.sleep(60)\n"
        )
        running = start("python", "-c", code, at=tmp_path, zero_code=False)
        lines = tmp_path / ".tachograph" / "logs.jsonl"
        try:
            wait_for(lambda: lines.exists() and b"agent planner has been in progress" in lines.read_bytes())
            running.process.send_signal(signal.SIGKILL)
        finally:
            running.kill()

        assert '"p-7"' in json.dumps([json.loads(line) for line in lines.read_text().splitlines()])

    def test_nothing_is_left_behind(self, telemetry):
        """
        Operations of the usual length start at most one thread together.
        """
        for _ in range(10):
            with tachograph.plan("p"), tachograph.agent("a"):
                pass

        assert [thread.name for thread in threading.enumerate()].count("tachograph-heartbeat") <= 1
