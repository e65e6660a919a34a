"""How a request over HTTP is refused."""

from http import HTTPStatus
from typing import Any

from rtmcore.codes import ChannelMemberCountError, QueryPeersOnlineError
from rtmcore.limits import BUSY_RETRY
from rtmcore.service.commands.results import Refusal, Trouble
from rtmcore.service.web.routes import Job


class Problem(Exception):
    """A request is refused.

    Args:
        status: The HTTP status.
        text: One sentence.
        code: The documented code; None where there is none.
        retry_after: Seconds after which another try may succeed.
        methods: Those that the path has, where it does not have the one that was used.
    """

    def __init__(
        self,
        status: int,
        text: str,
        code: Any = None,
        retry_after: float | None = None,
        methods: str | None = None,
    ) -> None:
        super().__init__(text)
        self.methods = methods
        self.status = status
        self.code = code
        self.retry_after = retry_after

    @property
    def headers(self) -> list[tuple[str, str]]:
        """Header fields that say so, too."""
        headers = []
        if self.retry_after is not None:
            headers.append(("Retry-After", str(max(1, round(self.retry_after)))))
        if self.status == HTTPStatus.UNAUTHORIZED:
            headers.append(("WWW-Authenticate", "Bearer"))
        if self.methods is not None:
            headers.append(("Allow", self.methods))
        return headers

    @property
    def document(self) -> dict[str, Any]:
        """The answer's body."""
        error: dict[str, Any] = {"message": str(self)}
        if self.code is not None:
            error.update(family=type(self.code).__name__, code=int(self.code), name=self.code.name)
        if self.retry_after is not None:
            error["retry_after"] = self.retry_after
        return {"error": error}


def nothing_here() -> Problem:
    """There is no such path, or no service for the app."""
    return Problem(HTTPStatus.NOT_FOUND, "There is nothing here.")


def invalid(job: Job, text: str) -> Problem:
    """A field or a name in the query is not valid."""
    codes = job.codes
    code: Any = None
    if codes in (ChannelMemberCountError, QueryPeersOnlineError):
        code = codes.INVALID_ARGUMENT
    elif codes is not None:
        code = codes.INVALID_MESSAGE
    return Problem(HTTPStatus.BAD_REQUEST, text, code)


def late(job: Job) -> Problem:
    """The engine has not answered in time."""
    code = None if job.codes is None else job.codes.TIMEOUT
    return Problem(HTTPStatus.GATEWAY_TIMEOUT, "The engine did not answer in time.", code)


def of_refusal(job: Job, refusal: Refusal) -> Problem:
    """How a refusal of the engine is told."""
    codes = job.codes
    if refusal.code is Trouble.TIMED_OUT:
        text = "The peer did not acknowledge the message in time; it may have got it."
        return Problem(HTTPStatus.GATEWAY_TIMEOUT, text, None if codes is None else codes.TIMEOUT)
    if refusal.code is Trouble.KEY_IN_USE:
        return Problem(HTTPStatus.BAD_REQUEST, refusal.text)
    code = None if codes is None else codes.FAILURE
    retry = BUSY_RETRY if refusal.retry_after is None else refusal.retry_after
    return Problem(
        HTTPStatus.SERVICE_UNAVAILABLE, refusal.text or "The server cannot do this now.", code, retry
    )
