"""An RTC channel: states, callbacks and stream messages as in seed 001."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from rtmcore.client.events import (
    PeerConnectionStateChanged,
    RtcConnectionLost,
    RtcInterrupted,
    RtcJoined,
    RtcRejoined,
    RtcStateChanged,
    RtcUserJoined,
    RtcUserOffline,
    StreamMessage,
    TokenHasExpired,
    TokenWillExpire,
)
from rtmcore.client.rtc import RtcCore
from rtmcore.codes import RtcConnectionChangeReason, RtcConnectionState
from rtmcore.errors import RtmError
from rtmsync.bodies import kind_and_body
from rtmsync.config import RtcConfig, TokenProvider
from rtmsync.driver.clock import Clock, Timeout
from rtmsync.driver.core import Profile, described
from rtmsync.driver.driver import Driver, Intent
from rtmsync.driver.futures import ClientFuture
from rtmsync.driver.router import Callback
from rtmsync.handle import Handle

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from rtmsync.config import Options


def _broken(previous: RtcConnectionState, error: RtmError) -> RtcStateChanged:
    return RtcStateChanged(
        RtcConnectionState.DISCONNECTED, RtcConnectionChangeReason.INTERRUPTED, previous, error
    )


_PROFILE: Profile[RtcCore] = Profile(
    make=RtcCore,
    resting=frozenset({RtcConnectionState.DISCONNECTED, RtcConnectionState.FAILED}),
    connected=RtcConnectionState.CONNECTED,
    off=RtcConnectionState.DISCONNECTED,
    changes=(RtcStateChanged,),
    describe=described,
    broken=_broken,
)


class RtcDriver(Driver[RtcCore]):
    """The driver of an RTC channel.

    Args:
        config: The channel's settings.
        callbacks: Registered already.
        clock: Tells the time, in monotonic seconds.
    """

    def __init__(
        self, config: RtcConfig, callbacks: Iterable[Callback], *, clock: Callable[[], float] = Clock.now
    ) -> None:
        super().__init__(_PROFILE, config, callbacks, clock=clock)


class RtcChannel(Handle[Driver[RtcCore], RtcConnectionState]):
    """One user in one RTC channel.

    ```python
    with rtmsync.RtcChannel(
        "wss://rtm.example.com", app_id=APP, channel="demo", uid="1", token=mint
    ) as channel:
        channel.on(rtmsync.StreamMessage, lambda message: print(message.uid, message.body))
        channel.join()
        channel.send_stream_message(b"hello")
    ```

    When nothing was heard for 4 seconds it is RECONNECTING (`RtcInterrupted`), after 10 seconds `RtcConnectionLost`
    tells so, once; after 20 minutes it is FAILED. The others are told after 20 seconds (`RtcUserOffline`, dropped).
    FAILED is left by `leave` only. The figures are those of seed 001.

    Making one does nothing yet: no thread, no socket. All methods may be called from any thread and from callbacks;
    what is said of threads, signals, forks, timeouts and Futures in `Client` holds here too.

    Its events, for `on` and `events`: RtcStateChanged, RtcJoined, RtcRejoined, RtcInterrupted, RtcConnectionLost,
    RtcUserJoined, RtcUserOffline, StreamMessage, TokenWillExpire, TokenHasExpired, PeerConnectionStateChanged.

    Args:
        url: Of the server, ``ws://…`` or ``wss://…``; or several that are tried in turn.
        app_id: 32 characters.
        channel: 1 to 64 bytes of the documented characters.
        uid: Who joins, of the same characters; one at a time in each channel.
        token: A token for this uid, a function of uid and reason that returns one, or None.
        options: See `Settings`.

    Raises:
        InvalidArgument: An argument is not possible.
    """

    _EVENTS = (
        RtcStateChanged,
        RtcJoined,
        RtcRejoined,
        RtcInterrupted,
        RtcConnectionLost,
        RtcUserJoined,
        RtcUserOffline,
        StreamMessage,
        TokenWillExpire,
        TokenHasExpired,
        PeerConnectionStateChanged,
    )

    def __init__(
        self,
        url: str | Iterable[str],
        *,
        app_id: str,
        channel: str,
        uid: str,
        token: str | TokenProvider | None = None,
        **options: "Unpack[Options]",
    ) -> None:
        given = {"app_id": app_id, "channel": channel, "uid": uid, "token": token, **options}
        self._config = RtcConfig.of(url, given)
        super().__init__(self._config)

    # --- What it is ---------------------------------------------------------------------------------------------

    @property
    def config(self) -> RtcConfig:
        """The settings; they can be pickled."""
        return self._config

    @property
    def channel(self) -> str:
        """The name of the channel."""
        return self._config.channel

    @property
    def uid(self) -> str:
        """Who this is."""
        return self._config.uid

    @property
    def connection_state(self) -> RtcConnectionState:
        """The state of the connection; `state` by the name that seed 001 has for it."""
        return self.state

    @property
    def users(self) -> tuple[str, ...]:
        """The uids of the others in the channel, as far as this one was told."""
        return tuple(self._driver.core.users)

    # --- The channel --------------------------------------------------------------------------------------------

    def join(self, timeout: Timeout = None) -> None:
        """Join the channel, and wait until that is done.

        Args:
            timeout: Seconds in all, 10 by default; afterwards the channel is FAILED.

        Raises:
            AlreadyLoggedIn: It was joined, or is being joined, or is FAILED and was not left.
            AuthError: The server refuses.
            RequestTimeout: Not joined in time; the cause says what went wrong with the last attempt.
            RtmError: Any other failure, with a `LoginError` as its code.
        """
        driver, seconds = self._driver, self._seconds("join", timeout)
        driver.call("join", self._join(driver, seconds), seconds)

    def join_future(self, timeout: Timeout = None) -> "ClientFuture[None]":
        """Like `join`, without waiting."""
        driver = self._driver
        return driver.future(self._join(driver, self._seconds("join", timeout)))

    def leave(self, timeout: Timeout = None) -> None:
        """Leave the channel: the others are told at once. It can be joined again.

        Args:
            timeout: Seconds in all, 5 by default. The channel is left afterwards in any case.

        Raises:
            NotLoggedIn: It was not joined.
        """
        seconds = self._seconds("leave", timeout)
        self._driver.call("leave", self._leave(seconds), seconds)

    def leave_future(self, timeout: Timeout = None) -> "ClientFuture[None]":
        """Like `leave`, without waiting."""
        return self._driver.future(self._leave(self._seconds("leave", timeout)))

    def send_stream_message(self, message: str | bytes) -> None:
        """Send a data frame to all others in the channel; it does not wait, and nobody acknowledges it.

        Frames come to each other user in their order. Where one is too slow or away, his oldest are dropped: the
        server keeps the newest 64 for each, and sends nothing again.

        Args:
            message: Bytes, or text to be sent as UTF-8; at most 32 KiB.

        Raises:
            InvalidArgument: It is neither, or too large.
            NotLoggedIn: The channel is not joined.
            Aborted: The channel is FAILED.
            ConnectionFailed: The channel is RECONNECTING: a frame does not wait.
            LimitExceeded: 8 MiB wait for the connection already, which is slower than the sender.
        """
        core = self._driver.core
        _, body = kind_and_body(message, None, "send_stream_message")
        self._driver.send_frame("send_stream_message", lambda now: core.send_stream_message(body, now))

    # --- Inside -------------------------------------------------------------------------------------------------

    def _make_driver(self, callbacks: Iterable[Callback]) -> Driver[RtcCore]:
        return RtcDriver(self._config, callbacks)

    def _join(self, driver: Driver[RtcCore], seconds: float) -> Intent:
        return driver.starting("join", lambda now: driver.core.join(now, seconds))

    def _leave(self, seconds: float) -> Intent:
        core = self._driver.core
        return lambda now: core.leave(now, seconds)
