"""``licfsm key``: make signing keys, sign license keys, show and verify them."""

from __future__ import annotations

import datetime as dt
import io
import json
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import attrs
import click

from licfsm import instants
from licfsm.adapters.clock import SystemClock
from licfsm.adapters.key_pairs import SigningKey
from licfsm.adapters.keys import LARGEST, TrustedKeys, read_unverified
from licfsm.adapters.keys import sign as signed_by
from licfsm.cli.output import FAILED, REFUSED, writing
from licfsm.errors import InvalidValue, KeyRejected
from licfsm.key import LicenseKey, clean_text

__all__ = ["key"]

_UNVERIFIED: Final = "NOT verified: anybody can have written this; `licfsm key verify` checks it."
_FILE: Final = click.Path(path_type=Path, allow_dash=True)
_COUNT: Final = re.compile(r"(.+)=([0-9]{1,16})")
_JSON: Final = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")


@click.group()
def key() -> None:
    """Make signing keys, sign license keys, show and verify them."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


@key.command()
@click.option(
    "--out",
    default="license-signing-key.json",
    show_default=True,
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Where the private key goes; a file that exists is left alone.",
)
def generate(out: Path) -> None:
    """Make a key that signs license keys.

    The private key is written to a file for the issuer's eyes only, the public key is printed: a host that
    trusts it accepts what the private one signs. Exit status: 0, or 2 if a file cannot be written.
    """
    made = SigningKey.generate()
    with writing(), _refusing():
        made.save(out)
    click.echo(
        f"The private key is in {clean_text(str(out))}; keep it secret.\n"
        "The public key is the line below; a host takes it as trust=['...'].",
        err=True,
    )
    with writing():
        click.echo(made.public)


@key.command()
@click.argument("file", type=_FILE)
def public(file: Path) -> None:
    """Print the public half of a signing key, which a host trusts. FILE is that of the private key.

    Exit status: 0, or 2 if the file holds no private key.
    """
    with _refusing():
        private = SigningKey.load(file)
    with writing():
        click.echo(private.public)


@key.command()
@click.option(
    "--key",
    "private",
    required=True,
    metavar="PRIVATE",
    type=click.Path(path_type=Path),
    help="The file of the private key: a JWK, or PEM.",
)
@click.option("--id", "license_id", required=True, metavar="ID", help="The license's id.")
@click.option("--type", "kind", required=True, metavar="TYPE", help="What was sold: subscription, rental, ...")
@click.option(
    "--expires",
    metavar="TIME",
    help="The last valid day, 2025-02-14, or the exact instant. Without it the key is perpetual.",
)
@click.option("--zone", default="UTC", show_default=True, metavar="NAME", help="The time zone of its dates.")
@click.option("--product", default="", metavar="TEXT")
@click.option("--edition", default="", metavar="TEXT")
@click.option("--holder", default="", metavar="TEXT", help="To whom it was sold.")
@click.option("--count", "counts", multiple=True, metavar="NAME=N", help="What it allows: sockets=16; may be repeated.")
@click.option("--issued", metavar="TIME", help="When it was issued; now by default.")
@click.option("--out", metavar="FILE", type=click.Path(path_type=Path), help="Write it there in place of the screen.")
def sign(
    private: Path,
    license_id: str,
    kind: str,
    expires: str | None,
    zone: str,
    product: str,
    edition: str,
    holder: str,
    counts: tuple[str, ...],
    issued: str | None,
    out: Path | None,
) -> None:
    """Sign a license key.

    Times without an offset are in the license's zone. Exit status: 0, or 2 if something given cannot be used
    or the file cannot be written.
    """
    with _refusing():
        signing = SigningKey.load(private)
        told = {"id": license_id, "type": kind, "zone": zone, "product": product, "edition": edition, "holder": holder}
        made = LicenseKey(**told, counts=_read_counts(counts))
        with _of_option("--expires"):
            made = attrs.evolve(made, expires=expires)
        with _of_option("--issued"):
            made = attrs.evolve(made, issued=issued or instants.from_ms(SystemClock().now_ms()))
        text = signed_by(made, signing).signed
        if out and out.exists() and out.samefile(private):
            message = "--out: that is the file of the private key; name another"
            raise InvalidValue(message)
    with writing():
        if out:
            out.write_text(f"{text}\n", encoding="ascii")
        else:
            click.echo(text)


@key.command()
@click.argument("file", type=_FILE)
@_JSON
def show(file: Path, *, as_json: bool) -> None:
    """Show what a license key says, without verifying it. FILE may be - for standard input.

    Exit status: 0, 1 if it is no license key, 2 if the file cannot be read.
    """
    with _refusing(), _rejecting(as_json=as_json):
        signer, read = read_unverified(_read(file))
    with writing():
        click.echo(_document(read, signer, verified=False) if as_json else f"{_UNVERIFIED}\n{_lines(read, signer)}")


@key.command()
@click.argument("file", type=_FILE)
@click.option(
    "--trust",
    multiple=True,
    required=True,
    metavar="PUBLIC",
    help="A public key: a file of a JWK, a set of them or PEM, or such text itself; may be repeated.",
)
@_JSON
def verify(file: Path, trust: tuple[str, ...], *, as_json: bool) -> None:
    """Verify a license key against public keys. FILE may be - for standard input.

    Exit status: 0 and what the key says if its signature is trusted, 1 and the reason if it is refused, 2 if
    a file or a public key cannot be used.
    """
    with _refusing(), _rejecting(as_json=as_json):
        with _of_option("--trust"):
            trusted = TrustedKeys.of([_public(given) for given in trust])
        text = _read(file)
        read = trusted.verify(text)
        signer, _ = read_unverified(text)
    with writing():
        click.echo(_document(read, signer, verified=True) if as_json else f"Verified.\n{_lines(read, signer)}")


# ---------------------------------------------------------------------------------------------- what was given


@contextmanager
def _refusing() -> Iterator[None]:
    """End with one line where something given cannot be used."""
    try:
        yield
    except InvalidValue as error:
        click.echo(str(error), err=True)
        sys.exit(REFUSED)


@contextmanager
def _rejecting(*, as_json: bool) -> Iterator[None]:
    """End with the reason where a license key is refused."""
    try:
        yield
    except KeyRejected as error:
        with writing():
            if as_json:
                click.echo(json.dumps({"version": 1, "verified": False, "error": str(error)}))
            else:
                click.echo(str(error), err=True)
        sys.exit(FAILED)


@contextmanager
def _of_option(name: str) -> Iterator[None]:
    """Say to which option a mistake belongs."""
    try:
        yield
    except InvalidValue as error:
        message = f"{name}: {error}"
        raise InvalidValue(message) from None


def _read_counts(given: tuple[str, ...]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for text in given:
        found = _COUNT.fullmatch(text)
        if not found or found[1] in counts:
            message = f"--count: {clean_text(text)[:80]!r} must be a name and its number, each name once: sockets=16"
            raise InvalidValue(message)
        counts[found[1]] = int(found[2])
    return counts


def _public(given: str) -> str | Path:
    """Tell the text of a public key from the name of a file."""
    return given if given.lstrip().startswith(("{", "-----BEGIN ")) else Path(given)


def _read(file: Path) -> bytes:
    """Read as much of a file as tells that it is no license key."""
    try:
        with click.open_file(str(file), "rb") as stream:
            data: bytes = stream.read(LARGEST + 1)
    except (OSError, ValueError, RuntimeError) as error:  # ValueError: no path at all; RuntimeError: no standard input
        name = "standard input" if str(file) == "-" else clean_text(str(file))
        message = f"{name}: cannot be read: {getattr(error, 'strerror', None) or error}"
        raise InvalidValue(message) from None
    return data


# ---------------------------------------------------------------------------------------------- what is shown


def _lines(read: LicenseKey, signer: str) -> str:
    """List in aligned lines what a key says; its text is cleaned (rules.md 8.3)."""
    rows = [
        ("License", read.id),
        ("Type", read.type),
        ("Product", clean_text(read.product)),
        ("Edition", clean_text(read.edition)),
        ("Holder", clean_text(read.holder)),
        *(("Counts", f"{clean_text(name)} {count}") for name, count in read.counts.items()),
        ("Expires", _expiry(read)),
        ("Issued", _when(instants.from_ms(read.issued_at, read.zone))),
        ("Signed by", clean_text(signer)),
    ]
    shown = [row for row in rows if row[1]]
    return "\n".join(
        f"{'' if number and shown[number - 1][0] == label else label:11}{text}"
        for number, (label, text) in enumerate(shown)
    )


def _expiry(read: LicenseKey) -> str:
    if read.expires is None:
        return "never"
    if isinstance(read.expires, dt.datetime):
        return f"{_when(read.expires)} ({read.zone.name})"
    return f"at the end of {read.expires} ({read.zone.name})"


def _when(moment: dt.datetime) -> str:
    return dt.datetime.isoformat(moment, " ", "milliseconds" if moment.microsecond else "seconds")


def _document(read: LicenseKey, signer: str, *, verified: bool) -> str:
    """Write what a key says as JSON, every field of it; its text is cleaned likewise."""
    said: dict[str, Any] = {"id": read.id, "type": read.type, "zone": read.zone.name}
    said |= {name: clean_text(getattr(read, name)) for name in ("product", "edition", "holder")}
    said["counts"] = {clean_text(name): count for name, count in read.counts.items()}
    said["expires"] = read.expires and read.expires.isoformat()
    said["issued"] = instants.isoformat(read.issued_at)
    return json.dumps({"version": 1, "verified": verified, "signed_by": clean_text(signer), "key": said})
