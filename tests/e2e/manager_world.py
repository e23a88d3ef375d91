"""The world around a manager: its clock, license server, targets and mail, the threads of its host, and what ends it.

A step of a life is a tuple: what is done, and with what; `World.do` does it. Whatever is drawn at random is in the
step, so that a life can be lived again without some of them.
"""

from __future__ import annotations

import base64
import datetime as dt
import json
import sqlite3
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from manager_model import JournaledLife

from licfsm import LicenseKey, LicenseManager, instants
from licfsm.adapters.clock import ManualClock
from licfsm.adapters.keys import SigningKey, sign
from licfsm.errors import InvalidValue, KeyRejected, NotInstalled, StoreError
from licfsm.host.values import JournalEntry
from licfsm.ports import Answer, Notice, Question

OPERATIONS = {"replication": "paid", "reports": "free", "restore": "always"}
ISSUER, STRANGER = SigningKey.generate(), SigningKey.generate()
PATIENCE = 20.0
"""Seconds after which a thread is taken to be stuck."""

Step = tuple[Any, ...]


class Broken(AssertionError):
    """A claim does not hold."""


class Killed(BaseException):
    """The process ends here and now; nothing that catches errors may survive it."""


@dataclass
class Jump:
    """7.3, 7.5: the clock moved otherwise than by running: by how far, to when, in which step, by sleep or set."""

    by: int
    to: int
    step: int
    slept: bool


@dataclass
class Server:
    """A license server; each license has an answer that stands until the next.

    A reply is a mapping: ``answer``, and perhaps ``signed`` (the text of a key), ``retry_after``, ``time`` (signed,
    beside the clock), ``takes`` or ``sleeps`` (milliseconds until it comes), ``raises``, ``nonsense``.
    """

    world: World
    replies: dict[str, dict[str, Any]] = field(default_factory=dict)

    def ask(self, question: Question) -> Answer:
        world = self.world
        with world.not_swallowed():
            world.claims.asked(world, question)
            if world.alone:
                world.claims.read(world)  # before the clock moves on, and what is old by then is removed
        world.meanwhile("ask")
        reply = self.replies.get(question.key.id, {"answer": "up_to_date"})
        if world.alone:  # a clock that is moved by hand cannot be read in one go
            world.do_pass(reply.pop("takes", 0))
            if "sleeps" in reply:
                world.do_sleep(reply.pop("sleeps"))
        if "raises" in reply:
            raise OSError(reply["raises"])
        if "nonsense" in reply:
            return reply["nonsense"]
        key = LicenseKey(id=question.key.id, type="nfr", signed=reply["signed"]) if "signed" in reply else None
        time = world.clock.now_ms() + reply["time"] if "time" in reply else None
        return Answer(reply["answer"], key, reply.get("retry_after"), time)


@dataclass
class Target:
    """Holds the key of each license."""

    world: World
    name: str
    mood: str = "ok"
    holds: dict[str, str] = field(default_factory=dict)

    def write(self, key: LicenseKey) -> str | None:
        self.world.meanwhile("write")
        if self.mood == "raises":
            raise PermissionError(13, "Permission denied")
        if self.mood == "fails":
            return "no space left"
        self.holds[key.id] = key.signed
        return None


@dataclass
class Mail:
    """A mail server; it remembers how often the process had been killed when a notice came."""

    world: World
    mood: str = "ok"
    came: list[tuple[Notice, int]] = field(default_factory=list)

    def deliver(self, notice: Notice) -> str | None:
        if self.mood == "raises":
            raise ConnectionResetError
        if self.mood == "fails":
            return "relay access denied"
        self.came.append((notice, self.world.lost))
        self.world.meanwhile("deliver")
        return None


class World:
    """A manager and everything around it.

    Args:
        path: the store's file.
        start: where the clock stands, in milliseconds.
        licenses: the ids that are declared.
        options: of `LicenseManager.open`: ``policy``, ``mail_repeat``, ``spread``, ``keep``; ``mailed`` says whether
            there is mail, ``targets`` names them.
        claims: sees to it that everything claimed holds.

    """

    def __init__(self, path: Path, start: int, licenses: list[str], options: dict[str, Any], claims: Any) -> None:  # noqa: ANN401
        self.path, self.licenses, self.options, self.claims = path, licenses, options, claims
        self.clock = ManualClock(start)
        self.server, self.mail = Server(self), Mail(self)
        self.targets = {name: Target(self, name) for name in ("backup", "enterprise")}
        self.jumps: list[Jump] = []
        self.kept = _days(options["keep"])
        self.broken: Exception | None = None
        self.lost = 0
        """How often what had been done could not be taken down: by a kill, or a full disk."""
        self.alone = True
        self.dead = False
        self.kill_at = ""
        self.kill_after = 0
        self.during: dict[str, list[Step]] = {}
        self.heard: list[JournalEntry] = []
        self.open()

    @property
    def mailed(self) -> bool:
        return self.options["mailed"]

    @property
    def now(self) -> int:
        return self.clock.now_ms()

    # ------------------------------------------------------------------------------------ the process

    def open(self) -> None:
        options = self.options
        self.heard = []
        self.jumps.clear()
        self.manager = LicenseManager.open(
            self.path,
            policy=options["policy"],
            trust=[ISSUER.public],
            server=self.server,
            targets={name: self.targets[name] for name in options["targets"]},
            mail=self.mail if options["mailed"] else None,
            operations=OPERATIONS,
            licenses=self.licenses,
            mail_repeat=options["mail_repeat"],
            spread=options["spread"],
            keep=options["keep"],
            clock=self.clock,
        )
        writer: Any = self.manager._store._writer.connection.dbapi_connection
        writer.execute("PRAGMA synchronous = OFF")  # processes are killed here, but no machine loses its power
        self.claims.opened(self)
        self.manager.subscribe(self.heard.append)

    def close(self) -> None:
        if self.manager._store.sidecar.held and not self.claims.is_set_unnoticed(self):
            self.claims.there = self.now
        self.manager.close()

    def abandon(self) -> None:
        """Leave the manager as a kill does: the system lets go of lock and files, nothing else is done."""
        self.manager._closed = True
        self.manager._store.close()
        self.lost += 1

    def do_restart(self, how: str, off: int, changes: dict[str, Any]) -> None:
        """End the process, let time pass, or have the clock set meanwhile, and start it again."""
        if how == "close":
            self.close()
        else:
            self.abandon()
        self.clock.move_to(self.now + off)
        self.options |= changes
        self.kept = min(self.kept, _days(self.options["keep"]))
        self.open()

    @contextmanager
    def not_swallowed(self) -> Iterator[None]:
        """Keep what goes wrong within an adapter: a manager takes it for the adapter's failure."""
        try:
            yield
        except StoreError:
            raise  # the disk is full, or the process is dead
        except Exception as error:
            self.broken = self.broken or error
            raise

    def meanwhile(self, where: str) -> None:
        """While the world is waited for: what other threads do, and perhaps the end."""
        steps = self.during.pop(where, None)
        if steps:
            self.claims.calm = False
            with self.not_swallowed():
                self.do_together(*steps)
        self.maybe_die(where)

    def maybe_die(self, where: str, *_: object) -> None:
        if self.kill_at == where:
            self.kill_after -= 1
            if self.kill_after <= 0:
                self.kill_at, self.dead = "", True
                raise Killed

    def do_kill(self, where: str, after: int, step: Step) -> None:
        """Do a step, in the midst of which the process is killed, and start it again.

        Args:
            where: ``ask``, ``write`` or ``deliver``: there; ``commit``: just before one; ``begin``: just after one.
            after: at which such place.
            step: what is done.

        """
        self.kill_at, self.kill_after = where, after
        engine = self.manager._store._engine
        listener: Callable[..., None] = lambda *_: self.maybe_die(where)  # noqa: E731 - one object, to be removed
        if where in {"commit", "begin"}:
            sa.event.listen(engine, where, listener)
        try:
            self.do(step)
        except Killed:
            pass
        except StoreError:  # to a thread that had not died yet
            if not self.dead:
                raise
        finally:
            self.kill_at, self.dead = "", False
            self.during.clear()
            if where in {"commit", "begin"}:
                sa.event.remove(engine, where, listener)
        if self.broken:
            raise self.broken
        self.claims.finish_reading(self)
        self.abandon()
        self.open()

    @contextmanager
    def full_disk(self) -> Iterator[None]:
        engine = self.manager._store._engine

        def refuse(connection: sa.Connection) -> None:
            """Do as SQLite does: undo what was begun, and say why."""
            connection.exec_driver_sql("ROLLBACK")
            error = sqlite3.OperationalError("database or disk is full")
            error.sqlite_errorname = "SQLITE_FULL"
            raise error

        sa.event.listen(engine, "commit", refuse)
        try:
            yield
        finally:
            sa.event.remove(engine, "commit", refuse)

    # ------------------------------------------------------------------------------------ keys

    def key(self, license_id: str, says: dict[str, Any]) -> str:
        """Make the text of a key.

        Args:
            license_id: of which license.
            says: ``days`` after the installed key's expiry (today's date, if there is none) and ``form`` (``day``,
                ``instant``, ``never``), ``type``, ``zone``, ``issued`` (milliseconds beside the clock), ``counts``;
                ``bad`` says what is wrong with it.

        """
        life: JournaledLife | None = self.claims.lives.get(license_id)
        bad = says.get("bad")
        zone = says.get("zone") or (life.key.zone if life else "UTC")
        base = instants.from_ms(life.key.expiry if life and life.key.expiry and not says.get("today") else self.now)
        day = base.date() - dt.timedelta(days=1 if life and not says.get("today") else 0) + dt.timedelta(says["days"])
        expires: Any = dt.date(day.year, day.month, day.day)
        if says["form"] == "instant":
            expires = instants.from_ms(instants.start_of_day(expires, instants.UTC) + says.get("time", 0))
        key = LicenseKey(
            id="OTHER-1" if bad == "id" else license_id,
            type="lifetime" if bad == "type" else says.get("type") or (life.key.type if life else "subscription"),
            zone=zone,
            expires=None if says["form"] == "never" else expires,
            issued=instants.from_ms(self.now + says.get("issued", 0)),
            product="Other" if bad == "product" else "Suite",
            counts=says.get("counts", {}),
        )
        text = sign(key, STRANGER if bad == "stranger" else ISSUER).signed
        if bad == "changed":
            head, payload, signature = text.split(".")
            told = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
            changed = json.dumps(told | {"expires": "2035-01-01"}, separators=(",", ":")).encode()
            text = f"{head}.{base64.urlsafe_b64encode(changed).decode().rstrip('=')}.{signature}"
        return text[: len(text) // 2] if bad == "cut" else text

    # ------------------------------------------------------------------------------------ steps

    def do(self, step: Step) -> None:
        name, *rest = step
        getattr(self, f"do_{name}")(*rest)
        if self.broken:
            raise self.broken

    def do_together(self, *steps: Step) -> None:
        """Do several steps at once, each in a thread of its own."""
        barrier = threading.Barrier(len(steps))
        errors: list[BaseException] = []

        def run(step: Step) -> None:
            try:
                barrier.wait(PATIENCE)
                self.do(step)
            except BaseException as error:  # noqa: BLE001 - told to whoever waits
                errors.append(error)

        alone, self.alone = self.alone, False
        threads = [threading.Thread(target=run, args=(step,), daemon=True) for step in steps]
        interval = sys.getswitchinterval()
        sys.setswitchinterval(1e-5)  # they take turns more often than they would
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
            if thread.is_alive():
                message = "a command does not return: is a lock held while the world is waited for?"
                raise Broken(message)
        sys.setswitchinterval(interval)
        self.alone = alone
        for error in sorted(errors, key=lambda error: isinstance(error, Killed | StoreError)):
            raise error

    def do_several(self, *steps: Step) -> None:
        """Do steps one after another, as one thread beside others."""
        for step in steps:
            self.do(step)

    def do_during(self, where: str, *steps: Step) -> None:
        """Have other threads do this when the world is next waited for there."""
        self.during[where] = list(steps)

    def do_disk(self, step: Step) -> None:
        """Do a step while the disk is full."""
        with self.full_disk(), suppress(StoreError):
            self.do(step)
        self.lost += 1

    def do_tick(self, perform: bool) -> None:  # noqa: FBT001 - from a tuple
        self.manager.tick(perform=perform)
        self.claims.driven = self.claims.looked = True
        self.claims.ticked, self.claims.performed = self.alone, self.alone and perform

    def do_hop(self, longest: int, perform: bool) -> None:  # noqa: FBT001 - from a tuple
        """Let time pass until something is due, and tick."""
        due = self.manager.next_due(perform=perform)
        end = self.now + longest
        to = end if due is None else min(max(instants.to_ms(due), self.now), end)
        self.clock.move_to(to)
        self.do_tick(perform)

    def do_pass(self, ms: int) -> None:
        self.clock.move_to(self.now + ms)

    def do_near(self, license_id: str, date: str, offset: int) -> None:
        """Let time pass until about one of the dates of the key in force, if that lies ahead."""
        life = self.claims.lives.get(license_id)
        if life is None:
            return
        dates = {
            "announce": life.key.announce_at(life.policy),
            "expiring": life.key.expiring_at,
            "expiry": life.key.expiry,
            "deadline": life.deadline,
            "grace": life.key.grace_until(life.policy),
        }
        to = dates[date]
        if to is not None and self.now < to + offset < self.now + 800 * instants.DAY:
            self.clock.move_to(to + offset)

    def do_set(self, by: int) -> None:
        self.clock.set_to(self.now + by)
        self.jumps.append(Jump(by, self.now, self.claims.step, slept=False))

    def do_sleep(self, ms: int) -> None:
        self.clock.sleep(self.now + ms)
        self.jumps.append(Jump(ms, self.now, self.claims.step, slept=True))

    def do_server(self, license_id: str, reply: dict[str, Any]) -> None:
        """Give the license server another answer for a license; a key is made now, and offered from now on."""
        reply = dict(reply)
        if "key" in reply:
            reply["signed"] = self.key(license_id, reply.pop("key"))
        self.server.replies[license_id] = reply

    def do_target(self, name: str, mood: str) -> None:
        self.targets[name].mood = mood

    def do_mail(self, mood: str) -> None:
        self.mail.mood = mood

    def do_enable(self, license_id: str) -> None:
        self._command(license_id, lambda: self.manager.enable_auto_update(license_id))

    def do_disable(self, license_id: str) -> None:
        self._command(license_id, lambda: self.manager.disable_auto_update(license_id))

    def do_check_now(self, license_id: str, wait: float | None) -> None:
        found: list[Any] = []
        self._command(license_id, lambda: found.append(self.manager.check_now(license_id, wait=wait)))
        if found and wait and self.alone:
            self.claims.waited = license_id, found[0]

    def _command(self, license_id: str, call: Callable[[], object]) -> None:
        try:
            call()
        except NotInstalled:
            if self.alone and license_id in self.claims.lives:
                raise
            return
        self.claims.looked = True

    def do_install(self, license_id: str, says: dict[str, Any], force: bool) -> None:  # noqa: FBT001 - from a tuple
        """Install a key by hand; one that is to be refused must be, and change nothing."""
        text = self.key(license_id, says)
        refused = self.claims.refuses(license_id, text, force=force)
        try:
            self.manager.install(text, force=force)
        except (KeyRejected, InvalidValue) as error:
            if self.alone and not refused:
                message = f"a key was refused that the rules accept: {error}"
                raise Broken(message) from error
            return
        if self.alone and refused:
            message = "a key was accepted that the rules refuse"
            raise Broken(message)
        self.claims.looked = True


def _days(text: str) -> int:
    return int(text.split(maxsplit=1)[0]) * instants.DAY
