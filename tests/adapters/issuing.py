"""An issuer's side, by hand: the example key of RFC 8037, and tokens made with it as in any other language."""

import base64
import json
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from licfsm.adapters.key_pairs import SigningKey

# The example key of RFC 8037, appendix A.1 to A.3: public, so good for tests only.
X = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
D = "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"
THUMBPRINT = "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
PUBLIC = {"kty": "OKP", "crv": "Ed25519", "x": X}
PRIVATE = Ed25519PrivateKey.from_private_bytes(base64.urlsafe_b64decode(f"{D}="))
STRANGER = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))

HEADER = {"alg": "Ed25519", "kid": THUMBPRINT, "typ": "license-key+jws"}
SAYS = {
    "version": 1,
    "id": "ACME-1",
    "type": "subscription",
    "zone": "Europe/Berlin",
    "expires": "2025-02-14",
    "issued": "2025-02-01T08:00:00+00:00",
}


def base64url(data: bytes) -> str:
    """Encode as RFC 7515 says."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def issue(payload: object = SAYS, header: object = HEADER, private: Ed25519PrivateKey = PRIVATE) -> str:
    """Make a token by hand, as an issuer in another language would; text stands for itself."""
    written = [part if isinstance(part, str) else json.dumps(part) for part in (header, payload)]
    text = ".".join(base64url(part.encode("utf-8", "surrogatepass")) for part in written)
    return f"{text}.{base64url(private.sign(text.encode()))}"


def says(**changes: object) -> str:
    """Sign what a key says, with changes; None leaves a field out."""
    return issue({name: value for name, value in (SAYS | changes).items() if value is not None})


def signing(kid: str | None = None, path: Path = Path("key.json")) -> SigningKey:
    """Load the private key of the RFC."""
    path.write_text(json.dumps(PUBLIC | {"d": D} | ({"kid": kid} if kid else {})))
    return SigningKey.load(path)
