import shutil

import pytest

from licfsm.errors import LicfsmError
from licfsm.web.devserver import DevServer
from licfsm.web.faults import FAULTS


class TestCommands:
    @pytest.mark.parametrize(
        ("command", "told"),
        [
            ("show", "ACME-1: subscription, expires 2025-02-14\nnothing goes wrong"),
            ("renew ACME-1", "renewed ACME-1: subscription, expires 2026-02-14"),
            ("RENEW ACME-1 2027-01-31 type=rental", "renewed ACME-1: rental, expires 2027-01-31"),
            ("renew ACME-1 never", "renewed ACME-1: subscription, never expires"),
            ("renew ACME-1 expires=never", "renewed ACME-1: subscription, never expires"),
            ("issue A 2025-03-01 zone=Europe/Berlin", "issued A: subscription, expires 2025-03-01 Europe/Berlin"),
            ("issue A", "issued A: subscription, never expires"),
            ("outage", "goes wrong: outage"),
            ("Expired-Certificate", "goes wrong: expired_certificate"),
            ("rate ACME-1 times=2 retry_after=5", "goes wrong: rate ACME-1 times=2 retry_after=5"),
            ("drip every=5", "goes wrong: drip every=5"),
            ("hang ACME-9", "goes wrong: hang ACME-9\nno license ACME-9 was issued so far"),
            ("ok", "nothing goes wrong"),
        ],
    )
    def test_is_done(self, server: DevServer, command: str, told: str) -> None:
        """What was done is told."""
        assert told == server.tell(command)

    def test_that_cannot_be_written_says_so(self, server: DevServer) -> None:
        """Where its folder is gone, a key cannot be kept; that ends nothing."""
        shutil.rmtree(server.folder / "newest")
        with pytest.raises(LicfsmError, match=r"cannot write .*newest.ACME-1\.lic: No such file or directory"):
            server.tell("renew ACME-1")
        assert "nothing goes wrong" == server.tell("ok")

    @pytest.mark.parametrize(
        ("command", "why"),
        [
            (" ", "say what to do; help lists what there is"),
            ("outrage", "there is no command 'outrage'; did you mean outage?"),
            ("xyzzy", "there is no command 'xyzzy'; help lists what there is"),
            ("renew", "say which license: renew ACME-1 2026-02-14"),
            ("renew ACME-9", "no key of the license 'ACME-9' was issued"),
            ("renew ACME-1 2026-02-30", "'2026-02-30' is not in the calendar"),
            ("renew ACME-1 2026-02-14 expires=never", "it can expire but once"),
            ("issue ACME-1 never again", "'again' is a word too many"),
            ("issue ACME-1 typ=rental", "'typ' is not understood here; did you mean type?"),
            ("show ACME-1", "'ACME-1' is a word too many"),
            ("ok x=1", "'x' is not understood here; nothing can be said here"),
            ("outage times=two", "times must be a whole number, not 'two'"),
            ("outage times=0", "times must be at least 1, not 0"),
            ("wrong_host ACME-1", "wrong_host comes before anybody knows a license: it can only come for all"),
        ],
    )
    def test_is_refused(self, server: DevServer, command: str, why: str) -> None:
        """What cannot be done is told in one line."""
        with pytest.raises(LicfsmError) as refused:
            server.tell(command)
        assert why == str(refused.value)

    def test_what_stands(self, server: DevServer) -> None:
        """What goes wrong is listed, and what still does when one license is well again."""
        server.tell("outage ACME-1")
        server.tell("rate")
        assert ["goes wrong: outage ACME-1", "goes wrong: rate"] == server.tell("show").splitlines()[1:]
        assert "goes wrong still: rate" == server.tell("ok ACME-1")

    def test_no_license(self) -> None:
        """A server that issued nothing says so."""
        with DevServer() as server:
            assert "no license\nnothing goes wrong" == server.tell("show")

    def test_help(self, server: DevServer) -> None:
        """The help has every fault, and fits a terminal of 80 columns."""
        shown = server.tell("help")
        assert ([], True) == ([name for name in FAULTS if name not in shown], max(map(len, shown.splitlines())) <= 80)
