"""Data frames of rooms and RTC channels, and the media connections that carry those of rooms."""

from hashlib import sha256
from hmac import compare_digest
from typing import Final

from rtmcore.service.commands.media import AttachMedia, DataNotice, DetachMedia, SendData, media_secret
from rtmcore.service.commands.names import ROOM, Session
from rtmcore.service.commands.results import Refusal, Settled, Trouble
from rtmcore.service.commands.sessions import Ended, Ending
from rtmcore.service.memory.state import FENCED, Attachment, Live, Outlet, State

_SETTLED: Final = Settled()
_UNAUTHORIZED: Final = Refusal(
    Trouble.UNAUTHORIZED, "The secret is not the one that the room session's welcome gave for media."
)
_STALE: Final = Refusal(
    Trouble.STALE_ATTEMPT,
    "A media connection of this session with the same or a greater attempt number was here before.",
)


class Media:
    """Carries out the commands about media connections and data frames.

    A media connection belongs to a session and its fence, whichever transport speaks for the session. Nothing of it
    outlives the process: after a restart it attaches again, once its session has returned.

    Args:
        state: What it shares with the other parts.
    """

    def __init__(self, state: State) -> None:
        self._state = state

    # --- Connections --------------------------------------------------------------

    def attach(self, outlet: Outlet, command: AttachMedia, now: float, wall: int) -> None:
        """Carry out `AttachMedia`."""
        live = self._live(command.session)
        if live is None:
            outlet.answer(command, FENCED)
        elif not compare_digest(_digest(command.secret), live.media_digest):
            outlet.answer(command, _UNAUTHORIZED)
        elif command.attempt <= live.media_attempt:
            outlet.answer(command, _STALE)
        else:
            self._end(live, Ending.REPLACED)
            live.media_attempt = command.attempt
            live.media = Attachment(command.session, outlet)
            outlet.answer(command, _SETTLED)

    def detach(self, outlet: Outlet, command: DetachMedia, now: float, wall: int) -> None:
        """Carry out `DetachMedia`."""
        live = self._attached(command.session)
        if live is not None:
            live.media = None

    def admit(self, live: Live, secret: str) -> None:
        """A client knows this secret of its session: the one made from it opens its media connection."""
        if live.account.name.kind == ROOM:
            live.media_digest = _digest(media_secret(secret))

    def session_over(self, live: Live, ending: Ending | None, text: str) -> None:
        """A session ends, and its media connection with it."""
        if ending is None or ending is Ending.REPLACED:
            # Nothing replaces the connection: a newer session of the instance opens one of its own.
            ending = Ending.EXPIRED
        self._end(live, ending, text)

    def _end(self, live: Live, reason: Ending, text: str = "") -> None:
        attachment, live.media = live.media, None
        if attachment is not None:
            attachment.outlet.outputs.append(Ended(attachment.session, reason, text))

    def _live(self, session: Session) -> Live | None:
        """The live room session of this fence, where a client holds it since the engine began."""
        account = self._state.accounts.get(session.name)
        live = None if account is None else account.live
        if live is None or live.session.fence != session.fence or not live.media_digest:
            return None
        return live

    def _attached(self, session: Session) -> Live | None:
        """The live session whose current media connection this is."""
        account = self._state.accounts.get(session.name)
        live = None if account is None else account.live
        if live is None or live.media is None:
            return None
        mine = live.media.session
        if mine is session or (mine.fence == session.fence and mine.place == session.place):
            return live
        return None

    # --- Data ---------------------------------------------------------------------

    def send(self, outlet: Outlet, command: SendData, now: float, wall: int) -> None:
        """Carry out `SendData`."""
        session = command.session
        name = session.name
        live = self._attached(session) if name.kind == ROOM else self._state.current(session)
        member = None if live is None else live.channels.get(name.scope)
        if member is None:
            return
        channel = member.channel
        notice = DataNotice(
            channel.app, channel.name, name, command.track, command.n, command.body, channel.kind
        )
        for watcher in channel.watchers:
            watcher.outputs.append(notice)


def _digest(secret: str) -> bytes:
    return sha256(secret.encode()).digest()
