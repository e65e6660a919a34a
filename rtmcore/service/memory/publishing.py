"""What is done for those without a session: each thing once, however often it is asked for."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from typing import Any, Final, TypeAlias

import attrs

from rtmcore.limits import IDEMPOTENCY_KEYS, IDEMPOTENCY_SECONDS, SWEEP_INTERVAL
from rtmcore.service.commands.channels import CountMembers, CountMembersOf, Unwatch, Watch
from rtmcore.service.commands.exclusions import Ban, Expel, Kick, Unban
from rtmcore.service.commands.messages import Accepted, PeerSend, PublishAs, PublishMessage, SendAs
from rtmcore.service.commands.names import RTM, Name, Place, Session
from rtmcore.service.commands.results import Refusal, Trouble
from rtmcore.service.commands.table import Answer, Command, Value
from rtmcore.service.memory.channels import Channels
from rtmcore.service.memory.results import Results, Written
from rtmcore.service.memory.sends import Sends
from rtmcore.service.memory.state import Account, Instance, Item, Live, Member, Outlet, State

_CMID: Final = 1
"""The only request of an instance that is made for one message."""
_NO_FENCE: Final = -1
"""No session of a user ever has this fence, so that no answer goes to one."""
_NOT_DONE: Final = (Trouble.FULL, Trouble.UNAVAILABLE)
"""After these nothing has happened, and a repeat is another try."""

_KEY_IN_USE: Final = Refusal(
    Trouble.KEY_IN_USE,
    "The Idempotency-Key belongs to an earlier request that asked for something else. Give each request its own.",
)

_Ask: TypeAlias = SendAs | PublishAs | Ban | Unban | Kick | Expel
_Key: TypeAlias = tuple[type[Any], str, str]
_Handler: TypeAlias = Callable[[Outlet, Any, float, int], None]


class _Ticket(Results):
    """What was asked for under one key came to, and who waits to hear it."""

    __slots__ = ("_forget", "_value", "_waiting", "accepts_when_kept", "content", "expires")

    def __init__(self, content: int, expires: float, forget: Callable[[], None]) -> None:
        super().__init__(1)
        self.content = content
        self.expires = expires
        self.accepts_when_kept = False
        """Nobody waits for the receiver, only for the history."""
        self._forget = forget
        self._value: Value | None = None
        self._waiting: list[tuple[Outlet, _Ask]] = []

    @property
    def told(self) -> bool:
        """Whether there is an answer."""
        return self._value is not None

    def ask(self, outlet: Outlet, command: _Ask) -> None:
        """Answer a command with the outcome, now or when it is known."""
        if self._value is None:
            self._waiting.append((outlet, command))
        else:
            outlet.answer(command, self._value)

    def settle(self, cmid: int, result: Any) -> None:
        """The outcome of a message is known; see `Results.settle`."""
        super().settle(cmid, result)
        if not isinstance(result, Written):
            self.tell(result)

    def is_kept(self) -> None:
        """The message is in the history; see `Results.is_kept`."""
        if self.accepts_when_kept:
            self.tell(Accepted())

    def tell(self, value: Value) -> None:
        """Answer whoever waits; only the first outcome counts."""
        if self._value is not None:
            return
        self._value = value
        for outlet, command in self._waiting:
            outlet.answer(command, value)
        self._waiting.clear()
        if isinstance(value, Refusal) and value.code in _NOT_DONE:
            self._forget()


class _ForTicket(Outlet):
    """Where the answer to a command goes that is carried out for a ticket."""

    __slots__ = ("_ticket",)

    def __init__(self, ticket: _Ticket) -> None:
        super().__init__("")
        self._ticket = ticket

    def answer(self, command: Command, value: Value) -> None:
        """Answer whoever has asked for the same."""
        self._ticket.tell(value)


class Publishing:
    """Carries out the commands that need no session, by lending them one that nobody else sees.

    Args:
        state: What it shares with the other parts.
        sends: Carries out sends to peers.
        channels: Carries out the commands about channels.
    """

    def __init__(self, state: State, sends: Sends, channels: Channels) -> None:
        self._state = state
        self._sends = sends
        self._channels = channels
        self._tickets: dict[_Key, _Ticket] = {}

    def once(self, carry_out: _Handler) -> _Handler:
        """Carry a command out whose key is new or empty, and answer any other as its first one."""

        def handler(outlet: Outlet, command: Any, now: float, wall: int) -> None:
            if not command.key:
                carry_out(outlet, command, now, wall)
                return
            ticket = self._admit(outlet, command, now)
            if ticket is not None:
                carry_out(_ForTicket(ticket), command, now, wall)

        return handler

    def send(self, outlet: Outlet, command: SendAs, now: float, wall: int) -> None:
        """Carry out `SendAs`."""
        ticket = self._admit(outlet, command, now)
        if ticket is None:
            return
        with self._lend(command, ticket, now) as (live, borrowed):
            send = PeerSend(
                live.session,
                live.instance.iid,
                _CMID,
                0,
                command.to,
                command.kind,
                command.body,
                command.offline,
                command.wait,
                command.history,
                command.ttl,
            )
            self._sends.send(borrowed, send, now, wall)
        pending = ticket.pending.get(_CMID)
        if isinstance(pending, Item) and self._sends.is_unkept(pending) and not command.acknowledged:
            ticket.accepts_when_kept = True
        elif not ticket.told and not command.acknowledged:
            receiver = self._state.accounts.get(command.name._replace(name=command.to))
            # To one who is not there for certain, the answer says whether the message is stored.
            if receiver is not None and receiver.live is not None and not receiver.live.unreachable:
                ticket.tell(Accepted())

    def publish(self, outlet: Outlet, command: PublishAs, now: float, wall: int) -> None:
        """Carry out `PublishAs`."""
        ticket = self._admit(outlet, command, now)
        if ticket is None:
            return
        app, name = command.name.app, command.channel
        with self._lend(command, ticket, now) as (live, borrowed):
            # A channel that is watched exists; without anybody in it, it is forgotten again soon.
            self._channels.watch(borrowed, Watch(app, name), now, wall)
            self._channels.unwatch(borrowed, Unwatch(app, name), now, wall)
            channel = self._state.channels[app, RTM, name]
            own = channel.own.get(command.name.name)
            live.channels[name] = Member(live, channel, channel.top, _CMID, own)
            publish = PublishMessage(
                live.session,
                live.instance.iid,
                _CMID,
                0,
                name,
                command.kind,
                command.body,
                command.history,
            )
            self._channels.publish(borrowed, publish, now, wall)
            member = channel.members.get(command.name.name)
            if member is not None:
                member.own = channel.own.get(command.name.name)

    def count(self, outlet: Outlet, command: CountMembersOf, now: float, wall: int) -> None:
        """Carry out `CountMembersOf`."""
        with self._gate(Name(command.app, RTM, ""), "", Results(1)) as live:
            borrowed = Outlet("")
            count = CountMembers(live.session, _CMID, 0, command.channels)
            self._channels.count_members(borrowed, count, now, wall)
        for answer in borrowed.outputs:
            if isinstance(answer, Answer):
                outlet.answer(command, answer.value)

    def _admit(self, outlet: Outlet, command: _Ask, now: float) -> _Ticket | None:
        """The ticket of a new command; None for a repeat, which is answered."""
        tickets = self._tickets
        while tickets:
            key, oldest = next(iter(tickets.items()))
            if oldest.expires > now and len(tickets) < IDEMPOTENCY_KEYS:
                break
            del tickets[key]
        key = command.__class__, command.name.app, command.key
        content = _content(command)
        known = tickets.get(key)
        if known is not None:
            if known.content == content:
                known.ask(outlet, command)
            else:
                outlet.answer(command, _KEY_IN_USE)
            return None
        ticket = _Ticket(content, now + IDEMPOTENCY_SECONDS, lambda: self._drop(key))
        tickets[key] = ticket
        ticket.ask(outlet, command)
        return ticket

    def _drop(self, key: _Key) -> None:
        self._tickets.pop(key, None)

    @contextmanager
    def _lend(
        self, command: SendAs | PublishAs, ticket: _Ticket, now: float
    ) -> Iterator[tuple[Live, Outlet]]:
        """A session for one message, and where its answer goes."""
        borrowed = Outlet("")
        try:
            with self._gate(command.name, command.key, ticket) as live:
                yield live, borrowed
        except BaseException:
            self._drop((command.__class__, command.name.app, command.key))
            raise
        for answer in borrowed.outputs:
            if isinstance(answer, Answer):
                ticket.tell(answer.value)

    @contextmanager
    def _gate(self, name: Name, key: str, results: Results) -> Iterator[Live]:
        """Let a name without a session pass for one that has one, as long as a command is carried out."""
        state = self._state
        # No user has an empty name, so this one is not in anybody's way.
        gate = Name(name.app, RTM, "", "publisher")
        author = state.accounts.get(name) or Account(name, state.spaces.get((name.app, RTM, ""), {}))
        digest = sha256(f"{name.app}\0{key}".encode()).hexdigest()[:32]
        session = Session(gate, _NO_FENCE, Place("", 0))
        live = Live(author, Instance(digest, results), session, None, SWEEP_INTERVAL, 0)
        state.accounts[gate] = Account(gate, {}, live=live)
        try:
            yield live
        finally:
            del state.accounts[gate]


def _content(command: _Ask) -> int:
    """What a command asks for, whatever its number: a hash of it, since bodies are too large to be kept."""
    return hash(command if isinstance(command, Ban | Unban) else attrs.evolve(command, number=0))
