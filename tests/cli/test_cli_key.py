import base64
import contextlib
import io
import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import licfsm
from licfsm.adapters.clock import SystemClock
from licfsm.adapters.keys import SigningKey, TrustedKeys, sign
from licfsm.cli.main import main

# The example key of RFC 8037, appendix A.
PUBLIC = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", "kid": "2025"}
PRIVATE = PUBLIC | {"d": "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"}
LICENSE = ("--key", "private.json", "--id", "ACME-1", "--type", "rental")


def key(*arguments: object, stdin: bytes | None = None) -> Result:
    """Run the command."""
    return CliRunner().invoke(main, ["key", *map(str, arguments)], input=stdin)


def told(result: Result) -> tuple[int, str, str]:
    """Give the exit status, and what was written to standard output and standard error."""
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in a folder with a private key, its public half, and a license key that it signed."""
    monkeypatch.chdir(tmp_path)
    Path("private.json").write_text(json.dumps(PRIVATE))
    Path("public.json").write_text(json.dumps(PUBLIC))
    made = licfsm.LicenseKey(
        id="ACME-1",
        type="subscription",
        zone="Europe/Berlin",
        expires="2025-02-14",
        issued="2025-02-01T08:00Z",
        product="Backup",
        holder="Müller\x1b[2J, 東京",
        counts={"sockets": 16, "instances": 100},
    )
    Path("license.lic").write_text(f"{sign(made, SigningKey.load('private.json')).signed}\n")


SAYS = """License    ACME-1
Type       subscription
Product    Backup
Holder     Müller[2J, 東京
Counts     sockets 16
           instances 100
Expires    at the end of 2025-02-14 (Europe/Berlin)
Issued     2025-02-01 09:00:00+01:00
"""
DOCUMENT = {
    "id": "ACME-1",
    "type": "subscription",
    "zone": "Europe/Berlin",
    "product": "Backup",
    "edition": "",
    "holder": "Müller[2J, 東京",
    "counts": {"sockets": 16, "instances": 100},
    "expires": "2025-02-14",
    "issued": "2025-02-01T08:00:00+00:00",
}


class TestGenerate:
    def test_prints_the_public_key(self) -> None:
        """Standard output is the public key in one line, and nothing else."""
        shown = key("generate")
        assert (0, 1) == (shown.exit_code, shown.stdout.count("\n"))
        assert ["kty", "crv", "x", "kid"] == list(json.loads(shown.stdout))

    def test_tells_where_the_private_key_is(self) -> None:
        """What to do with both is told on standard error."""
        assert (
            "The private key is in mine.json; keep it secret.\n"
            "The public key is the line below; a host takes it as trust=['...'].\n"
        ) == key("generate", "--out", "mine.json").stderr

    def test_makes_keys_that_belong_together(self) -> None:
        """What the private key signs, the public one verifies."""
        public = key("generate").stdout
        made = sign(
            licfsm.LicenseKey(id="A", type="rental", issued="2025-02-01"), SigningKey.load("license-signing-key.json")
        )
        assert made == TrustedKeys.of(public).verify(made.signed)

    @pytest.mark.skipif(sys.platform == "win32", reason="no modes there")
    def test_hides_the_private_key(self) -> None:
        """Only its owner can read the private key."""
        key("generate")
        assert 0o600 == stat.S_IMODE(Path("license-signing-key.json").stat().st_mode)

    def test_takes_the_place_of_no_file(self) -> None:
        """A private key that exists is not lost."""
        before = Path("private.json").read_text()
        assert (
            2,
            "",
            "private.json exists already, and a private key never takes the place of another file\n",
        ) == told(key("generate", "--out", "private.json"))
        assert before == Path("private.json").read_text()

    def test_cannot_write(self) -> None:
        """A folder that is missing is told in one line."""
        assert (2, "", "cannot write no/key.json: No such file or directory\n") == told(
            key("generate", "--out", "no/key.json")
        )


class TestPublic:
    def test_prints_it_again(self) -> None:
        """What a host trusts can be had from the private key at any time."""
        made = key("generate")
        shown = key("public", "license-signing-key.json")
        assert (0, made.stdout) == (shown.exit_code, shown.stdout)

    def test_of_none_is_refused(self) -> None:
        """A public key has no private half to show for."""
        Path("public.json").write_text(key("generate").stdout, encoding="utf-8")
        shown = key("public", "public.json")
        assert (2, "") == (shown.exit_code, shown.stdout)
        assert "public.json: this is a public key, which cannot sign" in shown.stderr


class TestSign:
    def verified(self, *options: object) -> licfsm.LicenseKey:
        """Sign a key, and verify it."""
        shown = key("sign", *LICENSE, *options)
        assert (0, "") == (shown.exit_code, shown.stderr)
        return TrustedKeys.of(PUBLIC).verify(shown.stdout)

    def test_signs_what_is_told(self) -> None:
        """Every option is a value of the key."""
        assert licfsm.LicenseKey(
            id="ACME-1",
            type="rental",
            zone="Europe/Berlin",
            expires="2025-02-14",
            issued="2025-02-01T08:00Z",
            product="Backup",
            edition="Gold",
            holder="Müller",
            counts={"sockets": 16, "a=b": 0},
        ) == self.verified(
            "--zone", "Europe/Berlin", "--expires", "2025-02-14", "--issued", "2025-02-01T09:00",
            "--product", "Backup", "--edition", "Gold", "--holder", "Müller", "--count", "sockets=16", "--count", "a=b=0",
        )  # fmt: skip

    def test_takes_an_instant_as_expiry(self) -> None:
        """A time without an offset is in the zone of the license."""
        signed = self.verified("--zone", "Europe/Berlin", "--expires", "2025-02-14T10:30")
        assert "2025-02-14T10:30:00+01:00" == signed.expiry.isoformat()

    def test_is_perpetual_without_expiry(self) -> None:
        """A key without expiry never expires."""
        assert self.verified().expiry is None

    def test_is_issued_now(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The time of issue is the system's time, unless another is told."""
        monkeypatch.setattr(SystemClock, "now_ms", lambda _: 1_738_396_800_007)
        assert "2025-02-01T08:00:00.007000+00:00" == self.verified().issued.isoformat()

    def test_writes_a_file(self) -> None:
        """With --out the key is a line of that file, and nothing is printed."""
        assert (0, "", "") == told(key("sign", *LICENSE, "--out", "new.lic"))
        assert "ACME-1" == TrustedKeys.of(PUBLIC).verify(Path("new.lic").read_bytes().removesuffix(b"\n")).id

    def test_takes_the_place_of_an_older_license(self) -> None:
        """A license key is made anew where the old one was."""
        key("sign", *LICENSE, "--out", "license.lic")
        assert "rental" == TrustedKeys.of(PUBLIC).verify(Path("license.lic").read_bytes()).type

    @pytest.mark.parametrize(
        ("options", "why"),
        [
            (("--id", "A B"), "license id 'A B' must be 1 to 64 of the characters A-Z a-z 0-9 . _ -"),
            (("--type", "Rental"), "license type 'Rental' must be 1 to 64 of the characters a-z 0-9 _ -"),
            (("--zone", "Mars"), "there is no time zone 'Mars'; use an IANA name such as UTC or Europe/Berlin"),
            (("--expires", "soon"), "--expires: 'soon' is no date or time; write 2025-02-14 or 2025-02-14T09:00"),
            (
                ("--expires", "9001-01-01"),
                "--expires: expiry 9001-01-01 lies after 9000-01-01; leave it out for a perpetual key",
            ),
            (("--issued", "now"), "--issued: 'now' is no date or time; write 2025-02-14 or 2025-02-14T09:00"),
            (("--count", "16"), "--count: '16' must be a name and its number, each name once: sockets=16"),
            (("--count", "=16"), "--count: '=16' must be a name and its number, each name once: sockets=16"),
            (("--count", "a=-1"), "--count: 'a=-1' must be a name and its number, each name once: sockets=16"),
            (("--count", "a=１"), "--count: 'a=１' must be a name and its number, each name once: sockets=16"),
            (
                ("--count", "a=1", "--count", "a=2"),
                "--count: 'a=2' must be a name and its number, each name once: sockets=16",
            ),
            (
                ("--holder", "x" * 501),
                "the key cannot be signed: what the key says cannot be used: holder: must have at most 500 characters",
            ),
            (("--key", "public.json"), "public.json: this is a public key, which cannot sign; give the private one"),
            (("--key", "none.json"), "none.json: cannot be read: No such file or directory"),
            (("--key", "license.lic"), "license.lic: what it holds is no JSON object that can be read"),
            (("--out", "private.json"), "--out: that is the file of the private key; name another"),
            (("--out", "no/new.lic"), "cannot write no/new.lic: No such file or directory"),
        ],
    )
    def test_refuses_in_one_line(self, options: tuple[str, ...], why: str) -> None:
        """What cannot be used is told in one line, and nothing is signed."""
        assert (2, "", f"{why}\n") == told(key("sign", *LICENSE, *options))

    def test_spares_the_private_key(self) -> None:
        """A private key is not overwritten by a license, even by another name of the file."""
        Path("link").symlink_to("private.json")
        key("sign", *LICENSE, "--out", "link")
        assert PRIVATE == json.loads(Path("private.json").read_text())


class TestShow:
    def test_says_that_nothing_was_verified(self) -> None:
        """What a key says is shown in aligned lines, cleaned, and never as if it were verified."""
        assert (
            0,
            "NOT verified: anybody can have written this; `licfsm key verify` checks it.\n"
            + SAYS
            + "Signed by  2025\n",
            "",
        ) == told(key("show", "license.lic"))

    def test_says_so_as_json(self) -> None:
        """The JSON has every field, and says that it was not verified."""
        assert {"version": 1, "verified": False, "signed_by": "2025", "key": DOCUMENT} == json.loads(
            key("show", "license.lic", "--json").output
        )

    def test_reads_standard_input(self) -> None:
        """``-`` is what another command prints."""
        shown = key("show", "-", stdin=Path("license.lic").read_bytes())
        assert (0, True) == (shown.exit_code, SAYS in shown.stdout)

    @pytest.mark.parametrize(
        ("options", "line", "expires"),
        [
            ((), "Expires    never\n", None),
            (
                ("--expires", "2025-02-14T10:30"),
                "Expires    2025-02-14 10:30:00+00:00 (UTC)\n",
                "2025-02-14T10:30:00+00:00",
            ),
            (
                ("--expires", "2025-02-14T10:30:00.25Z"),
                "Expires    2025-02-14 10:30:00.250+00:00 (UTC)\n",
                "2025-02-14T10:30:00.250000+00:00",
            ),
        ],
    )
    def test_tells_other_expiries(self, options: tuple[str, ...], line: str, expires: str | None) -> None:
        """A perpetual key never expires, an exact expiry is told to the second, or finer where it is."""
        key("sign", *LICENSE, *options, "--out", "new.lic")
        assert line in key("show", "new.lic").output
        assert expires == json.loads(key("show", "new.lic", "--json").output)["key"]["expires"]

    def test_refuses_what_is_no_key(self) -> None:
        """A file that holds no license key is told as such."""
        assert (
            1,
            "",
            "this is no license key: it must be three parts of base64url with dots between them\n",
        ) == told(key("show", "public.json"))

    @pytest.mark.parametrize(
        ("name", "why"), [("none.lic", "No such file or directory"), (".", "Is a directory"), ("", "Is a directory")]
    )
    def test_cannot_read(self, name: str, why: str) -> None:
        """A file that cannot be read is told in one line."""
        assert (2, "", f"{name or '.'}: cannot be read: {why}\n") == told(key("show", name))

    def test_takes_no_notice_of_more_than_a_key(self) -> None:
        """A file without end is not read to its end."""
        assert (1, "", "this is no license key: it is longer than 16 KB\n") == told(key("show", "/dev/zero"))

    def test_without_standard_input(self) -> None:
        """Where there is no standard input that is told, as of any file."""
        shown = subprocess.run(
            ["sh", "-c", f"{sys.executable} -m licfsm key show - <&-"], capture_output=True, text=True, check=False
        )
        assert (2, "") == (shown.returncode, shown.stdout)
        assert shown.stderr.startswith("standard input: cannot be read: ")
        assert 1 == shown.stderr.count("\n")

    def test_writes_to_whatever_stands_for_the_screen(self) -> None:
        """A program that collects standard output in memory gets the same text."""
        with contextlib.redirect_stdout(io.StringIO()) as shown:
            main(["key", "show", "license.lic"], standalone_mode=False)
        assert SAYS in shown.getvalue()

    def test_writes_what_the_screen_cannot_show(self) -> None:
        """Characters that the terminal's encoding has not are escaped."""
        shown = subprocess.run(
            [sys.executable, "-m", "licfsm", "key", "show", "license.lic"],
            capture_output=True,
            env=os.environ | {"PYTHONIOENCODING": "latin-1"},
            check=True,
        )
        assert b"Holder     M\xfcller[2J, \\u6771\\u4eac\n" in shown.stdout


class TestVerify:
    def test_says_what_counts(self) -> None:
        """A key that a trusted key signed is verified, and shown."""
        assert (0, f"Verified.\n{SAYS}Signed by  2025\n", "") == told(
            key("verify", "license.lic", "--trust", "public.json")
        )

    def test_says_so_as_json(self) -> None:
        """The JSON says that it was verified."""
        assert {"version": 1, "verified": True, "signed_by": "2025", "key": DOCUMENT} == json.loads(
            key("verify", "license.lic", "--trust", "public.json", "--json").output
        )

    def test_trusts_several(self) -> None:
        """Public keys may be files or text, and one that fits is enough."""
        other = SigningKey.generate().public
        assert 0 == key("verify", "license.lic", "--trust", other, "--trust", "public.json").exit_code
        assert 0 == key("verify", "license.lic", "--trust", json.dumps(PUBLIC), "--trust", other).exit_code

    def test_reads_standard_input(self) -> None:
        """``-`` is what another command prints."""
        assert 0 == key("verify", "-", "--trust", "public.json", stdin=Path("license.lic").read_bytes()).exit_code

    def test_refuses_a_stranger(self) -> None:
        """A key that nobody trusted signed is refused, with the reason, and status 1."""
        assert (1, "", "the key is signed by '2025', whom nothing here trusts\n") == told(
            key("verify", "license.lic", "--trust", SigningKey.generate().public)
        )

    def test_refuses_a_forgery(self) -> None:
        """A key that was changed is refused; nothing that it says is shown."""
        header, payload, signature = Path("license.lic").read_text().strip().split(".")
        changed = base64.urlsafe_b64decode(f"{payload}==").replace(b'"sockets":16', b'"sockets":99')
        forged = base64.urlsafe_b64encode(changed).rstrip(b"=").decode()
        Path("license.lic").write_text(f"{header}.{forged}.{signature}")
        assert (1, "", "the signature is wrong: the text was changed, or was not signed by '2025'\n") == told(
            key("verify", "license.lic", "--trust", "public.json")
        )

    def test_refuses_as_json(self) -> None:
        """With --json the reason is JSON too."""
        shown = key("verify", "public.json", "--trust", "public.json", "--json")
        assert (1, "") == (shown.exit_code, shown.stderr)
        assert {
            "version": 1,
            "verified": False,
            "error": "this is no license key: it must be three parts of base64url with dots between them",
        } == json.loads(shown.stdout)

    @pytest.mark.parametrize(
        ("trust", "why"),
        [
            ("none.json", "--trust: none.json: cannot be read: No such file or directory"),
            ("{}", "--trust: a key (JWK) must have the kty 'OKP' and the crv 'Ed25519'"),
            (
                "private.json",
                "--trust: private.json: a private key is no trust, and has no place in a host; give its public half",
            ),
            (
                "license.lic",
                "--trust: license.lic: a trusted key must be a JWK, PEM text, or the Path of a file with either",
            ),
        ],
    )
    def test_refuses_a_trust_that_is_none(self, trust: str, why: str) -> None:
        """A public key that cannot be used is told, with status 2."""
        assert (2, "", f"{why}\n") == told(key("verify", "license.lic", "--trust", trust))

    def test_cannot_read(self) -> None:
        """A license key that cannot be read is told, with status 2."""
        assert (2, "", "none.lic: cannot be read: No such file or directory\n") == told(
            key("verify", "none.lic", "--trust", "public.json")
        )

    def test_needs_a_trust(self) -> None:
        """Without a public key nothing can be verified."""
        shown = key("verify", "license.lic")
        assert (2, True) == (shown.exit_code, "Missing option '--trust'" in shown.stderr)
