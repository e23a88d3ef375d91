"""Does what steps ask for: questions to the license server, keys to targets, notices to their channels.

It runs wherever a host lets a tick run, one at a time. No lock is held while the world is waited for. What comes of it
goes back as an event; where that cannot be taken down, because a disk is full, it is kept and tried again.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping
from typing import Final

import attrs

from licfsm import effects as fx
from licfsm import events as ev
from licfsm.adapters.log import in_one_line, logger
from licfsm.errors import KeyRejected, StoreError, WrongProcess
from licfsm.host.outbox import FAILED, Outbox, as_reason
from licfsm.host.registry import BATCH, Registry
from licfsm.key import LicenseKey, clean_text
from licfsm.lifecycle import CHECKING
from licfsm.ports import Answer, LicenseServer, Question, Target

__all__ = ["LONGEST", "Performer"]

LONGEST: Final = 30.0
"""For how many seconds a tick begins further calls to the world, though each part of it (the server, targets, each
channel) gets one call at least; a call may take as long as its adapter lets it."""

_COLLECT: Final = 0.05
"""For how many seconds answers are collected before they are taken down together."""

_AT_ONCE: Final = 0.005
"""Seconds; what took longer to come, as from any real server, is taken down before another is asked, which may hang."""

_FAVOR: Final = 10.0
"""For how many seconds those whose check somebody waits for come first, before one of the others has its turn."""

_NO_SERVER: Final = Answer("connection_failed", detail="the host named no license server; give one with server=")


class Performer:
    """Does what the licenses of a registry ask for.

    Args:
        registry: the licenses.
        outbox: delivers notices.
        server: gives new keys; None where the host named none.
        targets: name -> what keys are written to.

    """

    def __init__(
        self, registry: Registry, outbox: Outbox, server: LicenseServer | None, targets: Mapping[str, Target]
    ) -> None:
        """Begin with whatever was left undone."""
        self._registry = registry
        self._outbox = outbox
        self._server = server
        self.targets = targets
        self.awaited: list[str] = []
        """Licenses whose check somebody waits for: theirs come first, ahead of the mail too."""
        self._favored_since: float | None = None
        self._outcomes: list[tuple[str, ev.Event]] = []

    def write_again(self) -> None:
        """Have every key written again whose writing a kill may have cut short."""
        registry = self._registry
        with registry.lock:
            registry.writes.clear()
            for entry in registry.entries.values():
                if entry.lic is not None and entry.lic.record.writes:
                    key = entry.lic.key
                    cut_short = (write for write in entry.lic.record.writes if write.under_way)
                    registry.writes.extend((entry.id, fx.WriteTarget(write.target, key)) for write in cut_short)

    def perform(self, wanted: Callable[[], bool], *, only: str | None = None) -> None:
        """Do what is to be done.

        Args:
            wanted: asked before each call to the world; no further one is made once it says no.
            only: a license; of the others nothing is asked, and nothing is written.

        Raises:
            StoreError: what came of it could not be taken down; that is tried again.

        """
        end = time.monotonic() + LONGEST
        share = LONGEST / 2
        while wanted():
            # Each part has a share of its own, and one call at least: a slow server holds up no mail.
            self._ask(_turn(wanted, share), only)
            self._registry.step_due()  # a new key is to be written to its targets at once
            self._write(_turn(wanted, share / 2, unless=self._awaited), only)
            if not self.is_owed(only) or time.monotonic() >= end:
                break
        self._outbox.deliver(lambda: _turn(wanted, share / 2, unless=self._awaited))

    def is_owed(self, only: str | None = None) -> bool:
        """Say whether a question waits to be asked, or a key to be written."""
        writes = self._registry.writes
        if only is None:
            return bool(writes or self._registry.checking())
        return any(license_id == only for license_id, _ in (*writes, *self._registry.checking()))

    # ------------------------------------------------------------------------------------ the server

    def _ask(self, may_go_on: Callable[[], bool], only: str | None) -> None:
        self._take_down()
        collected_since = time.monotonic()
        waiting = deque(pair for pair in self._registry.checking() if only in {None, pair[0]})
        while ((awaited := self._awaited(only)) or waiting) and may_go_on():
            first = awaited if self._favors(awaited, waiting) else None
            license_id, attempt = first or waiting.popleft()
            question = self._question(license_id, attempt)
            if question is None:
                continue
            began = time.monotonic()
            answer = self._answer(question)
            self._outcomes.append((license_id, _answered(attempt, answer)))
            now = time.monotonic()
            at_once = first or answer.key is not None or now - began >= _AT_ONCE
            if at_once or now - collected_since >= _COLLECT or len(self._outcomes) >= BATCH:
                self._take_down()
                self._registry.step_due()
                collected_since = time.monotonic()
            if first and self._registry.writes:
                break  # a key that somebody waits for is to be written before others are asked
        self._take_down()

    def _awaited(self, only: str | None = None) -> tuple[str, int] | None:
        """Name a license whose question is open and waited for by somebody, with the attempt's number."""
        if not self.awaited:
            return None
        answered = {license_id for license_id, _ in self._outcomes}  # what is to be taken down is not asked again
        for license_id in tuple(self.awaited):
            lic = None if license_id in answered else self._registry.entries[license_id].lic
            if lic is not None and lic.record.auto_update == CHECKING and only in {None, license_id}:
                return license_id, lic.record.attempt
        return None

    def _favors(self, awaited: object, others: Collection[object]) -> bool:
        """Say whether what somebody waits for comes first; not for ever, where somebody always does."""
        now = time.monotonic()
        if awaited and others:
            self._favored_since = self._favored_since or now
        if not awaited or (others and now - (self._favored_since or now) >= _FAVOR):
            self._favored_since = None
            return False
        return True

    def _question(self, license_id: str, attempt: int) -> Question | None:
        """Ask what is still to be asked: a command may have come in between."""
        with self._registry.lock:
            lic = self._registry.entries[license_id].lic
            if lic is None or lic.record.auto_update != CHECKING or lic.record.attempt != attempt:
                return None
            return Question(attempt, lic.key, lic.record.asked_at)

    def _answer(self, question: Question) -> Answer:
        """Ask the server; a key is believed only if its signature can be verified here (4.3)."""
        if self._server is None:
            return _NO_SERVER
        try:
            answer = _as_answer(self._server.ask(question))
            key = answer.key(question.key) if callable(answer.key) else answer.key
            if answer.key is not None and not isinstance(key, str | LicenseKey):
                message = f"the key of new_key must be signed text, or a LicenseKey, not {type(key).__name__}"
                raise TypeError(message)
        except KeyRejected as error:  # of an adapter that verifies by itself
            return _refused(question, error, Answer("key_rejected"))
        except FAILED as error:
            logger.exception("the license server's adapter failed for license %s", question.key.id)
            return Answer("connection_failed", detail=f"the license server's adapter failed: {in_one_line(error)}")
        if key is None:
            return answer
        try:
            verified = self._registry.trust.verify(key if isinstance(key, str) else key.signed)
        except KeyRejected as error:
            return _refused(question, error, answer)
        return attrs.evolve(answer, key=verified)

    def _take_down(self) -> None:
        """Take down what came of calls; what cannot be taken down now stays for the next time."""
        while self._outcomes:
            batch = self._outcomes[:BATCH]
            try:
                self._registry.step_all(batch)
            except (StoreError, WrongProcess):
                raise
            except Exception:  # one of them is impossible: the others count
                batch = batch[:1]
                self._take_down_one(*batch[0])
            del self._outcomes[: len(batch)]

    def _take_down_one(self, license_id: str, event: ev.Event) -> None:
        try:
            self._registry.step_all([(license_id, event)])
        except (StoreError, WrongProcess):
            raise
        except Exception:
            logger.exception("what came of a call for license %s is impossible, and dropped: %r", license_id, event)

    # ------------------------------------------------------------------------------------ targets

    def _write(self, may_go_on: Callable[[], bool], only: str | None) -> None:
        registry = self._registry
        while may_go_on() and (found := self._next_write(only)):
            license_id, effect = found
            lic = registry.entries[license_id].lic
            owed = (
                lic is not None
                and lic.key == effect.key
                and any(write.target == effect.target for write in lic.record.writes)
            )
            if not owed:
                continue  # a later key took its place (4.4), or it was written meanwhile
            try:
                reason = self._written(license_id, effect)
            except BaseException:
                registry.writes.appendleft(found)  # it was interrupted, and is written again
                raise
            event: ev.Event = (
                ev.TargetWritten(effect.target, effect.key)
                if reason is None
                else ev.TargetFailed(effect.target, effect.key, reason)
            )
            self._outcomes.append((license_id, event))
            self._take_down()

    def _next_write(self, only: str | None) -> tuple[str, fx.WriteTarget] | None:
        """Take what is to be written next out of the queue: first what somebody waits for."""
        writes = self._registry.writes
        first = frozenset(self.awaited if only is None else (only,))
        if not first:
            return writes.popleft() if writes else None
        places = (place for place, (license_id, _) in enumerate(writes) if license_id in first)
        place = next(places, 0 if only is None and writes else None)
        if place is None:
            return None
        found = writes[place]
        del writes[place]
        return found

    def _written(self, license_id: str, effect: fx.WriteTarget) -> str | None:
        try:
            reason = self.targets[effect.target].write(effect.key)
        except KeyError:
            reason = "the host no longer names this target"
        except FAILED as error:
            logger.exception("target %s failed", effect.target)
            reason = f"the target's adapter failed: {in_one_line(error)}"
        reason = as_reason(reason)
        self._registry.reasons[license_id, effect.target] = reason
        return reason


def _turn(
    wanted: Callable[[], bool], seconds: float, *, unless: Callable[[], object] = lambda: None
) -> Callable[[], bool]:
    """Make what says whether one more call may be begun: the first one always, if it is wanted.

    Args:
        wanted: whether any call is.
        seconds: for how long further ones are begun.
        unless: what comes before a further one.

    """
    end = [math.inf]

    def may_go_on() -> bool:
        now = time.monotonic()
        allowed = now < end[0] and not (end[0] < math.inf and unless())
        end[0] = min(end[0], now + seconds)
        return allowed and wanted()

    return may_go_on


def _as_answer(given: object) -> Answer:
    if not isinstance(given, Answer):
        message = f"the server's adapter must return an Answer, not {given!r:.80}"
        raise TypeError(message)
    return given


def _refused(question: Question, error: KeyRejected, answer: Answer) -> Answer:
    logger.warning("the key for license %s is refused: %s", question.key.id, error)
    return Answer("key_rejected", None, answer.retry_after, answer.signed_time, detail=str(error))


def _answered(attempt: int, answer: Answer) -> ev.Answered:
    key = answer.key if isinstance(answer.key, LicenseKey) else None
    return ev.Answered(attempt, answer.outcome, key, answer.retry_after, answer.signed_time, clean_text(answer.detail))
