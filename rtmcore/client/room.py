"""A room as a pure state machine (seed 002): signaling is the client core with another policy, and media stands beside.

The room's state is made of both by the tables in `rtmcore.connection.room_state`.
"""

from collections import deque
from collections.abc import Callable
from typing import Final

from rtmcore.client.attempts import GiveUp, Verdict
from rtmcore.client.config import ClientConfig
from rtmcore.client.core import ClientCore
from rtmcore.client.driven import Driven
from rtmcore.client.events import (
    ChannelGap,
    ChannelLost,
    DataReceived,
    Event,
    MemberJoined,
    MemberLeft,
    ParticipantConnected,
    ParticipantDisconnected,
    ParticipantReconnected,
    ParticipantReconnecting,
    PeerConnectionStateChanged,
    RoomDisconnected,
    RoomGap,
    RoomMessage,
    RoomReconnected,
    RoomReconnecting,
    SignalingChanged,
)
from rtmcore.client.failures import broken
from rtmcore.client.frames import IncomingFrames, OutgoingFrames
from rtmcore.client.media import MediaLink, is_media
from rtmcore.client.requests import PUBLISH, ROOM_CONNECT, ROOM_SEND_DATA, Operation, Ticket
from rtmcore.codes import (
    IceTransportState,
    MessageType,
    ParticipantState,
    PeerConnectionState,
    PeerOnlineState,
    RoomErrorCode,
    RoomState,
)
from rtmcore.connection.aggregate import peer_connection_state
from rtmcore.connection.model import SignalingState
from rtmcore.connection.participants import PARTICIPANT_TABLE, ParticipantEffect, ParticipantInput
from rtmcore.connection.room_state import ROOM_STATE_TABLE, VIEWS, RoomEffect
from rtmcore.errors import Aborted, InvalidArgument, LimitExceeded, RtmError, error_for
from rtmcore.limits import (
    LOGOUT_TIMEOUT,
    OPERATION_TIMEOUT,
    ROOM_CONNECT_TIMEOUT,
    ROOM_SESSION_TIMEOUT,
    SEND_TIMEOUT,
)
from rtmcore.models import ChannelMessage, ConnectionInfo, PeerMessage
from rtmcore.wire.packets import DataEntry, MemberChanged, MemberState, Roster

_LOGGED_IN: Final = frozenset({SignalingState.CONNECTED, SignalingState.RECONNECTING})
_NOT_OF_ROOMS: Final = (ChannelLost, PeerMessage, PeerConnectionStateChanged)
_LONG_AGO: Final = float("-inf")


class RoomCore(Driven):
    """One participant of one room.

    Its verbs are those of `ClientCore`; transports of the media connection are told by their id (`is_media`). A room
    is there when the first connect has succeeded: before, `state` is None. It is connected as soon as signaling
    stands; media is brought up behind that, and counts only once it has failed: 3 s after its last byte, or when it
    did not come up at first within 15 s.

    The room ends when signaling is away for 30 s (53002), and when media is (53405), both from the last byte. While
    signaling is away too, only signaling is judged; when it is back, media has at least one attempt's time.

    Args:
        config: Settings of the kind `room`; `user_id` is the identity and `scope` the room.
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
        if config.kind != "room":
            raise InvalidArgument(
                f'The settings of a room are of the kind "room", not "{config.kind}".', operation="client"
            )
        self._config = config
        self._core = core = ClientCore(config, iid=iid, random=random, mask_key=mask_key, nonce=nonce)
        core.extend(
            {Roster: self._roster, MemberChanged: self._member_changed, MemberState: self._member_state}
        )
        self._events: deque[Event] = deque()
        self._media = MediaLink(config, random, mask_key, nonce, self._events.append, self._frame_came)
        self._outgoing = OutgoingFrames()
        self._incoming = IncomingFrames()
        self._participants: dict[str, ParticipantState] = {}
        self._signaling = SignalingState.NEW
        self._state: RoomState | None = None
        self._since = 0.0
        self._error: RtmError | None = None
        # Why the room is being ended here, where signaling itself has no reason to.
        self._ending: RtmError | None = None
        self._leaving = False
        self._signaling_back = _LONG_AGO
        self._media_end: GiveUp | None = None
        self._peer_state = PeerConnectionState.NEW

    # --- Questions ----------------------------------------------------------------------------------------------

    @property
    def state(self) -> RoomState | None:
        """The documented state; None before the first connect has succeeded."""
        return self._state

    @property
    def participants(self) -> dict[str, ParticipantState]:
        """The others in the room by identity, as they were announced, or found at the connect."""
        return dict(self._participants)

    @property
    def signaling_state(self) -> SignalingState:
        """The state of the signaling connection."""
        return self._signaling

    @property
    def media_state(self) -> IceTransportState:
        """The state of the media connection, in ICE's words."""
        return self._media.link_state

    @property
    def peer_connection_state(self) -> PeerConnectionState:
        """The aggregate over both transports (seed 003); its changes are events, but for that to `closed`."""
        return PeerConnectionState.CLOSED if self._core.closed else self._peer_state

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._core.closed

    @property
    def idle(self) -> bool:
        """Whether no transport is open or being opened."""
        return self._core.idle and self._media.idle

    def connection(self, now: float) -> ConnectionInfo:
        """How the connection stands, signaling and media together; DISCONNECTED also before the connect."""
        signaling, media, error = self._core.connection(now), self._media, self._error
        waits = [] if signaling.next_attempt_in is None else [signaling.next_attempt_in]
        if media.next_attempt_at is not None:
            waits.append(max(0.0, media.next_attempt_at - now))
        code = None if error is None else error.code
        return ConnectionInfo(
            state=self._state or RoomState.DISCONNECTED,
            reason=code if isinstance(code, RoomErrorCode) else None,
            since=self._since,
            attempt=signaling.attempt + media.attempts,
            next_attempt_in=min(waits, default=None),
            cause=error if self._state is RoomState.DISCONNECTED else signaling.cause or media.cause,
        )

    # --- Intents ------------------------------------------------------------------------------------------------

    def connect(self, now: float, timeout: float = ROOM_CONNECT_TIMEOUT) -> Ticket:
        """Connect to the room, by one attempt and once in the life of this object. The ticket's value is None.

        Args:
            now: Monotonic seconds.
            timeout: Total time in seconds.

        Raises:
            ClientClosed: After `close`.
            AlreadyLoggedIn: It is connecting or connected already.
            Aborted: It is disconnected, or a connect has failed: another object can connect.
            InvalidAppId: The app id is malformed.
            RateLimited: More than `limits.LOGIN_RATE`.
        """
        if self._signaling is SignalingState.DISCONNECTED and not self._core.closed:
            raise Aborted(
                "This room was left, or could not be connected to.",
                code=RoomErrorCode.ROOM_CONNECT_FAILED,
                operation=ROOM_CONNECT.name,
                state=self._signaling.name,
                hint="A room connects once: make another to connect again.",
            )
        ticket = self._core.login(now, timeout)
        self._settle(now)
        return ticket

    def disconnect(self, now: float, timeout: float = LOGOUT_TIMEOUT) -> Ticket:
        """Leave the room for good: the others are told at once. The ticket never fails; its value is None.

        Args:
            now: Monotonic seconds.
            timeout: Total time in seconds; `limits.GOODBYE_TIMEOUT` is never exceeded.

        Raises:
            ClientClosed: After `close`.
            NotLoggedIn, Aborted: It is not connected.
        """
        ticket = self._core.logout(now, timeout)
        self._leave(now)
        return ticket

    def send(self, kind: MessageType, body: bytes, *, timeout: float = SEND_TIMEOUT, now: float) -> Ticket:
        """Send a message to all others in the room. The ticket's value is a `PublishResult`.

        Args:
            kind: TEXT or RAW.
            body: At most `limits.MESSAGE_BYTES`; UTF-8 where it is text.
            timeout: Total time in seconds, a reconnect included.
            now: Monotonic seconds.

        Raises:
            ClientClosed, NotLoggedIn, Aborted: It is not connected.
            InvalidArgument: The message is not valid.
            LimitExceeded: Too much waits for an answer already.
            RateLimited: More than `limits.SEND_RATE`.
        """
        self._check_open(PUBLISH)
        ticket = self._core.publish(self._config.scope, kind, body, timeout=timeout, now=now)
        self._settle(now)
        return ticket

    def send_data(self, track: str, body: bytes, now: float) -> None:
        """Send a frame on a data track to all others in the room: in order, never repeated, without an answer.

        Args:
            track: 1 to `limits.TRACK_NAME_BYTES` bytes of printable characters.
            body: At most `limits.MESSAGE_BYTES`.
            now: Monotonic seconds.

        Raises:
            ClientClosed, NotLoggedIn, Aborted: It is not connected.
            ConnectionFailed: Media is not connected (53405): a frame does not wait.
            InvalidArgument: The name of the track (53301 to 53303) or the frame (53300) is not valid.
            LimitExceeded: `limits.DATA_TRACKS` are in use (53203).
        """
        self._check_open(ROOM_SEND_DATA)
        self._check_frame(track, body)
        if not self._media.can_write or self._state is None:
            error = error_for(
                RoomErrorCode.MEDIA_CONNECTION,
                f"The frame was not sent, since the media connection is {self.media_state.value}.",
                operation=ROOM_SEND_DATA.name,
                state=self._signaling.name,
            )
            error.hint = "Send again when media is connected; frames do not wait, and none is repeated."
            raise error
        try:
            frame = self._outgoing.make(track, bytes(body))
        except LimitExceeded as error:
            error.code = RoomErrorCode.PARTICIPANT_MAX_TRACKS_EXCEEDED
            error.state = self._signaling.name
            raise
        self._media.send((frame,), now)

    def renew_token(self, token: str, *, timeout: float = OPERATION_TIMEOUT, now: float) -> Ticket:
        """Hand over a new token; see `ClientCore.renew_token`."""
        ticket = self._core.renew_token(token, timeout=timeout, now=now)
        self._settle(now)
        return ticket

    def cancel(self, ticket: Ticket, now: float) -> bool:
        """Withdraw a request, without an event; see `ClientCore.cancel`."""
        withdrawn = self._core.cancel(ticket, now)
        self._settle(now)
        return withdrawn

    def handed_over(self, position: int, now: float) -> None:
        """Nothing of a room is acknowledged by its application; see `ClientCore.handed_over`."""
        self._core.handed_over(position, now)

    def close(self, now: float) -> Ticket:
        """End this object for good; see `ClientCore.close`."""
        ticket = self._core.close(now)
        self._leave(now)
        return ticket

    # --- Inputs -------------------------------------------------------------------------------------------------

    def transport_opened(self, link_id: int, now: float) -> None:
        """A transport that was asked for is open."""
        (self._media if is_media(link_id) else self._core).transport_opened(link_id, now)
        self._settle(now)

    def transport_failed(self, link_id: int, error: Exception, now: float) -> None:
        """A transport that was asked for could not be opened, or is lost."""
        if is_media(link_id):
            self._media.transport_failed(link_id, broken(error), now)
        else:
            self._core.transport_failed(link_id, error, now)
        self._settle(now)

    def receive_data(self, link_id: int, data: bytes, now: float) -> None:
        """Bytes were read from a transport."""
        (self._media if is_media(link_id) else self._core).receive_data(link_id, data, now)
        self._settle(now)

    def receive_eof(self, link_id: int, now: float) -> None:
        """A transport has ended."""
        (self._media if is_media(link_id) else self._core).receive_eof(link_id, now)
        self._settle(now)

    def token(self, value: str | None, now: float) -> None:
        """The answer to `NeedToken`."""
        self._core.token(value, now)
        self._settle(now)

    def token_failed(self, error: Exception, now: float) -> None:
        """The token provider raised, or took too long."""
        self._core.token_failed(error, now)
        self._settle(now)

    def handle_timer(self, now: float) -> None:
        """Act on what is due. Hand in what can be read first: silence is judged here."""
        self._core.handle_timer(now)
        self._media.handle_timer(now)
        self._settle(now)

    # --- Outputs ------------------------------------------------------------------------------------------------

    def next_event(self) -> Event | None:
        """The next event, or None."""
        return self._events.popleft() if self._events else None

    def next_deadline(self) -> float | None:
        """When `handle_timer` must be called, or None."""
        end = None if self._media_end is None else self._media_end.deadline
        dues = (self._core.next_deadline(), self._media.next_deadline(), end)
        return min((due for due in dues if due is not None), default=None)

    def data_to_send(self) -> list[tuple[int, bytes]]:
        """The bytes made since the last call, each with the id of its transport; signaling first."""
        output = self._core.data_to_send()
        output.extend(self._media.data_to_send())
        return output

    # --- After each input ---------------------------------------------------------------------------------------

    def _settle(self, now: float) -> None:
        """Take what signaling has to say, and judge how both look together."""
        core = self._core
        while (event := core.next_event()) is not None:
            self._translate(event, now)
        facts, media = core.session.facts, self._media
        if (
            self._signaling in _LOGGED_IN
            and not self._leaving
            and facts.media is not None
            and facts.fence is not None
        ):
            media.serve(facts.media, facts.fence, now)
        if media.tls_error is not None and not self._leaving:
            text = f"The TLS of the room's media connection has failed: {media.tls_error.message}"
            self._end(RoomErrorCode.MEDIA_DTLS_TRANSPORT_FAILED, text, media.tls_error, now)
        self._judge(now, None)
        self._judge_media(now)
        self._judge_aggregate()

    def _translate(self, event: Event, now: float) -> None:
        if isinstance(event, SignalingChanged):
            self._signaling_changed(event, now)
        elif isinstance(event, ChannelMessage):
            self._events.append(RoomMessage(event.sender, event.kind, event.body, event.id))
        elif isinstance(event, ChannelGap):
            self._events.append(RoomGap(event.lost))
        elif isinstance(event, MemberJoined):
            self._participants[event.user] = ParticipantState.CONNECTED
            self._tell(ParticipantConnected(event.user))
        elif isinstance(event, MemberLeft):
            self._incoming.forget(event.user)
            self._participant_changed(event.user, ParticipantInput.LEFT, ParticipantDisconnected(event.user))
        elif isinstance(event, ParticipantReconnecting):
            self._participant_changed(event.identity, ParticipantInput.INTERRUPTED, event)
        elif isinstance(event, ParticipantReconnected):
            self._participant_changed(event.identity, ParticipantInput.BACK, event)
        elif not isinstance(event, _NOT_OF_ROOMS):
            self._events.append(event)

    def _participant_changed(self, identity: str, given: ParticipantInput, event: Event) -> None:
        state = self._participants.pop(identity, None)
        if state is None:
            return
        rule = PARTICIPANT_TABLE.rule(state, given)
        if rule.target is not ParticipantState.DISCONNECTED:
            self._participants[identity] = rule.target
        if rule.effect is not ParticipantEffect.NOTHING:
            self._tell(event)

    def _tell(self, event: Event) -> None:
        """Tell of a participant. Those who were there before are found, not told of."""
        if self._state is not None:
            self._events.append(event)

    def _signaling_changed(self, event: SignalingChanged, now: float) -> None:
        self._signaling = event.state
        if event.state is SignalingState.CONNECTED and self._state is None:
            self._state, self._since = ROOM_STATE_TABLE.initial, now
        elif event.state is SignalingState.CONNECTED:
            self._signaling_back = now
            self._media.hurry(now)
        elif event.state is SignalingState.DISCONNECTED:
            self._media.stop()
        self._judge(now, event.error)

    # --- The state of the room ----------------------------------------------------------------------------------

    def _judge(self, now: float, error: RtmError | None) -> None:
        """Look at both connections.

        Args:
            now: Monotonic seconds.
            error: What signaling says about itself.
        """
        if self._state is None:
            return
        media = self._media
        given = VIEWS[self._signaling, media.link_state, media.failed]
        rule = ROOM_STATE_TABLE.rule(self._state, given)
        if rule.effect is RoomEffect.NOTHING:
            return
        self._state, self._since = rule.target, now
        if rule.effect is RoomEffect.REPORT_SIGNALING:
            self._report_reconnecting(error)
        elif rule.effect is RoomEffect.REPORT_MEDIA:
            cause = media.cause
            why = "." if cause is None else f": {cause.message}"
            self._report_reconnecting(
                self._error_for(
                    RoomErrorCode.MEDIA_CONNECTION,
                    f"The media connection of the room is interrupted{why}",
                    cause,
                )
            )
        elif rule.effect is RoomEffect.REPORT_BACK:
            self._error = None
            self._events.append(RoomReconnected())
        else:
            self._report_end(error)

    def _report_reconnecting(self, error: RtmError | None) -> None:
        assert error is not None
        self._error = error
        self._events.append(RoomReconnecting(error))

    def _report_end(self, error: RtmError | None) -> None:
        self._error = error = self._ending or _busy(error) or error
        self._media_end = None
        self._participants.clear()
        self._incoming.clear()
        self._events.append(RoomDisconnected(error))

    def _judge_media(self, now: float) -> None:
        """End the room where media does not come back, while signaling stands."""
        media = self._media
        if not media.failed or self._signaling is not SignalingState.CONNECTED or self._leaving:
            self._media_end = None
            return
        attempt = self._config.policy.attempt_timeout
        if self._media_end is None:
            end = max(media.heard + ROOM_SESSION_TIMEOUT, self._signaling_back + attempt)
            self._media_end = GiveUp(end)
        verdict = self._media_end.judge(now, attempt)
        if verdict is Verdict.LAST_ATTEMPT:
            media.hurry(now)
        elif verdict is Verdict.OVER:
            why = "" if media.cause is None else f" The last attempt failed: {media.cause.message}"
            text = f"The media connection did not come back within {now - media.heard:.3g} s.{why}"
            self._end(RoomErrorCode.MEDIA_CONNECTION, text, media.cause, now)

    def _end(self, code: RoomErrorCode, text: str, cause: RtmError | None, now: float) -> None:
        """End the room for a reason that signaling does not know."""
        self._ending = self._error_for(code, text, cause)
        self._leaving = True
        self._core.session.expelled(self._ending, now)
        while (event := self._core.next_event()) is not None:
            self._translate(event, now)

    def _leave(self, now: float) -> None:
        """Let go of media: the application wants to leave."""
        self._leaving = True
        self._media.stop()
        self._settle(now)

    def _error_for(self, code: RoomErrorCode, text: str, cause: RtmError | None) -> RtmError:
        state = "" if self._state is None else self._state.name
        error = error_for(code, text, operation="room", state=state)
        error.__cause__ = cause
        return error

    def _judge_aggregate(self) -> None:
        core, media = self._core, self._media
        ice, dtls = [core.session.link_state], [core.session.tls_state]
        if self._signaling is SignalingState.DISCONNECTED and self._state is not None and self._error is None:
            # Left by oneself: nothing has failed.
            ice = [IceTransportState.CLOSED]
        if self._signaling not in _LOGGED_IN or core.session.facts.media is not None:
            ice.append(media.link_state)
            dtls.append(media.tls_state)
        previous, self._peer_state = (
            self._peer_state,
            peer_connection_state(
                ice,
                [state for state in dtls if state is not None],
                closed=core.closed,
                rules=self._config.aggregate_rules,
            ),
        )
        if self._peer_state is not previous and not core.closed:
            self._events.append(PeerConnectionStateChanged(self._peer_state, previous))

    # --- Packets ------------------------------------------------------------------------------------------------

    def _roster(self, packet: Roster, _: float) -> None:
        away = set(packet.unreachable)
        for user in packet.users or ():
            self._core.emit(ParticipantReconnecting(user) if user in away else ParticipantReconnected(user))

    def _member_changed(self, packet: MemberChanged, _: float) -> None:
        if packet.joined:
            # One whom the server had forgotten is not announced again, but he is there.
            self._core.emit(ParticipantReconnected(packet.user))

    def _member_state(self, packet: MemberState, _: float) -> None:
        away = packet.state == PeerOnlineState.UNREACHABLE
        self._core.emit(ParticipantReconnecting(packet.user) if away else ParticipantReconnected(packet.user))

    def _frame_came(self, packet: DataEntry) -> None:
        dropped = self._incoming.dropped_before(packet.user, packet.track, packet.n)
        self._events.append(DataReceived(packet.user, packet.track, packet.body, packet.n, dropped))

    # --- Checks -------------------------------------------------------------------------------------------------

    def _check_open(self, operation: Operation) -> None:
        """Refuse a call that needs a room."""
        refusal = self._core.session.refusal(operation)
        if refusal is None:
            return
        if self._state is RoomState.DISCONNECTED and not self._core.closed:
            why = "." if self._error is None else f": {self._error.message}"
            raise Aborted(
                f"The room is disconnected{why}",
                code=refusal.code,
                operation=operation.name,
                state=self._state.name,
                hint="A room connects once: make another to connect again.",
            )
        raise refusal

    def _check_frame(self, track: str, body: bytes) -> None:
        code = RoomErrorCode.TRACK_NAME_INVALID
        wrong = ""
        sizes = self._core.sizes
        if not isinstance(track, str) or not track:
            wrong = "The name of a data track has to be a string of at least one character."
        elif len(track.encode("utf-8", "surrogatepass")) > sizes.track:
            code = RoomErrorCode.TRACK_NAME_TOO_LONG
            wrong = f"The name of a data track has at most {sizes.track} bytes."
        elif not track.isprintable():
            code = RoomErrorCode.TRACK_NAME_CHARS_INVALID
            wrong = "The name of a data track has printable characters only."
        elif not isinstance(body, bytes | bytearray | memoryview):
            code = RoomErrorCode.TRACK_INVALID
            wrong = f"A data frame has to be bytes, not {type(body).__name__}."
        elif len(body) > sizes.message:
            code = RoomErrorCode.TRACK_INVALID
            wrong = f"The data frame has {len(body)} bytes; at most {sizes.message} are allowed."
        if wrong:
            raise InvalidArgument(wrong, code=code, operation=ROOM_SEND_DATA.name, state=self._signaling.name)


def _busy(error: RtmError | None) -> RtmError | None:
    """The server's refusal as busy, where that is what signaling was away for in the end."""
    cause = error
    while isinstance(cause, RtmError):
        if cause.code is RoomErrorCode.SIGNALING_SERVER_BUSY:
            return cause
        following = cause.__cause__
        cause = following if isinstance(following, RtmError) else None
    return None
