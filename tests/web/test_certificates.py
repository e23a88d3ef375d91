import datetime as dt
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from licfsm.errors import InvalidValue
from licfsm.web import certificates
from licfsm.web.certificates import Authority


class TestAuthority:
    def test_is_found_again(self, tmp_path: Path) -> None:
        """A folder's authority is made once."""
        assert Authority.open(tmp_path).pem == Authority.open(tmp_path).pem

    def test_signs_servers_only(self) -> None:
        """The authority can make no other authority."""
        found = Authority.generate().certificate.extensions.get_extension_for_class(x509.BasicConstraints)
        assert (True, True, 0) == (found.critical, found.value.ca, found.value.path_length)

    def test_is_strictly_right(self, tmp_path: Path) -> None:
        """Clients that check certificates by the letter (Python 3.13 does) accept them."""
        authority = Authority.open(tmp_path)
        client = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
        client.verify_flags |= ssl.VERIFY_X509_STRICT
        shake_hands(authority.context(["localhost"]), client)

    def test_expired(self, tmp_path: Path) -> None:
        """A certificate that expired is refused for that alone."""
        authority = Authority.open(tmp_path)
        client = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
        with pytest.raises(ssl.SSLCertVerificationError, match="certificate has expired"):
            shake_hands(authority.context(["localhost"], expired=True), client)

    @pytest.mark.parametrize("name", ["ca.pem", "ca-key.pem"])
    @pytest.mark.parametrize("text", ["", "nonsense"])
    def test_is_damaged(self, tmp_path: Path, name: str, text: str) -> None:
        """What is no authority is refused, and left as it is."""
        Authority.open(tmp_path)
        (tmp_path / name).write_text(text)
        with pytest.raises(InvalidValue, match=r"ca\.pem and ca-key\.pem are no authority of a devserver; remove both"):
            Authority.open(tmp_path)
        assert text == (tmp_path / name).read_text()

    @pytest.mark.parametrize("key", [ec.generate_private_key(ec.SECP256R1()), rsa.generate_private_key(65537, 2048)])
    def test_anothers_key(self, tmp_path: Path, key: ec.EllipticCurvePrivateKey) -> None:
        """A key that does not belong to the certificate is refused."""
        Authority.open(tmp_path)
        (tmp_path / "ca-key.pem").write_text(certificates._private_pem(key))
        with pytest.raises(InvalidValue, match="are no authority"):
            Authority.open(tmp_path)

    def test_has_expired(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """An authority of more than ten years ago says so, before clients wonder."""
        monkeypatch.setattr(certificates, "_now", lambda: dt.datetime(2010, 1, 1, tzinfo=dt.UTC))
        Authority.open(tmp_path)
        monkeypatch.undo()
        with pytest.raises(InvalidValue, match=r"the authority has expired; remove it and ca-key\.pem"):
            Authority.open(tmp_path)


def shake_hands(server: ssl.SSLContext, client: ssl.SSLContext) -> None:
    """Let both sides of TLS talk, in memory."""
    ways = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = client.wrap_bio(*ways, server_hostname="localhost"), server.wrap_bio(*ways[::-1], server_side=True)
    waiting = set(sides)
    while waiting:
        for side in list(waiting):
            try:
                side.do_handshake()
                waiting.discard(side)
            except ssl.SSLWantReadError:
                continue
