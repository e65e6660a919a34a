"""The token of a session: where it comes from, which one is in force, and when it expires."""

from collections.abc import Callable
from typing import Final

from rtmcore.client.config import ClientConfig, explain_invalid_token
from rtmcore.client.events import Event, NeedToken, TokenHasExpired, TokenReason, TokenWillExpire
from rtmcore.errors import InvalidArgument
from rtmcore.limits import TOKEN_WILL_EXPIRE_BEFORE

NEVER: Final = float("inf")
_MILLISECONDS: Final = 1000


class Tokens:
    """The token for the next hello, and how long it lasts.

    Every token has a number, so that it is known which one a hello carried. One that the application handed over
    (`offer`) is used from then on; if the server refuses it, the one before is used again.

    Args:
        config: Says whether a provider is asked, and holds the token otherwise.
        emit: Takes the question, and events about the expiry.

    Attributes:
        number: Of the token for the next hello; counts up.
        due: When `handle_timer` must be called next, in monotonic seconds.
    """

    def __init__(self, config: ClientConfig, emit: Callable[[Event], None]) -> None:
        self._emit = emit
        self._provider = config.token_provider
        self._value = config.token
        self._asked = False
        self._fresh = False
        self._known = not config.token_provider
        # The token before the one that was offered and has no answer yet, with its number.
        self._before: tuple[str | None, int, bool] | None = None
        self._last = 1
        # Of the token in force: its number, when it expires, and what was told about that.
        self._in_force = 0
        self._expires = NEVER
        self._told_soon = False
        self._told_over = False
        self.number = 1
        self.due = NEVER

    # --- Where tokens come from ---------------------------------------------------------------------------------

    @property
    def ready(self) -> bool:
        """Whether there is a token that was not used yet, or none is needed."""
        return self._fresh or not self._provider

    @property
    def known(self) -> bool:
        """Whether there is a token at all, if only an old one."""
        return self._known

    @property
    def expired(self) -> bool:
        """Whether the token for the next hello is one that was told to have expired."""
        return self._told_over and self._in_force == self.number

    @property
    def offered(self) -> bool:
        """Whether the application handed over a token that the server has not answered yet."""
        return self._before is not None

    def ask(self, reason: TokenReason) -> None:
        """An attempt begins: ask the provider, unless its last answer is still unused or on its way."""
        if not self.ready and not self._asked:
            self._asked = True
            self._emit(NeedToken(reason))

    def use(self) -> str | None:
        """The token for a hello; `number` says which."""
        self._fresh = self.offered
        return self._value

    def received(self, value: str | None) -> None:
        """The provider has answered; what the application handed over meanwhile is newer.

        Raises:
            InvalidArgument: Its answer is no token.
        """
        self._asked = False
        wrong = explain_invalid_token(value)
        if wrong is not None:
            raise InvalidArgument(wrong, operation="token provider")
        if not self.offered:
            self._take(value)

    def failed(self) -> None:
        """The provider could not answer."""
        self._asked = False

    def offer(self, value: str) -> int:
        """Take a token that the application hands over, for use at once.

        Returns:
            Its number.
        """
        if self._before is None:
            self._before = (self._value, self.number, self._known)
        self._take(value)
        return self.number

    def accepted(self, number: int) -> None:
        """The server has accepted a token."""
        if number == self.number and self._before is not None:
            self._before = None
            self._fresh = False

    def refused(self, number: int) -> bool:
        """The server has refused a token: where it was offered, the one before is used again.

        Returns:
            Whether it was offered and has had no answer so far.
        """
        if self._before is None or number != self.number:
            return False
        self._value, self.number, self._known = self._before
        self._fresh = False
        self._before = None
        return True

    def _take(self, value: str | None) -> None:
        if value != self._value or not self._known:
            self._last += 1
            self.number = self._last
            self._value = value
        self._fresh = self._known = True

    # --- When they expire ---------------------------------------------------------------------------------------

    def in_force(self, number: int, expires: int | None, server_now: int, now: float) -> None:
        """The server says when a token expires.

        Args:
            number: Which token.
            expires: Milliseconds since 1970 on the server's clock; None for never.
            server_now: The same clock now.
            now: Monotonic seconds.
        """
        if number != self._in_force:
            self._in_force = number
            self._told_soon = self._told_over = False
        self._expires = NEVER if expires is None else now + (expires - server_now) / _MILLISECONDS
        self._schedule()

    def handle_timer(self, now: float) -> None:
        """Tell that the token expires soon, or has expired: each once a token."""
        if now >= self._expires:
            self.report_expired()
        elif not self._told_soon and now >= self._expires - TOKEN_WILL_EXPIRE_BEFORE:
            self._told_soon = True
            self._emit(TokenWillExpire(self._expires - now))
        self._schedule()

    def report_expired(self, number: int | None = None) -> None:
        """Tell that a token has expired, unless that was told.

        Args:
            number: Which one, where the server has refused it; by default the one in force.
        """
        if number is not None and number != self._in_force:
            self._in_force = number
            self._told_over = False
            self._expires = NEVER
        if not self._told_over:
            self._told_soon = self._told_over = True
            self._emit(TokenHasExpired())
        self._schedule()

    def session_over(self) -> None:
        """No session: nobody is told of the expiry of its token."""
        self._before = None
        self._in_force = 0
        self._expires = self.due = NEVER
        self._told_soon = self._told_over = False

    def _schedule(self) -> None:
        if self._told_over:
            self.due = NEVER
        elif self._told_soon:
            self.due = self._expires
        else:
            self.due = self._expires - TOKEN_WILL_EXPIRE_BEFORE
