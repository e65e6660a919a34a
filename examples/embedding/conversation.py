"""The application of every example here: two users talk over client cores, and notice when their line fails.

It knows nothing of sockets, loops or clocks. A driver calls `start` once and `handle` with each event that is not its
own business, and goes on until `over`. What the users see is told line by line, so that it can be compared.
"""

import argparse
import os
import time
from collections.abc import Callable, Generator
from functools import partial
from pathlib import Path

from rtmcore.client.config import ClientConfig
from rtmcore.client.core import ClientCore
from rtmcore.client.events import (
    Event,
    MemberCountChanged,
    MemberJoined,
    MemberLeft,
    PeerConnectionStateChanged,
    RequestCompleted,
    StateChanged,
)
from rtmcore.client.requests import Ticket
from rtmcore.codes import ConnectionState, MessageType, PeerConnectionState
from rtmcore.errors import RtmError
from rtmcore.models import ChannelMessage, JoinResult, PeerMessage, SendResult

CHANNEL = "square"
CUT, STOP, START = "cut the lines", "stop the server", "start the server"
"""What users wish from whoever can do it: a person, a test, or the simulator."""

LONG = 60.0
"""Seconds that a call may take: some have to outlast a restart of the server."""

Script = Generator[None, Event, None]


class User:
    """One user: a core, and what its user does with it.

    Args:
        name: The user id.
        core: Of this user.
        tell: Takes what the user sees, one line at a time.
        wish: Takes what the user wants done to the network.
        faults: Whether the line is to fail meanwhile.
        token: Makes a token for this user's next login; it must not wait.
    """

    def __init__(
        self,
        name: str,
        core: ClientCore,
        tell: Callable[[str], None],
        wish: Callable[[str], None],
        faults: bool,
        token: Callable[[], str | None] = lambda: None,
    ) -> None:
        self.core = core
        self.token = token
        self._tell = tell
        self._wish = wish
        self._faults = faults
        self._now = 0.0
        self._heard: list[str] = []
        self._script: Script = {"ann": self._ann, "bob": self._bob}[name]()

    @property
    def over(self) -> bool:
        """Whether the core is closed and its last connection, too."""
        return self.core.closed and self.core.idle

    def start(self, now: float) -> None:
        """Begin. Look what the core wants done afterwards."""
        self._now = now
        next(self._script)

    def handle(self, event: Event, now: float) -> None:
        """Take what happened. Look what the core wants done afterwards."""
        self._now = now
        if isinstance(event, PeerMessage | ChannelMessage):
            self._heard.append(event.text)
        if not isinstance(event, MemberCountChanged):  # the server tells counts when it has the time
            self._tell(described(event))
        try:
            self._script.send(event)
        except StopIteration:
            if not self.core.closed:
                self.core.close(now)
        except RtmError as error:
            self._tell(f"gives up: {error}")
            self.core.close(now)
        if isinstance(event, PeerMessage):
            self.core.handed_over(
                event.id, now
            )  # only now: what is not handed over comes again after a crash

    # --- What the two do --------------------------------------------------------------------------------------------

    # Each waits for the result of what he did before the other can react to it, so that the order is always the same.

    def _ann(self) -> Script:
        yield from self._enter()
        yield from self._hear("welcome")
        yield from self._say("how do you do?")
        yield from self._hear("very well")
        yield from self._hear("and you?")
        yield from self._whisper("bob", "fine")
        if self._faults:
            self._wish(CUT)
            yield from self._until(lost)
            yield from self._until(linked)
            yield from self._say("there was a cut")
            yield from self._hear("I saw it")
            self._wish(STOP)
            yield from self._until(reconnecting)
            self._wish(START)
            yield from self._say("is anybody there?")
            yield from self._hear("I am")
        yield from self._say("goodbye")
        yield from self._until(lambda event: isinstance(event, MemberLeft))

    def _bob(self) -> Script:
        yield from self._enter()
        yield from self._until(lambda event: isinstance(event, MemberJoined))
        yield from self._say("welcome")
        yield from self._hear("how do you do?")
        yield from self._whisper("ann", "very well")
        yield from self._say("and you?")
        yield from self._hear("fine")
        if self._faults:
            self._wish(CUT)
            yield from self._until(lost)
            yield from self._until(linked)
            yield from self._hear("there was a cut")
            yield from self._say("I saw it")
            self._wish(STOP)
            yield from self._until(reconnecting)
            self._wish(START)
            yield from self._hear("is anybody there?")
            yield from self._say("I am")
        yield from self._hear("goodbye")
        yield from self._result(self.core.leave(CHANNEL, now=self._now))

    def _enter(self) -> Script:
        yield from self._result(self.core.login(self._now, timeout=LONG))
        yield from self._result(self.core.join(CHANNEL, timeout=LONG, now=self._now))

    def _say(self, text: str) -> Script:
        """Say something to all, and wait until the server has it: over an outage, if need be."""
        now = self._now
        return self._result(
            self.core.publish(CHANNEL, MessageType.TEXT, text.encode(), timeout=LONG, now=now)
        )

    def _whisper(self, user: str, text: str) -> Script:
        """Say something to one, and wait until he has it."""
        now = self._now
        return self._result(self.core.send_peer(user, MessageType.TEXT, text.encode(), timeout=LONG, now=now))

    def _hear(self, text: str) -> Script:
        while text not in self._heard:
            yield

    def _result(self, ticket: Ticket) -> Script:
        while not ticket.done:
            yield
        if ticket.error is not None:
            raise ticket.error

    def _until(self, is_it: Callable[[Event], bool]) -> Script:
        while not is_it((yield)):
            pass


def lost(event: Event) -> bool:
    """Whether the connection is gone."""
    return isinstance(event, PeerConnectionStateChanged) and event.state is PeerConnectionState.DISCONNECTED


def linked(event: Event) -> bool:
    """Whether there is a connection again."""
    return isinstance(event, PeerConnectionStateChanged) and event.state is PeerConnectionState.CONNECTED


def reconnecting(event: Event) -> bool:
    """Whether the server was silent for too long."""
    return isinstance(event, StateChanged) and event.state is ConnectionState.RECONNECTING


def described(event: Event) -> str:
    """An event in a line, without what is another one each time, such as ids."""
    match event:
        case RequestCompleted(ticket):
            return f"{ticket.operation.name}: {_result_of(ticket)}"
        case ChannelMessage():
            return f"#{event.channel} {event.sender}: {event.text}"
        case PeerMessage():
            return f"{event.sender}: {event.text}"
        case StateChanged(state, reason):
            return f"state {state.name}, {reason.name}"
        case PeerConnectionStateChanged(state):
            return f"connection {state.value}"
        case MemberJoined(channel, user, count):
            return f"#{channel} {user} joined, {count} members"
        case MemberLeft(channel, user, count):
            return f"#{channel} {user} left, {count} members"
    return repr(event)


def _result_of(ticket: Ticket) -> str:
    match ticket.value:
        case JoinResult(count=count):
            return f"{count} members"
        case SendResult(status=status):
            return status.name
    return "done" if ticket.error is None else repr(ticket.error)


# --- The command of each example ------------------------------------------------------------------------------------


def main(run: Callable[[User, str | None], None], description: str | None) -> None:
    """Be one of the two users at a server. Start bob first, and ann when he has joined.

    Args:
        run: Drives a user until it is over; given a file of certificates to trust, where TLS is wanted.
        description: Of the example.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("url", help="such as ws://127.0.0.1:7430, of: rtm serve --dev")
    parser.add_argument("app_id")
    parser.add_argument("user", choices=["bob", "ann"])
    parser.add_argument("--secret-file", type=Path, help="key to make tokens with; --dev needs none")
    parser.add_argument("--ca-file", help="certificates to trust, for wss://")
    parser.add_argument("--faults", action="store_true", help="wait for faults, and say for which")
    options = parser.parse_args()
    config = ClientConfig(
        endpoints=options.url,
        app_id=options.app_id,
        user_id=options.user,
        token_provider=True,
        sdk="embedding-example/1",
    )
    core = ClientCore.from_entropy(config, os.urandom)
    token = partial(make_token, options.app_id, options.user, options.secret_file)
    run(
        User(options.user, core, partial(_print, "|"), partial(_print, "?"), options.faults, token),
        options.ca_file,
    )


def make_token(app_id: str, user: str, secret_file: Path | None) -> str | None:
    """A token for the next login, or None where the server wants none."""
    if secret_file is None:
        return None
    from rtmsync.server import tokens

    key = tokens.TokenKey(secret_file.read_bytes().strip())
    return tokens.make_token(key, app=app_id, user=user, now=time.time())


def _print(mark: str, text: str) -> None:
    print(mark, text, flush=True)
