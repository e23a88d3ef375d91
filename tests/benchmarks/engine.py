"""How fast and how small the engine is, against stock ``transitions`` in the same run.

Run it by hand: ``python tests/benchmarks/engine.py``. Machines are noisy, so each figure is the median of
rounds in which the peer and the subject take turns; what counts are the ratios.
"""

from __future__ import annotations

import gc
import statistics
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import transitions

import licfsm
from licfsm.lifecycle import AUTO_UPDATE, INITIAL, REGIONS, ROWS, SCHEDULED
from licfsm.loading.scenarios import load_scenario
from licfsm.machine import MACHINES
from licfsm.policy import named
from licfsm.record import Record
from licfsm.rules import GUARDS
from licfsm.scenario.replay import Check, Transition, replay
from licfsm.scenario.story import Story
from licfsm.step import Step

ROUNDS = 25
TRIGGERS = 3_000
LICENSES = 2_000


def story(months: int) -> Story:
    """Make a story of hourly retries over some months of 30 days."""
    text = f"""
version: 1
policy: veeam-9
license: {{type: subscription, expires: 2026-12-14}}
start: 2025-01-01
until: start + {30 * months} days + 12 hours
timeline:
  - {{at: start, server: connection_failed}}
  - {{at: start, host: enable}}
"""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "story.yaml"
        path.write_text(text, encoding="utf-8")
        return load_scenario(path)


def guards_only() -> transitions.Machine:
    """Build the machine of automatic update by stock ``transitions``: states, rows and guards, no effects."""
    machine = transitions.Machine(
        model=None,
        states=list(REGIONS[AUTO_UPDATE]),
        initial=INITIAL[AUTO_UPDATE],
        auto_transitions=False,
        model_attribute=AUTO_UPDATE,
    )
    for row in ROWS:
        if row.region == AUTO_UPDATE:
            for trigger in row.triggers:
                guards = [GUARDS[guard] for guard in row.guards]
                machine.add_transition(trigger, list(row.sources), row.target, conditions=guards)
    return machine


def stock(machine: transitions.Machine, subject: Story) -> Callable[[], float]:
    """Time one trigger of a machine: ``check_due`` and ``retry`` in turns, in microseconds."""
    key, policy = subject.key, subject.policy
    record = Record.first("Valid", SCHEDULED, 1 << 62, 0)
    record.origin, record.last_outcome = SCHEDULED, "connection_failed"
    step = Step(record, key, policy, policy.dates(key), 0, 0, policy.mail_repeat, ())
    due, retry = machine.events["check_due"].trigger, machine.events["retry"].trigger

    def once() -> float:
        began = time.perf_counter()
        for _ in range(TRIGGERS):
            due(record, step)
            retry(record, step)
            step.out.clear()
            step.told.clear()
        return (time.perf_counter() - began) / TRIGGERS / 2 * 1e6

    return once


def speed() -> None:
    """Compare a check and a transition through the whole replay with a stock trigger of the same machine."""
    subject = story(2)
    result = replay(subject)
    checks = sum(isinstance(line, Check) for line in result.trace)
    moves = sum(isinstance(line, Transition) for line in result.trace)
    peers = {"as built": stock(MACHINES[AUTO_UPDATE], subject), "guards only": stock(guards_only(), subject)}
    times: dict[str, list[float]] = {name: [] for name in (*peers, "replay")}
    for _ in range(ROUNDS):
        for name, peer in peers.items():
            times[name].append(peer())
        began = time.perf_counter()
        replay(subject)
        times["replay"].append((time.perf_counter() - began) * 1e6)
    whole = statistics.median(times["replay"])
    for name in peers:
        trigger = statistics.median(times[name])
        print(f"stock trigger, machine {name}: {trigger:.1f} us")
        print(
            f"  a transition through the replay: {whole / moves:.1f} us, {whole / moves / trigger:.2f} triggers (<= 2.5)"
        )
        print(f"  a check with its two: {whole / checks:.1f} us, {whole / checks / trigger:.2f} triggers (<= 5)")


def scale() -> None:
    """Compare twelve months of hourly retries with one; and look for growth over 1,000 scenarios."""
    one, twelve = story(1), story(12)
    ratios = []
    for _ in range(5):
        began = time.perf_counter()
        replay(one)
        middle = time.perf_counter()
        replay(twelve)
        ratios.append((time.perf_counter() - middle) / (middle - began))
    print(f"twelve months against one: {statistics.median(ratios):.1f} times (12)")
    short = story(0)
    for _ in range(20):
        replay(short)
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for _ in range(1_000):
        replay(short)
    gc.collect()
    print(f"growth over 1,000 scenarios: {(tracemalloc.get_traced_memory()[0] - before) / 1024:.1f} KiB (0)")
    tracemalloc.stop()


class UpToDate:
    """A server without news."""

    def ask(self, _question: licfsm.Question) -> licfsm.Answer:
        """Answer that there is no newer key."""
        return licfsm.Answer("up_to_date")


def size() -> None:
    """Measure an idle license: scheduled, its first check behind it, beyond its key and shared policy."""
    key = licfsm.LicenseKey(id="ACME-1", type="subscription", expires="2025-12-14")
    policy, clock, server = named("veeam-9"), licfsm.ManualClock("2025-02-01"), UpToDate()
    start = clock.now_ms()
    kept = [licfsm.License(key, policy, clock=clock)] * LICENSES
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for number in range(LICENSES):
        clock.move_to(start + number * 1_000)
        license_ = licfsm.License(key, policy, clock=clock)
        license_.enable()
        license_.advance(start + number * 1_000 + 20 * 86_400_000, server=server)
        kept[number] = license_
    gc.collect()
    used = (tracemalloc.get_traced_memory()[0] - before) / LICENSES
    tracemalloc.stop()
    print(f"an idle license: {used:.0f} bytes (<= 600)")


def start() -> None:
    """Compare importing the package and its `License` with importing what it stands on."""

    def took(code: str) -> float:
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True)
        return time.perf_counter() - began

    empty, peers, package, engine = [], [], [], []
    for _ in range(ROUNDS):
        empty.append(took("pass"))
        peers.append(took("import transitions, attrs, pendulum"))
        package.append(took("import licfsm"))
        engine.append(took("from licfsm import License"))
    base = statistics.median(empty)
    stands_on = statistics.median(peers) - base
    for name, times in (("import licfsm", package), ("from licfsm import License", engine)):
        print(f"{name}: {(statistics.median(times) - base) / stands_on:.2f} of its peers' import (<= 1.5)")


if __name__ == "__main__":
    speed()
    scale()
    size()
    start()
