"""TLS that verifies: whose certificates count for the license server, and what is shown to it (rules.md 3.4)."""

from __future__ import annotations

import os
import re
import ssl
from pathlib import Path
from typing import Any, Final

from licfsm.adapters import faults
from licfsm.errors import InvalidValue

__all__ = ["client_context"]

_SHOWN: Final = 120
_WITH_PASSWORD: Final = 3
_CERTIFICATE: Final = re.compile(rb"-----BEGIN (X509 |TRUSTED )?CERTIFICATE-----")


def client_context(
    ca: str | os.PathLike[str] | ssl.SSLContext | None, certificate: str | os.PathLike[str] | tuple[Any, ...] | None
) -> ssl.SSLContext:
    """Make what verifies the server, and shows it who asks.

    Args:
        ca: whose certificates count; see `server.HttpsServer`.
        certificate: what to show; likewise.

    Raises:
        InvalidValue: something of these cannot be used; the message names it, and says what to do.

    """
    if isinstance(ca, ssl.SSLContext):
        _check_context(ca)
        if certificate is not None:
            message = "client_certificate: load it into the SSLContext that is given as ca, with its load_cert_chain"
            raise InvalidValue(message)
        return ca
    context = _of_the_system() if ca is None else _of_files(_checked_path(ca, "ca"))
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if certificate is not None:
        _load_certificate(context, certificate)
    return context


def _check_context(context: ssl.SSLContext) -> None:
    if context.verify_mode != ssl.CERT_REQUIRED or not context.check_hostname:
        message = (
            "ca: the SSLContext does not verify certificates and names; set verify_mode to ssl.CERT_REQUIRED and "
            "check_hostname to True, or give the path of the CA's certificate"
        )
        raise InvalidValue(message)
    if context.minimum_version < ssl.TLSVersion.TLSv1_2:
        message = "ca: the SSLContext allows TLS before 1.2; set minimum_version to ssl.TLSVersion.TLSv1_2"
        raise InvalidValue(message)


def _of_the_system() -> ssl.SSLContext:
    """Trust the system's CAs, or certifi's where the system has none."""
    context = ssl.create_default_context()
    paths = ssl.get_default_verify_paths()
    told = {paths.openssl_cafile_env, paths.openssl_capath_env} & os.environ.keys()
    some = context.cert_store_stats()["x509_ca"] or (paths.capath and any(Path(paths.capath).iterdir()))
    if not some and not told:
        import certifi

        context.load_verify_locations(cafile=certifi.where())
    return context


def _of_files(path: Path) -> ssl.SSLContext:
    """Trust the CAs of a file, or of all files of a folder that hold some."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.verify_flags |= (
        ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
    )  # who is named here counts, whoever vouches for it
    try:
        found = [path] if not path.is_dir() else [file for file in sorted(path.iterdir()) if file.is_file()]
        for file in found:
            if _CERTIFICATE.search(file.read_bytes()):
                path = file
                context.load_verify_locations(cafile=file)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise InvalidValue(_unusable("ca", path, error)) from None
    if not context.cert_store_stats()["x509"]:
        message = f"ca: {str(path)[:_SHOWN]!r} holds no certificate in PEM (-----BEGIN CERTIFICATE-----)"
        raise InvalidValue(message)
    return context


def _load_certificate(context: ssl.SSLContext, given: str | os.PathLike[str] | tuple[Any, ...]) -> None:
    parts = given if isinstance(given, tuple) else (given,)
    password = parts[2] if len(parts) == _WITH_PASSWORD else None
    if not 1 <= len(parts) <= _WITH_PASSWORD or not (password is None or isinstance(password, str | bytes)):
        message = "client_certificate must be a path, or (certificate, key), or (certificate, key, password)"
        raise InvalidValue(message)
    paths = [_checked_path(part, "client_certificate") for part in parts[:2]]
    asked = []

    def tell() -> str | bytes:  # without it, OpenSSL would ask at the terminal
        asked.append(True)
        return password or ""

    try:
        for path in paths:
            path.open("rb").close()
        context.load_cert_chain(paths[0], paths[1] if len(paths) > 1 else None, tell)
    except (OSError, ValueError) as error:
        if asked:
            message = (
                f"client_certificate: the key in {str(paths[-1])[:_SHOWN]!r} is encrypted, and "
                f"{'the password does not open it' if password else 'there is no password'}; "
                f"give (certificate, key, password)"
            )
            raise InvalidValue(message) from None
        raise InvalidValue(_unusable("client_certificate", path, error)) from None


def _checked_path(path: object, name: str) -> Path:
    if isinstance(path, str | os.PathLike) and str(path) and "\0" not in str(path):
        return Path(path)
    message = f"{name} must be the path of a file in PEM, not a value of type {type(path).__name__}"
    raise InvalidValue(message)


def _unusable(name: str, path: Path, error: Exception) -> str:
    shown = f"{name}: {str(path)[:_SHOWN]!r} cannot be used"
    if isinstance(error, ssl.SSLError):
        if error.reason == "KEY_VALUES_MISMATCH":
            return f"{shown}: key and certificate do not belong together; give the two that do"
        return f"{shown}: it does not hold what it should in PEM ({faults.short(error.reason or 'no PEM')})"
    why = error.strerror if isinstance(error, OSError) else type(error).__name__
    return f"{shown}: {why}; check the path, and the rights of this process"
