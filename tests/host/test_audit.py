import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import attrs
import pytest

import licfsm
from licfsm.adapters.key_pairs import SigningKey
from licfsm.adapters.keys import TrustedKeys
from licfsm.adapters.store import MEMORY, Row
from licfsm.errors import StoreDamaged
from licfsm.host.audit import replay_journal
from licfsm.host.codec import decode_policy, decode_record, encode_policy
from licfsm.policy import named
from licfsm.record import Record
from licfsm.testing import LicenseWorld, make_world

# The key of these tests: a subscription under veeam-9 whose last day is 2025-02-14; Expiring from 02-07, Grace from
# 02-15, FreeMode from 03-17, the deadline is 03-15.


class Stored(NamedTuple):
    """What a store holds that a journal can be replayed from."""

    journal: list[Row]
    keys: dict[int, licfsm.LicenseKey]
    policies: dict[str, licfsm.Policy]

    def replayed(self) -> dict[str, licfsm.License]:
        """Live through it."""
        return replay_journal(self.journal, self.keys, self.policies)


def stored(world: LicenseWorld) -> Stored:
    """Read everything back from a world's store."""
    store = world.manager._store
    trust = TrustedKeys.of(world.signing.public)
    return Stored(
        list(store.entries(None)),
        {row["id"]: trust.verify(row["signed"]) for row in store.key_rows()},
        {row["digest"]: decode_policy(row["document"]) for row in store.policy_rows()},
    )


def said(record: Record, key: licfsm.LicenseKey, digest: str) -> dict[str, object]:
    """List what a license is: its record, but for the memory of the time, and what is in force."""
    return {name: getattr(record, name) for name in Record.__slots__ if name != "latest"} | {
        "key": key,
        "policy": digest,
    }


def kept(world: LicenseWorld) -> dict[str, dict[str, object]]:
    """List what the rows of a world's store say."""
    keys = stored(world).keys
    with world.manager._store.writing() as transaction:
        rows = [row for row in transaction.read() if row["key"] is not None]
    return {row["id"]: said(decode_record(row), keys[row["key"]], row["policy"]) for row in rows}


def led_to(what: Stored) -> dict[str, dict[str, object]]:
    """List what a journal leads to."""
    return {name: said(lic.record, lic.key, encode_policy(lic.policy)[0]) for name, lic in what.replayed().items()}


def check(world: LicenseWorld) -> None:
    """See that each license's row is what its journal leads to."""
    assert kept(world) == led_to(stored(world))


@pytest.fixture
def world(license_world: Callable) -> LicenseWorld:
    """Make a world whose key of ACME-1 is installed."""
    made = license_world("veeam-9", start="2025-02-01")
    made.install(expires="2025-02-14")
    return made


class Failing:
    """A target that fails as long as it has a reason to."""

    def __init__(self) -> None:
        self.reason: str | None = "the disk is full"

    def write(self, key: licfsm.LicenseKey, /) -> str | None:  # noqa: ARG002 - as targets are called
        return self.reason


def _renewed(world: LicenseWorld) -> None:
    world.server.will("generation_failed", "connection_failed", world.renewal(expires="2026-02-14"))
    world.manager.enable_auto_update()
    world.run(until="2025-03-01")


def _given_up(world: LicenseWorld) -> None:
    world.server.will("connection_failed")
    world.manager.enable_auto_update()
    world.run(until="2025-04-01")


def _commanded(world: LicenseWorld) -> None:
    world.manager.enable_auto_update()
    world.manager.check_now()
    world.run(until="2025-02-02")
    world.manager.disable_auto_update()
    world.manager.check_now()
    world.manager.enable_auto_update()
    world.run(until="2025-02-03")
    world.install(expires="2025-02-13", force=True)
    world.install(expires="2025-12-31", type="rental")
    world.run(until="2025-02-20")


def _clock_set(world: LicenseWorld) -> None:
    world.manager.enable_auto_update()
    world.run(until="2025-02-10")
    for moment in ("2025-05-01", "2025-02-10T01:00", "2025-02-09", "2025-02-11"):
        world.clock.set_to(moment)
        world.run(until=world.clock.now.add(hours=2))


def _asleep(world: LicenseWorld) -> None:
    world.server.will("connection_failed")
    world.manager.enable_auto_update()
    world.clock.sleep("2025-03-20")
    world.run(until="2025-03-22")
    world.manager.enable_auto_update()
    world.run(until="2025-03-30")


def _terminated(world: LicenseWorld) -> None:
    world.server.will("contract_terminated")
    world.manager.enable_auto_update()
    world.run(until="2025-02-02")
    world.install(expires="2026-02-14")
    world.manager.enable_auto_update()
    world.run(until="2025-02-03")


def _interrupted(world: LicenseWorld) -> None:
    world.manager.enable_auto_update()
    world.manager.tick(perform=False)
    world.clock.sleep("2025-02-01T05:00")
    world.manager.tick(perform=False)
    world.run(until="2025-02-02")


LIVES = (_renewed, _given_up, _commanded, _clock_set, _asleep, _terminated, _interrupted)


class TestLife:
    @pytest.mark.parametrize("live", LIVES, ids=lambda live: live.__name__[1:])
    def test_is_what_its_journal_leads_to(self, world: LicenseWorld, live: Callable[[LicenseWorld], None]) -> None:
        """From nothing but what is stored, each license comes out as it is stored."""
        live(world)
        check(world)

    @pytest.mark.parametrize("mail_repeat", ["every_failure", "on_change"])
    def test_that_tells_of_failures_by_mail(self, license_world: Callable, mail_repeat: str) -> None:
        """What was mailed is part of the record, so how often is part of what the journal says."""
        world = license_world("veeam-9", start="2025-02-01", mail_repeat=mail_repeat, spread="3 hours")
        world.install(expires="2025-02-14")
        _given_up(world)
        check(world)

    def test_with_targets_that_fail(self, license_world: Callable) -> None:
        """Keys that a target does not hold yet are part of the record."""
        failing = Failing()
        world = license_world("veeam-9", start="2025-02-01", targets={"one": failing, "two": Failing()})
        world.install(expires="2025-02-14")
        world.server.will(world.renewal(expires="2026-02-14"), "up_to_date")
        world.manager.enable_auto_update()
        world.run(until="2025-02-02T01:30")
        failing.reason = None
        world.run(until="2025-02-03T00:30")
        assert ["two"] == [write.target for write in world.manager._registry.entries["ACME-1"].live().record.writes]
        check(world)

    def test_of_several_licenses(self, world: LicenseWorld) -> None:
        """Each license is replayed by itself; one without a key is none."""
        world.manager.add("ACME-2")
        world.manager.add("ACME-3")
        world.install(id="ACME-2", type="rental", expires="2025-02-20")
        world.manager.enable_auto_update("ACME-2")
        world.manager.enable_auto_update("ACME-1")
        world.run(until="2025-03-01")
        assert {"ACME-1", "ACME-2"} == set(stored(world).replayed())
        check(world)


class TestReopened:
    """A store in a file, left and opened again."""

    @pytest.fixture
    def reopen(self, tmp_path: Path) -> Iterator[Callable[..., LicenseWorld]]:
        """Close the world before, and make another one on the same store, at a time."""
        signing = SigningKey.generate()
        worlds: list[LicenseWorld] = []

        def make(policy: str, start: str, **options: object) -> LicenseWorld:
            if worlds:
                worlds[-1].manager.close()
            worlds.append(make_world(policy, start=start, store=tmp_path / "licenses.db", signing=signing, **options))
            return worlds[-1]

        yield make
        worlds[-1].manager.close()

    def test_under_another_policy(self, reopen: Callable[..., LicenseWorld]) -> None:
        """A policy that changed is in the journal: 14 days of grace end where 30 did not (2.1, 2.5)."""
        world = reopen("veeam-9", "2025-02-01")
        world.install(expires="2025-02-14")
        world.run(until="2025-03-05")
        world = reopen("veeam-8", "2025-03-05T01:00")
        assert "FreeMode" == world.manager.status().entitlement
        check(world)
        world = reopen("veeam-9", "2025-03-05T02:00")
        assert "Grace" == world.manager.status().entitlement
        check(world)

    def test_with_other_settings(self, reopen: Callable[..., LicenseWorld]) -> None:
        """What a host chooses is in the journal as well: spread, mail, targets."""
        world = reopen("veeam-9", "2025-02-01", targets={"one": Failing()}, spread="2 hours")
        world.install(expires="2025-02-14")
        world.manager.enable_auto_update()
        world.run(until="2025-02-05")
        world = reopen("veeam-9", "2025-02-06", targets={"two": Failing()}, spread="5 hours", mail_repeat="on_change")
        world.server.will("connection_failed", world.renewal(expires="2026-02-14"))
        world.run(until="2025-02-20")
        check(world)

    @pytest.mark.parametrize("away", ["2025-02-10T00:01", "2025-02-12", "2025-03-20", "2026-01-01", "2025-02-01"])
    def test_after_a_while(self, reopen: Callable[..., LicenseWorld], away: str) -> None:
        """The time that passed, or went back, is in the journal, and so is a question that was cut off (7.3)."""
        world = reopen("veeam-9", "2025-02-01")
        world.install(expires="2025-02-14")
        world.manager.enable_auto_update()
        world.run(until="2025-02-10", perform=False)
        world = reopen("veeam-9", away)
        world.server.will("connection_failed")
        world.run(until=world.clock.now.add(hours=3))
        check(world)

    def test_with_a_row_that_was_damaged(self, reopen: Callable[..., LicenseWorld], tmp_path: Path) -> None:
        """A license whose row cannot be read begins anew with the key that is installed with force."""
        world = reopen("veeam-9", "2025-02-01")
        key = world.install(expires="2025-02-14")
        world.manager.enable_auto_update()
        world.run(until="2025-02-10")
        with closing(sqlite3.connect(tmp_path / "licenses.db")) as connection, connection:
            connection.execute("UPDATE licenses SET told = 99")
        world = reopen("veeam-9", "2025-02-10T01:00")
        world.manager.install(key.signed, force=True)
        world.run(until="2025-02-20")
        assert ("Grace", "Off") == (world.manager.status().entitlement, world.manager.status().auto_update)
        check(world)

    def test_with_another_key_in_place_of_damage(self, reopen: Callable[..., LicenseWorld], tmp_path: Path) -> None:
        """So it does if that is another key than the one before."""
        world = reopen("veeam-9", "2025-02-01")
        world.install(expires="2025-02-14")
        with closing(sqlite3.connect(tmp_path / "licenses.db")) as connection, connection:
            connection.execute("UPDATE licenses SET told = 99")
        world = reopen("veeam-9", "2025-02-10T01:00")
        world.install(expires="2026-02-14", force=True)
        check(world)

    def test_by_a_second_process_with_other_settings(self, reopen: Callable[..., LicenseWorld], tmp_path: Path) -> None:
        """What the driver does is replayed under the driver's settings, whoever else opens the store."""
        world = reopen("veeam-9", "2025-02-01", mail_repeat="on_change")
        world.install(expires="2025-02-14")
        world.manager.tick()
        other = make_world("veeam-9", store=tmp_path / "licenses.db", signing=world.signing, spread="5 hours")
        world.server.will("connection_failed")
        world.manager.enable_auto_update()
        world.run(until="2025-02-03")
        other.manager.close()
        check(world)


class TestDamage:
    @pytest.fixture
    def lived(self, world: LicenseWorld) -> Stored:
        """Live for some days, and read what is stored."""
        _renewed(world)
        return stored(world)

    @pytest.mark.parametrize(
        ("changes", "why"),
        [
            ({"event": "unknown"}, "holds no event that can be read: unknown"),
            ({"details": "{"}, "holds no event that can be read"),
            ({"at": "late"}, "'<' not supported|unsupported|not supported"),
            ({"license": "ACME-9"}, "ACME-9"),
        ],
    )
    def test_is_told_with_its_entry(self, lived: Stored, changes: dict[str, object], why: str) -> None:
        """An entry that cannot have happened is named by its number."""
        place = next(place for place, row in enumerate(lived.journal) if row["event"] == "enable")
        journal = [*lived.journal]
        journal[place] = dict(journal[place]) | changes
        with pytest.raises(
            StoreDamaged, match=rf"^journal entry {journal[place]['seq']} of license .*cannot be replayed: .*({why})"
        ):
            lived._replace(journal=journal).replayed()

    @pytest.mark.parametrize(
        ("event", "details", "at"),
        [
            ("clock_stepped", '{"by": -7200000}', -(2**62)),
            ("clock_stepped", '{"by": -7200000}', 253402300800000),
            ("tick", None, 2**62),
        ],
    )
    def test_of_a_time_is_told(self, lived: Stored, event: str, details: str | None, at: int) -> None:
        """A time that no calendar has, with which no step can reckon, is told as damage."""
        place = next(place for place, row in enumerate(lived.journal) if row["event"] == "answered")
        journal = [*lived.journal]
        journal[place] = dict(journal[place]) | {"event": event, "details": details, "at": at}
        with pytest.raises(StoreDamaged, match=rf"^journal entry {journal[place]['seq']} of license ACME-1 cannot be"):
            lived._replace(journal=journal).replayed()

    def test_of_the_beginning_is_told(self, lived: Stored) -> None:
        """A journal that lacks its beginning cannot be replayed."""
        with pytest.raises(
            StoreDamaged, match="journal entry 4 of license ACME-1 cannot be replayed: what license ACME-1 began"
        ):
            lived._replace(journal=lived.journal[3:]).replayed()

    def test_of_a_key_is_told(self, lived: Stored) -> None:
        """A key that is not there is told with the entry that speaks of it."""
        with pytest.raises(
            StoreDamaged, match=r"journal entry 3 of license ACME-1 cannot be replayed: .*first_installed"
        ):
            lived._replace(keys={}).replayed()

    def test_of_a_policy_is_told(self, lived: Stored) -> None:
        """Likewise a policy."""
        with pytest.raises(StoreDamaged, match="journal entry 3 of license ACME-1 cannot be replayed"):
            lived._replace(policies={}).replayed()

    @pytest.mark.parametrize("details", ["", "{", "[]", "{}", "null", "[" * 100_000])
    def test_of_an_opening_is_told(self, lived: Stored, details: str) -> None:
        """What licenses ran under must be read before anything else can be."""
        journal = [dict(lived.journal[0]) | {"details": details}, *lived.journal[1:]]
        with pytest.raises(StoreDamaged, match=r"^journal entry [13] of license"):
            lived._replace(journal=journal).replayed()

    def test_shows_where_somebody_took_out_an_entry(self, world: LicenseWorld) -> None:
        """A journal from which something is missing does not lead to what is stored."""
        _renewed(world)
        whole = stored(world)
        without = [row for row in whole.journal if row["event"] != "enable"]
        assert kept(world) == led_to(whole)
        assert kept(world) != led_to(whole._replace(journal=without))


def test_nothing_lived_is_nothing() -> None:
    """Without entries there are no licenses."""
    assert {} == replay_journal([], {}, {})


def test_a_store_in_memory_can_be_replayed_as_well() -> None:
    """The journal is the same whatever it is kept in."""
    world = make_world("veeam-9", store=MEMORY)
    world.install(expires="2025-02-14")
    try:
        check(world)
        assert attrs.asdict(named("veeam-9")) == attrs.asdict(next(iter(stored(world).policies.values())))
    finally:
        world.manager.close()
