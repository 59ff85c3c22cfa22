"""Where faults stop, what is said once, and where audit events go."""

import io
import sys

import pytest

from tachograph import contain as contain_module
from tachograph import errors, intake
from tachograph.contain import contain, faults
from tachograph.notices import forget, notice, notice_at_most, notice_once


@pytest.fixture(autouse=True)
def _nothing_said():
    forget()
    yield
    forget()


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text either")


class TestContain:
    def test_an_exception_is_swallowed_counted_and_said(self, capsys: pytest.CaptureFixture[str]) -> None:
        """
        A fault of telemetry stops here: counted by where it happened, one line a minute.
        """
        before = faults().get("here", 0)
        for _ in range(3):
            with contain("here"):
                raise ValueError("of no use")

        assert faults()["here"] == before + 3
        assert capsys.readouterr().err == "tachograph: telemetry fault in here: ValueError: of no use\n"

    @pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, GeneratorExit])
    def test_what_is_no_exception_passes(self, kind: type[BaseException]) -> None:
        """
        An interrupt or an exit is the application's, and goes its way uncounted.
        """
        before = faults()
        with pytest.raises(kind), contain("here"):
            raise kind

        assert faults() == before

    def test_an_exception_without_a_text_is_no_second_fault(self, capsys: pytest.CaptureFixture[str]) -> None:
        """
        An exception whose `str()` raises is named by its type.
        """
        with contain("mute"):
            raise Mute

        assert capsys.readouterr().err == "tachograph: telemetry fault in mute: Mute\n"

    def test_nothing_happens_when_nothing_happens(self, capsys: pytest.CaptureFixture[str]) -> None:
        """
        A block that ends well is neither counted nor mentioned.
        """
        before = faults()
        with contain("well"):
            pass

        assert (faults(), capsys.readouterr().err) == (before, "")

    def test_the_counts_are_a_copy(self) -> None:
        """
        Nobody changes the counts from outside.
        """
        faults()["forged"] = 1

        assert "forged" not in contain_module.faults()


class TestNotices:
    def test_a_notice_is_one_line(self, capsys: pytest.CaptureFixture[str]) -> None:
        """
        Line breaks in a text cannot forge a second line.
        """
        notice("first\nsecond\r\nthird\u2028fourth")

        assert capsys.readouterr().err == "tachograph: first second third fourth\n"

    def test_once_is_once_for_a_key(self, capsys: pytest.CaptureFixture[str]) -> None:
        """
        The first text under a key is said, later ones are not, other keys are.
        """
        for key, text in (("a", "one"), ("a", "two"), ("b", "three")):
            notice_once(key, text)

        assert capsys.readouterr().err == "tachograph: one\ntachograph: three\n"

    def test_at_most_once_in_a_while(self, capsys: pytest.CaptureFixture[str]) -> None:
        """
        A text is said again after its time, and not before.
        """
        for now in (0.0, 59.9, 60.0, 61.0, 120.0):
            notice_at_most("key", f"at {now}", clock=lambda now=now: now)

        assert capsys.readouterr().err == "tachograph: at 0.0\ntachograph: at 60.0\ntachograph: at 120.0\n"

    @pytest.mark.parametrize("stream", [None, "closed", "full"])
    def test_a_stderr_that_takes_nothing_is_no_fault(self, stream: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        Without a stderr, with a closed one or a full disk behind it, the line is lost and nothing is raised.
        """
        closed = io.StringIO()
        closed.close()
        monkeypatch.setattr(sys, "stderr", {None: None, "closed": closed, "full": Full()}[stream])

        assert notice("anything") is None


class Full(io.StringIO):
    def write(self, _text: str) -> int:
        raise OSError(28, "No space left on device")


class TestNoticeEncoding:
    def test_a_text_that_stderr_cannot_encode_is_no_fault(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        A stderr of ASCII shows what it can of a name in Greek, and a lone surrogate raises nothing.
        """
        raw = io.BytesIO()
        monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(raw, encoding="ascii", errors="strict"))
        notice("Ω and \ud800")
        sys.stderr.detach()

        assert raw.getvalue() in (b"", b"tachograph: \\u03a9 and \\ud800\n")


class TestIntake:
    @pytest.fixture(autouse=True)
    def _uninstall(self):
        yield
        intake.install(None)

    def test_without_a_journal_events_go_nowhere(self) -> None:
        """
        Submitting before anything is set up is harmless.
        """
        intake.install(None)

        assert intake.submit(intake.AuditEvent("a.b", "DO", "x:y")) is None
        assert not intake.fail_closed()

    def test_events_reach_the_sink_in_force(self) -> None:
        """
        The sink gets the event as it is, and its receipt comes back.
        """
        seen = []
        intake.install(lambda event: seen.append(event) or Receipt(), fail_closed=True)
        event = intake.AuditEvent("a.b", "DO", "x:y", meta={"key": 1})

        assert intake.submit(event).id == "0" * 32
        assert seen == [event]
        assert intake.fail_closed()


class Receipt:
    id = "0" * 32


class TestErrors:
    @pytest.mark.parametrize(
        ("error", "builtin"),
        [
            (errors.ConfigurationError, ValueError),
            (errors.DeclarationError, ValueError),
            (errors.MissingExtra, ImportError),
            (errors.AuditUnavailable, OSError),
        ],
    )
    def test_each_is_caught_as_what_it_is(self, error: type[Exception], builtin: type[Exception]) -> None:
        """
        Every exception is one of ours and one that Python programmers expect.
        """
        assert issubclass(error, errors.TachographError)
        assert issubclass(error, builtin)

    def test_a_missing_extra_says_how_to_install_it(self) -> None:
        """
        The text is the command to run.
        """
        assert "pip install 'tachograph[config]'" in str(errors.MissingExtra("OTEL_CONFIG_FILE", "config"))
