"""The blocking client."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, overload

from rtmcore.client.calling import OutgoingInvitation
from rtmcore.client.core import ClientCore
from rtmcore.client.events import (
    NotRestored,
    PeerConnectionStateChanged,
    PresenceChanged,
    StateChanged,
    TokenHasExpired,
    TokenWillExpire,
    TransferInterrupted,
)
from rtmcore.client.requests import Ticket
from rtmcore.codes import (
    ConnectionChangeReason,
    ConnectionState,
    CreateChannelError,
    SendPeerMessageError,
)
from rtmcore.errors import RtmError, error_for
from rtmcore.files import FileMessage
from rtmcore.identifiers import explain_invalid_id
from rtmcore.models import PeerMessage, SendResult
from rtmsync.bodies import kind_and_body
from rtmsync.calls import Request
from rtmsync.channel import Channel
from rtmsync.channel_info import ChannelCalls
from rtmsync.config import Config, TokenProvider
from rtmsync.driver.clock import Clock, Timeout
from rtmsync.driver.core import Profile, described
from rtmsync.driver.driver import Driver, Intent
from rtmsync.driver.futures import ClientFuture
from rtmsync.driver.router import CHANNEL_EVENTS, Callback
from rtmsync.invitation import LocalInvitation, told
from rtmsync.invitation_events import INVITATION_EVENTS
from rtmsync.kept import KeptCalls
from rtmsync.transfer import TransferCalls, TransferDriver
from rtmsync.users import UserCalls

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from rtmsync.config import ClientOptions


def _broken(previous: ConnectionState, error: RtmError) -> StateChanged:
    return StateChanged(ConnectionState.DISCONNECTED, ConnectionChangeReason.INTERRUPTED, previous, error)


_PROFILE: Profile[ClientCore] = Profile(
    make=ClientCore,
    resting=frozenset({ConnectionState.DISCONNECTED, ConnectionState.ABORTED}),
    connected=ConnectionState.CONNECTED,
    off=ConnectionState.DISCONNECTED,
    changes=(StateChanged,),
    describe=described,
    broken=_broken,
    handed_over=ClientCore.handed_over,
)


class ClientDriver(TransferDriver):
    """The driver of a client.

    Args:
        config: The client's settings.
        callbacks: Registered already.
        clock: Tells the time, in monotonic seconds.
    """

    def __init__(
        self, config: Config, callbacks: Iterable[Callback], *, clock: Callable[[], float] = Clock.now
    ) -> None:
        super().__init__(
            _PROFILE,
            config,
            callbacks,
            observe=self._observe,
            translate=lambda event: told(self, event),
            clock=clock,
        )

    def _observe(self, event: object) -> None:
        if isinstance(event, TransferInterrupted):
            self.interrupted(event.number)


def connect(
    url: str | Iterable[str],
    *,
    app_id: str,
    user_id: str,
    token: str | TokenProvider | None = None,
    timeout: Timeout = None,
    **options: "Unpack[ClientOptions]",
) -> "Client":
    """Make a client and log in.

    ```python
    with rtmsync.connect("wss://rtm.example.com", app_id=APP, user_id="alice", token=mint) as client:
        client.send_peer("bob", "hello")
    ```

    Args:
        url: Of the server, ``ws://…`` or ``wss://…``; or several that are tried in turn.
        app_id: 32 characters.
        user_id: Who logs in: 1 to 64 bytes of the documented characters.
        token: A token; a function of user id and reason that returns one, asked on a thread of its own at each
            attempt; or None where the server wants none.
        timeout: Seconds for the login in all, 12 by default.
        options: See `Config`.

    Returns:
        The client, logged in. Close it, best by a `with` block.

    Raises:
        InvalidArgument: An argument is not possible.
        AuthError: The server refuses: a `LoginError` says why.
        RequestTimeout: No login within the time; the cause says what went wrong with the last attempt.
        RtmError: Any other failure of the login. Nothing is left open then.
    """
    client = Client(url, app_id=app_id, user_id=user_id, token=token, **options)
    try:
        client.login(timeout)
    except BaseException:
        client.close()
        raise
    return client


class Client(UserCalls, ChannelCalls, KeptCalls, TransferCalls):
    """One user's connection to the system.

    Making one does nothing yet: no thread, no socket. All methods may be called from any thread and from callbacks;
    from signal handlers and finalizers too, where blocking ones raise WouldDeadlock if they interrupted the library
    itself. A client that a forked child inherits is DISCONNECTED there and can log in anew; the parent's session is
    not touched.

    Each blocking method takes `timeout`: seconds in all, also for waiting out a reconnect; a `Deadline` to share a
    budget between calls; or None for the default. It ends in a result or an exception. Each has a twin that returns
    a `concurrent.futures.Future` at once; failures of every kind are in the Future.

    Its events, for `on` and `events`: StateChanged, PeerMessage, ChannelMessage, ChannelGap, ChannelLost,
    MemberJoined, MemberLeft, MemberCountChanged, ChannelAttributesUpdated, PresenceChanged, NotRestored,
    TokenWillExpire, TokenHasExpired, PeerConnectionStateChanged; and those of `LocalInvitation` and `RemoteInvitation`.

    Args:
        url: Of the server, ``ws://…`` or ``wss://…``; or several that are tried in turn.
        app_id: 32 characters.
        user_id: Who logs in: 1 to 64 bytes of the documented characters.
        token: A token, a function that returns one, or None.
        options: See `Config`.

    Raises:
        InvalidArgument: An argument is not possible.
        InvalidAppId: The app id is no string.
        StateError: This object was made already.
    """

    _EVENTS = (
        StateChanged,
        PeerMessage,
        *CHANNEL_EVENTS,
        PresenceChanged,
        NotRestored,
        *INVITATION_EVENTS,
        TokenWillExpire,
        TokenHasExpired,
        PeerConnectionStateChanged,
    )

    def __init__(
        self,
        url: str | Iterable[str],
        *,
        app_id: str,
        user_id: str,
        token: str | TokenProvider | None = None,
        **options: "Unpack[ClientOptions]",
    ) -> None:
        self._config = Config.of(url, {"app_id": app_id, "user_id": user_id, "token": token, **options})
        super().__init__(self._config)

    # --- What it is ---------------------------------------------------------------------------------------------

    @property
    def config(self) -> Config:
        """The settings; they can be pickled."""
        return self._config

    @property
    def user_id(self) -> str:
        """Whose client this is."""
        return self._config.user_id

    # --- The session --------------------------------------------------------------------------------------------

    def login(self, timeout: Timeout = None) -> None:
        """Log in, and wait until the client is CONNECTED.

        Args:
            timeout: Seconds in all, 12 by default.

        Raises:
            AlreadyLoggedIn: It is logged in, or logging in, or was aborted and not logged out since.
            AuthError: The server refuses.
            RequestTimeout: No login in time.
            ConnectionFailed: With `InitError.FAILURE`: the system has no thread or descriptor left for the client.
            RtmError: With a `LoginError` as its code.
        """
        driver, seconds = self._driver, self._seconds("login", timeout)
        driver.call("login", self._login(driver, seconds), seconds)

    def login_future(self, timeout: Timeout = None) -> "ClientFuture[None]":
        """Like `login`, without waiting."""
        driver = self._driver
        return driver.future(self._login(driver, self._seconds("login", timeout)))

    def logout(self, timeout: Timeout = None) -> None:
        """Log out: the server forgets this client's channels, and others see it OFFLINE.

        Args:
            timeout: Seconds in all, 5 by default. The client is logged out afterwards in any case.

        Raises:
            NotLoggedIn: There was no login.
        """
        seconds = self._seconds("logout", timeout)
        self._driver.call("logout", self._logout(seconds), seconds)

    def logout_future(self, timeout: Timeout = None) -> "ClientFuture[None]":
        """Like `logout`, without waiting."""
        return self._driver.future(self._logout(self._seconds("logout", timeout)))

    # --- Talking ------------------------------------------------------------------------------------------------

    @overload
    def send_peer(
        self,
        user: str,
        message: str | FileMessage,
        *,
        offline: bool = False,
        ttl: float | None = None,
        history: bool = False,
        timeout: Timeout = None,
    ) -> SendResult: ...
    @overload
    def send_peer(
        self,
        user: str,
        message: bytes,
        *,
        description: str | None = None,
        offline: bool = False,
        ttl: float | None = None,
        history: bool = False,
        timeout: Timeout = None,
    ) -> SendResult: ...
    def send_peer(
        self,
        user: str,
        message: str | bytes | FileMessage,
        *,
        description: str | None = None,
        offline: bool = False,
        ttl: float | None = None,
        history: bool = False,
        timeout: Timeout = None,
    ) -> SendResult:
        """Send a message to a user, and wait until his client has acknowledged it.

        Args:
            user: The receiver.
            message: Text, bytes as they are, or the message that an upload made; at most 32 KiB, with the description.
            description: What there is to say about bytes.
            offline: Store the message where he is offline, for up to 7 days.
            ttl: Seconds after which a stored message is dropped instead, above 0 and up to 604,800.
            history: Keep a text in the history for 7 days; bytes are not kept.
            timeout: Seconds in all, 10 by default.

        Returns:
            What became of it: DELIVERED, CACHED (stored), or PEER_UNREACHABLE (he is offline and it is not stored).

        Raises:
            RtmError: With a `SendPeerMessageError` as its code: InvalidArgument, RateLimited, RequestTimeout (see its
                `outcome_unknown`), NotLoggedIn, …
        """
        request = self._send_peer(user, message, description, offline, ttl, history)
        result: SendResult = self._ask("send_peer", request, timeout)
        return result

    @overload
    def send_peer_future(
        self,
        user: str,
        message: str | FileMessage,
        *,
        offline: bool = False,
        ttl: float | None = None,
        history: bool = False,
        timeout: Timeout = None,
    ) -> "ClientFuture[SendResult]": ...
    @overload
    def send_peer_future(
        self,
        user: str,
        message: bytes,
        *,
        description: str | None = None,
        offline: bool = False,
        ttl: float | None = None,
        history: bool = False,
        timeout: Timeout = None,
    ) -> "ClientFuture[SendResult]": ...
    def send_peer_future(
        self,
        user: str,
        message: str | bytes | FileMessage,
        *,
        description: str | None = None,
        offline: bool = False,
        ttl: float | None = None,
        history: bool = False,
        timeout: Timeout = None,
    ) -> "ClientFuture[SendResult]":
        """Like `send_peer`, without waiting: many messages can be under way."""
        request = self._send_peer(user, message, description, offline, ttl, history)
        return self._ask_future("send_peer", request, timeout)

    def invite(self, callee: str, content: str = "", channel_id: str = "") -> LocalInvitation:
        """Make an invitation to a call; `LocalInvitation.send` sends it.

        ```python
        call = client.invite("bob", "Have you a minute?").send()
        if call.wait() is LocalInvitationState.ACCEPTED_BY_REMOTE:
            ...
        ```

        Args:
            callee: Who is invited.
            content: What the invitation says, at most 8 KiB.
            channel_id: A channel that the two may use, at most 64 bytes; nobody joins it by himself.
        """
        return LocalInvitation(self._driver, OutgoingInvitation(callee, content, channel_id))

    def channel(self, id: str) -> Channel:
        """A channel, to join, send to and listen to. Asks nobody, and needs no login.

        Args:
            id: 1 to 64 bytes of the documented characters.

        Raises:
            InvalidArgument: There can be no such channel.
            ClientClosed: The client is closed.
        """
        if self._driver.core.closed:
            raise error_for(CreateChannelError.NOT_INITIALIZED, "The client is closed.", operation="channel")
        wrong = explain_invalid_id(id, "channel id")
        if wrong is not None:
            raise error_for(CreateChannelError.INVALID_ARGUMENT, wrong, operation="channel")
        return Channel(self, id)

    # --- Inside -------------------------------------------------------------------------------------------------

    def _make_driver(self, callbacks: Iterable[Callback]) -> Driver[ClientCore]:
        return ClientDriver(self._config, callbacks)

    def _login(self, driver: Driver[ClientCore], seconds: float) -> Intent:
        return driver.starting("login", lambda now: driver.core.login(now, seconds))

    def _logout(self, seconds: float) -> Intent:
        core = self._driver.core
        return lambda now: core.logout(now, seconds)

    def _send_peer(
        self,
        user: str,
        message: str | bytes | FileMessage,
        description: str | None,
        offline: bool,
        ttl: float | None,
        history: bool,
    ) -> Request:
        def request(core: ClientCore, seconds: float, now: float) -> Ticket:
            kind, body = kind_and_body(message, SendPeerMessageError.INVALID_MESSAGE, "send_peer")
            return core.send_peer(
                user,
                kind,
                body,
                description=description,
                offline=offline,
                ttl=ttl,
                history=history,
                timeout=seconds,
                now=now,
            )

        return request
