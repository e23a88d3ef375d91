"""What must survive of one license between two steps, and the model that the machines run on.

Small on purpose: a host may hold a million of them. What follows from the key and the policy (the
deadlines) or from the states (the timers) is derived, not stored. Times are milliseconds, UTC.
"""

from __future__ import annotations

import attrs

from licfsm.instants import NEVER

__all__ = ["FailureMail", "Record", "TargetWrite"]


@attrs.frozen
class TargetWrite:
    """A key that is still to be written to a target (rules.md 4.4).

    Attributes:
        target: the target's name.
        attempt: the check that brought the key; 0 for one installed by hand.
        retry_at: when it is tried again.
        warned: whether a target of the same key failed, which the check's session tells.
        told_at: when its failure was last told by mail; None as long as it did not fail.
        under_way: whether it is being written, as far as anybody knows; after a kill it is written again.

    """

    target: str
    attempt: int
    retry_at: int
    warned: bool = False
    told_at: int | None = None
    under_way: bool = False


@attrs.frozen
class FailureMail:
    """A mail about a failed check in a run of failures (rules.md 8.2).

    Attributes:
        outcome: the failure it was about.
        at: when it was sent.
        repeats: how many mails in a row were about that same failure, the first aside.

    """

    outcome: str
    at: int
    repeats: int


@attrs.define(eq=False, weakref_slot=False)
class Record:
    """The state of one license.

    Attributes:
        entitlement: what the host may do: ``Valid``, ``Expiring``, ``Grace``, ``FreeMode``.
        auto_update: when the server is asked: ``Off``, ``Scheduled``, ``Checking``, ``Retrying``,
            ``AutoUpdateDisabled``.
        origin: where ``Checking`` came from.
        by_user: whether the check under way is a `check_now`; its failure is not mailed (8.2).
        attempt: the number of the last attempt.
        asked_at: when it began.
        asked_due: when it should have begun.
        counts_from: the time from which the cadence counts: of asking, less the spread's offset (3.6).
        next_at: the next question by cadence or retry; NEVER for none.
        give_up_at: the deadline at which automatic update disables itself (5.1); NEVER for none.
        excused: whether this key's deadline was found late once already (5.2).
        disabled_by: ``deadline`` or ``contract``, what switched automatic update off (6.5).
        last_outcome: of the last check that was answered; empty before.
        failing: whether a run of failures goes on that is still to be told as recovered (4.2).
        mailed: the mail about a failure in this run from which ``on_change`` counts; None as long as
            none was sent.
        told: the states of this key that were told, as bits.
        held: whether the notice of the state waits for the answer to the question under way (7.2).
        latest: the latest time seen, by which entitlement is judged (7.5).
        confirm_at: when a jump of the clock is confirmed (7.5); NEVER if none waits for it.
        went_back: whether the clock is behind `latest` and that was told.
        writes: the targets that do not hold the key yet.

    """

    entitlement: str
    auto_update: str
    origin: str | None
    by_user: bool
    attempt: int
    asked_at: int
    asked_due: int
    counts_from: int
    next_at: int
    give_up_at: int
    excused: bool
    disabled_by: str | None
    last_outcome: str
    failing: bool
    mailed: FailureMail | None
    told: int
    held: bool
    latest: int
    confirm_at: int
    went_back: bool
    writes: tuple[TargetWrite, ...]

    @classmethod
    def first(cls, entitlement: str, auto_update: str, give_up_at: int, now: int) -> Record:
        """Make the record of a license at the first sight of its key (rules.md 2.5)."""
        return cls(
            entitlement=entitlement,
            auto_update=auto_update,
            origin=None,
            by_user=False,
            attempt=0,
            asked_at=now,
            asked_due=now,
            counts_from=now,
            next_at=NEVER,
            give_up_at=give_up_at,
            excused=False,
            disabled_by=None,
            last_outcome="",
            failing=False,
            mailed=None,
            told=0,
            held=False,
            latest=now,
            confirm_at=NEVER,
            went_back=False,
            writes=(),
        )

    def copy(self) -> Record:
        """Make a fresh copy for a step to work on; written out, since every step makes one."""
        return Record(
            self.entitlement,
            self.auto_update,
            self.origin,
            self.by_user,
            self.attempt,
            self.asked_at,
            self.asked_due,
            self.counts_from,
            self.next_at,
            self.give_up_at,
            self.excused,
            self.disabled_by,
            self.last_outcome,
            self.failing,
            self.mailed,
            self.told,
            self.held,
            self.latest,
            self.confirm_at,
            self.went_back,
            self.writes,
        )
