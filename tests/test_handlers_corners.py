"""Corners in which a step was wrong once, each told by its rule."""

import attrs
import pytest

import licfsm
from licfsm import InvalidValue, KeyRejected, instants
from licfsm import effects as fx
from licfsm import events as ev
from licfsm.instants import HOUR
from licfsm.policy import named


def life(start: str, *, policy: licfsm.Policy | str = "veeam-9", targets: tuple[str, ...] = ()) -> licfsm.License:
    key = licfsm.LicenseKey(id="ACME-1", type="subscription", expires="2025-02-14", issued="2025-01-01")
    return licfsm.License(key, policy, clock=licfsm.ManualClock(start), targets=targets)


def answer(lic: licfsm.License, outcome: str, **more: object) -> list[fx.Effect]:
    return lic.step(ev.Answered(lic.record.attempt, outcome, **more), lic.clock.now_ms())


def step_clock(lic: licfsm.License, by: int, **more: bool) -> list[fx.Effect]:
    lic.clock.move_to(lic.clock.now_ms() + by)
    return lic.step_clock(by, **more)


def of_kind(effects: list[fx.Effect], kind: type) -> list:
    return [effect for effect in effects if isinstance(effect, kind)]


class TestClock:
    def test_a_correction_keeps_the_day_that_enabling_granted(self) -> None:
        """Enabled past the deadline at 09:00, corrected at 07:00: automatic update goes on (5.2, 7.6)."""
        lic = life("2025-06-01T09:00")
        lic.enable()
        answer(lic, "up_to_date")
        step_clock(lic, -2 * HOUR)
        answer(lic, "up_to_date", signed_time=lic.clock.now_ms())
        assert "Scheduled" == lic.state.auto_update
        assert "2025-06-02T07:00:00+00:00" == instants.isoformat(lic.record.give_up_at)

    def test_waking_with_the_clock_set_back_asks_once(self) -> None:
        """A host that wakes to a clock set back two hours asks one question, not two (7.2, 7.5)."""
        lic = life("2025-02-01T09:00")
        lic.enable()
        answer(lic, "up_to_date")
        assert 1 == len(of_kind(step_clock(lic, -2 * HOUR, interrupted=True), fx.Ask))

    def test_a_jump_counts_from_the_clock_before_it(self) -> None:
        """25 hours forward are a jump of more than 24, even where the memory was an hour ahead (7.5)."""
        lic = life("2025-02-13T09:00")
        step_clock(lic, -HOUR)
        step_clock(lic, 25 * HOUR)  # 14 February 09:00; not confirmed
        step_clock(lic, -24 * HOUR)  # as it was an hour after the start
        assert "2025-02-13T09:00:00+00:00" == instants.isoformat(lic.record.latest)


class TestAnswers:
    def test_a_stray_answer_is_judged_by_the_clock(self) -> None:
        """An answer that nobody asked for changes nothing, and what is told meanwhile has the right days."""
        told = of_kind(answer(life("2025-02-10"), "up_to_date"), fx.Notify)
        assert ["License ACME-1 expires in 5 days"] == [notice.text for notice in told]

    @pytest.mark.parametrize("outcome", ["new_key", "no_such_outcome"])
    def test_an_impossible_answer_is_misuse(self, outcome: str) -> None:
        """A new key without its key, or an unknown outcome, is a mistake of the adapter and changes nothing."""
        lic = life("2025-02-01")
        lic.enable()
        with pytest.raises(InvalidValue, match="an answer is one of new_key, up_to_date"):
            answer(lic, outcome)
        assert "Checking" == lic.state.auto_update


class TestMisuse:
    @pytest.mark.parametrize(
        "wrong", [{"key": {"id": "ACME-1"}}, {"policy": None}, {"clock": "2025-02-01"}], ids=["key", "policy", "clock"]
    )
    def test_of_arguments_is_told(self, wrong: dict[str, object]) -> None:
        """An argument of the wrong kind is told by its name."""
        good = {"key": life("2025-02-01").key, "policy": "veeam-9", "clock": licfsm.ManualClock("2025-02-01")}
        with pytest.raises(InvalidValue, match=f"{next(iter(wrong))} must be a "):
            licfsm.License(**(good | wrong))

    def test_of_an_event_is_told(self) -> None:
        """What is no event is refused, and changes nothing."""
        with pytest.raises(InvalidValue, match="'enable' is no event"):
            life("2025-02-01").step("enable", 0)

    def test_of_an_expiry_is_told(self) -> None:
        """A number is no date."""
        with pytest.raises(InvalidValue, match="5 is no date or time"):
            licfsm.LicenseKey(id="ACME-1", type="trial", expires=5)


class TestSessions:
    def test_an_interrupted_check_leaves_its_entry(self) -> None:
        """The attempt that a restart interrupts is marked, before another one begins (7.3, 8.1)."""
        lic = life("2025-02-01")
        lic.enable()
        lic.clock.move_to("2025-02-01T00:05")
        sessions = of_kind(lic.step(ev.Restarted(), lic.clock.now_ms()), fx.Session)
        assert [(1, "warning", ("The check was interrupted and is begun again",))] == [
            (session.attempt, session.result, session.messages) for session in sessions
        ]

    def test_a_check_called_off_leaves_its_entry(self) -> None:
        """Disabling in mid-check ends the check's entry, which will get no answer (6.2, 8.1)."""
        lic = life("2025-02-01")
        lic.enable()
        assert ["warning"] == [session.result for session in of_kind(lic.disable(), fx.Session)]

    def test_a_warning_ends_with_the_last_target(self) -> None:
        """One target fails, the other is written last: the session then is a success (4.4)."""
        lic = life("2025-02-01", targets=("server", "manager"))
        lic.enable()
        answer(lic, "new_key", key=attrs.evolve(lic.key, expires="2026-02-14", issued="2025-02-01"))
        now = lic.clock.now_ms()
        lic.step(ev.Tick(), now)
        lic.step(ev.TargetFailed("server", lic.key, "locked"), now)
        lic.step(ev.TargetWritten("server", lic.key), now + HOUR)
        ended = lic.step(ev.TargetWritten("manager", lic.key), now + HOUR)
        assert [fx.SessionAmended(1, "success", "New license key has been installed")] == ended


class TestTexts:
    def test_a_refusal_shows_no_control_characters(self) -> None:
        """A key's product is untrusted: cleaned and cut in the error, too (8.3)."""
        lic = life("2025-02-01")
        with pytest.raises(KeyRejected) as refused:
            lic.install(attrs.evolve(lic.key, product="\x1b[2J" + "x" * 1_000))
        assert (False, True) == ("\x1b" in str(refused.value), len(str(refused.value)) < 600)

    def test_doubled_braces_are_braces_everywhere(self) -> None:
        """A policy's texts are templates, also those that have no placeholder."""
        policy = named("veeam-9")
        own = attrs.evolve(policy, texts=attrs.evolve(policy.texts, expired="Expired {{!}}"))
        assert "Expired {!}" == life("2025-06-01", policy=own).status

    def test_a_key_can_be_hashed(self) -> None:
        """Equal keys have equal hashes, so that a host can keep them in sets."""
        assert 1 == len({life("2025-02-01").key, life("2025-03-01").key})


class TestPolicy:
    def test_a_changed_policy_leaves_the_retry_alone(self) -> None:
        """The server asked to be left alone for 20 hours; another policy does not bring that forward (4.2)."""
        lic = life("2025-02-01T09:00")
        lic.enable()
        answer(lic, "connection_failed", retry_after=20 * HOUR)
        lic.step(ev.PolicyChanged(named("veeam-8")), lic.clock.now_ms())
        assert "2025-02-02T05:00:00+00:00" == lic.next_check.isoformat()
