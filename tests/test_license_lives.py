from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st

import licfsm
from licfsm import Answer, KeyRejected, lifecycle, policy
from licfsm import events as ev
from licfsm.instants import DAY, HOUR, MINUTE, NEVER

HOURS = st.integers(1, 2000)
ACTIONS = st.one_of(
    st.sampled_from(["enable", "disable", "check_now", "restart"]).map(lambda name: (name,)),
    st.tuples(st.just("advance"), HOURS, st.sampled_from(policy.OUTCOMES), st.sampled_from([0, 1, 90 * MINUTE])),
    st.tuples(st.just("sleep"), HOURS),
    st.tuples(st.just("shift"), st.integers(-60 * DAY, 60 * DAY), st.booleans()),
    st.tuples(st.just("install"), st.integers(-60, 400), st.booleans()),
    st.tuples(st.just("answer"), st.sampled_from(policy.OUTCOMES), st.integers(-2 * HOUR, 2 * HOUR) | st.none()),
    st.tuples(st.just("policy"), st.sampled_from(["veeam-7", "veeam-9"])),
    st.tuples(st.just("fail target")),
)


class Life:
    """A license that anything may happen to."""

    def __init__(self, story: licfsm.License, script: type) -> None:
        """Begin it."""
        self.story = story
        self.script = script
        self.keys = 0

    def key(self, days: int) -> licfsm.LicenseKey:
        """Make another key, that expires some days from now."""
        self.keys += 1
        today = self.story.clock.now.date()
        return self.story.renewal(issued=str(today.add(days=self.keys)), expires=today.add(days=days))

    def act(self, name: str, *more: object) -> None:
        """Let something happen."""
        story = self.story
        now = story.clock.now_ms()
        if name in {"enable", "disable", "check_now"}:
            getattr(story, name)()
        elif name == "restart":
            story.happen(ev.Restarted())
        elif name == "advance":
            hours, outcome, takes = more
            key = self.key(300) if outcome == "new_key" else None
            story.advance(now + hours * HOUR, server=self.script(Answer(outcome, key, takes=takes)))
            assert story.due() > story.clock.now_ms()
        elif name == "sleep":
            story.clock.move_to(now + more[0] * HOUR)
            story.happen(ev.Tick())
        elif name == "shift":
            story.shift(more[0], interrupted=more[1])
        elif name == "install":
            try:
                story.install(self.key(more[0]), force=more[1])
            except KeyRejected:
                assert not more[1]
        elif name == "answer":
            outcome, signed = more
            key = self.key(300) if outcome == "new_key" else None
            story.answer(outcome, key=key, signed_time=None if signed is None else now + signed)
        elif name == "policy":
            story.happen(ev.PolicyChanged(policy.named(more[0])))
        else:
            story.happen(ev.TargetFailed("server", story.key, "disk full"))


@given(
    st.lists(ACTIONS, max_size=30),
    st.sampled_from(["subscription", "rental", "trial"]),
    st.sampled_from(["UTC", "Europe/Berlin", "America/Havana"]),
    st.sampled_from(["0 minutes", "1 hour"]),
)
@settings(max_examples=300)
def test_no_life_breaks_the_rules(
    begin: Callable, script: type, actions: list[tuple], kind: str, zone: str, spread: str
) -> None:
    """Whatever happens, no step raises, the states are those of the table, and nothing due is left behind."""
    life = Life(begin("2025-01-20", type=kind, zone=zone, spread=spread, targets=("server",)), script)
    for action in actions:
        life.act(*action)
        story, record = life.story, life.story.record
        assert story.state.entitlement in lifecycle.REGIONS["entitlement"]
        assert story.state.auto_update in lifecycle.REGIONS["auto_update"]
        assert story.allows("free")
        assert story.allows("always")
        assert story.allows("paid") == (story.state.entitlement != "FreeMode")
        assert (record.auto_update == "Checking") == (record.origin is not None)
        assert (record.disabled_by is not None) == ("AutoUpdateDisabled" in {record.auto_update, record.origin})
        assert (record.next_at == NEVER) >= (record.auto_update in {"Off", "Checking", "AutoUpdateDisabled"})
