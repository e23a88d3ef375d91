"""What happens in the demo, act by act. Everything but the clock is real: HTTPS, signatures, files, mail.

The play tells what it sees, in the order in which it is seen: to whoever listens, as values. How that looks on a
terminal, the command knows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final, NamedTuple, Self
from urllib.parse import urlsplit

import attrs

from licfsm import instants
from licfsm.adapters.clock import ManualClock
from licfsm.adapters.mail import Mail
from licfsm.adapters.server import HttpsServer
from licfsm.demo.host import JOBS, BackupHost, Job
from licfsm.demo.mailbox import Mailbox
from licfsm.host.manager import LicenseManager
from licfsm.host.values import JournalEntry, Status
from licfsm.lifecycle import AUTO_UPDATE_DISABLED, CHECKING, ENTITLEMENT
from licfsm.scenario.replay import Replay
from licfsm.web.devserver import DevServer

__all__ = ["Act", "Checked", "Ended", "Jobs", "Mailed", "Moved", "Play", "Repeated", "Told", "Written"]

LICENSE: Final = "ACME-1"
START: Final = "2025-02-01T09:00"
END: Final = "2025-04-01T00:00"
POLICY: Final = "veeam-9"
TARGETS: Final = ("backup server", "Enterprise Manager")


class Act(NamedTuple):
    """Something that people do, or that befalls the server."""

    at: int
    title: str
    text: str


class Checked(NamedTuple):
    """The license server was asked, and what came of it; ``last`` where automatic update gave up with it."""

    at: int
    failed: bool
    said: str
    next_at: int | None
    last: bool


class Repeated(NamedTuple):
    """It was asked so many times more, from ``at`` to ``until``, with the same end.

    So often a failure was mailed again that had been mailed before.
    """

    at: int
    until: int
    times: int
    mails: int


_NEVER: Final = Repeated(0, 0, 0, 0)


class Written(NamedTuple):
    """The key was written to a target, or could not be."""

    at: int
    target: str
    done: bool


class Moved(NamedTuple):
    """A region of the license changed its state; ``status`` is what its user reads."""

    at: int
    region: str
    source: str
    target: str
    status: str


class Jobs(NamedTuple):
    """What the host's jobs may do from now on."""

    at: int
    jobs: list[Job]


class Mailed(NamedTuple):
    """A mail arrived."""

    at: int
    subject: str


class Ended(NamedTuple):
    """The end.

    Attributes:
        status: how the license stands.
        result: what happened to it.
        mails: how much was mailed.
        held: which targets hold its key.
        always: which jobs could run whenever one looked.

    """

    at: int
    status: Status
    result: Replay
    mails: int
    held: list[tuple[str, bool]]
    always: list[str]


Told = Act | Checked | Repeated | Written | Moved | Jobs | Mailed | Ended


@attrs.define
class Play:
    """The demo's world; made by `Play.begun`.

    Attributes:
        tell: listens.

    """

    tell: Callable[[Told], None]
    clock: ManualClock
    server: DevServer
    mailbox: Mailbox
    manager: LicenseManager
    host: BackupHost
    targets: dict[str, Path]
    _told_jobs: list[tuple[bool, bool]] = attrs.Factory(list)
    _outcome: str = ""
    _repeated: Repeated = _NEVER
    _auto_update: str = "Off"
    _mails: int = 0
    _subjects: set[str] = attrs.Factory(set)
    _refused: set[str] = attrs.Factory(set)

    @classmethod
    @contextmanager
    def begun(cls, folder: Path, tell: Callable[[Told], None]) -> Iterator[Self]:
        """Start license server, mail server and host.

        Args:
            folder: an empty one, for the store and the key files.
            tell: listens.

        """
        clock = ManualClock(START)
        with ExitStack() as stack:
            server = DevServer(folder=folder / "license server", clock=clock.now_ms)
            stack.callback(lambda: play.server.stop())  # noqa: PLW0108 - the one that runs then
            mailbox = stack.enter_context(Mailbox())
            address, port = mailbox.address
            targets = {name: folder / name / "license.lic" for name in TARGETS}
            for path in targets.values():
                path.parent.mkdir()
            client = HttpsServer(server.url, ca=server.ca)
            stack.callback(client.close)
            manager = stack.enter_context(
                LicenseManager.open(
                    folder / "licenses.db",
                    policy=POLICY,
                    trust=server.trust,
                    server=client,
                    targets=targets,
                    mail=Mail(
                        address,
                        port=port,
                        security="none",
                        sender="backup@example.com",
                        recipients=["admin@example.com"],
                        host_name="backup.example.com",
                    ),
                    mail_repeat="on_change",
                    operations=JOBS,
                    spread="0 minutes",
                    clock=clock,
                )
            )
            play = cls(tell, clock, server, mailbox, manager, BackupHost(manager), targets)
            manager.subscribe(play.hear)
            yield play

    # ------------------------------------------------------------------------------------ the story

    def run(self) -> Ended:
        """Live through the two months; gives the end, which is told as well."""
        for when, title, text, happens in self._acts():
            self._run_to(when)
            self._tell(Act(self.clock.now_ms(), title, " ".join(text.split())))
            happens()
            self._look()
        self._run_to(END)
        end = self._ended()
        self._tell(end)
        return end

    def _acts(self) -> list[tuple[str, str, str, Callable[[], object]]]:
        share = self.targets["Enterprise Manager"].parent
        return [
            (
                START,
                "The product is set up, without a license",
                "Nightly backup and replication need a license; file copy is free, and a restore always works.",
                lambda: None,
            ),
            (
                "2025-02-01T10:00",
                "A license key is installed",
                """It is good through the whole of 14 February: it expires at the midnight that ends it, and days are counted
                to there.""",
                self._install,
            ),
            (
                "2025-02-01T10:15",
                "The administrator switches automatic update on",
                """The license server is asked at once, then once a week, and from 7 February on, seven days before the
                expiration date, once a day.""",
                self.manager.enable_auto_update,
            ),
            (
                "2025-02-12T08:00",
                "The license server goes down",
                """It is asked the next time on 13 February, and from then on every 60 minutes. This product mails a
                failure that goes on once a day, after a week once a week; veeam-9 by itself mails every failure.""",
                self.server.stop,
            ),
            (
                "2025-02-18T10:30",
                "The license server is back, but it cannot make keys",
                """It says so, and is asked again every 24 hours, until the end of 14 March: 28 days after the expiration
                date, as many as its month has. It is another failure, so its mails begin anew. Grace is another clock: it
                ends with 16 March.""",
                self._bring_back,
            ),
            (
                "2025-03-20T09:30",
                "The vendor mends the server and renews the license",
                """The administrator switches automatic update on again, which asks at once. The new key is good for a
                year from the old expiration date. It goes to the backup server, and to the Enterprise Manager, whose
                shared folder cannot be reached just now.""",
                self._renew,
            ),
            (
                "2025-03-20T11:00",
                "The Enterprise Manager's shared folder is back",
                "It gets the key at the next hourly try, without another question to the license server.",
                lambda: share.with_name("away").rename(share),
            ),
        ]

    def _install(self) -> None:
        key = self.server.issue(LICENSE, expires="2025-02-14", product="Example Backup", holder="ACME")
        self.manager.install(key.signed)

    def _bring_back(self) -> None:
        port = urlsplit(self.server.url).port or 0
        self.server = DevServer(folder=self.server.folder, port=port, clock=self.clock.now_ms)
        self.server.fault("generation_failed")

    def _renew(self) -> None:
        share = self.targets["Enterprise Manager"].parent
        share.rename(share.with_name("away"))
        self.server.ok()
        self.server.renew(LICENSE, expires="2026-02-14")
        self.manager.enable_auto_update()

    def _run_to(self, when: str) -> None:
        """Let time go by, through every instant at which something is due, never over one."""
        end = ManualClock(when).now_ms()
        while self.clock.now_ms() < end:
            self._look()
            due = self.manager.next_due()
            ahead = end if due is None else max(instants.to_ms(due), self.clock.now_ms())
            self.clock.move_to(min(ahead, end))

    # ------------------------------------------------------------------------------------ what is seen

    def _look(self) -> None:
        """Do what is due, and see what it means for jobs and mailbox."""
        self.manager.tick()
        now = self.clock.now_ms()
        jobs = self.host.jobs()
        self._refused.update(job.name for job in jobs if not job.runs)
        shown = [(job.runs, bool(job.warning)) for job in jobs]
        if shown != self._told_jobs:
            self._told_jobs = shown
            self._tell(Jobs(now, jobs))
        for mail in self.mailbox.mails[self._mails :]:
            self._mails += 1
            subject = str(mail["Subject"]).strip()
            if subject in self._subjects:
                self._repeat(now, mails=1)
            else:
                self._subjects.add(subject)
                self._tell(Mailed(now, subject))

    def hear(self, entry: JournalEntry) -> None:
        """Hear of what the license was told of, and what came of it."""
        at = instants.to_ms(entry.at)
        if entry.event in {"target_written", "target_failed"}:
            self._tell(Written(at, entry.details["target"], entry.event == "target_written"))
        if entry.outcome:
            gave_up = any(move.target == AUTO_UPDATE_DISABLED for move in entry.transitions)
            self._hear_check(at, entry.outcome, last=gave_up)
        for move in entry.transitions:
            if move.region == ENTITLEMENT:
                self._tell(Moved(at, move.region, move.source, move.target, self.manager.status().text))
            elif CHECKING not in {move.source, move.target} or move.source == CHECKING:
                # A check leads from one lasting state to another by way of Checking.
                before, self._auto_update = self._auto_update, move.target
                if before != move.target:
                    self._tell(Moved(at, move.region, before, move.target, self.manager.status().text))

    def _hear_check(self, at: int, outcome: str, *, last: bool) -> None:
        if outcome == self._outcome and not last:
            self._repeat(at, times=1)
            return
        said = "the same result"
        (session,) = self.manager.sessions(limit=1)
        if outcome != self._outcome:
            said = "a new license key, verified and in force" if outcome == "new_key" else session.messages[-1]
        self._outcome = outcome
        next_check = self.manager.status().next_check
        next_at = None if next_check is None else instants.to_ms(next_check)
        self._tell(Checked(at, session.result == "failed", said, next_at, last))

    def _tell(self, told: Told) -> None:
        """Tell something, after how often the same had happened before it."""
        repeated, self._repeated = self._repeated, _NEVER
        if repeated != _NEVER:
            self.tell(repeated)
        self.tell(told)

    def _repeat(self, now: int, *, times: int = 0, mails: int = 0) -> None:
        """Count what is the same again."""
        before = self._repeated
        self._repeated = Repeated(before.at or now, now, before.times + times, before.mails + mails)

    def _ended(self) -> Ended:
        newest = self.server.licenses[LICENSE].signed
        held = []
        for name, path in self.targets.items():
            held.append((name, path.exists() and newest == path.read_text(encoding="ascii").strip()))
        now = self.clock.now_ms()
        always = [name for name in JOBS if name not in self._refused]
        return Ended(now, self.manager.status(), self.manager.recorded(), len(self.mailbox.mails), held, always)
