"""A small backup product that embeds licfsm as a customer's would: a program of its own, with settings, jobs, a window.

    python product.py settings.json

Its administrator sits at the standard input: a command is a line, and so is the answer, in JSON. With a ``clock`` in
its settings, it lives in virtual time, which the command ``at`` moves; without one, a thread of licfsm drives it.
"""

import contextlib
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import licfsm
from licfsm.testing import ManualClock

JOBS: Final = {"nightly": "paid", "replica": "paid", "tape copy": "free", "restore": "always"}


class Product:
    """The product while it runs.

    Args:
        settings: what its administrator wrote down.
        manager: knows its license.
        clock: its clock, in virtual time.

    """

    def __init__(self, settings: Mapping[str, Any], manager: licfsm.LicenseManager, clock: ManualClock | None) -> None:
        """Begin to listen to what happens to the license."""
        self._settings = settings
        self._manager = manager
        self._clock = clock
        self._heard: list[str] = []
        manager.subscribe(self._hear)

    def _hear(self, entry: licfsm.JournalEntry) -> None:
        """Keep for the window what changed."""
        at = f"{entry.at:%m-%dT%H:%M}"
        self._heard += [f"{at} {move.source} > {move.target}" for move in entry.transitions]

    def answer(self, command: str, argument: str) -> object:
        """Do what the administrator wants, and tell what he sees."""
        manager = self._manager
        commands: dict[str, Callable[[], object]] = {
            "install": lambda: manager.install(Path(argument)),
            "enable": manager.enable_auto_update,
            "disable": manager.disable_auto_update,
            "check": lambda: manager.check_now(wait=30).outcome,
            "jobs": self.jobs,
            "window": self.window,
            "heard": self.heard,
            "sessions": self.sessions,
            "due": lambda: due.isoformat() if (due := manager.next_due()) else None,
            "at": lambda: self.move_to(argument),
        }
        return commands[command]()

    def jobs(self) -> dict[str, str]:
        """Say of each job whether it may run now: ``runs``, ``runs, but …`` with the warning, or ``refused``."""
        told = {}
        for job in JOBS:
            warning = self._manager.job_warning(job)
            runs = f"runs, but {warning}" if warning else "runs"
            told[job] = runs if self._manager.allows(job) else "refused"
        return told

    def window(self) -> dict[str, Any]:
        """Show the license information, with times as the license's zone has them."""
        status = self._manager.status()
        return {
            "license": status.text,
            "auto update": status.auto_update,
            "next check": f"{status.next_check:%m-%dT%H:%M}" if status.next_check else "",
            "unsent": sum(pending.count for pending in status.undelivered),
            "targets": {target.name: target.error or "holds the key" for target in status.targets},
        }

    def heard(self) -> list[str]:
        """Tell what changed since this was asked before."""
        heard, self._heard = self._heard, []
        return heard

    def sessions(self) -> list[str]:
        """List the checks, the oldest first, each with all its messages."""
        return [
            f"{session.started:%m-%dT%H:%M} {session.result}: {' | '.join(session.messages)}"
            for session in self._manager.sessions(limit=1000)
        ]

    def move_to(self, moment: str) -> None:
        """Let it be later, and do what is due then."""
        if self._clock:
            self._clock.move_to(moment)
            self._manager.tick()


def _open(settings: Mapping[str, Any], clock: ManualClock | None) -> licfsm.LicenseManager:
    return licfsm.LicenseManager.open(
        settings["store"],
        policy="veeam-9",
        trust=Path(settings["trust"]),
        server=licfsm.HttpsServer(settings["server"], ca=settings["ca"], deadline=settings.get("deadline", 10)),
        targets=settings["targets"],
        mail=licfsm.Mail(**settings["mail"]),
        mail_repeat="on_change",
        operations=JOBS,
        spread="0 minutes",
        **({"clock": clock} if clock else {}),
    )


def main() -> None:
    """Run until the administrator closes it."""
    settings = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    clock = ManualClock(settings["clock"]) if settings.get("clock") else None
    with _open(settings, clock) as manager, contextlib.ExitStack() as stack:
        if not clock:
            stack.enter_context(manager.running())
        product = Product(settings, manager, clock)
        for line in sys.stdin:
            command, _, argument = line.strip().partition(" ")
            try:
                answer = {"answer": product.answer(command, argument)}
            except licfsm.LicfsmError as error:
                answer = {"error": str(error)}
            sys.stdout.write(json.dumps(answer) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
