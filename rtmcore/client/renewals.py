"""Calls of `renew_token` that wait for their answer, and what ends them."""

from rtmcore.client.failures import renewal_code
from rtmcore.client.requests import RENEW_TOKEN, Requests
from rtmcore.connection.model import State
from rtmcore.errors import error_for
from rtmcore.wire.packets import Refused


class Renewals:
    """Which token each call has handed over.

    A call is answered by the server, or by the welcome to a hello that carried its token or a newer one.

    Args:
        requests: All requests of the client.
    """

    def __init__(self, requests: Requests) -> None:
        self._requests = requests
        # By request: the number of the token, as `Tokens` counts them.
        self._numbers: dict[int, int] = {}
        # The newest token that a hello carried and the server has accepted.
        self._accepted = 0

    def begun(self, request: int, number: int) -> None:
        """A token was handed over."""
        self._numbers[request] = number

    def number(self, request: int) -> int:
        """Which token a request has handed over."""
        return self._numbers[request]

    def ended(self, request: int) -> int:
        """A request is over.

        Returns:
            The number of its token.
        """
        return self._numbers.pop(request)

    def welcomed(self, number: int) -> frozenset[int]:
        """The server has accepted the token of a hello.

        Returns:
            The requests that this answers; they are over when the session stands.
        """
        self._accepted = number
        return frozenset(request for request, renewed in self._numbers.items() if renewed <= number)

    def connected(self) -> None:
        """The session stands: end what a hello has answered."""
        if self._numbers:
            for request in self.welcomed(self._accepted):
                ticket = self._requests.get(request)
                if ticket is not None:
                    self._requests.succeed(ticket, None)

    def refused(self, number: int, refusal: Refused, state: State) -> None:
        """A hello was refused because of its token: end the calls that have handed it over."""
        code = renewal_code(refusal) or RENEW_TOKEN.failure
        for request in [request for request, renewed in self._numbers.items() if renewed <= number]:
            ticket = self._requests.get(request)
            if ticket is not None:
                error = error_for(
                    code,
                    refusal.text or "The server refused the new token.",
                    operation=RENEW_TOKEN.name,
                    state=state.name,
                    request_id=request,
                )
                self._requests.fail(ticket, error)

    def session_over(self) -> None:
        """No session: no hello has answered anything."""
        self._accepted = 0
