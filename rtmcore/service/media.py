"""Media connections: they carry the data frames of a room session, and end with it."""

from rtmcore.codes import CloseCode
from rtmcore.identifiers import is_valid_app_id, is_valid_id
from rtmcore.limits import (
    BUSY_RETRY,
    COMMAND_TIMEOUT,
    ROOM_MEDIA_BEAT,
    ROOM_MEDIA_INTERRUPTED_AFTER,
    ROOM_SESSION_TIMEOUT,
    SECRET_LENGTH_MAX,
)
from rtmcore.service.commands.media import AttachMedia
from rtmcore.service.commands.names import ROOM, Name, Place, Session
from rtmcore.service.commands.results import Refusal, Trouble
from rtmcore.service.commands.sessions import Ended, Ending
from rtmcore.service.connections import NEVER, Connection, Cue, Phase
from rtmcore.service.context import NodeContext
from rtmcore.service.departures import Departures
from rtmcore.service.feeds import Feeds
from rtmcore.wire.packets import MediaHello, MediaWelcome


class MediaConnections:
    """Opens media connections, and closes those whose session is over.

    Args:
        context: The node's common ground.
        feeds: The channels of the node.
        departures: Ends connections.
    """

    def __init__(self, context: NodeContext, feeds: Feeds, departures: Departures) -> None:
        self._context = context
        self._feeds = feeds
        self._departures = departures

    def greet(self, connection: Connection, hello: MediaHello) -> None:
        """Judge the hello of a media connection, and ask the engine for its session."""
        if len(hello.secret) > SECRET_LENGTH_MAX:
            text = f"malformed hello: secret has at most {SECRET_LENGTH_MAX} characters"
            self._departures.close(connection, CloseCode.MALFORMED, text)
            return
        if not (is_valid_app_id(hello.app) and is_valid_id(hello.user) and is_valid_id(hello.scope)):
            self._departures.close(connection, CloseCode.NO_SESSION, "there is no such room session")
            return
        context = self._context
        name = Name(hello.app, ROOM, hello.user, hello.scope)
        session = Session(name, hello.fence, Place(context.config.node, connection.number))
        connection.media = session
        connection.at_door = False
        self._departures.doorway.leave(connection.address)
        connection.advance(Cue.MEDIA_HELLO)
        connection.transport.beat_interval = ROOM_MEDIA_BEAT
        connection.serve_last(context.dirty_last)
        context.media.add(connection.number)
        connection.stage_due = context.now + COMMAND_TIMEOUT
        context.schedule(connection, context.now + ROOM_MEDIA_BEAT)
        context.submit(AttachMedia(session, hello.secret, hello.attempt))

    def answered(self, command: AttachMedia, value: object) -> None:
        """Take the engine's answer. A connection that is gone was detached when it went."""
        connection = self._context.connections.get(command.session.place.connection)
        if connection is None or connection.phase is not Phase.ATTACHING:
            return
        if isinstance(value, Refusal):
            self._refused(connection, value)
            return
        self._context.engine_answered()
        connection.stage_due = NEVER
        connection.advance(Cue.ATTACHED)
        connection.say(
            MediaWelcome(
                beat=round(ROOM_MEDIA_BEAT * 1000), interrupted=round(ROOM_MEDIA_INTERRUPTED_AFTER * 1000)
            )
        )
        name = command.session.name
        self._feeds.open(name.app, name.kind, name.scope).listeners[name] = connection
        self._context.schedule(connection, connection.heard + ROOM_SESSION_TIMEOUT)

    def _refused(self, connection: Connection, refusal: Refusal) -> None:
        close = self._departures.close
        if refusal.code is Trouble.STALE_ATTEMPT:
            close(
                connection, CloseCode.STALE_ATTEMPT, "a newer media connection of this session was here first"
            )
        elif refusal.code is Trouble.UNAVAILABLE:
            self._context.engine_failed()
            retry = BUSY_RETRY if refusal.retry_after is None else refusal.retry_after
            close(connection, CloseCode.ENGINE_UNAVAILABLE, refusal.text, retry)
        else:
            close(connection, CloseCode.NO_SESSION, "there is no such room session")

    def ended(self, ended: Ended) -> bool:
        """Close a media connection that was replaced, or whose session is over; False where it is none."""
        connection = self._context.connections.get(ended.session.place.connection)
        if connection is None or connection.media != ended.session:
            return False
        self._departures.detach(connection, session_over=True)
        if ended.reason is Ending.REPLACED:
            self._departures.close(connection, CloseCode.REPLACED, "a newer media connection took over")
        else:
            self._departures.close(connection, CloseCode.NO_SESSION, "the room session is over")
        return True
