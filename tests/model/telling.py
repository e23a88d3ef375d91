"""What the plain model tells, where, and how often (rules.md 8)."""

from __future__ import annotations

from dates import DAY, HOUR

NOTICES = {"Grace": "grace_started", "FreeMode": "free_mode_entered"}
CHANNELS = ("report", "mail", "log")


class Telling:
    """The notifications of one license, and the run of failures they depend on."""

    def __init__(self, mail: str, now: int) -> None:
        self.mail = "every_failure" if mail == "policy" else mail
        self.now = now
        self.shift = 0
        self.notifications: list[tuple[int, str, str]] = []
        self.mail_up = True
        self.waiting: list[str] = []
        self.told: set[str] = set()
        self.failing = False
        self.mailed_in_run = False
        self.mailed_kind = ""
        self.mailed_at = self.repeats = 0

    @property
    def clock(self) -> int:
        """The host's clock."""
        return self.now + self.shift

    def tell(self, name: str, channels: tuple[str, ...] = CHANNELS) -> None:
        """8.2: mail only if there are mail settings; 7.4: it waits for the mail server."""
        for channel in channels:
            if channel != "mail":
                self.notifications.append((self.now, channel, name))
            elif self.mail != "none":
                self.waiting.append(name)
        self.deliver()

    def deliver(self) -> None:
        if self.mail_up:
            self.notifications += [(self.now, "mail", name) for name in self.waiting]
            self.waiting.clear()

    def tell_failure(self, outcome: str, *, by_user: bool, in_run: bool) -> None:
        """8.2: a failed check is reported, and mailed as often as wanted; 4.2: it belongs to a run."""
        self.failing = self.failing or in_run
        mailed = not by_user and self.failure_mail_wanted(outcome)
        if mailed:
            self.repeats = self.repeats + 1 if self.mailed_kind == outcome else 0
            self.mailed_kind, self.mailed_at = outcome, self.clock
            self.mailed_in_run = self.mailed_in_run or in_run
        self.tell("update_failed", CHANNELS if mailed else ("report", "log"))

    def failure_mail_wanted(self, outcome: str) -> bool:
        """8.2: `on_change`: the first, another kind, then one after 24 hours, after seven such after seven days."""
        if self.mail != "on_change" or self.mailed_kind != outcome:
            return self.mail != "none"
        return self.clock - self.mailed_at >= (24 * HOUR if self.repeats < 7 else 7 * DAY)

    def recover(self) -> None:
        """4.2: the first outcome that is no failure is told, by mail if a failure of the run was."""
        if self.failing:
            self.tell("recovered", CHANNELS if self.mailed_in_run else ("report", "log"))
            self.end_run()

    def end_run(self) -> None:
        """4.2, 8.2: giving up, `disable`, `enable` and recovering end the run, and forget what was mailed last."""
        self.failing = self.mailed_in_run = False
        self.mailed_kind = ""
