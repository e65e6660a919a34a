"""What time brings to a connection: hellos that never come, engines that do not answer, silence, tokens that end."""

from collections.abc import Callable
from typing import Final

from rtmcore.codes import CloseCode, ConnectionChangeReason
from rtmcore.limits import BUSY_RETRY, HELLO_TIMEOUT, ROOM_SESSION_TIMEOUT, UNREACHABLE_AFTER
from rtmcore.service.commands.sessions import Release, Silent
from rtmcore.service.connections import NEVER, Connection, Phase
from rtmcore.service.context import NodeContext
from rtmcore.service.departures import Departures
from rtmcore.service.logins import Logins
from rtmcore.service.requests import Requests

_AT_THE_DOOR: Final = (Phase.HTTP, Phase.GREETING)
_WITH_SESSION: Final = (Phase.RESTORING, Phase.LIVE, Phase.LEAVING)
_OF_MEDIA: Final = (Phase.ATTACHING, Phase.MEDIA)


class Deadlines:
    """Knows when a connection has to be looked at, and acts on what is due then.

    Args:
        context: The node's common ground.
        departures: Ends connections.
        logins: Gives up what takes too long at a login.
        requests: Fails requests that were not answered in time.
        take_events: Takes what a connection's transport has to say.
        give_up_serving: Ends an HTTP connection that was idle for too long, or whose answer is late.
    """

    def __init__(
        self,
        context: NodeContext,
        departures: Departures,
        logins: Logins,
        requests: Requests,
        take_events: Callable[[Connection], None],
        give_up_serving: Callable[[Connection], None],
    ) -> None:
        self._context = context
        self._departures = departures
        self._logins = logins
        self._requests = requests
        self._take_events = take_events
        self._give_up_serving = give_up_serving

    def next(self, connection: Connection) -> float:
        """When a connection has to be looked at again at the latest."""
        if connection.phase is Phase.FINISHED:
            return connection.closing_due
        due = connection.transport.next_deadline()
        earliest = NEVER if due is None else due
        if connection.phase in _AT_THE_DOOR:
            return min(earliest, connection.opened + HELLO_TIMEOUT + connection.absence)
        if connection.phase is Phase.CLOSING:
            return earliest
        earliest = min(earliest, connection.stage_due, connection.read_due, connection.token_due)
        if connection.waiting:
            earliest = min(earliest, min(waiting.due for waiting in connection.waiting.values()))
        if connection.phase in _WITH_SESSION:
            patience = connection.keepalive if connection.silent else UNREACHABLE_AFTER
            earliest = min(earliest, connection.heard + patience)
        elif connection.phase in _OF_MEDIA:
            earliest = min(earliest, connection.heard + ROOM_SESSION_TIMEOUT)
        return earliest

    def judge(self, connection: Connection) -> bool:
        """Act on what is due on one connection.

        Returns:
            True where its socket is to be closed now, whatever it has not taken.
        """
        now = self._context.now
        close = self._departures.close
        phase = connection.phase
        if phase is Phase.FINISHED:
            if now < connection.closing_due:
                return False
            connection.closing_due = NEVER
            return True
        connection.transport.handle_timer(now)
        self._take_events(connection)
        if phase in _AT_THE_DOOR:
            if now >= connection.opened + HELLO_TIMEOUT + connection.absence:
                close(connection, CloseCode.HELLO_TIMEOUT, "no valid hello in time")
            return False
        if now >= connection.stage_due:
            self._stage_failed(connection)
        if now >= connection.read_due:
            self._context.engine_failed()
            close(connection, CloseCode.ENGINE_UNAVAILABLE, "a log could not be read in time", BUSY_RETRY)
        if now >= connection.token_due and connection.session is not None:
            self._token_expired(connection)
        if connection.waiting:
            self._requests.expire(connection)
        if connection.session is not None:
            self._judge_silence(connection)
        elif connection.media is not None and now >= connection.heard + ROOM_SESSION_TIMEOUT:
            text = f"nothing was heard for {ROOM_SESSION_TIMEOUT:g} s"
            close(connection, CloseCode.HEARTBEAT_TIMEOUT, text)
        return False

    def _stage_failed(self, connection: Connection) -> None:
        connection.stage_due = NEVER
        if connection.phase in (Phase.SERVING, Phase.TRANSFERRING):
            self._give_up_serving(connection)
        elif connection.phase is Phase.RESTORING:
            self._logins.give_up_restoring(connection)
        elif connection.phase in (Phase.CLAIMING, Phase.LEAVING, Phase.ATTACHING):
            self._context.engine_failed()
            text = "the engine did not answer in time"
            self._departures.close(connection, CloseCode.ENGINE_UNAVAILABLE, text, BUSY_RETRY)

    def _judge_silence(self, connection: Connection) -> None:
        assert connection.session is not None
        # Sums are compared, as in `next`: a difference may be rounded to just below the time that is due.
        now, heard, keepalive = self._context.now, connection.heard, connection.keepalive
        if now >= heard + keepalive:
            text = f"nothing was heard for {keepalive:g} s"
            self._departures.close(connection, CloseCode.HEARTBEAT_TIMEOUT, text)
        elif now >= heard + UNREACHABLE_AFTER and not connection.silent:
            connection.silent = True
            self._context.submit(Silent(connection.session, connection.heard))

    def _token_expired(self, connection: Connection) -> None:
        session = connection.session
        assert session is not None
        self._context.submit(Release(session))
        self._departures.detach(connection, session_over=True)
        self._departures.kick(
            connection,
            ConnectionChangeReason.TOKEN_EXPIRED,
            CloseCode.TOKEN_EXPIRED,
            "The token has expired.",
        )
