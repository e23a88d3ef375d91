"""What the tests share: a license begun in one line, and a server that says what it is told to."""

from collections.abc import Callable

import hypothesis
import pytest

import licfsm
from licfsm import effects as fx
from licfsm import events as ev
from licfsm import instants

pytest_plugins = ["licfsm.testing"]

hypothesis.settings.register_profile("repeatable", derandomize=True, deadline=None)
hypothesis.settings.load_profile("repeatable")


class Story(licfsm.License):
    """A license that remembers what came of it, on a clock that is moved by hand."""

    def __init__(self, *args: object, **options: object) -> None:
        """Begin to remember."""
        super().__init__(*args, **options)
        self.log: list[fx.Effect] = []

    def step(self, event: ev.Event, now: int) -> list[fx.Effect]:
        """Take a step, and remember what came of it."""
        happened = super().step(event, now)
        self.log.extend(happened)
        return happened

    def happen(self, event: ev.Event, at: str | None = None) -> list[fx.Effect]:
        """Take a step by the clock, which is set first where a time is given."""
        if at:
            self.clock.move_to(at)
        return self.step(event, self.clock.now_ms())

    def answer(self, outcome: str, at: str | None = None, **more: object) -> list[fx.Effect]:
        """Answer the question that is under way; a new key expires a year later unless another is given."""
        if outcome == "new_key":
            more.setdefault("key", self.renewal(expires="2026-02-14"))
        return self.happen(ev.Answered(self.record.attempt, outcome, **more), at)

    def shift(self, by: int, *, interrupted: bool = False) -> list[fx.Effect]:
        """Set the clock forward or back by milliseconds, and tell the license."""
        self.clock.move_to(self.clock.now_ms() + by)
        return self.step_clock(by, interrupted=interrupted)

    def all(self, kind: type) -> list[fx.Effect]:
        """Give what came of it so far, of one kind."""
        return [effect for effect in self.log if type(effect) is kind]

    def told(self, channel: str = "report") -> list[str]:
        """Name the notices so far that went to a channel."""
        return [notice.name for notice in self.all(fx.Notify) if channel in notice.channels]

    @property
    def asked(self) -> list[str]:
        """When the questions answered so far were asked."""
        return [instants.isoformat(check.asked) for check in self.all(fx.Checked)]

    @property
    def next_question(self) -> str | None:
        """When the server is asked next, in UTC."""
        return instants.isoformat(instants.to_ms(self.next_check)) if self.next_check else None

    def renewal(self, issued: str | None = "2025-02-01", **changes: object) -> licfsm.LicenseKey:
        """Make another key of this license, issued later; the same in all that is not changed."""
        values = {"id": self.key.id, "type": self.key.type, "zone": self.key.zone, "expires": self.key.expires}
        return licfsm.LicenseKey(**values | changes, issued=issued)


def _begin(start: str = "2025-02-10T09:00", auto_update: str = "Off", **options: object) -> Story:
    """Begin a license: a subscription under veeam-9, unless told otherwise; its last day is 2025-02-14.

    With that key and policy: Expiring from 02-07, Grace from 02-15, FreeMode from 03-17, and retrying
    ends at 03-15 (14 February + 28 days, to the end of that day), each at 00:00 UTC.

    Args:
        start: where the clock stands.
        auto_update: the state to bring it into, by one question asked and answered there and then.
        options: of the license, the rest of its key.

    """
    mine = {name: options.pop(name) for name in ("policy", "spread", "mail", "targets", "record") if name in options}
    key = licfsm.LicenseKey(**{"id": "ACME-1", "type": "subscription", "expires": "2025-02-14"} | options)
    story = Story(key, mine.pop("policy", "veeam-9"), clock=licfsm.ManualClock(start), **mine)
    if auto_update != "Off":
        story.enable()
        outcomes = {
            "Scheduled": "up_to_date",
            "Retrying": "generation_failed",
            "AutoUpdateDisabled": "contract_terminated",
        }
        if auto_update in outcomes:
            story.answer(outcomes[auto_update])
        assert auto_update == story.state.auto_update
        story.log.clear()
    return story


@pytest.fixture(scope="session")
def begin() -> Callable[..., Story]:
    """Begin a license; see `_begin`."""
    return _begin


@pytest.fixture(scope="session")
def script() -> type:
    """Make a server that gives its answers in order; see `licfsm.testing`, a plugin that pytest has loaded by then."""
    return licfsm.testing.ScriptedServer
