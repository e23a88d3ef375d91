import logging
import subprocess
import sys
from collections.abc import Iterator

import pytest
import transitions

import licfsm
from licfsm import Notice
from licfsm.adapters.log import LogNotifier, in_one_line, logger


def notice(**changes: object) -> Notice:
    """Make a notice: a warning about ACME-1, unless told otherwise."""
    values = {
        "id": "ACME-1.7.1739491200000",
        "license": "ACME-1",
        "name": "expiring",
        "level": "warning",
        "text": "Valid (7 days until expiration)",
        "at": 1_739_491_200_000,
    }
    return Notice(**values | changes)


@pytest.fixture(autouse=True)
def every_level(caplog: pytest.LogCaptureFixture) -> None:
    """Let what is logged be caught, of every level."""
    caplog.set_level(logging.DEBUG, "licfsm")


class Broken(logging.Handler):
    """A host's handler that raises where others swallow."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error

    def emit(self, record: logging.LogRecord) -> None:  # noqa: ARG002
        raise self.error


@pytest.fixture
def attach() -> Iterator[object]:
    """Attach handlers to the notices' logger, and take them off afterwards."""
    attached: list[logging.Handler] = []
    notices = logging.getLogger("licfsm.notices")

    def attach(handler: logging.Handler) -> None:
        attached.append(handler)
        notices.addHandler(handler)

    yield attach
    for handler in attached:
        notices.removeHandler(handler)


class TestLogNotifier:
    def test_logs_to_the_logger_of_notices(self, caplog: pytest.LogCaptureFixture) -> None:
        """A host that listens to licfsm.notices gets notices alone."""
        LogNotifier().deliver(notice())
        assert ["licfsm.notices"] == [record.name for record in caplog.records]

    def test_says_that_it_delivered(self) -> None:
        """None stands for delivered."""
        assert LogNotifier().deliver(notice()) is None

    @pytest.mark.parametrize(
        ("level", "expected"),
        [("info", logging.INFO), ("warning", logging.WARNING), ("error", logging.ERROR), ("loud", logging.ERROR)],
    )
    def test_keeps_the_level(self, caplog: pytest.LogCaptureFixture, level: str, expected: int) -> None:
        """A notice is logged at its level, one of an unknown level as an error rather than not at all."""
        LogNotifier().deliver(notice(level=level))
        assert [expected] == [record.levelno for record in caplog.records]

    def test_takes_no_text_for_a_format(self, caplog: pytest.LogCaptureFixture) -> None:
        """What stands for a value in a format is text here."""
        LogNotifier().deliver(notice(text="100 %s %(x)d {y}"))
        assert ["100 %s %(x)d {y}"] == [record.getMessage() for record in caplog.records]

    def test_adds_what_a_handler_can_show(self, caplog: pytest.LogCaptureFixture) -> None:
        """Fields tell license, name, id and time."""
        LogNotifier().deliver(notice())
        shown = [(record.license, record.notice, record.notice_id, record.notice_at) for record in caplog.records]
        assert [("ACME-1", "expiring", "ACME-1.7.1739491200000", "2025-02-14T00:00:00+00:00")] == shown

    def test_gives_back_what_a_handler_raises(self, attach: object) -> None:
        """A handler that raises is a reason, and no error of the engine."""
        attach(Broken(RuntimeError("pipe\nbroke")))
        assert "the log took no notice: RuntimeError: pipe broke" == LogNotifier().deliver(notice())

    def test_lets_an_interrupt_pass(self, attach: object) -> None:
        """Who wants to end the program ends it."""
        attach(Broken(KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            LogNotifier().deliver(notice())

    def test_gives_back_that_a_time_cannot_be_told(self) -> None:
        """A time beyond the calendar is a reason too."""
        assert "OverflowError" in str(LogNotifier().deliver(notice(at=1 << 62)))


class TestLogger:
    def test_is_the_packages(self) -> None:
        """The logger's name is the package's."""
        assert "licfsm" == logger.name

    def test_is_silent_until_a_host_listens(self) -> None:
        """A program that never set up logging sees nothing of it on its screen."""
        script = (
            "from licfsm import Notice\nfrom licfsm.adapters.log import LogNotifier, logger\n"
            "LogNotifier().deliver(Notice('A.1.0', 'A', 'free_mode_entered', 'error', 'Expired', 0))\nlogger.error('x')\n"
        )
        run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
        assert ("", "") == (run.stdout, run.stderr)


class Untold(Exception):
    """An exception that cannot tell its own text."""

    def __str__(self) -> str:
        """Fail."""
        raise ValueError


class TestInOneLine:
    @pytest.mark.parametrize(
        ("error", "expected"),
        [
            (ValueError("no such key"), "ValueError: no such key"),
            (ValueError(), "ValueError"),
            (ValueError("two\r\nlines\ttab\x1b[31m"), "ValueError: two lines tab[31m"),
            (Untold(), f"{__name__}.Untold: <exception str() failed>"),
        ],
    )
    def test_tells_type_and_text(self, error: Exception, expected: str) -> None:
        """Type and text are told in one line without control characters, whatever the exception is like."""
        assert expected == in_one_line(error)

    def test_cuts_at_500_characters(self) -> None:
        """A page of text from a server stays a line."""
        assert 500 == len(in_one_line(ValueError("x" * 10_000)))


class TestOtherLoggers:
    def test_hear_nothing_of_our_machines(self, caplog: pytest.LogCaptureFixture) -> None:
        """A host that logs everything is not told each callback of a license."""
        caplog.set_level(logging.INFO)
        key = licfsm.LicenseKey(id="ACME-1", type="subscription", expires="2025-02-14")
        licfsm.License(key, policy="veeam-9", clock=licfsm.ManualClock("2025-02-01")).enable()
        assert [] == [record.name for record in caplog.records]

    def test_still_hear_of_the_machines_of_the_host(self, caplog: pytest.LogCaptureFixture) -> None:
        """What the host does with transitions itself is told as ever."""
        caplog.set_level(logging.INFO)
        machine = transitions.Machine(states=["one", "two"], initial="one", name="mine")
        machine.to_two()
        assert {"transitions.core"} == {record.name for record in caplog.records}
