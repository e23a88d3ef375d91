"""What must hold of a manager after every step of a life, whatever happened in it.

(a) Its journal leads the plain model to what is told, stored and shown; see manager_journal.py.
(b) What is granted is what the dates of a signed key grant at the later of the clock and the memory; nothing is lost,
    told twice, asked for in vain, or left undone.
"""

from __future__ import annotations

import json
from pathlib import Path

from manager_journal import TRUST, Reader, adjusted, equal
from manager_model import TYPES, SignedKey, iso
from manager_world import OPERATIONS, Broken, World

from licfsm import instants
from licfsm.errors import KeyRejected
from licfsm.host.audit import replay_journal
from licfsm.host.codec import decode_policy
from licfsm.host.values import SessionEntry
from licfsm.ports import Question
from licfsm.record import Record


class Claims(Reader):
    """Sees to it that everything claimed holds.

    Attributes:
        looked: whether the step had the host look at its clock.
        driven: whether a tick was among it.
        ticked: whether it was a tick that no other thread ran beside.
        performed: whether that tick called the world.
        calm: whether no other thread did anything meanwhile.
        waited: the license, and the session that was got by waiting for a check.

    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.looked = self.driven = self.ticked = self.performed = False
        self.calm = True
        self.waited: tuple[str, SessionEntry | None] | None = None
        self._sessions_before = 0
        self._asked: set[tuple[str, int]] = set()
        self._latest = 0

    # ------------------------------------------------------------------------------------ while it happens

    def begin(self, world: World) -> None:
        """Note where a step begins."""
        self.looked = self.driven = self.ticked = self.performed = False
        self.calm, self.waited, self._sessions_before = True, None, len(self.sessions)
        self.began_at = world.now
        self.step += 1

    def asked(self, world: World, question: Question) -> None:
        """7.3: no attempt is asked twice; 6.2: and none while automatic update is off."""
        license_id, attempt = question.key.id, question.attempt
        if (license_id, attempt) in self._asked:
            message = f"{license_id} was asked about twice in attempt {attempt}"
            raise Broken(message)
        self._asked.add((license_id, attempt))
        if world.alone:
            (row,) = self.query("SELECT auto_update, attempt FROM licenses WHERE id = ?", license_id)
            equal(f"{license_id}: what is asked", {"auto_update": "Checking", "attempt": attempt}, row)

    def refuses(self, license_id: str, text: str, *, force: bool) -> bool:
        """6.5: say whether a key installed by hand is to be refused."""
        try:
            TRUST.verify(text)
        except KeyRejected:
            return True
        key, life = SignedKey.read(text), self.lives.get(license_id)
        return key.id != license_id or key.type not in TYPES or (life is not None and life.refuses(key, force=force))

    def opened(self, world: World) -> None:
        self.ticked = False
        super().opened(world)

    # ------------------------------------------------------------------------------------ after each step

    def check(self, world: World) -> None:
        """See that everything holds after a step."""
        self.finish_reading(world)
        self._latest = max(self._latest, world.now)
        self._compare_stored()
        for license_id in world.licenses:
            self._compare_shown(world, license_id)
        self._compare_heard(world)
        self._compare_order()
        self._compare_mail(world)
        if self.calm and self.ticked:
            self._nothing_is_due(world)
        if self.calm and self.waited:
            self._compare_waited(*self.waited)

    def finish_reading(self, world: World) -> None:
        """Read what a step led to, to its end."""
        self.read(world)
        if self.looked or self.driven:
            self.look(world, ticked=self.driven)

    def _compare_stored(self) -> None:
        """7.4: what survives is what the model says, and the key is one that was signed."""
        for row in self.query("SELECT * FROM licenses"):
            life = self.lives.get(row["id"])
            if life is None:
                equal(f"{row['id']}: its key", None, row["key"])
                continue
            asking = row["auto_update"] in {"Scheduled", "Retrying"}
            found = {
                "entitlement": row["entitlement"],
                "auto_update": row["auto_update"],
                "attempt": row["attempt"],
                "next check": min(row["next_at"], row["give_up_at"]) if asking else None,
                "deadline": None if row["give_up_at"] == instants.NEVER else row["give_up_at"],
                "excused": bool(row["excused"]),
                "disabled by": row["disabled_by"],
                "failing": bool(row["failing"]),
                "owed": {target: retry_at for target, _, retry_at, *_ in json.loads(row["writes"] or "[]")},
                "key": SignedKey.read(self.signed(row["key"])),
                "policy": self.policy(row["policy"])["name"],
                "jump": row["confirm_at"] != instants.NEVER if life.unproved else None,
            }
            expected = {
                "entitlement": life.entitlement,
                "auto_update": life.auto_update,
                "attempt": life.attempts,
                "next check": life.next_check(),
                "deadline": life.deadline,
                "excused": life.excused,
                "disabled by": life.disabled_by,
                "failing": life.failing,
                "owed": {target: owed.retry_at for target, owed in life.owed.items()},
                "key": life.key,
                "policy": life.policy,
                "jump": True if life.unproved else None,
            }
            equal(f"{row['id']}: what is stored", expected, found)

    def _compare_shown(self, world: World, license_id: str) -> None:
        """2.3, 2.4, 3.5, 7.5: what is granted and shown, at this moment."""
        manager, life = world.manager, self.lives.get(license_id)
        status = manager.status(license_id)
        granted = False
        if life is None:
            equal(f"{license_id}: without a key", ("Not installed", None), (status.text, status.entitlement))
        else:
            expected = life.seen_at(world.now)
            granted = expected["entitlement"] != "FreeMode"
            check = status.next_check
            idle = status.auto_update in {"Off", "Checking", "AutoUpdateDisabled"}
            equal(f"{license_id}: whether there is no next check in {status.auto_update}", idle, check is None)
            if self.unnoticed(world, license_id) or adjusted(life, world.now):  # days are counted by the clock alone
                expected = {name: expected[name] for name in ("entitlement", "auto_update", "next_check")}
            found = {name: getattr(status, name) for name in expected}
            found["next_check"] = None if check is None else instants.to_ms(check)
            expected["expires"], expires = life.key.expiry, status.expires
            found["expires"] = None if expires is None else instants.to_ms(expires)
            equal(f"{license_id}: what is shown", expected, found)
            warning = manager.job_warning("replication", license_id)
            equal(f"{license_id}: job warning", expected.get("job_warning", warning), warning)
        rights = {name: manager.allows(name, license_id) for name in OPERATIONS}
        expected_rights = {"replication": granted, "reports": True, "restore": True}
        equal(f"{license_id}: what is allowed at {iso(world.now)}", expected_rights, rights)

    def _compare_heard(self, world: World) -> None:
        """Subscribers hear of every entry, in order."""
        heard = [entry.seq for entry in world.heard]
        equal("what a subscriber heard", [row["seq"] for row in self.rows[len(self.rows) - len(heard) :]], heard)

    def _compare_order(self) -> None:
        """8.2: on a channel, no notice about a license overtakes another."""
        for row in self.query(
            "SELECT license, channel, min(CASE WHEN done_at IS NULL THEN seq END) AS waits,"
            " max(CASE WHEN done_at IS NOT NULL THEN seq END) AS came FROM outbox GROUP BY license, channel"
        ):
            if None not in {row["waits"], row["came"]} and row["waits"] < row["came"]:
                message = f"a notice overtook another: {row}"
                raise Broken(message)

    def _compare_mail(self, world: World) -> None:
        """7.4: each mail comes once, in order; again only if its record was lost in between."""
        came_in: dict[str, int] = {}
        order: dict[str, list[str]] = {}
        for notice, lost in world.mail.came:
            ids = order.setdefault(notice.license, [])
            if notice.id not in came_in:
                ids.append(notice.id)
            elif lost == came_in[notice.id] or ids[-1] != notice.id:
                message = f"{notice} came twice"
                raise Broken(message)
            came_in[notice.id] = lost
        for license_id, ids in order.items():
            due = [row["id"] for row in self.notices if row["license"] == license_id and row["channel"] == "mail"]
            equal(f"mails about {license_id}, in order", due[: len(ids)], ids)

    def _compare_waited(self, license_id: str, session: SessionEntry | None) -> None:
        """6.3, 7.3: who waits for a check gets what it came to, also if it was interrupted and asked again."""
        answered = [
            (row["attempt"], row["outcome"])
            for row in self.sessions[self._sessions_before :]
            if row["license"] == license_id and row["outcome"] is not None
        ]
        found = session and (session.attempt, session.outcome)
        equal(f"{license_id}: the session that was waited for", answered[0] if answered else None, found)

    def _nothing_is_due(self, world: World) -> None:
        """7.2: a tick leaves nothing undone; 4.4, 7.4: nor unasked, nor unwritten, whatever was cut short before."""
        for license_id, life in self.lives.items():
            if self.performed:
                begun = [target for target, owed in life.owed.items() if owed.begun and owed.told_at is None]
                equal(f"{license_id}: what was begun to be written, but not ended", [], begun)
                equal(f"{license_id}: whether a question waits", None, life.attempt)
            due = [life.entitlement_due(), life.announce_due(), life.next_check()]
            due += [owed.retry_at for owed in life.owed.values()]
            equal(
                f"{license_id}: what a tick left undone", [], [at for at in due if at is not None and at <= world.now]
            )
        next_due = world.manager.next_due(perform=False)
        if next_due is not None and instants.to_ms(next_due) <= world.now:
            message = f"something is due at {next_due}, after a tick at {iso(world.now)}"
            raise Broken(message)

    # ------------------------------------------------------------------------------------ at the end

    def finish(self, world: World) -> None:
        """See that everything reaches its end, and that the journal alone leads to what is stored."""
        self._compare_results()
        self._compare_arrived(world)
        self._compare_kept(world)
        self._compare_replayed(world)

    def _compare_results(self) -> None:
        """4.4, 8.1: what sessions came to, also by what targets did later."""
        rows = self.query("SELECT * FROM sessions")
        for license_id, life in self.lives.items():
            found = {row["attempt"]: row["result"] for row in rows if row["license"] == license_id}
            expected = {attempt: result for attempt, result in life.results.items() if attempt in found}
            equal(f"{license_id}: results of sessions", expected, found)

    def _compare_arrived(self, world: World) -> None:
        """4.4, 7.4: nothing that was to be told or written is lost, or waits for nothing."""
        waiting = self.query("SELECT license, channel, name, next_at FROM outbox WHERE done_at IS NULL")
        channels = {"log", "mail"} if world.mailed else {"log"}
        equal("notices that wait", [], [row for row in waiting if row["channel"] in channels])
        if world.mailed:
            due = {row["id"] for row in self.notices if row["channel"] == "mail"}
            equal("mails", sorted(due), sorted({notice.id for notice, _ in world.mail.came}))
        for license_id, life in self.lives.items():
            for target in set(world.options["targets"]) - set(life.owed):
                held = SignedKey.read(world.targets[target].holds[license_id])
                equal(f"{license_id}: what target {target} holds", life.key, held)

    def _compare_kept(self, world: World) -> None:
        """What is younger than is to be kept was not removed, and nothing came unseen."""
        cutoff = self._latest - world.kept
        ids = {"journal": (self.rows, "at"), "sessions": (self.sessions, "ended_at")}
        for table, (rows, time) in ids.items():
            kept = {row["seq"] for row in self.query(f"SELECT seq FROM {table}")}  # noqa: S608 - a name from above
            lost = [row for row in rows if row["seq"] not in kept and row[time] >= cutoff]
            equal(f"what was removed from {table}", [], lost)
            equal(f"what came to {table} unseen", set(), kept - {row["seq"] for row in rows})

    def _compare_replayed(self, world: World) -> None:
        keys = {row["id"]: TRUST.verify(row["signed"]) for row in self.query("SELECT * FROM keys")}
        policies = {row["digest"]: decode_policy(row["document"]) for row in self.query("SELECT * FROM policies")}
        licenses = replay_journal(self.rows, keys, policies)
        equal("licenses in the journal", sorted(self.lives), sorted(licenses))
        names = [name for name in Record.__slots__ if name != "latest"]
        for license_id, lic in licenses.items():
            mine = world.manager._registry.entries[license_id].live()
            expected = {name: getattr(lic.record, name) for name in names} | {"key": lic.key, "policy": lic.policy.name}
            found = {name: getattr(mine.record, name) for name in names} | {"key": mine.key, "policy": mine.policy.name}
            equal(f"{license_id}: what the journal leads to", expected, found)
