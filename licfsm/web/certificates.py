"""A throw-away authority, and the certificates that it issues: good ones, and ones with a fault.

It vouches for servers on one's own machine, while things are tried out. Its private key lies in a file beside its
certificate, so whoever trusts it trusts everybody who can read that file. Certificates are judged by the system's
clock, also where licenses live on a simulated one.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import os
import ssl
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Final, Self

import attrs
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from licfsm import instants
from licfsm.adapters.clock import SystemClock
from licfsm.errors import InvalidValue

__all__ = ["CA_FILE", "CA_KEY_FILE", "Authority", "write_private"]

CA_FILE: Final = "ca.pem"
CA_KEY_FILE: Final = "ca-key.pem"

_A_DAY: Final = dt.timedelta(days=1)
_YEARS: Final = dt.timedelta(days=3650)
_A_YEAR: Final = dt.timedelta(days=365)
_PRIVATE: Final = 0o600


@attrs.frozen(eq=False)
class Authority:
    """An authority that signs servers' certificates. Made by `generate`, or by `open` in a folder.

    Attributes:
        certificate: its own certificate, which clients trust.

    """

    certificate: x509.Certificate
    _key: ec.EllipticCurvePrivateKey = attrs.field(repr=False)

    @classmethod
    def generate(cls) -> Self:
        """Make a new one, for ten years."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = _name(f"licfsm development authority {os.urandom(4).hex()}")
        now = _now()
        usage = _usage(signs_certificates=True)
        made = (
            _builder(name, name, key, now - _A_DAY, now + _YEARS)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)
            .sign(key, hashes.SHA256())
        )
        return cls(made, key)

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Read the authority of a folder, or make one there: ``ca.pem`` and, for its owner only, ``ca-key.pem``.

        Args:
            folder: where it lies; it must exist.

        Raises:
            InvalidValue: what lies there is no authority of this kind, or has expired.
            OSError: the files cannot be read or written.

        """
        ca, ca_key = folder / CA_FILE, folder / CA_KEY_FILE
        if ca.exists() and ca_key.exists():
            return cls._read(ca, ca_key)
        made = cls.generate()
        write_private(ca_key, _private_pem(made._key))  # noqa: SLF001 - of this class
        ca.write_text(made.pem, encoding="ascii")
        return made

    @classmethod
    def _read(cls, ca: Path, ca_key: Path) -> Self:

        try:
            certificate = x509.load_pem_x509_certificate(ca.read_bytes())
            key = load_pem_private_key(ca_key.read_bytes(), None)
        except (ValueError, TypeError, UnsupportedAlgorithm):  # TypeError: a password is missing
            key = None
        if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
            message = f"{ca.parent}: {CA_FILE} and {CA_KEY_FILE} are no authority of a devserver; remove both"
            raise InvalidValue(message)
        if certificate.not_valid_after_utc <= _now() + _A_DAY:
            message = f"{ca}: the authority has expired; remove it and {CA_KEY_FILE}"
            raise InvalidValue(message)
        return cls(certificate, key)

    @property
    def pem(self) -> str:
        """What a client trusts: the certificate in PEM."""
        return self.certificate.public_bytes(Encoding.PEM).decode("ascii")

    def context(self, names: Iterable[str], *, expired: bool = False) -> ssl.SSLContext:
        """Issue a certificate, and make of it what a server speaks TLS with.

        Args:
            names: host names and IP addresses for which it is valid.
            expired: it ended being valid yesterday.

        """
        with tempfile.TemporaryDirectory(prefix="licfsm-") as folder:  # ssl reads nothing but files
            chain = Path(folder) / "chain.pem"
            write_private(chain, self._issue(list(names), expired=expired))
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(chain)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.num_tickets = 0  # who resumes a session is not shown the certificate again
        context.options |= ssl.OP_NO_TICKET
        return context

    def _issue(self, names: list[str], *, expired: bool) -> str:
        """Issue a certificate: its private key and itself, in PEM."""
        key = ec.generate_private_key(ec.SECP256R1())
        now = _now()
        begins, ends = (now - _A_YEAR, now - _A_DAY) if expired else (now - _A_DAY, now + _A_YEAR)
        identifier = self.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        made = (
            _builder(_name("licfsm devserver"), self.certificate.subject, key, begins, ends)
            .add_extension(x509.SubjectAlternativeName([_general(name) for name in names]), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([x509.oid.ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        return _private_pem(key) + made.public_bytes(Encoding.PEM).decode("ascii")


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read; one that is there is replaced.

    Raises:
        OSError: it cannot be written.

    """
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _PRIVATE), "w", encoding="ascii") as file:
        file.write(text)


def _now() -> dt.datetime:
    return instants.from_ms(SystemClock().now_ms())


def _name(common: str) -> x509.Name:

    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common)])


def _general(name: str) -> x509.GeneralName:

    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:

    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, begins: dt.datetime, ends: dt.datetime
) -> x509.CertificateBuilder:

    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(ends)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _private_pem(key: ec.EllipticCurvePrivateKey) -> str:

    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode("ascii")
