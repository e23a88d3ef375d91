"""A client of a development server."""

import secrets
import ssl

import httpx

from licfsm.adapters.answers import SignedAnswer, read_answer, write_question
from licfsm.adapters.keys import TrustedKeys
from licfsm.key import LicenseKey
from licfsm.web.devserver import DevServer

JSON = {"Content-Type": "application/json"}


class Asker:
    """A client of a server: asks, reads, fetches."""

    def __init__(self, server: DevServer) -> None:
        """Trust the server."""
        self.server = server
        self.trust = TrustedKeys.of(server.trust)
        self.tls = ssl.create_default_context(cafile=str(server.ca))
        self.http = httpx.Client(base_url=server.url, verify=self.tls, timeout=10, trust_env=False)

    def post(self, key: LicenseKey, nonce: str = "", path: str = "/v1/check") -> httpx.Response:
        """Ask about a key."""
        question = write_question(key, nonce or secrets.token_urlsafe(32))
        return self.http.post(path, content=question, headers=JSON)

    def ask(self, key: LicenseKey) -> SignedAnswer:
        """Ask about a key, and read the answer."""
        return read_answer(self.post(key).content, self.trust)

    def fetch(self, key: LicenseKey) -> LicenseKey:
        """Ask about a key, and fetch the new one."""
        return self.trust.verify(self.http.get(self.ask(key).key).content)
