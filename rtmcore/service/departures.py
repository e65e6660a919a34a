"""How a connection parts from its session and comes to its end."""

import attrs

from rtmcore.codes import CloseCode, ConnectionChangeReason
from rtmcore.limits import CLOSE_HANDSHAKE_TIMEOUT, CONNECTIONS_BEFORE_HELLO
from rtmcore.service.admission import Doorway
from rtmcore.service.commands.media import DetachMedia
from rtmcore.service.commands.sessions import Ended, Ending, Silent
from rtmcore.service.connections import NEVER, Connection, Cue, Phase, SessionState
from rtmcore.service.context import NodeContext
from rtmcore.service.feeds import Feeds
from rtmcore.service.kinds import LONGEST_KEEPALIVE
from rtmcore.service.logs import feeds_read
from rtmcore.wire.packets import Kicked
from rtmcore.wire.transport import TransportState

_ENDED = (Phase.CLOSING, Phase.FINISHED)


@attrs.frozen
class Orphan:
    """A claim under way whose connection is gone."""

    since: float
    """When the client was heard for the last time."""
    goodbye: bool
    """It said goodbye behind its hello."""


class Departures:
    """Ends connections, and tells the engine and the channels that a session's transport is gone.

    Args:
        context: The node's common ground.
        feeds: The channels of the node.
    """

    def __init__(self, context: NodeContext, feeds: Feeds) -> None:
        self.doorway = Doorway()
        self._context = context
        self._feeds = feeds
        self._orphans: dict[int, Orphan] = {}
        self._lost: list[tuple[float, SessionState]] = []

    def end(self, ended: Ended) -> None:
        """A session is over, or has moved to another transport."""
        session = ended.session
        state = self._context.sessions.get(session.name)
        connection = self._context.connection_at(session)
        if ended.reason is not Ending.REPLACED and state is not None and state.fence == session.fence:
            del self._context.sessions[session.name]
        if connection is None:
            return
        self.detach(connection, session_over=True)
        if ended.reason is Ending.REPLACED:
            self.close(connection, CloseCode.REPLACED, "a newer transport took over")
        elif ended.reason is Ending.REMOTE_LOGIN:
            self.kick(
                connection,
                ConnectionChangeReason.REMOTE_LOGIN,
                CloseCode.REMOTE_LOGIN,
                "The user has logged in from another client.",
            )
        elif ended.reason is Ending.BANNED:
            self.kick(
                connection,
                ConnectionChangeReason.BANNED_BY_SERVER,
                CloseCode.BANNED,
                ended.text or "The user is banned.",
            )
        else:
            self.close(connection, CloseCode.RESYNC, "the session is over; log in afresh")

    def close(
        self, connection: Connection, code: CloseCode, text: str = "", retry_after: float | None = None
    ) -> None:
        """Close a connection with a code; its session goes on without a transport. Idempotent.

        Args:
            connection: The connection.
            code: The close code.
            text: The reason, for people.
            retry_after: Seconds after which the client is asked to come back; it takes the place of the text.
        """
        if connection.phase in _ENDED:
            return
        self.detach(connection)
        now = self._context.now
        reason = text if retry_after is None else f'{{"r": {round(retry_after * 1000)}}}'
        connection.close(code, reason, now)
        self._context.count(f"closed_{int(code)}")
        self._context.note(
            "connection closed", {"connection": connection.number, "code": code.name, "reason": text}
        )
        if connection.transport.state is TransportState.CLOSED:
            self.finish(connection)
            return
        connection.advance(Cue.CLOSE)
        self._context.schedule(connection, now + CLOSE_HANDSHAKE_TIMEOUT)

    def kick(
        self, connection: Connection, reason: ConnectionChangeReason, code: CloseCode, text: str
    ) -> None:
        """End a connection whose session has ended for good."""
        if connection.open:
            connection.say(Kicked(int(reason), text))
        self.close(connection, code, text)

    def finish(self, connection: Connection) -> None:
        """Nothing more will be said: let the socket be closed when all is written. Idempotent."""
        if connection.phase is Phase.FINISHED:
            return
        self.detach(connection)
        connection.frames = None
        connection.pull()
        connection.advance(Cue.END)
        connection.closing_due = self._context.now + CLOSE_HANDSHAKE_TIMEOUT
        self._context.schedule(connection, connection.closing_due)
        self._context.dirty.add(connection.number)

    def detach(self, connection: Connection, *, session_over: bool = False) -> None:
        """Part a connection from the door, from its session, and from its channels. Idempotent.

        Args:
            connection: The connection.
            session_over: The engine knows that the session has ended, so it need not be told of the silence.
        """
        if connection.at_door:
            connection.at_door = False
            self.doorway.leave(connection.address)
        if connection.media is not None:
            self._detach_media(connection, session_over=session_over)
        if connection.phase is Phase.CLAIMING and connection.hello is not None:
            self._remember(connection)
        session = connection.session
        if session is None:
            return
        self._leave_channels(connection)
        connection.session = None
        connection.waiting.clear()
        connection.token_due = connection.stage_due = connection.read_due = NEVER
        state = connection.state
        if state is not None and state.connection is connection:
            state.connection = None
            self._lost.append((self._context.now + LONGEST_KEEPALIVE, state))
        if not session_over and connection.phase is not Phase.LEAVING:
            self._context.submit(Silent(session, connection.heard, gone=True))

    def take_orphan(self, number: int) -> Orphan | None:
        """What is known of a connection that was gone before its claim was answered."""
        return self._orphans.pop(number, None)

    def forget_lost(self) -> None:
        """Forget sessions that did not come back in time."""
        now = self._context.now
        sessions = self._context.sessions
        over = 0
        for due, state in self._lost:
            if due > now:
                break
            over += 1
            if state.connection is None and sessions.get(state.name) is state:
                del sessions[state.name]
        del self._lost[:over]

    def _remember(self, connection: Connection) -> None:
        self._orphans[connection.number] = Orphan(connection.heard, connection.bye is not None)
        if len(self._orphans) > CONNECTIONS_BEFORE_HELLO:
            del self._orphans[next(iter(self._orphans))]

    def _detach_media(self, connection: Connection, *, session_over: bool) -> None:
        session = connection.media
        assert session is not None
        connection.media = None
        self._context.media.discard(connection.number)
        connection.stage_due = NEVER
        feed = self._feeds.find(session.name.app, session.name.kind, session.name.scope)
        if feed is not None:
            feed.listen_no_more(session.name, connection)
            self._feeds.release(feed)
        if not session_over:
            self._context.submit(DetachMedia(session))

    def _leave_channels(self, connection: Connection) -> None:
        # In order, and not as the addresses of objects have it: what is done can be done again in the same way.
        feeds = dict.fromkeys(member.feed for member in connection.members.values())
        for member in list(connection.members.values()):
            member.feed.leave(member)
        joining = [waiting.joins for waiting in connection.waiting.values() if waiting.joins is not None]
        joining += [restoring.feed for restoring in connection.restoring.values()]
        for feed in joining:
            feed.expect_no_more()
            feeds[feed] = None
        connection.restoring.clear()
        for feed in feeds_read(connection.reading):
            feed.expect_no_more()
            feeds[feed] = None
        connection.reading = connection.together = None
        connection.to_read.clear()
        for feed in feeds:
            self._feeds.release(feed)
