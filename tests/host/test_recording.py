from collections.abc import Callable
from pathlib import Path

import pytest

import licfsm
from licfsm import instants
from licfsm.diagram.timeline import scene_of
from licfsm.scenario.account import account
from licfsm.scenario.replay import Action, Check, Notification, Transition


def life(license_world: Callable, **options: object) -> licfsm.LicenseManager:
    """Live until the license falls into grace, its server silent from 13 February on, and is renewed by hand."""
    world = license_world("veeam-9", start="2025-02-10", mail_repeat="on_change", **options)
    world.install(expires="2025-02-14")
    world.manager.enable_auto_update()
    world.run(until="2025-02-12T12:00")
    world.server.will("connection_failed")
    world.run(until="2025-02-15T12:30")
    world.manager.install(world.key(expires="2026-02-14").signed)
    world.run(until="2025-02-16")
    return world.manager


class TestRecorded:
    def test_tells_every_check(self, license_world: Callable) -> None:
        """The first three ask day by day; the one of 13 February fails, and so do the 60 tries hour by hour."""
        checks = [line for line in life(license_world).recorded().trace if isinstance(line, Check)]
        assert (3, 61) == (sum(not check.failed for check in checks), sum(check.failed for check in checks))

    def test_without_its_beginning_says_that_it_was_not_kept(self, license_world: Callable) -> None:
        """Of what is older than is to be kept only the last entry stays: no damage, but nothing to live through."""
        world = license_world("veeam-9", start="2025-02-01", keep="10 days")
        world.install(expires="2025-12-31")
        world.manager.enable_auto_update()
        world.run(until="2025-03-01")
        with pytest.raises(licfsm.StoreDamaged, match=r"what license ACME-1 began with .* was not kept"):
            world.manager.recorded()

    def test_tells_how_the_entitlement_changed(self, license_world: Callable) -> None:
        """It was seven days and less from expiry when it came: Expiring, Grace at the midnight, Valid by hand."""
        result = life(license_world).recorded()
        moves = [(line.source, line.target) for line in result.trace if isinstance(line, Transition)]
        assert "Expiring" == result.first[0]
        assert [("Expiring", "Grace"), ("Grace", "Valid")] == [move for move in moves if move[1] in {"Grace", "Valid"}]

    def test_tells_what_the_user_did(self, license_world: Callable) -> None:
        """Both installs and the switching on, with their times."""
        actions = [line for line in life(license_world).recorded().trace if isinstance(line, Action)]
        assert ["install", "enable", "install"] == [line.action for line in actions]

    def test_tells_which_targets_were_written(self, license_world: Callable, tmp_path: Path) -> None:
        """Each time that one took a key, and the first time that it did not; each further hour is none."""
        away = tmp_path / "away"
        targets = {"plant": tmp_path / "{license}.lic", "office": away / "{license}.lic"}
        world = license_world("veeam-9", start="2025-02-10", targets=targets)
        world.install(expires="2025-02-14")
        world.run(until="2025-02-10T02:30")
        away.mkdir()
        world.run(until="2025-02-10T03:30")
        lines = [line for line in world.manager.recorded().trace if isinstance(line, Action) and "key" in line.kind]
        assert [
            ("02-10T00:00", "key written to", "plant"),
            ("02-10T00:00", "key not written to", "office"),
            ("02-10T03:00", "key written to", "office"),
        ] == [(instants.isoformat(line.at)[5:16], line.kind, line.action) for line in lines]

    def test_tells_what_was_mailed(self, license_world: Callable) -> None:
        """The account can count the mails as those of a scenario."""
        lines = [line for line in life(license_world).recorded().trace if isinstance(line, Notification)]
        mails = [line.name for line in lines if line.channel == "mail"]
        assert ["key_installed", "expiring", "update_failed"] == mails[:3]

    def test_knows_which_keys_were_in_force(self, license_world: Callable) -> None:
        """Each with its deadlines."""
        result = life(license_world).recorded()
        assert ["2025-02-14", "2026-02-14"] == [str(force.key.expires) for force in result.in_force]

    def test_is_told_as_a_scenario_is(self, license_world: Callable) -> None:
        """A run of tries is one line of the account, whose last line is the renewal's."""
        told = account(life(license_world).recorded())
        assert ("Valid", "Scheduled") == (told[-1].entitlement, told[-1].auto_update)
        assert len(told) < 30

    def test_is_drawn_without_a_verdict(self, license_world: Callable) -> None:
        """Nobody expected anything of it, so nothing passed."""
        scene = scene_of(life(license_world).recorded())
        assert "ACME-1, subscription, veeam-9, UTC" == scene.about[0]

    def test_of_a_license_without_a_key_is_refused(self, license_world: Callable) -> None:
        """There is nothing to tell of it."""
        manager = license_world(licenses=["ACME-1"]).manager
        with pytest.raises(licfsm.NotInstalled, match="ACME-1 has no key yet"):
            manager.recorded()

    def test_of_one_license_of_several_is_its_own(self, license_world: Callable) -> None:
        """What happened to the other one is not in it."""
        world = license_world("veeam-9", licenses=["ACME-1", "ACME-2"])
        world.install(id="ACME-1", expires="2025-02-14")
        world.install(id="ACME-2", expires="2025-02-14")
        world.manager.enable_auto_update("ACME-2")
        result = world.manager.recorded("ACME-1")
        assert ["install"] == [line.action for line in result.trace if isinstance(line, Action)]

    def test_tells_of_another_policy_and_of_a_clock_that_was_set(self, license_world: Callable, tmp_path: Path) -> None:
        """Both are the world's doing."""
        world = license_world("veeam-7", store=tmp_path / "licenses.db")
        world.install(expires="2025-12-14")
        world.manager.enable_auto_update()
        world.manager.tick()
        world.clock.set_to("2025-01-31T05:00")
        world.manager.tick()
        world.manager.close()
        options = {"clock": world.clock, "signing": world.signing, "store": tmp_path / "licenses.db"}
        result = license_world("veeam-9", **options).manager.recorded()
        told = [line.action for line in result.trace if isinstance(line, Action)]
        assert ["install", "enable", "clock:", "policy: veeam-9"] == told
        assert ["veeam-7", "veeam-9"] == [force.policy.name for force in result.in_force]
