"""An RTC channel as a pure state machine (seed 001): the client core with another policy, and its events."""

from collections import deque
from collections.abc import Callable
from typing import Final

from rtmcore.client.config import ClientConfig
from rtmcore.client.core import ClientCore
from rtmcore.client.driven import Driven
from rtmcore.client.events import (
    ChannelGap,
    ChannelLost,
    Event,
    MemberJoined,
    MemberLeft,
    RtcInterrupted,
    RtcJoined,
    RtcRejoined,
    RtcStateChanged,
    RtcUserJoined,
    RtcUserOffline,
    StreamMessage,
)
from rtmcore.client.frames import IncomingFrames, OutgoingFrames
from rtmcore.client.requests import SEND_STREAM, Ticket
from rtmcore.codes import PeerConnectionState, RtcConnectionState, UserOfflineReason
from rtmcore.errors import ConnectionFailed, InvalidArgument
from rtmcore.limits import (
    DATA_FRAMES_KEPT,
    LOGOUT_TIMEOUT,
    OPERATION_TIMEOUT,
    RTC_LOGIN_TIMEOUT,
)
from rtmcore.models import ChannelMessage, ConnectionInfo, PeerMessage
from rtmcore.wire.packets import DataEntry

_CONNECTED: Final = RtcConnectionState.CONNECTED
_NOT_OF_RTC: Final = (ChannelGap, ChannelLost, ChannelMessage, PeerMessage)
_STREAM: Final = ""
"""The one track of an RTC channel has no name."""


class RtcCore(Driven):
    """One user in one RTC channel.

    Its verbs are those of `ClientCore`, and so is what carries it out; only the states, the times and the events
    are those of RTC. Joining is a login, and leaving the channel a logout.

    Args:
        config: Settings of the kind `rtc`; `user_id` is the uid and `scope` the channel.
        iid: Names this object to the server: 16 to 32 random characters, never used again.
        random: Gives a number in [0, 1) at each call, for jitter.
        mask_key: Gives four unpredictable bytes at each call (RFC 6455 section 5.3).
        nonce: Gives 16 random bytes at each call.

    Raises:
        InvalidArgument: The settings are those of another kind of client.
    """

    def __init__(
        self,
        config: ClientConfig,
        *,
        iid: str,
        random: Callable[[], float],
        mask_key: Callable[[], bytes],
        nonce: Callable[[], bytes],
    ) -> None:
        if config.kind != "rtc":
            raise InvalidArgument(
                f'The settings of an RTC channel are of the kind "rtc", not "{config.kind}".',
                operation="client",
            )
        self._config = config
        self._core = ClientCore(config, iid=iid, random=random, mask_key=mask_key, nonce=nonce)
        self._core.extend({DataEntry: self._frame_came})
        self._events: deque[Event] = deque()
        self._users: dict[str, None] = {}
        self._told = RtcConnectionState.DISCONNECTED
        # What happened to other users, and what they sent, before this one was told that he is connected.
        self._unannounced: list[MemberJoined | MemberLeft] = []
        self._early: deque[StreamMessage] = deque(maxlen=DATA_FRAMES_KEPT)
        self._outgoing = OutgoingFrames()
        self._incoming = IncomingFrames()

    # --- Questions ----------------------------------------------------------------------------------------------

    @property
    def state(self) -> RtcConnectionState:
        """The documented connection state."""
        state = self._core.session.state
        assert isinstance(state, RtcConnectionState)
        return state

    @property
    def users(self) -> tuple[str, ...]:
        """The others in the channel, as they were announced."""
        return tuple(self._users)

    @property
    def peer_connection_state(self) -> PeerConnectionState:
        """The aggregate over the transports (seed 003)."""
        return self._core.peer_connection_state

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._core.closed

    @property
    def idle(self) -> bool:
        """Whether no transport is open or being opened."""
        return self._core.idle

    def connection(self, now: float) -> ConnectionInfo:
        """How the connection stands."""
        return self._core.connection(now)

    # --- Intents ------------------------------------------------------------------------------------------------

    def join(self, now: float, timeout: float = RTC_LOGIN_TIMEOUT) -> Ticket:
        """Join the channel. The ticket's value is None.

        Args:
            now: Monotonic seconds.
            timeout: Total time in seconds, retries included; then the state is FAILED.

        Raises:
            ClientClosed: After `close` (101).
            AlreadyLoggedIn: In any state but DISCONNECTED (8); leave a channel that has failed first.
            InvalidAppId: The app id is malformed (4).
            RateLimited: More than `limits.LOGIN_RATE` (10).
        """
        return self._core.login(now, timeout)

    def leave(self, now: float, timeout: float = LOGOUT_TIMEOUT) -> Ticket:
        """Leave the channel. The ticket never fails; its value is None.

        Args:
            now: Monotonic seconds.
            timeout: Total time in seconds; `limits.GOODBYE_TIMEOUT` is never exceeded.

        Raises:
            ClientClosed: After `close` (101).
            NotLoggedIn: In DISCONNECTED (102).
        """
        return self._core.logout(now, timeout)

    def send_stream_message(self, body: bytes, now: float) -> None:
        """Send a frame to all others in the channel: in order, never repeated, without an answer.

        Args:
            body: At most `limits.MESSAGE_BYTES`.
            now: Monotonic seconds.

        Raises:
            ClientClosed, NotLoggedIn, Aborted: The channel is not joined (101, 102).
            ConnectionFailed: The state is RECONNECTING: a frame does not wait.
            InvalidArgument: The body is not bytes, or too large.
        """
        refusal = self._core.session.refusal(SEND_STREAM)
        if refusal is not None:
            raise refusal
        if self.state is not _CONNECTED:
            raise ConnectionFailed(
                "The frame was not sent, since the channel is reconnecting.",
                operation=SEND_STREAM.name,
                state=self.state.name,
            )
        if not isinstance(body, bytes | bytearray | memoryview):
            wrong = f"A stream message has to be bytes, not {type(body).__name__}."
            raise InvalidArgument(wrong, operation=SEND_STREAM.name, state=self.state.name)
        most = self._core.sizes.message
        if len(body) > most:
            wrong = f"The stream message has {len(body)} bytes; at most {most} are allowed."
            raise InvalidArgument(wrong, operation=SEND_STREAM.name, state=self.state.name)
        self._outgoing.keep(self._outgoing.make(_STREAM, bytes(body)))
        self._write_frames(now)

    def renew_token(self, token: str, *, timeout: float = OPERATION_TIMEOUT, now: float) -> Ticket:
        """Hand over a new token; see `ClientCore.renew_token`."""
        return self._core.renew_token(token, timeout=timeout, now=now)

    def cancel(self, ticket: Ticket, now: float) -> bool:
        """Withdraw a request, without an event; see `ClientCore.cancel`."""
        return self._core.cancel(ticket, now)

    def close(self, now: float) -> Ticket:
        """End this object for good; see `ClientCore.close`."""
        return self._core.close(now)

    # --- Inputs -------------------------------------------------------------------------------------------------

    def transport_opened(self, link_id: int, now: float) -> None:
        """A transport that was asked for is open."""
        self._core.transport_opened(link_id, now)

    def transport_failed(self, link_id: int, error: Exception, now: float) -> None:
        """A transport that was asked for could not be opened, or is lost."""
        self._core.transport_failed(link_id, error, now)

    def receive_data(self, link_id: int, data: bytes, now: float) -> None:
        """Bytes were read from a transport."""
        self._core.receive_data(link_id, data, now)
        if self._outgoing.waiting:
            self._write_frames(now)

    def receive_eof(self, link_id: int, now: float) -> None:
        """A transport has ended."""
        self._core.receive_eof(link_id, now)

    def token(self, value: str | None, now: float) -> None:
        """The answer to `NeedToken`."""
        self._core.token(value, now)

    def token_failed(self, error: Exception, now: float) -> None:
        """The token provider raised, or took too long."""
        self._core.token_failed(error, now)

    def handle_timer(self, now: float) -> None:
        """Act on what is due. Hand in what can be read first: silence is judged here."""
        self._core.handle_timer(now)

    # --- Outputs ------------------------------------------------------------------------------------------------

    def next_event(self) -> Event | None:
        """The next event, or None."""
        while not self._events:
            event = self._core.next_event()
            if event is None:
                return None
            self._translate(event)
        return self._events.popleft()

    def next_deadline(self) -> float | None:
        """When `handle_timer` must be called, or None."""
        return self._core.next_deadline()

    def data_to_send(self) -> list[tuple[int, bytes]]:
        """The bytes made since the last call, each with the id of its transport."""
        return self._core.data_to_send()

    # --- Events -------------------------------------------------------------------------------------------------

    def _translate(self, event: Event) -> None:
        if isinstance(event, RtcStateChanged):
            self._events.append(event)
            self._state_changed(event)
        elif isinstance(event, MemberJoined | MemberLeft):
            self._unannounced.append(event)
            if self._told is _CONNECTED:
                self._announce()
        elif isinstance(event, StreamMessage):
            if self._told is _CONNECTED:
                self._hand_over(event)
            else:
                self._early.append(event)
        elif not isinstance(event, _NOT_OF_RTC):
            self._events.append(event)

    def _state_changed(self, event: RtcStateChanged) -> None:
        config, session = self._config, self._core.session
        self._told = event.state
        if event.state is RtcConnectionState.RECONNECTING:
            self._outgoing.take_kept()
            self._events.append(RtcInterrupted())
        elif event.state is _CONNECTED:
            joined = event.previous is RtcConnectionState.CONNECTING
            told = RtcJoined if joined else RtcRejoined
            self._events.append(told(config.scope, config.user_id, session.since - session.outage.began))
            self._announce()
            for frame in self._early:
                self._hand_over(frame)
            self._early.clear()
        elif event.state is not RtcConnectionState.CONNECTING:
            self._users.clear()
            self._unannounced.clear()
            self._early.clear()
            self._outgoing.take_kept()
            self._incoming.clear()

    def _announce(self) -> None:
        """Tell of the users that have come and gone."""
        for change in self._unannounced:
            if isinstance(change, MemberJoined):
                self._users[change.user] = None
                self._events.append(RtcUserJoined(change.user))
            else:
                self._users.pop(change.user, None)
                self._incoming.forget(change.user)
                reason = UserOfflineReason.DROPPED if change.dropped else UserOfflineReason.QUIT
                self._events.append(RtcUserOffline(change.user, reason))
        self._unannounced.clear()

    # --- Frames -------------------------------------------------------------------------------------------------

    def _write_frames(self, now: float) -> None:
        """Write the frames that wait; between two transports the newest of them wait for the next one."""
        if self._core.can_write:
            self._core.write(self._outgoing.take_kept(), now)

    def _frame_came(self, packet: DataEntry, _: float) -> None:
        self._core.emit(StreamMessage(packet.user, packet.body, packet.n))

    def _hand_over(self, frame: StreamMessage) -> None:
        frame.dropped = self._incoming.dropped_before(frame.uid, _STREAM, frame.n)
        self._events.append(frame)
