"""License keys: text that an issuer signed. The signature alone makes it count (rules.md 4.3).

A key is a compact JWS (RFC 7515) signed with Ed25519 (RFC 9864), so that issuers can be written in any language::

    header   {"alg": "Ed25519", "kid": "<id of the signing key>", "typ": "license-key+jws"}     nothing else
    payload  {"version": 1, "id": "ACME-1", "type": "subscription", "zone": "Europe/Berlin",
              "product": "...", "edition": "...", "holder": "...", "counts": {"sockets": 16},
              "expires": "2025-02-14", "issued": "2025-02-01T08:00:00+00:00"}

``expires`` is the last valid day or an exact instant with its offset, and left out of a perpetual key. ``issued`` is
in UTC. ``product``, ``edition``, ``holder`` and ``counts`` may be left out. A field that is not known could restrict
what the key allows, so it is refused, unless its name begins with ``x-``: that is for the issuer's own notes.

What is read was perhaps made by an attacker. Form comes first, then the signature, then what it says; each text has
one spelling, so that no two texts are the same key. joserfc is loaded when it is first used.
"""

from __future__ import annotations

import base64
import functools
import json
import re
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Self

import attrs

from licfsm import instants
from licfsm.adapters.key_files import Jwk, SigningKey, read_public
from licfsm.errors import InvalidValue, KeyRejected
from licfsm.key import LONGEST_TEXT, LicenseKey, clean_text, valid_id, valid_type
