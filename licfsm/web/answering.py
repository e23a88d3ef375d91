"""What a development server answers: checks and downloads, by the protocol, or with what was to go wrong."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import attrs
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from licfsm.adapters.answers import CHECK_PATH, AskedQuestion, SignedAnswer, sign_answer, write_answer
from licfsm.adapters.key_pairs import SigningKey
from licfsm.errors import KeyRejected
from licfsm.key import clean_text
from licfsm.web.faults import SIGNED, Fault, Faults
from licfsm.web.issuing import Issuer, key_path, other_id
from licfsm.web.log import Log
from licfsm.web.wire import Broken, Drip, Refused, asked_question, json_response

if TYPE_CHECKING:
    from licfsm.web.serving import Serving

__all__ = ["Answering"]

_MESSAGES: Final = {
    "generation_failed": "General license key generation error has occurred",
    "unsupported_type": "This license type has no automatic update",
    "contract_terminated": "The contract has been terminated",
}
_OVERSIZED: Final = 1024 * 1024
_NONCES: Final = 10_000
_ELSEWHERE: Final = "/elsewhere" + CHECK_PATH
_JOSE: Final = "application/jose"
_STATUS: Final = {"outage": 503, "refuse": 403, "rate": 429}


class Answering:
    """Answers; its routes run in the server's thread.

    Args:
        issuer: knows the newest keys, and what they are signed with.
        faults: what is to go wrong.
        log: takes down what came.
        now_ms: tells the time in milliseconds.

    Attributes:
        serving: cuts connections; to be set before anything comes.

    """

    serving: Serving

    def __init__(self, issuer: Issuer, faults: Faults, log: Log, now_ms: Callable[[], int]) -> None:
        """Begin without any nonce that was used."""
        self._issuer = issuer
        self._faults = faults
        self._log = log
        self._now_ms = now_ms
        self._nonces: dict[str, None] = {}
        self.routes: Final = [
            Route(CHECK_PATH, self._check, methods=["POST"]),
            Route(_ELSEWHERE, self._check_elsewhere, methods=["POST"]),
            Route("/v1/keys/{name}", self._download, methods=["GET"]),
        ]

    async def _check(self, request: Request) -> Response:
        asked: AskedQuestion | Refused
        try:
            asked = await asked_question(request)
        except Refused as error:
            asked = error
        license_id = asked.license if isinstance(asked, AskedQuestion) else ""
        fault = self._faults.take("check", license_id or None)
        if fault and (unheard := self._without_an_answer(fault, license_id)):
            return unheard
        return self._refuse("", asked, fault) if isinstance(asked, Refused) else self._answered(asked, fault)

    async def _check_elsewhere(self, request: Request) -> Response:
        """Answer as if nothing went wrong: who follows a redirect is found out by it."""
        try:
            return self._answered(await asked_question(request), None)
        except Refused as error:
            return self._refuse("", error, None)

    def _answered(self, question: AskedQuestion, fault: Fault | None) -> Response:
        """Answer a question by its merits, and bring about what goes wrong with the answer."""
        try:
            answer = self._answer(question)
        except Refused as error:
            return self._refuse(question.license, error, fault)
        if fault:
            return self._with_a_fault(answer, fault)
        self._note(question.license, "check", answer.outcome, None, 200)
        return json_response(write_answer(sign_answer(answer, self._issuer.signing)))

    def _answer(self, question: AskedQuestion) -> SignedAnswer:
        """Find the answer that is right, or refuse the question."""
        try:
            installed = self._issuer.trust.verify(question.key)
        except KeyRejected as error:
            raise Refused(403, f"the installed key is not genuine: {error}") from None
        if installed.id != question.license:
            raise Refused(403, "the installed key is another license's")
        newest = self._issuer.newest.get(question.license)
        if newest is None:
            raise Refused(404, "no such license")
        if question.nonce in self._nonces:
            raise Refused(409, "the nonce was used before")
        self._nonces[question.nonce] = None
        if len(self._nonces) > _NONCES:
            del self._nonces[next(iter(self._nonces))]
        told = SignedAnswer(question.license, question.nonce, self._now_ms(), "up_to_date")
        if newest.signed == installed.signed or newest.issued_at < installed.issued_at:
            return told
        return attrs.evolve(told, outcome="new_key", key=key_path(newest))

    def _without_an_answer(self, fault: Fault, asked: str) -> Response | None:
        """Do what goes wrong whatever was asked; None where a fault needs an answer."""
        name = fault.name
        if name in _STATUS:
            return self._refuse(asked, Refused(_STATUS[name], "simulated, on command"), fault)
        if name == "redirect":
            self._note(asked, "check", name, fault, 307)
            return Response(status_code=307, headers={"Location": _ELSEWHERE})
        if name == "garbage":
            self._note(asked, "check", name, fault, 200)
            return json_response(b'{"answer": "this is no JSON')
        if name in {"hang", "reset"}:
            self._note(asked, "check", name, fault, None)
            return Broken(self.serving, b"", reset=name == "reset", hang=name == "hang")
        return None

    def _with_a_fault(self, answer: SignedAnswer, fault: Fault) -> Response:
        """Answer, but with something that is wrong."""
        signing, name, asked = self._issuer.signing, fault.name, answer.license
        if name in SIGNED:
            answer = attrs.evolve(answer, outcome=name, key="", message=_MESSAGES[name])
        elif name == "wrong_key":
            signing = SigningKey.generate()
        elif name == "wrong_nonce":
            answer = attrs.evolve(answer, nonce=secrets.token_urlsafe(32))
        elif name == "wrong_license":
            answer = attrs.evolve(answer, license=other_id(asked))
        body = write_answer(sign_answer(answer, signing))
        self._note(asked, "check", answer.outcome, fault, None if name == "truncated" else 200)
        if name == "truncated":
            return Broken(self.serving, body)
        if name == "drip":
            return Drip(body, fault.every)
        return json_response(body[:-1] + b',"x-filler":"' + b"x" * _OVERSIZED + b'"}' if name == "oversized" else body)

    async def _download(self, request: Request) -> Response:
        key = self._issuer.at_path(request.url.path)
        if key is None:
            return self._refuse("", Refused(404, "no such key"), None, "download")
        fault = self._faults.take("download", key.id)
        name = fault.name if fault else ""
        if name == "download_missing":
            return self._refuse(key.id, Refused(404, "simulated, on command"), fault, "download")
        cut = name == "download_truncated"
        self._note(key.id, "download", "the new key", fault, None if cut else 200)
        if cut:
            return Broken(self.serving, key.signed.encode(), media_type=_JOSE)
        sent = self._issuer.foreign(key) if name == "download_other" else key
        return Response(sent.signed, media_type=_JOSE)

    async def lost(self, request: Request, error: Exception) -> Response:
        """Refuse what is neither a check nor a download."""
        status = error.status_code if isinstance(error, HTTPException) else 500
        headers = error.headers if isinstance(error, HTTPException) else None
        if not request.url.path.startswith("/control/"):
            self._note("", "other", clean_text(f"{request.method} {request.url.path}")[:64], None, status)
        return JSONResponse({"error": "there is nothing of that kind here"}, status, headers)

    def _refuse(self, asked: str, refused: Refused, fault: Fault | None, stage: str = "check") -> Response:
        self._note(asked, stage, refused.why, fault, refused.status)
        return JSONResponse({"error": refused.why}, refused.status, fault.headers if fault else None)

    def _note(self, asked: str, stage: str, said: str, fault: Fault | None, status: int | None) -> None:
        self._log.note(asked, stage, said, fault.name if fault else "", status)
