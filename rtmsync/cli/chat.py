"""`rtm chat`: talk in a channel, line by line."""

import os
import select
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import click

from rtmcore.client.events import ChannelGap, ChannelLost, MemberJoined, MemberLeft, StateChanged
from rtmcore.codes import ConnectionState
from rtmcore.errors import NotInChannel, RtmError
from rtmcore.limits import MESSAGE_BYTES_MAX, READ_CHUNK, WAIT_SLICE
from rtmcore.models import ChannelMessage, PeerMessage, SendStatus
from rtmsync.cli.options import Login, connection_options
from rtmsync.cli.output import clock_time, explain, note, say
from rtmsync.cli.telling import abortion, tell_state
from rtmsync.cli.transfers import shown
from rtmsync.driver.waker import Waker
from rtmsync.exits import ExitCode, exit_code

if TYPE_CHECKING:
    from rtmsync.client import Client

_STDIN: Final = 0
_HELP: Final = "/who lists the members, /to USER TEXT talks to one of them, /quit ends."


@click.command("chat")
@connection_options
@click.argument("channel")
def command(login: Login, channel: str) -> int:
    """Talk in CHANNEL: each line that you type is a message, and the others' messages appear as they come.

    /who lists the members, /to USER TEXT talks to one of them, /quit or the end of standard input ends.
    """
    waker = Waker()
    try:
        with login.connect() as client:
            return _Chat(client, channel, waker).run(f"You are {login.named()} in {channel}. {_HELP}")
    finally:
        waker.close()


class _Chat:
    """One conversation. Callbacks print what comes; the calling thread reads what is typed.

    Args:
        client: Logged in.
        channel: Id of the channel.
        waker: Rung when the conversation has ended.
    """

    def __init__(self, client: "Client", channel: str, waker: Waker) -> None:
        self._client = client
        self._waker = waker
        self._over: RtmError | None = None
        self._result = ExitCode.OK
        self._channel = client.channel(channel)
        client.on(StateChanged, self._state_changed)
        self._channel.on(ChannelMessage, self._said)
        self._channel.on(ChannelGap, self._lost)
        self._channel.on(ChannelLost, self._left_out)
        self._channel.on(
            MemberJoined, lambda event: note(f"* {event.user} is here now ({event.count} in all)")
        )
        self._channel.on(MemberLeft, lambda event: note(f"* {event.user} has left ({event.count} in all)"))
        client.on(PeerMessage, self._whispered)

    def run(self, greeting: str) -> ExitCode:
        """Talk until the end of what is typed.

        Args:
            greeting: What is noted once this user is in the channel.

        Raises:
            Aborted: The session was ended.
            NotInChannel: The channel was lost.
        """
        with self._channel:
            note(greeting)
            for line in self._typed():
                words = line.split(maxsplit=2)
                if words[0] == "/quit":
                    break
                try:
                    self._obey(line, words)
                except RtmError as error:
                    self._result = exit_code(error)
                    note(f"* {explain(error)}")
        if self._over is not None:
            raise self._over
        return self._result

    def _obey(self, line: str, words: list[str]) -> None:
        if words[0] == "/who":
            note(f"* here: {', '.join(sorted(self._channel.members()))}")
        elif words[0] == "/to" and len(words) == 3:
            result = self._client.send_peer(words[1], words[2])
            if result.status is not SendStatus.DELIVERED:
                note(f"* {words[1]} is offline: not delivered")
        elif words[0].startswith("/"):
            note(f"* {_HELP}")
        else:
            self._channel.send(line)

    def _typed(self) -> Iterator[str]:
        """Lines that are not blank, until standard input or the session ends.

        It reads the descriptor itself: a buffered read could not be interrupted by the end of the session.
        """
        pending = b""
        while self._over is None:
            ready, _, _ = select.select([_STDIN, self._waker.fd], [], [], WAIT_SLICE)
            if _STDIN not in ready:
                continue
            data = os.read(_STDIN, READ_CHUNK)
            *lines, pending = (pending + data).split(b"\n")
            if len(pending) > MESSAGE_BYTES_MAX or not data:
                lines.append(pending)
                pending = b""
            for line in lines:
                text = line.decode("utf-8", "replace").strip()
                if text and self._over is None:
                    yield text
            if not data:
                return

    # --- What comes, on the dispatcher's thread --------------------------------------

    def _said(self, message: ChannelMessage) -> None:
        say(f"{clock_time(time.time())} {message.sender}: {shown(message)}")

    def _whispered(self, message: PeerMessage) -> None:
        say(f"{clock_time(time.time())} {message.sender} to you: {shown(message)}")

    def _lost(self, event: ChannelGap) -> None:
        note(f"* {event.lost} messages are lost: the interruption was too long")

    def _left_out(self, event: ChannelLost) -> None:
        self._end(NotInChannel(f"{event.channel} was lost: {event.text}", code=event.code, operation="chat"))

    def _state_changed(self, event: StateChanged) -> None:
        tell_state(event)
        if event.state is ConnectionState.ABORTED:
            self._end(abortion(event, "chat"))

    def _end(self, error: RtmError) -> None:
        self._over = error
        self._waker.ring()
