"""The blocking client."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from rtmcore.client.core import ClientCore
from rtmcore.client.events import (
    PeerConnectionStateChanged,
    PresenceChanged,
    StateChanged,
    TokenHasExpired,
    TokenWillExpire,
)
from rtmcore.client.requests import Ticket
from rtmcore.codes import ConnectionChangeReason, ConnectionState, PeerOnlineState, SendPeerMessageError
from rtmcore.errors import RtmError
from rtmcore.models import PeerMessage, SendResult
from rtmsync.bodies import kind_and_body
from rtmsync.channel import Channel
from rtmsync.config import Config, TokenProvider
from rtmsync.driver.clock import Timeout
from rtmsync.driver.core import Profile, described
from rtmsync.driver.driver import Driver, Intent
from rtmsync.driver.futures import ClientFuture
from rtmsync.driver.router import CHANNEL_EVENTS, Callback
from rtmsync.handle import Handle

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


class Client(Handle[Driver[ClientCore], ConnectionState]):
    """One user's connection to the system.

    Making one does nothing yet: no thread, no socket. All methods may be called from any thread and from callbacks;
    from signal handlers and finalizers too, where blocking ones raise WouldDeadlock if they interrupted the library
    itself. A client that a forked child inherits is DISCONNECTED there and can log in anew; the parent's session is
    not touched.

    Each blocking method takes `timeout`: seconds in all, also for waiting out a reconnect; a `Deadline` to share a
    budget between calls; or None for the default. It ends in a result or an exception. Each has a twin that returns
    a `concurrent.futures.Future` at once; failures of every kind are in the Future.

    Its events, for `on` and `events`: StateChanged, PeerMessage, ChannelMessage, ChannelGap, ChannelLost,
    MemberJoined, MemberLeft, PresenceChanged, TokenWillExpire, TokenHasExpired, PeerConnectionStateChanged.

    Args:
        url: Of the server, ``ws://…`` or ``wss://…``; or several that are tried in turn.
        app_id: 32 characters.
        user_id: Who logs in: 1 to 64 bytes of the documented characters.
        token: A token, a function that returns one, or None.
        options: See `Config`.

    Raises:
        InvalidArgument: An argument is not possible.
    """

    _EVENTS = (
        StateChanged,
        PeerMessage,
        *CHANNEL_EVENTS,
        PresenceChanged,
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

    @property
    def presence(self) -> dict[str, PeerOnlineState]:
        """The online states of the users that were subscribed to, as far as they are known."""
        return dict(self._driver.core.users.peer_states)

    # --- The session --------------------------------------------------------------------------------------------

    def login(self, timeout: Timeout = None) -> None:
        """Log in, and wait until the client is CONNECTED.

        Args:
            timeout: Seconds in all, 12 by default.

        Raises:
            AlreadyLoggedIn: It is logged in, or logging in, or was aborted and not logged out since.
            AuthError: The server refuses.
            RequestTimeout: No login in time.
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

    def send_peer(
        self, user: str, message: str | bytes, *, offline: bool = False, timeout: Timeout = None
    ) -> SendResult:
        """Send a message to a user, and wait until his client has acknowledged it.

        Args:
            user: The receiver.
            message: Text, or bytes as they are; at most 32 KiB.
            offline: Store the message where he is offline, for up to 7 days.
            timeout: Seconds in all, 10 by default.

        Returns:
            What became of it: DELIVERED, CACHED (stored), or PEER_UNREACHABLE (he is offline and it is not stored).

        Raises:
            RtmError: With a `SendPeerMessageError` as its code: InvalidArgument, RateLimited, RequestTimeout (see its
                `outcome_unknown`), NotLoggedIn, …
        """
        driver, seconds = self._driver, self._seconds("send_peer", timeout)
        intent = self._send_peer(driver, user, message, offline, seconds)
        result: SendResult = driver.call("send_peer", intent, seconds)
        return result

    def send_peer_future(
        self, user: str, message: str | bytes, *, offline: bool = False, timeout: Timeout = None
    ) -> "ClientFuture[SendResult]":
        """Like `send_peer`, without waiting: many messages can be under way."""
        driver = self._driver
        return driver.future(
            self._send_peer(driver, user, message, offline, self._seconds("send_peer", timeout))
        )

    def channel(self, id: str) -> Channel:
        """A channel, to join, send to and listen to. Asks nobody."""
        return Channel(self, id)

    # --- Users --------------------------------------------------------------------------------------------------

    def subscribe_presence(self, users: str | Iterable[str], timeout: Timeout = None) -> None:
        """Be told of the online states of users: first of each one's state, then of every change.

        What is told comes as `PresenceChanged`, and `presence` has it at any time. A subscription outlasts
        reconnects, and ends with `unsubscribe_presence` and with the session.

        Args:
            users: User ids, at most 512 subscribed to in all.
            timeout: Seconds in all, 10 by default.

        Raises:
            RtmError: With a `PeerSubscriptionStatusError` as its code: InvalidArgument, LimitExceeded, RateLimited,
                RequestTimeout, NotLoggedIn, …
        """
        seconds = self._seconds("subscribe_presence", timeout)
        self._driver.call("subscribe_presence", self._subscribe(users, seconds), seconds)

    def subscribe_presence_future(
        self, users: str | Iterable[str], timeout: Timeout = None
    ) -> "ClientFuture[None]":
        """Like `subscribe_presence`, without waiting."""
        return self._driver.future(self._subscribe(users, self._seconds("subscribe_presence", timeout)))

    def unsubscribe_presence(self, users: str | Iterable[str], timeout: Timeout = None) -> None:
        """Be told no longer of the online states of users.

        Args:
            users: User ids.
            timeout: Seconds in all, 10 by default.

        Raises:
            RtmError: With a `PeerSubscriptionStatusError` as its code; see `subscribe_presence`.
        """
        seconds = self._seconds("unsubscribe_presence", timeout)
        self._driver.call("unsubscribe_presence", self._unsubscribe(users, seconds), seconds)

    def unsubscribe_presence_future(
        self, users: str | Iterable[str], timeout: Timeout = None
    ) -> "ClientFuture[None]":
        """Like `unsubscribe_presence`, without waiting."""
        return self._driver.future(self._unsubscribe(users, self._seconds("unsubscribe_presence", timeout)))

    def set_attributes(self, attributes: Mapping[str, str], timeout: Timeout = None) -> None:
        """Replace this user's own attributes by others; they are kept while the session lasts.

        Args:
            attributes: At most 32 of them: names of 1 to 32 bytes, values of at most 8 KiB, 16 KiB in all.
            timeout: Seconds in all, 5 by default.

        Raises:
            RtmError: With an `AttributeOperationError` as its code: InvalidArgument, LimitExceeded, RateLimited,
                RequestTimeout, NotLoggedIn, …
        """
        seconds = self._seconds("set_attributes", timeout)
        self._driver.call("set_attributes", self._set_attributes(attributes, seconds), seconds)

    def set_attributes_future(
        self, attributes: Mapping[str, str], timeout: Timeout = None
    ) -> "ClientFuture[None]":
        """Like `set_attributes`, without waiting."""
        return self._driver.future(self._set_attributes(attributes, self._seconds("set_attributes", timeout)))

    def get_attributes(self, user: str, timeout: Timeout = None) -> dict[str, str]:
        """The attributes of a user.

        Args:
            user: Who: another user that is logged in, or this one.
            timeout: Seconds in all, 5 by default.

        Raises:
            RtmError: With an `AttributeOperationError` as its code: USER_NOT_FOUND where he is not logged in,
                InvalidArgument, RateLimited, RequestTimeout, NotLoggedIn, …
        """
        seconds = self._seconds("get_attributes", timeout)
        found: dict[str, str] = self._driver.call(
            "get_attributes", self._get_attributes(user, seconds), seconds
        )
        return found

    def get_attributes_future(self, user: str, timeout: Timeout = None) -> "ClientFuture[dict[str, str]]":
        """Like `get_attributes`, without waiting."""
        return self._driver.future(self._get_attributes(user, self._seconds("get_attributes", timeout)))

    # --- Inside -------------------------------------------------------------------------------------------------

    def _make_driver(self, callbacks: Iterable[Callback]) -> Driver[ClientCore]:
        return Driver(_PROFILE, self._config, callbacks)

    def _login(self, driver: Driver[ClientCore], seconds: float) -> Intent:
        return driver.starting("login", lambda now: driver.core.login(now, seconds))

    def _logout(self, seconds: float) -> Intent:
        core = self._driver.core
        return lambda now: core.logout(now, seconds)

    def _subscribe(self, users: str | Iterable[str], seconds: float) -> Intent:
        core, listed = self._driver.core, _listed(users)
        return lambda now: core.users.subscribe(listed, timeout=seconds, now=now)

    def _unsubscribe(self, users: str | Iterable[str], seconds: float) -> Intent:
        core, listed = self._driver.core, _listed(users)
        return lambda now: core.users.unsubscribe(listed, timeout=seconds, now=now)

    def _set_attributes(self, attributes: Mapping[str, str], seconds: float) -> Intent:
        core = self._driver.core
        return lambda now: core.users.set_attributes(attributes, timeout=seconds, now=now)

    def _get_attributes(self, user: str, seconds: float) -> Intent:
        core = self._driver.core
        return lambda now: core.users.get_attributes(user, timeout=seconds, now=now)

    def _send_peer(
        self, driver: Driver[ClientCore], user: str, message: str | bytes, offline: bool, seconds: float
    ) -> Intent:
        core = driver.core

        def intent(now: float) -> Ticket:
            kind, body = kind_and_body(message, SendPeerMessageError.INVALID_MESSAGE, "send_peer")
            return core.send_peer(user, kind, body, offline=offline, timeout=seconds, now=now)

        return intent


def _listed(users: str | Iterable[str]) -> list[str]:
    # A single name is an iterable of names too, but not the one that was meant.
    return [users] if isinstance(users, str) else list(users)
