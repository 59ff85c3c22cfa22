"""Exceptions that nobody caught."""

import logging
import sys
import threading

CRASH = """
import threading
def fail():
    raise ValueError("in a thread")
thread = threading.Thread(target=fail, name="worker")
thread.start()
thread.join()
raise LookupError("in main")
"""


class TestUncaughtExceptions:
    def test_the_console_is_the_same(self, script):
        """stderr and the exit code are byte for byte those of a process without us."""
        without, with_us = script("# switched on here\n" + CRASH, on=False), script(CRASH)
        assert with_us.stderr == without.stderr
        assert "LookupError: in main" in with_us.stderr
        assert (with_us.returncode, without.returncode) == (1, 1)

    def test_each_is_exported_once(self, script):
        """One record for the thread, one for main, with the exception's parts."""
        result = script(
            """
            import atexit
            def show():
                for item in memory.get_finished_logs():
                    record = item.log_record
                    print(item.instrumentation_scope.name, record.severity_text, record.attributes["exception.type"],
                        record.attributes["exception.message"], record.attributes["thread.name"], record.body)
            atexit.register(show)
            """.replace("            ", "")
            + CRASH
        )
        assert result.stdout.splitlines() == [
            "uncaught ERROR ValueError in a thread worker uncaught exception",
            "uncaught FATAL LookupError in main MainThread uncaught exception",
        ]

    def test_an_interrupt_is_none(self, installed, exported, monkeypatch, capsys):
        """Ctrl-C ends a process; it is no failure of it."""
        sys.excepthook(KeyboardInterrupt, KeyboardInterrupt(), None)
        assert exported.bodies == []
        assert "KeyboardInterrupt" in capsys.readouterr().err

    def test_hooks_of_the_app_are_called(self, exported, switch_on, monkeypatch):
        """Hooks that were there before us run after the export."""
        seen = []
        monkeypatch.setattr(sys, "excepthook", lambda *args: seen.append(args))
        monkeypatch.setattr(threading, "excepthook", seen.append)
        switch_on()
        error = ValueError("bad")
        sys.excepthook(ValueError, error, None)
        args = threading.ExceptHookArgs((ValueError, error, None, None))
        threading.excepthook(args)
        assert seen == [(ValueError, error, None), args]
        assert [record.severity_text for record in exported.records] == ["FATAL", "ERROR"]
        assert exported.records[1].attributes["thread.name"] == "?"

    def test_undone_they_are_left_to_others(self, exported, switch_on, monkeypatch):
        """A hook that somebody chained to ours keeps working, and exports nothing."""
        monkeypatch.setattr(sys, "excepthook", lambda *args: None)
        before = threading.excepthook
        undo = switch_on()
        ours = sys.excepthook
        undo()
        ours(ValueError, ValueError("bad"), None)
        assert threading.excepthook is before
        assert exported.bodies == []
        assert logging.getLogger("uncaught").handlers == []
