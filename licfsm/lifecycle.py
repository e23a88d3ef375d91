"""The lifecycle of a license: one table, and nothing else.

Two regions run side by side and are never folded into one. *Entitlement* says what the host may do; it
follows the calendar and the key in force. *Automatic update* says when the server is asked for a new
key. They are independent clocks: retrying may end before the grace period, with it, or after it, and
goes on in ``FreeMode``. Their product would have 20 states and hide that.

How to read it: for a state and a trigger, the first row whose guards all hold is taken; at most one row
has no guard, and it stands last. A row without a target stays where it is; without effects either, it
says that the trigger is ignored there on purpose. ``why`` begins with the number of the rule in
rules.md. Guards and effects are names; `licfsm.rules` says what they mean, `licfsm.machine` builds the
``transitions`` machines from the table and refuses one that contradicts itself.

The weak spot of two machines is what they share. It is little, and one-way: automatic update looks at
the entitlement for its cadence (3.1, 3.2), and a new key moves the entitlement before automatic update.
"""

from __future__ import annotations

from typing import Final

import attrs

__all__ = [
    "AUTO_UPDATE",
    "AUTO_UPDATE_DISABLED",
    "CHECKING",
    "COMES_IN",
    "ENTITLEMENT",
    "EXPIRING",
    "FREE_MODE",
    "GRACE",
    "INITIAL",
    "OFF",
    "REGIONS",
    "RETRYING",
    "ROWS",
    "SCHEDULED",
    "TIMERS",
    "VALID",
    "Row",
    "Timer",
]

ENTITLEMENT: Final = "entitlement"
AUTO_UPDATE: Final = "auto_update"

VALID: Final = "Valid"
EXPIRING: Final = "Expiring"
GRACE: Final = "Grace"
FREE_MODE: Final = "FreeMode"

OFF: Final = "Off"
SCHEDULED: Final = "Scheduled"
CHECKING: Final = "Checking"
RETRYING: Final = "Retrying"
AUTO_UPDATE_DISABLED: Final = "AutoUpdateDisabled"

REGIONS: Final[dict[str, tuple[str, ...]]] = {
    ENTITLEMENT: (VALID, EXPIRING, GRACE, FREE_MODE),
    AUTO_UPDATE: (OFF, SCHEDULED, CHECKING, RETRYING, AUTO_UPDATE_DISABLED),
}
INITIAL: Final = {ENTITLEMENT: VALID, AUTO_UPDATE: OFF}
"""Where a new license begins; the entitlement then at once is what its dates say (2.5)."""


@attrs.frozen
class Row:
    """One row of the table.

    Attributes:
        region: `ENTITLEMENT` or `AUTO_UPDATE`.
        triggers: the events' names.
        sources: the states it leaves.
        target: the state it enters; None to stay.
        guards: names of predicates that must all hold.
        effects: names of what is done, in order.
        why: the rule's number in rules.md, and the reason in a few words.

    """

    region: str
    triggers: tuple[str, ...]
    sources: tuple[str, ...]
    target: str | None
    guards: tuple[str, ...] = ()
    effects: tuple[str, ...] = ()
    why: str = attrs.field(kw_only=True)


@attrs.frozen
class Timer:
    """A trigger that the clock brings: derived from the state and the dates, never stored or canceled.

    Attributes:
        region: `ENTITLEMENT` or `AUTO_UPDATE`.
        trigger: the event's name.
        sources: the states in which it runs.
        deadlines: names of the times of which the earliest counts: of `policy.Dates` or of the record.

    """

    region: str
    trigger: str
    sources: tuple[str, ...]
    deadlines: tuple[str, ...]


TIMERS: Final = (
    Timer(ENTITLEMENT, "expiring", (VALID,), ("expiring_at",)),
    Timer(ENTITLEMENT, "expired", (EXPIRING,), ("expires_at",)),
    Timer(ENTITLEMENT, "grace_over", (GRACE,), ("grace_until",)),
    Timer(AUTO_UPDATE, "check_due", (SCHEDULED, RETRYING), ("next_at", "give_up_at")),
)

_E: Final = ENTITLEMENT
_A: Final = AUTO_UPDATE
_ANY_ENTITLEMENT: Final = REGIONS[ENTITLEMENT]
_REDERIVE: Final = ("new_key", "policy_changed", "clock_corrected")
_GOOD: Final = ("renewed", "current")
_BAD: Final = ("retry", "give_up")
_RESUMABLE: Final = ("disabled_by_deadline", "expires_later")
_AHEAD_AGAIN: Final = ("disabled_by_deadline", "deadline_ahead")

COMES_IN: Final[dict[str, tuple[str, ...]]] = {
    **{timer.trigger: timer.sources for timer in TIMERS},
    **dict.fromkeys((*_GOOD, *_BAD), (CHECKING,)),
}
"""Trigger -> the only states it comes in: where its timer runs, and where an answer is awaited (3.5, 7.3).

Every other trigger may come in any state, and the table says what it does or that it is ignored there.
"""

ROWS: Final = (
    # ------------------------------------------------------------------ entitlement: the calendar
    Row(_E, ("expiring",), (VALID,), EXPIRING, why="1.4 the policy's time before the expiration date"),
    Row(_E, ("expired",), (EXPIRING,), GRACE, ("has_grace",), why="2.2 the policy grants a grace period"),
    Row(_E, ("expired",), (EXPIRING,), FREE_MODE, why="2.2 no grace period for this type"),
    Row(_E, ("grace_over",), (GRACE,), FREE_MODE, why="2.2 by itself, when the grace period ends"),
    # ------------------------------------------------------------------ entitlement: derived anew, in one step
    Row(_E, _REDERIVE, _ANY_ENTITLEMENT, VALID, ("before_expiring",), why="2.5 what the dates say, in one step"),
    Row(_E, _REDERIVE, _ANY_ENTITLEMENT, EXPIRING, ("before_expiry",), why="2.5 what the dates say, in one step"),
    Row(_E, _REDERIVE, _ANY_ENTITLEMENT, GRACE, ("before_grace_end",), why="2.5 what the dates say, in one step"),
    Row(_E, _REDERIVE, _ANY_ENTITLEMENT, FREE_MODE, why="2.5 what the dates say, in one step"),
    # ------------------------------------------------------------------ automatic update: what the user does
    Row(
        _A,
        ("enable",),
        (OFF, AUTO_UPDATE_DISABLED),
        CHECKING,
        ("deadline_reached",),
        ("postpone_deadline", "ask", "switch_on"),
        why="5.2 enabling past the deadline grants 24 hours, each time",
    ),
    Row(_A, ("enable",), (OFF, AUTO_UPDATE_DISABLED), CHECKING, (), ("ask", "switch_on"), why="6.1 asks at once"),
    Row(
        _A,
        ("enable",),
        (CHECKING,),
        None,
        ("begun_while_off", "deadline_reached"),
        ("postpone_deadline", "switch_on"),
        why="6.4 the check under way becomes the enabling one, and the deadline is past (5.2)",
    ),
    Row(
        _A,
        ("enable",),
        (CHECKING,),
        None,
        ("begun_while_off",),
        ("switch_on",),
        why="6.4 the check under way becomes the enabling one",
    ),
    Row(_A, ("enable",), (SCHEDULED, CHECKING, RETRYING), None, why="6.1 already on"),
    Row(
        _A,
        ("disable",),
        (SCHEDULED, CHECKING, RETRYING, AUTO_UPDATE_DISABLED),
        OFF,
        (),
        ("stop",),
        why="6.2 an answer still under way is ignored",
    ),
    Row(_A, ("disable",), (OFF,), None, why="6.2 already off"),
    Row(
        _A,
        ("check_now",),
        (OFF, SCHEDULED, RETRYING, AUTO_UPDATE_DISABLED),
        CHECKING,
        (),
        ("ask", "mark_by_user"),
        why="6.3 asks once, and remembers where it came from",
    ),
    Row(_A, ("check_now",), (CHECKING,), None, why="6.3 joins the running check"),
    # ------------------------------------------------------------------ automatic update: the clock
    Row(
        _A,
        ("check_due",),
        (SCHEDULED, RETRYING),
        CHECKING,
        ("deadline_missed",),
        ("postpone_deadline", "excuse", "ask"),
        why="5.2 a deadline found late is not held against the user, once per key",
    ),
    Row(
        _A,
        ("check_due",),
        (SCHEDULED, RETRYING),
        CHECKING,
        ("last_chance",),
        ("ask",),
        why="5.1 one last time: without a new key automatic update disables itself",
    ),
    Row(_A, ("check_due",), (SCHEDULED,), CHECKING, (), ("ask",), why="3.1, 3.2 by cadence"),
    Row(_A, ("check_due",), (RETRYING,), CHECKING, (), ("ask",), why="4.2 after the retry interval"),
    # ------------------------------------------------------------------ automatic update: the answer
    Row(_A, _GOOD, (CHECKING,), OFF, ("begun_in_off",), ("note_success",), why="6.3 returns to where it began"),
    Row(
        _A,
        ("renewed",),
        (CHECKING,),
        SCHEDULED,
        ("begun_in_disabled", *_RESUMABLE),
        ("note_success", "resume"),
        why="6.3, 6.5 a key that expires later resumes what the deadline disabled",
    ),
    Row(
        _A,
        _GOOD,
        (CHECKING,),
        AUTO_UPDATE_DISABLED,
        ("begun_in_disabled",),
        ("note_success",),
        why="6.3 returns to where it began",
    ),
    Row(
        _A,
        ("current",),
        (CHECKING,),
        AUTO_UPDATE_DISABLED,
        ("last_chance",),
        ("give_up_by_deadline",),
        why="5.1 the last question brought no new key",
    ),
    Row(_A, _GOOD, (CHECKING,), SCHEDULED, (), ("note_success", "schedule"), why="4.1 by cadence"),
    Row(_A, _BAD, (CHECKING,), OFF, ("begun_in_off",), ("note_failure",), why="6.3 returns to where it began"),
    Row(
        _A,
        _BAD,
        (CHECKING,),
        AUTO_UPDATE_DISABLED,
        ("begun_in_disabled",),
        ("note_failure",),
        why="6.3 returns to where it began",
    ),
    Row(
        _A,
        ("retry",),
        (CHECKING,),
        AUTO_UPDATE_DISABLED,
        ("last_chance",),
        ("report_failure", "give_up_by_deadline"),
        why="5.1 the last question brought no new key",
    ),
    Row(
        _A,
        ("retry",),
        (CHECKING,),
        RETRYING,
        (),
        ("note_failure", "retry_later"),
        why="4.1 again after the outcome's interval",
    ),
    Row(
        _A,
        ("give_up",),
        (CHECKING,),
        AUTO_UPDATE_DISABLED,
        (),
        ("report_failure", "give_up_by_contract"),
        why="4.1 the contract has ended",
    ),
    # ------------------------------------------------------------------ automatic update: a key installed by hand
    Row(_A, ("installed",), (SCHEDULED,), None, (), ("schedule_from_now",), why="6.5 by cadence, counted from now"),
    Row(
        _A,
        ("installed",),
        (RETRYING,),
        SCHEDULED,
        ("expires_later",),
        ("schedule_from_now",),
        why="6.5 by cadence, counted from now",
    ),
    Row(_A, ("installed",), (RETRYING,), None, why="6.5 the key expires no later: stays as it was"),
    Row(
        _A,
        ("installed",),
        (AUTO_UPDATE_DISABLED,),
        SCHEDULED,
        _RESUMABLE,
        ("resume",),
        why="6.5 a key that expires later resumes what the deadline disabled",
    ),
    Row(
        _A,
        ("installed",),
        (CHECKING,),
        None,
        ("begun_in_disabled", *_RESUMABLE),
        ("resume_after_check",),
        why="6.5 the answer returns to where the key would have led",
    ),
    Row(
        _A,
        ("installed",),
        (OFF, CHECKING, AUTO_UPDATE_DISABLED),
        None,
        why="6.5 the state stays, and the report says where automatic update is off",
    ),
    # ------------------------------------------------------------------ automatic update: host and clock
    Row(
        _A,
        ("restarted",),
        (CHECKING,),
        None,
        ("deadline_missed_away",),
        ("postpone_deadline", "excuse", "ask_again"),
        why="7.3 asks again at once, and the deadline passed meanwhile (5.2)",
    ),
    Row(_A, ("restarted",), (CHECKING,), None, (), ("ask_again",), why="7.3 asks again at once"),
    Row(
        _A,
        ("restarted",),
        (OFF, SCHEDULED, RETRYING, AUTO_UPDATE_DISABLED),
        None,
        why="7.3 no question was under way",
    ),
    Row(
        _A,
        ("clock_went_back",),
        (SCHEDULED, RETRYING, AUTO_UPDATE_DISABLED),
        CHECKING,
        (),
        ("ask",),
        why="7.5 asks once at once",
    ),
    Row(_A, ("clock_went_back",), (OFF, CHECKING), None, why="7.5 off, or asking already"),
    Row(
        _A,
        ("clock_corrected",),
        (AUTO_UPDATE_DISABLED,),
        SCHEDULED,
        _AHEAD_AGAIN,
        ("resume",),
        why="7.6 its deadline lies ahead again",
    ),
    Row(
        _A,
        ("clock_corrected",),
        (CHECKING,),
        None,
        ("begun_in_disabled", *_AHEAD_AGAIN),
        ("resume_after_check",),
        why="7.6 its deadline lies ahead again",
    ),
    Row(
        _A,
        ("clock_corrected",),
        (SCHEDULED, RETRYING),
        None,
        (),
        ("bring_forward",),
        why="7.6 the next question is no later than counted from now",
    ),
    Row(_A, ("clock_corrected",), (OFF, CHECKING, AUTO_UPDATE_DISABLED), None, why="7.6 nothing to derive"),
    Row(
        _A,
        ("policy_changed",),
        (SCHEDULED,),
        None,
        (),
        ("bring_forward",),
        why="2.5, 3.1 the next question is no later than by the new cadence",
    ),
    Row(
        _A,
        ("policy_changed",),
        (OFF, CHECKING, RETRYING, AUTO_UPDATE_DISABLED),
        None,
        why="2.5, 4.2 the retry stays as it was",
    ),
)
