import base64
from collections.abc import Callable
from pathlib import Path

import attrs
import pendulum
import pytest

import licfsm
from licfsm.testing import ScriptedServer

JOBS = {"replication": "paid", "copy": "free", "restore": "always"}

# The key of these tests: a subscription under veeam-9 whose last day is 2025-02-14. By rules.md: Expiring from 02-07,
# Grace from 02-15, FreeMode from 03-17 (30 days of grace to the end of 03-16), the deadline is 03-15 (28 days).


@pytest.fixture
def world(license_world: Callable) -> Callable:
    """Make a world whose key of ACME-1 is installed, unless told otherwise."""

    def make(start: str = "2025-02-01", *, install: bool = True, **options: object) -> object:
        made = license_world("veeam-9", start=start, **{"operations": JOBS} | options)
        if install:
            made.install(expires="2025-02-14")
        return made

    return make


class TestWithoutLicense:
    def test_is_not_installed(self, world: Callable) -> None:
        """A manager starts with no license, and says so (2.4)."""
        status = world(install=False).manager.status()
        assert (None, "Not installed", None) == (status.license, status.text, status.entitlement)

    @pytest.mark.parametrize(("job", "allowed"), [("replication", False), ("copy", True), ("restore", True)])
    def test_has_free_rights(self, world: Callable, job: str, allowed: bool) -> None:  # noqa: FBT001
        """Free operations work, paid ones do not, restoring always does (2.3)."""
        assert allowed is world(install=False).manager.allows(job)

    def test_has_nothing_to_switch_on(self, world: Callable) -> None:
        """A command that needs a license says that there is none."""
        with pytest.raises(licfsm.UnknownLicense, match="name a license; there is none yet: install a key first"):
            world(install=False).manager.enable_auto_update()

    def test_of_a_declared_license_is_not_installed(self, world: Callable) -> None:
        """A license that was declared has no key yet."""
        made = world(install=False)
        made.manager.add("ACME-1")
        assert ("ACME-1", "Not installed") == (made.manager.status().license, made.manager.status().text)
        with pytest.raises(licfsm.NotInstalled, match="ACME-1 has no key yet; install one first"):
            made.manager.check_now()


class TestInstall:
    def test_of_the_first_key_declares_its_license(self, world: Callable) -> None:
        """Ten lines are enough: the first key says which license it is."""
        status = world().manager.status()
        assert ("ACME-1", "Valid (14 days until expiration)", "Off") == (
            status.license,
            status.text,
            status.auto_update,
        )

    def test_takes_a_file(self, world: Callable, tmp_path: Path) -> None:
        """A key is most often a file."""
        made = world(install=False)
        path = tmp_path / "license.lic"
        path.write_text(made.key(expires="2025-02-14").signed + "\n", encoding="ascii")
        made.manager.install(path)
        made.manager.install(str(path))
        assert "Valid" == made.manager.status().entitlement

    @pytest.mark.parametrize("header", ['{"alg":', '{ "alg" :', '{\n  "alg":', ' {"alg":'])
    def test_takes_signed_text_however_its_issuer_writes_json(self, license_world: Callable, header: str) -> None:
        """Any JSON counts in the signed text (the protocol's page), so none of it is taken for a path."""
        made = license_world("veeam-9")
        plain = made.key(expires="2026-02-14").signed.split(".")
        told = base64.urlsafe_b64decode(plain[0] + "==").decode().replace('{"alg":', header)
        parts = [base64.urlsafe_b64encode(told.encode()).decode().rstrip("="), plain[1]]
        with pytest.raises(licfsm.KeyRejected, match="the signature is wrong"):
            made.manager.install(".".join([*parts, plain[2] if header != '{"alg":' else "A" * 86]))

    def test_shows_little_of_a_text_that_is_no_path(self, world: Callable) -> None:
        """What was given may be a license key, after all, which belongs into no log."""
        key = "x" * 300
        with pytest.raises(licfsm.InvalidValue) as caught:
            world(install=False).manager.install(key)
        assert f"cannot read the license key {'x' * 80}…: File name too long" == str(caught.value)

    @pytest.mark.parametrize("key", ["", " \n"])
    def test_of_nothing_says_what_is_wanted(self, world: Callable, key: str) -> None:
        """An empty text is no path either."""
        with pytest.raises(licfsm.InvalidValue, match="its file, or the signed text itself; this is empty"):
            world(install=False).manager.install(key)

    def test_of_a_file_that_is_not_there_says_so(self, world: Callable, tmp_path: Path) -> None:
        """A path that leads nowhere is told with what the system says."""
        with pytest.raises(licfsm.InvalidValue, match=r"cannot read the license key .*none\.lic: No such file"):
            world(install=False).manager.install(tmp_path / "none.lic")

    def test_of_an_undeclared_license_is_rejected(self, world: Callable) -> None:
        """A key for an id that was not declared is none of ours."""
        made = world()
        with pytest.raises(licfsm.KeyRejected, match=r"ACME-2, which was not declared .*add it first"):
            made.install(id="ACME-2", expires="2026-02-14")

    def test_of_a_declared_license_works(self, world: Callable) -> None:
        """A host may have several licenses."""
        made = world()
        made.manager.add("ACME-2")
        made.install(id="ACME-2", expires="2026-02-14")
        assert ("ACME-1", "ACME-2") == made.manager.licenses

    def test_of_a_key_that_is_not_trusted_is_rejected(self, world: Callable, license_world: Callable) -> None:
        """A signature of somebody else counts for nothing."""
        stranger = license_world("veeam-9")
        with pytest.raises(licfsm.KeyRejected, match="trust"):
            world(install=False).manager.install(stranger.key(expires="2025-02-14").signed)

    def test_of_another_product_is_rejected(self, world: Callable) -> None:
        """Keys of the vendor's other products are not for this one (4.3)."""
        made = world(install=False, product="Backup")
        with pytest.raises(licfsm.KeyRejected, match="for product Monitor, not for Backup"):
            made.install(expires="2025-02-14", product="Monitor")

    def test_of_an_unknown_type_is_rejected(self, world: Callable) -> None:
        """A license type that the policy does not know cannot be judged."""
        with pytest.raises(licfsm.KeyRejected, match="policy veeam-9 knows no license type site"):
            world(install=False).install(type="site", expires="2025-02-14")

    def test_that_expires_earlier_needs_force(self, world: Callable) -> None:
        """An earlier expiry needs a forced install by hand (4.3)."""
        made = world()
        with pytest.raises(licfsm.KeyRejected, match="expires earlier"):
            made.install(expires="2025-02-13")
        made.install(expires="2025-02-13", force=True)
        assert "Valid (13 days until expiration)" == made.manager.status().text

    def test_that_is_refused_changes_nothing(self, world: Callable) -> None:
        """A refused key is an error to the caller and changes nothing (6.5)."""
        made = world()
        before = made.manager.history()
        with pytest.raises(licfsm.KeyRejected):
            made.install(expires="2025-02-13")
        assert before == made.manager.history()

    def test_for_one_license_is_not_taken_for_another(self, world: Callable) -> None:
        """A key for which the caller names another license is refused."""
        made = world()
        made.manager.add("ACME-2")
        with pytest.raises(licfsm.KeyRejected, match="for license ACME-1, not for ACME-2"):
            made.manager.install(made.key(expires="2026-02-14").signed, "ACME-2")

    def test_for_an_unknown_license_says_which_there_are(self, world: Callable) -> None:
        """A misspelled id is told with those that there are."""
        made = world()
        with pytest.raises(licfsm.UnknownLicense, match="no license 'ACME-9'; there is ACME-1"):
            made.manager.install(made.key(expires="2026-02-14").signed, "ACME-9")

    def test_is_told_once(self, world: Callable) -> None:
        """A key accepted by hand is told in report, mail and log (8.2)."""
        made = world()
        made.run(until="2025-02-02")
        assert ["key_installed"] == made.mail.names
        assert {"report", "mail", "log"} == {notice.channel for notice in made.manager.notices()}


class TestAllows:
    @pytest.mark.parametrize(
        ("now", "allowed"),
        [
            ("2025-02-14T23:59:59.999", True),
            ("2025-02-15", True),
            ("2025-03-16T23:59:59.999", True),
            ("2025-03-17", False),
        ],
    )
    def test_is_never_out_of_date(self, world: Callable, now: str, allowed: bool) -> None:  # noqa: FBT001
        """A driver that stopped grants nothing: the clock is compared at every question."""
        made = world()
        made.clock.move_to(now)
        assert allowed is made.manager.allows("replication")

    def test_of_free_operations_goes_on_in_free_mode(self, world: Callable) -> None:
        """In FreeMode free operations work, and restoring (2.3)."""
        made = world()
        made.clock.move_to("2025-04-01")
        assert [False, True, True] == [made.manager.allows(job) for job in JOBS]

    def test_is_not_improved_by_a_clock_set_back(self, world: Callable) -> None:
        """Entitlement is judged at the later of clock and memory (7.5)."""
        made = world()
        made.run(until="2025-03-20")
        made.clock.set_to("2025-02-01")
        assert not made.manager.allows("replication")
        made.manager.tick()
        assert not made.manager.allows("replication")

    def test_of_an_undeclared_operation_is_an_error(self, world: Callable) -> None:
        """A misspelled operation is neither allowed nor refused."""
        with pytest.raises(
            licfsm.UnknownOperation, match="no operation 'replicate'; it has replication, copy, restore"
        ):
            world().manager.allows("replicate")

    def test_needs_a_name_where_there_are_several(self, world: Callable) -> None:
        """With several licenses, which one is meant must be said."""
        made = world()
        made.manager.add("ACME-2")
        with pytest.raises(licfsm.UnknownLicense, match="name a license; there is ACME-1, ACME-2"):
            made.manager.allows("replication")
        assert [True, False] == [made.manager.allows("replication", name) for name in made.manager.licenses]


class TestJobWarning:
    @pytest.mark.parametrize(
        ("now", "warning"),
        [
            ("2025-02-14T23:59", None),
            ("2025-02-15", "License key has expired, 30 days of grace period remaining"),
            ("2025-03-16T12:00", "License key has expired, 1 day of grace period remaining"),
            ("2025-03-17", None),
        ],
    )
    def test_is_there_in_grace_only(self, world: Callable, now: str, warning: str | None) -> None:
        """Every job of the paid version warns in Grace (2.4), also where nobody drives."""
        made = world()
        made.clock.move_to(now)
        assert warning == made.manager.job_warning("replication") == made.manager.status().job_warning

    def test_is_for_paid_operations(self, world: Callable) -> None:
        """What works without a license does not warn of it."""
        made = world()
        made.clock.move_to("2025-02-20")
        assert [None, None] == [made.manager.job_warning(job) for job in ("copy", "restore")]

    def test_of_an_undeclared_operation_is_an_error(self, world: Callable) -> None:
        """As `allows` has it."""
        with pytest.raises(licfsm.UnknownOperation):
            world().manager.job_warning("backup")


class TestStatus:
    def test_tells_all_of_a_license(self, world: Callable) -> None:
        """Both states, the days, what comes next and why; nobody drives it yet."""
        made = world("2025-02-10T09:00")
        made.manager.enable_auto_update()
        made.manager.tick()
        status = made.manager.status()
        assert (
            licfsm.Status(
                license="ACME-1",
                text="Valid (5 days until expiration)",
                entitlement="Expiring",
                auto_update="Scheduled",
                days_remaining=5,
                expires=pendulum.datetime(2025, 2, 15),
                next_check=pendulum.datetime(2025, 2, 11, 9),
                next_change=pendulum.datetime(2025, 2, 15),
                last_outcome="up_to_date",
                why=status.why,
                driven="here",
            )
            == status
        )
        assert "(1.4)" in status.why[0]

    def test_is_of_this_moment(self, world: Callable) -> None:
        """Where nobody drives, the entitlement is what the clock has brought."""
        made = world()
        made.clock.move_to("2025-02-20")
        status = made.manager.status()
        assert ("Grace", "Expired (25 days of grace period remaining)") == (status.entitlement, status.text)

    def test_is_frozen(self, world: Callable) -> None:
        """A status is a value."""
        with pytest.raises(attrs.exceptions.FrozenInstanceError):
            world().manager.status().text = "Valid"

    def test_reads_in_one_line(self, world: Callable) -> None:
        """For a log or a prompt."""
        assert "ACME-1: Valid (14 days until expiration) (Valid, automatic update Off)" == str(world().manager.status())

    def test_shows_what_waits(self, world: Callable) -> None:
        """Undelivered mail is to be seen, with the reason."""
        made = world()
        made.mail.down = "mail server is down"
        made.manager.tick()
        waiting = {pending.where: pending for pending in made.manager.status().undelivered}
        assert (1, "mail server is down") == (waiting["mail"].count, waiting["mail"].error)

    def test_shows_targets_that_lack_the_key(self, world: Callable) -> None:
        """A key that could not be written somewhere is to be seen (4.4)."""

        def refuse(_key: licfsm.LicenseKey) -> None:
            message = "no such share"
            raise OSError(message)

        made = world(targets={"share": refuse})
        made.manager.tick()
        assert "share" in {pending.where for pending in made.manager.status().undelivered}


class TestCommands:
    def test_enable_asks_at_once(self, world: Callable) -> None:
        """Enabling asks at once, then once a week (3.1)."""
        made = world()
        made.manager.enable_auto_update()
        made.manager.tick()
        assert 1 == len(made.server.questions)
        assert pendulum.datetime(2025, 2, 7) == made.manager.status().next_check  # Expiring begins within the week

    def test_disable_asks_no_more(self, world: Callable) -> None:
        """Switched off, nothing is asked (6.2)."""
        made = world()
        made.manager.enable_auto_update()
        made.manager.disable_auto_update()
        made.run(until="2025-03-01")
        assert ([], "Off") == (made.server.questions, made.manager.status().auto_update)

    def test_check_now_gives_its_session(self, world: Callable) -> None:
        """With wait, the outcome comes back; without a driver the call asks by itself (6.3)."""
        session = world().manager.check_now(wait=5)
        assert ("up_to_date", "success", ("Your existing license key is up to date",)) == (
            session.outcome,
            session.result,
            session.messages,
        )

    def test_check_now_without_wait_leaves_it_to_the_driver(self, world: Callable) -> None:
        """The question waits for whoever drives."""
        made = world()
        assert (None, "Checking") == (made.manager.check_now(), made.manager.status().auto_update)
        made.manager.tick()
        assert ["up_to_date"] == [session.outcome for session in made.manager.sessions()]

    def test_need_a_license_that_there_is(self, world: Callable) -> None:
        """A misspelled id is told with those that there are."""
        with pytest.raises(licfsm.UnknownLicense, match="no license 'acme-1'; there is ACME-1"):
            world().manager.enable_auto_update("acme-1")

    @pytest.mark.parametrize("name", ["status", "allows", "explain", "history", "sessions", "enable_auto_update"])
    def test_that_can_be_none_is_unknown(self, world: Callable, name: str) -> None:
        """Whatever a host gives in its place is told in the same words."""
        manager = world(operations={"job": "paid"}).manager
        arguments = ("job", []) if name == "allows" else ([],)
        with pytest.raises(licfsm.UnknownLicense, match=r"there is no license \[\]; there is ACME-1"):
            getattr(manager, name)(*arguments)


class TestSubscribe:
    def test_hears_what_happens_in_order(self, world: Callable) -> None:
        """A function is called with each journal entry after it was stored."""
        made = world()
        heard: list[licfsm.JournalEntry] = []
        made.manager.subscribe(heard.append)
        made.manager.enable_auto_update()
        made.manager.tick()
        assert ["enable", "answered"] == [entry.event for entry in heard]
        assert list(made.manager.history())[-2:] == heard

    def test_ends_when_wanted(self, world: Callable) -> None:
        """What subscribe returns ends it."""
        made = world()
        heard: list[licfsm.JournalEntry] = []
        made.manager.subscribe(heard.append)()
        made.manager.enable_auto_update()
        assert [] == heard

    def test_of_a_function_that_fails_disturbs_nobody(self, world: Callable) -> None:
        """What a subscriber raises ends neither the step nor the others' hearing."""
        made = world()
        heard: list[str] = []

        def fail(_entry: licfsm.JournalEntry) -> None:
            message = "not today"
            raise RuntimeError(message)

        made.manager.subscribe(fail)
        made.manager.subscribe(lambda entry: heard.append(entry.event))
        made.manager.disable_auto_update()
        assert ["disable"] == heard

    @pytest.mark.parametrize("given", [None, "print"])
    def test_takes_functions_only(self, world: Callable, given: object) -> None:
        """What cannot be called is refused at once, and not at every entry."""
        with pytest.raises(licfsm.InvalidValue, match="a subscriber must be a function, not a value of type"):
            world().manager.subscribe(given)

    def test_takes_no_asynchronous_function(self, world: Callable) -> None:
        """Nobody would await it."""

        async def hear(_entry: licfsm.JournalEntry) -> None:
            """Promise to listen."""

        with pytest.raises(licfsm.InvalidValue, match="a subscriber is asynchronous"):
            world().manager.subscribe(hear)

    def test_may_command_in_turn(self, world: Callable) -> None:
        """A subscriber may call the manager: it holds no lock."""
        made = world()
        made.manager.subscribe(lambda entry: made.manager.disable_auto_update() if entry.event == "enable" else None)
        made.manager.enable_auto_update()
        assert "Off" == made.manager.status().auto_update


class TestHistory:
    def test_tells_events_and_what_they_led_to(self, world: Callable) -> None:
        """The journal has every event, and the transitions below it."""
        made = world()
        made.manager.enable_auto_update()
        made.manager.tick()
        entry = made.manager.history()[-1]
        assert ("answered", "up_to_date", [("Checking", "Scheduled")]) == (
            entry.event,
            entry.outcome,
            [(move.source, move.target) for move in entry.transitions],
        )

    @pytest.mark.parametrize("limit", ["x", -1, 1.5, True, None, 1 << 63])
    @pytest.mark.parametrize("read", ["history", "sessions", "notices"])
    def test_takes_a_whole_number_of_entries(self, world: Callable, read: str, limit: object) -> None:
        """Anything else is refused with the argument's name."""
        with pytest.raises(licfsm.InvalidValue, match="limit must be a whole number, 0 or more; not "):
            getattr(world().manager, read)(limit=limit)

    def test_is_limited_to_the_latest(self, world: Callable) -> None:
        """So many entries, the latest, in order."""
        made = world()
        made.manager.enable_auto_update()
        made.manager.disable_auto_update()
        assert ["enable", "disable"] == [entry.event for entry in made.manager.history(limit=2)]

    def test_of_one_license_leaves_out_the_others(self, world: Callable) -> None:
        """Each license has a history of its own."""
        made = world()
        made.manager.add("ACME-2")
        assert ["added"] == [entry.event for entry in made.manager.history("ACME-2")]

    def test_sessions_tell_each_check(self, world: Callable) -> None:
        """Every check leaves an entry with what came of it (8.1)."""
        made = world(server=ScriptedServer("generation_failed", "up_to_date"))
        made.manager.enable_auto_update()
        made.run(until="2025-02-02")
        assert [("generation_failed", "failed"), ("up_to_date", "success")] == [
            (session.outcome, session.result) for session in made.manager.sessions()
        ]


class TestReopening:
    def test_finds_everything_again(self, world: Callable, license_world: Callable, tmp_path: Path) -> None:
        """What was committed is there after a restart."""
        made = world(store=tmp_path / "licenses.db")
        made.manager.enable_auto_update()
        made.run(until="2025-02-10")
        before = attrs.evolve(made.manager.status(), driven="nobody")
        made.manager.close()
        again = license_world("veeam-9", store=tmp_path / "licenses.db", clock=made.clock, signing=made.signing)
        assert before == again.manager.status()

    def test_in_mid_check_asks_again_at_once(self, world: Callable, license_world: Callable, tmp_path: Path) -> None:
        """A restart in Checking marks the attempt interrupted, and asks again (7.3)."""
        made = world(store=tmp_path / "licenses.db")
        made.manager.enable_auto_update()
        made.manager.close()
        again = license_world("veeam-9", store=tmp_path / "licenses.db", clock=made.clock, signing=made.signing)
        again.manager.tick()
        assert [(1, None, "warning"), (2, "up_to_date", "success")] == [
            (session.attempt, session.outcome, session.result) for session in again.manager.sessions()
        ]

    def test_under_another_policy_is_told(self, world: Callable, license_world: Callable, tmp_path: Path) -> None:
        """Another policy re-derives the dates, and is told (2.5): veeam-7 gives a subscription 14 days of grace."""
        made = world("2025-02-20", store=tmp_path / "licenses.db")
        made.manager.close()
        again = license_world("veeam-7", store=tmp_path / "licenses.db", clock=made.clock, signing=made.signing)
        assert "Expired (9 days of grace period remaining)" == again.manager.status().text
        assert ["policy_changed"] == [notice.name for notice in again.manager.notices() if notice.channel == "report"][
            -1:
        ]

    def test_under_a_policy_with_other_words_is_not(
        self, world: Callable, license_world: Callable, tmp_path: Path
    ) -> None:
        """A text makes no other policy: the dates are the same."""
        made = world(store=tmp_path / "licenses.db")
        made.manager.close()
        policy = licfsm.policy.named("veeam-9")
        reworded = attrs.evolve(policy, texts=attrs.evolve(policy.texts, expired="License has ended"))
        again = license_world(reworded, store=tmp_path / "licenses.db", clock=made.clock, signing=made.signing)
        assert ["key_installed"] == [notice.name for notice in again.manager.notices() if notice.channel == "report"]
        again.clock.move_to("2025-04-01")
        assert "License has ended" == again.manager.status().text

    def test_after_months_asks_once(self, world: Callable, license_world: Callable, tmp_path: Path) -> None:
        """A month off gives one check, and only the notice that is still true (7.2)."""
        made = world(store=tmp_path / "licenses.db")
        made.manager.enable_auto_update()
        made.run(until="2025-02-08")
        made.manager.close()
        asked, told = len(made.server.questions), len(made.mail.names)
        made.clock.move_to("2025-03-20")
        again = license_world(
            "veeam-9", store=tmp_path / "licenses.db", clock=made.clock, signing=made.signing, mail=made.mail
        )
        again.manager.tick()
        assert (1, ["free_mode_entered"]) == (len(again.server.questions), made.mail.names[told:])
        assert asked < 10

    def test_of_an_old_copy_sends_no_old_mail(self, world: Callable, license_world: Callable, tmp_path: Path) -> None:
        """A copy restored from a backup does not send again what waited in it."""
        store = tmp_path / "licenses.db"
        made = world(store=store)
        made.mail.down = "mail server is down"
        made.manager.tick()
        made.manager.close()
        copy = store.read_bytes()
        again = license_world("veeam-9", store=store, clock=made.clock, signing=made.signing, mail=made.mail)
        made.mail.down = None
        again.run(until="2025-02-02")
        again.manager.enable_auto_update()
        again.manager.close()
        assert ["key_installed"] == made.mail.names
        store.write_bytes(copy)
        restored = license_world("veeam-9", store=store, clock=made.clock, signing=made.signing, mail=made.mail)
        restored.run(until="2025-02-03")
        assert ["key_installed"] == made.mail.names
        assert ["the store was restored from an old copy"] == [
            notice.error for notice in restored.manager.notices() if notice.channel == "mail"
        ]


class TestOpening:
    def test_without_trusted_keys_is_refused(self, tmp_path: Path) -> None:
        """Without trusted keys nothing opens, and nothing is made."""
        with pytest.raises(licfsm.InvalidValue, match="without trusted keys nothing opens"):
            licfsm.LicenseManager.open(tmp_path / "licenses.db", policy="veeam-9", trust=[])
        assert [] == list(tmp_path.iterdir())

    @pytest.mark.parametrize(
        ("option", "value", "told"),
        [
            ("server", 5, "server must be an https:// address, or a LicenseServer"),
            ("mail", "admin@example.com", "mail must be a licfsm.Mail, or another Notifier"),
            ("clock", 7, "clock must be a Clock"),
            ("operations", {"replication": "gold"}, "operation 'replication' must be one of paid, free, always"),
            ("mail_repeat", "daily", "mail_repeat must be one of every_failure, on_change, none"),
            ("spread", "soon", "'soon' is no length of time"),
            ("keep", "forever", "'forever' is no length of time"),
            ("policy", "veeam-6", "there is no policy 'veeam-6'"),
            ("targets", "/etc/license.lic", "targets must be a list"),
            ("licenses", ["a b"], "license id 'a b' must be"),
        ],
    )
    def test_with_a_wrong_argument_says_which(
        self, license_world: Callable, option: str, value: object, told: str
    ) -> None:
        """Misuse is told at once, by the argument's name and what it may be."""
        trust = license_world("veeam-9").signing.public
        with pytest.raises(licfsm.InvalidValue, match=told):
            licfsm.LicenseManager.open(":memory:", **{"policy": "veeam-9", "trust": trust, option: value})

    def test_with_one_file_for_two_licenses_is_refused(self, world: Callable, tmp_path: Path) -> None:
        """Two licenses would replace each other's key in one file forever."""
        made = world(targets=[tmp_path / "license.lic"])
        with pytest.raises(
            licfsm.InvalidValue, match=r"would hold the keys of ACME-1 and ACME-2; put \{license\} in its path"
        ):
            made.manager.add("ACME-2")

    def test_with_a_file_for_each_license_writes_each(self, world: Callable, tmp_path: Path) -> None:
        """The id in the path keeps them apart."""
        made = world(targets=[tmp_path / "{license}.lic"])
        made.manager.add("ACME-2")
        other = made.install(id="ACME-2", expires="2026-02-14")
        made.manager.tick()
        assert ["ACME-1.lic", "ACME-2.lic"] == sorted(path.name for path in tmp_path.glob("*.lic"))
        assert other.signed == (tmp_path / "ACME-2.lic").read_text(encoding="ascii")

    def test_declares_licenses(self, world: Callable) -> None:
        """What a host knows beforehand can be said at once."""
        assert ("A", "B") == world(install=False, licenses=["B", "A"]).manager.licenses


class TestClosing:
    def test_twice_is_fine(self, world: Callable) -> None:
        """A second time does nothing."""
        made = world()
        made.manager.close()
        made.manager.close()

    @pytest.mark.parametrize("question", ["status", "tick", "history", "enable_auto_update", "next_due", "close_again"])
    def test_is_told_to_whoever_asks_later(self, world: Callable, question: str) -> None:
        """A closed manager answers nothing any more, and says so."""
        manager = world().manager
        with manager:
            pass
        if question == "close_again":
            manager.close()
            return
        with pytest.raises(licfsm.WrongProcess, match="this manager is closed; open another one"):
            getattr(manager, question)()

    def test_is_told_by_allows(self, world: Callable) -> None:
        """A right is not granted from beyond the end."""
        manager = world().manager
        manager.close()
        with pytest.raises(licfsm.WrongProcess):
            manager.allows("replication")
