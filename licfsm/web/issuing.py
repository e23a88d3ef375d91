"""The license keys that a development server has issued: for each license the newest, in memory and in a folder.

A key that is issued is always later than the one before it (rules.md 4.3), also where the clock stands still or was
set back.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import attrs
import pendulum

from licfsm import instants
from licfsm.adapters.key_pairs import SigningKey
from licfsm.adapters.keys import TrustedKeys, sign
from licfsm.errors import InvalidValue, KeyRejected, UnknownLicense
from licfsm.key import LicenseKey, clean_text

__all__ = ["KEYS_FOLDER", "SUFFIX", "Issuer", "is_expires", "key_path", "other_id", "read_expires"]

KEYS_FOLDER: Final = "keys"
NEWEST_FOLDER: Final = "newest"
SUFFIX: Final = ".lic"
_LARGEST: Final = 64 * 1024
_NEVER: Final = ("never", "perpetual")


class Issuer:
    """Signs license keys, and knows the newest of each license. Its methods may be called from any thread.

    Args:
        signing: what they are signed with.
        folder: where license keys lie as ``<id>.lic``: in ``keys`` those to install, in ``newest`` the newest of each
            license, which a check offers. What lies in ``newest`` already counts.
        now_ms: tells the time in milliseconds.

    Raises:
        InvalidValue: a file there holds no key of that license by this signing key.
        OSError: the folder cannot be read.

    """

    def __init__(self, signing: SigningKey, folder: Path, now_ms: Callable[[], int]) -> None:
        """Read what was issued before."""
        self.signing = signing
        self.trust = TrustedKeys.of(signing.public)
        self._folder = folder
        self._now_ms = now_ms
        self._lock = threading.RLock()
        self._newest: dict[str, LicenseKey] = {}
        self._paths: dict[str, LicenseKey] = {}
        for name in (KEYS_FOLDER, NEWEST_FOLDER):
            (folder / name).mkdir(exist_ok=True)
        for file in sorted((folder / NEWEST_FOLDER).glob(f"*{SUFFIX}")):
            self._keep(self._read(file))

    def _read(self, file: Path) -> LicenseKey:
        try:
            with file.open("rb") as stream:
                key = self.trust.verify(stream.read(_LARGEST))
            why = "" if file.name == key.id + SUFFIX else f"it holds a key of {key.id}"
        except KeyRejected as error:
            why = str(error)
        if why:
            message = f"{clean_text(str(file))}: {why}; remove it, or name another folder"
            raise InvalidValue(message)
        return key

    @property
    def newest(self) -> Mapping[str, LicenseKey]:
        """The newest key of each license, by its id."""
        with self._lock:
            return dict(self._newest)

    def issue(self, *, to_install: bool = True, **says: Any) -> LicenseKey:  # noqa: ANN401 - whatever a key may say
        """Sign a key, which is its license's newest from then on.

        Args:
            to_install: it also takes the place of the file that a host is to install.
            says: what the key says, as a `LicenseKey` takes it. It is issued now unless ``issued`` says otherwise, but
                not before the one that was the newest.

        Raises:
            InvalidValue: a value breaks its rule.
            OSError: the folder cannot be written.

        """
        issued = says.pop("issued", None)
        with self._lock:
            key = LicenseKey(**says, issued=instants.from_ms(self._now_ms()) if issued is None else issued)
            before = self._newest.get(key.id)
            if before and key.issued_at <= before.issued_at:
                key = attrs.evolve(key, issued=instants.from_ms(before.issued_at + 1))
            key = sign(key, self.signing)
            for name in (NEWEST_FOLDER, *([KEYS_FOLDER] if to_install else [])):
                (self._folder / name / f"{key.id}{SUFFIX}").write_text(f"{key.signed}\n", encoding="ascii")
            self._keep(key)
            return key

    def renew(self, license_id: str, **says: Any) -> LicenseKey:  # noqa: ANN401 - likewise
        """Sign a newer key of a license.

        Args:
            license_id: whose.
            says: what it says otherwise than the newest; without ``expires`` it expires a year later.

        Raises:
            UnknownLicense: no key of that license was issued.
            InvalidValue: a value breaks its rule.
            OSError: the folder cannot be written.

        """
        with self._lock:
            before = self._newest.get(license_id)
            if before is None:
                message = f"no key of the license {clean_text(license_id)[:64]!r} was issued"
                raise UnknownLicense(message)
            names = [field.name for field in attrs.fields(LicenseKey) if field.init]
            told = {name: getattr(before, name) for name in names if name not in {"issued", "signed"}}
            if isinstance(before.expires, pendulum.Date):  # an instant too is one of pendulum's
                told["expires"] = before.expires.add(years=1)
            return self.issue(to_install=False, **told | says)

    def at_path(self, path: str) -> LicenseKey | None:
        """Find the key that can be fetched under a path."""
        with self._lock:
            return self._paths.get(path)

    def foreign(self, key: LicenseKey) -> LicenseKey:
        """Find a key of any other license than that of a key; where there is none, one is made up."""
        others = (other for other in self.newest.values() if other.id != key.id)
        return next(others, None) or sign(attrs.evolve(key, id=other_id(key.id)), self.signing)

    def _keep(self, key: LicenseKey) -> None:
        self._newest[key.id] = key
        self._paths[key_path(key)] = key


def key_path(key: LicenseKey) -> str:
    """Say under which path a key can be fetched: only who has the key, or was told, can know it."""
    return f"/v1/keys/{hashlib.sha256(key.signed.encode()).hexdigest()[:32]}"


def other_id(license_id: str) -> str:
    """Name a license that is another."""
    return f"NOT-{license_id[:60]}"


def is_expires(text: str) -> bool:
    """Say whether a word that is typed is meant as an expiry."""
    return text in _NEVER or text[:1].isdigit()


def read_expires(text: str) -> str | None:
    """Read an expiry as it is typed: the last valid day, an instant, or ``never``."""
    return None if text in _NEVER else text
