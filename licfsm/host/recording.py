"""A license's journal as a replay: what happened to it in a host, told and drawn as a scenario is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from licfsm import effects as fx
from licfsm import events as ev
from licfsm.adapters.store import Row
from licfsm.errors import NotInstalled
from licfsm.host.audit import replay_journal
from licfsm.instants import Span
from licfsm.key import LicenseKey
from licfsm.license import License
from licfsm.lifecycle import AUTO_UPDATE, ENTITLEMENT
from licfsm.policy import Policy
from licfsm.scenario.replay import Action, InForce, Replay, lines_of
from licfsm.scenario.story import Story

__all__ = ["recorded"]

_HOST: Final[Mapping[type, str]] = {
    ev.Enable: "enable",
    ev.Disable: "disable",
    ev.CheckNow: "check_now",
    ev.Install: "install",
    ev.FirstInstalled: "install",
}


def recorded(
    license_id: str, until: int, rows: Iterable[Row], keys: Mapping[int, LicenseKey], policies: Mapping[str, Policy]
) -> Replay:
    """Live through a license's journal, and take down what came of it.

    Args:
        license_id: the license.
        until: up to when, in milliseconds; the clock of the host counts as right.
        rows: the journal's entries, in order; of all licenses, or of this one and of what all run under.
        keys: the keys in the store, by number.
        policies: the policies in the store, by digest.

    Raises:
        StoreDamaged: the journal cannot be lived through, for one because its beginning was not kept.
        NotInstalled: the license has no key yet.

    """
    found: list[Replay] = []
    failing: set[str] = set()

    def watch(row: Row, lic: License, event: ev.Event, effects: list[fx.Effect]) -> None:
        if row["license"] != license_id:
            return
        at = row["at"]
        if not found:
            found.append(_begun(lic, at, until, effects))
        result = found[0]
        if action := _HOST.get(type(event)):
            result.trace.append(Action(at, at, "host", action))
        elif isinstance(event, ev.PolicyChanged):
            result.trace.append(Action(at, at, "world", f"policy: {event.policy.name}"))
        elif isinstance(event, ev.ClockStepped) and not event.interrupted:
            result.trace.append(Action(at, at, "world", "clock:", at))
        elif isinstance(event, ev.TargetWritten):
            failing.discard(event.target)
            result.trace.append(Action(at, at, "key written to", event.target))
        elif isinstance(event, ev.TargetFailed) and event.target not in failing:  # the first time, not every hour
            failing.add(event.target)
            result.trace.append(Action(at, at, "key not written to", event.target))
        result.trace.extend(lines_of(effects, at, at))
        last = result.in_force[-1]
        if (lic.key, lic.policy) != (last.key, last.policy):
            result.in_force.append(InForce(at, lic.key, lic.policy, lic.dates))

    replay_journal(rows, keys, policies, watch)
    if not found:
        message = f"license {license_id} has no key yet; install one first"
        raise NotInstalled(message)
    return found[0]


def _begun(lic: License, at: int, until: int, effects: Iterable[fx.Effect]) -> Replay:
    """Begin with the first key; the states are those before what came of it."""
    moved: dict[str, str] = {}
    for effect in effects:
        if isinstance(effect, fx.Moved):
            moved.setdefault(effect.region, effect.source)
    first = (moved.get(ENTITLEMENT, lic.state.entitlement), moved.get(AUTO_UPDATE, lic.state.auto_update))
    story = Story(
        name=f"License {lic.key.id}",
        file="",
        policy=lic.policy,
        key=lic.key,
        spread=Span(ms=0),
        mail=lic.mail,
        jobs={},
        start=at,
        end=max(at, until),
        end_place=(1, 1),
        entries=(),
        never=(),
        reaches=(),
        places={},
    )
    return Replay(story, lic, first, in_force=[InForce(at, lic.key, lic.policy, lic.dates)])
