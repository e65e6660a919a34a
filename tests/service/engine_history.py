"""Random histories of clients on an engine, checked afterwards against the promises of DESIGN section 5.

Every choice comes from one seed. The agents do what the cores of clients and nodes do: they keep positions, drop
origins that they know, repeat requests without an answer after a return, and read logs from where they stand.
"""

from random import Random
from typing import Any

import attrs

from rtmcore.codes import PeerOnlineState
from rtmcore.limits import JOURNAL_RETRY, SEND_TIMEOUT
from rtmcore.service.commands.attributes import Attributes
from rtmcore.service.commands.channels import ChannelNotice, MemberNotice, Membership
from rtmcore.service.commands.entries import Entry, Page
from rtmcore.service.commands.history import Kept, ReadHistory
from rtmcore.service.commands.inboxes import InboxNotice, ReadInbox
from rtmcore.service.commands.messages import Logged, PeerOutcome, PeerSend, PublishMessage
from rtmcore.service.commands.names import Session
from rtmcore.service.commands.presence import PresenceNotice
from rtmcore.service.commands.results import Refusal, Settled, Trouble
from rtmcore.service.commands.sessions import Claimed
from rtmcore.service.commands.table import Answer
from tests.service.engine_conformance import CACHED, DELIVERED, PEER_UNREACHABLE
from tests.service.engine_harness import APP, Client, Harness

USERS = ("alice", "bob", "carol", "dora")
CHANNELS = ("room", "hall")
NODES = ("n1", "n2")


@attrs.define(eq=False)
class Seat:
    """What an agent knows of a channel that its application is in."""

    position: int
    due: int
    """Messages of others that were published since it joined, as counted by the history."""
    got: int = 0
    exact: bool = True
    """False once a restart took the log away."""


@attrs.define(eq=False)
class Agent:
    """One client object of a user, until it is kicked or abandoned."""

    client: Client
    up: bool = False
    position: int = 0
    origins: set[tuple[str, str, int]] = attrs.field(factory=set)
    handed_over: list[Entry] = attrs.field(factory=list)
    open: dict[int, Any] = attrs.field(factory=dict)
    """Requests without an answer, by id."""
    until: dict[int, float] = attrs.field(factory=dict)
    """When the application stops waiting for each."""
    seats: dict[str, Seat] = attrs.field(factory=dict)
    unread: bool = False
    """Its inbox has to be read before live entries count."""
    epoch: str = ""
    presence: dict[str, PeerOnlineState] = attrs.field(factory=dict)
    """What it was told of users."""


class History:
    """A run of random steps, and the record of what happened.

    Args:
        harness: The engine.
        seed: Of every choice.
        disk: Whether commits can be held and fail, and the process can be lost.
    """

    def __init__(self, harness: Harness, seed: int, *, disk: bool) -> None:
        self.harness = harness
        self.random = Random(seed)
        self.disk = disk
        self.agents: dict[str, Agent] = {}
        self.retired: list[Agent] = []
        self.kicked: list[Agent] = []
        self.instances = 0
        self.bodies = 0
        self.sends: dict[bytes, PeerSend] = {}
        self.told: dict[bytes, Any] = {}
        """Every answer of the engine that runs, by body."""
        self.outcomes: dict[bytes, Any] = {}
        """Answers that reached an application."""
        self.unsure: set[bytes] = set()
        """Bodies whose sends were open when the process was lost: the next engine cannot know what became of them."""
        self.published: dict[bytes, Logged] = {}
        self.to_publish: dict[bytes, PublishMessage] = {}
        self.log: dict[str, list[Entry]] = {channel: [] for channel in CHANNELS}
        self.tops: dict[str, int] = {}
        self.moves: dict[tuple[str, str], list[bool]] = {}
        self.copies: dict[bytes, list[Entry]] = {}
        """What was handed over to any application, in the order of time."""
        self.old_sessions: list[tuple[str, Session]] = []
        self.stuck = False
        self.restarted = False
        self._watch()

    def _watch(self) -> None:
        for name in NODES:
            for channel in CHANNELS:
                self.harness.node(name).watch(channel)

    # --- The run ------------------------------------------------------------------

    def run(self, steps: int) -> None:
        choices = [
            (self.send, 30),
            (self.publish, 20),
            (self.read, 30),
            (self.join_or_leave, 8),
            (self.come_or_go, 8),
            (self.cut, 6),
            (self.come_back, 10),
            (self.wait, 12),
            (self.try_what_is_over, 3),
            (self.compare_views, 4),
        ]
        if self.disk:
            choices += [(self.change_the_disk, 6), (self.restart, 1)]
        for step in self.random.choices(
            [choice for choice, _ in choices], [weight for _, weight in choices], k=steps
        ):
            step()
            self.harness.settle()
            self.take_outputs()
        self.finish()
        self.check()

    def pick(self, *, up: bool) -> Agent | None:
        agents = [agent for agent in self.agents.values() if agent.up == up]
        return self.random.choice(agents) if agents else None

    def send(self) -> None:
        agent = self.pick(up=True)
        if agent is None or len(agent.open) > 50:
            return
        self.bodies += 1
        body = b"peer %d" % self.bodies
        flag, wait = self.random.random() < 0.5, self.random.choice([0.5, 3.0, 10.0, 60.0])
        agent.client.floor = min(agent.open, default=agent.client.cmid + 1)
        history = self.random.random() < 0.2
        command = agent.client.send(self.random.choice(USERS), body, offline=flag, wait=wait, history=history)
        self.sends[body] = command
        agent.open[command.cmid] = command
        agent.until[command.cmid] = self.harness.now + wait

    def publish(self) -> None:
        agent = self.pick(up=True)
        if agent is None or not agent.seats:
            return
        channel = self.random.choice(list(agent.seats))
        history = self.random.random() < 0.2
        for _ in range(self.random.choice([1, 1, 1, 50])):
            self.bodies += 1
            client = agent.client
            client.cmid += 1
            command = PublishMessage(
                client.here,
                client.iid,
                client.cmid,
                client.floor,
                channel,
                1,
                b"channel %d" % self.bodies,
                history and self.random.random() < 0.5,
            )
            self.to_publish[command.body] = command
            agent.open[client.cmid] = command
            agent.until[client.cmid] = self.harness.now + SEND_TIMEOUT
            client.node.submit(command)

    def read(self) -> None:
        """An application takes what is there, and the core acknowledges it, or not yet."""
        agent = self.pick(up=True)
        if agent is None:
            return
        if agent.unread:
            self.read_inbox(agent)
        if self.random.random() < 0.8:
            agent.client.acknowledge(agent.position)

    def join_or_leave(self) -> None:
        agent = self.pick(up=True)
        if agent is None:
            return
        channel = self.random.choice(CHANNELS)
        if channel in agent.seats:
            assert not isinstance(agent.client.leave(channel), Refusal)
            self.take_outputs()
            self.stand_up(agent, channel)
        else:
            value = agent.client.join(channel)
            assert isinstance(value, Membership), value
            self.take_outputs()
            agent.seats[channel] = Seat(value.position, len(self.log[channel]))

    def come_or_go(self) -> None:
        user = self.random.choice(USERS)
        agent = self.agents.get(user)
        if agent is not None and agent.up and self.random.random() < 0.3:
            assert not isinstance(agent.client.log_out(), Refusal)
            self.take_outputs()
            self.retire(agent)
            return
        if agent is not None and self.random.random() < 0.7:
            return
        self.instances += 1
        client = self.harness.client(user, f"instance-{self.instances:07}", self.random.choice(NODES))
        value = client.log_in()
        assert isinstance(value, Claimed), value
        if agent is not None:
            self.old_sessions.append((agent.client.node_name, agent.client.here))
            self.kicked.append(agent)
            self.retire(agent)
        self.take_outputs()
        agent = self.agents[user] = Agent(client, up=True, position=value.inbox, unread=True)
        self.restore(agent, value)

    def restore(self, agent: Agent, value: Claimed) -> None:
        """Subscribe to everybody and set attributes again, where the session or the engine is a new one."""
        if not value.resumed or value.epoch != agent.epoch:
            agent.epoch = value.epoch
            assert agent.client.subscribe(*USERS) == Settled()
            assert agent.client.write(owner=agent.client.iid) == Settled()
            self.take_outputs()

    def retire(self, agent: Agent) -> None:
        for channel in list(agent.seats):
            agent.seats.pop(channel)
        self.agents.pop(agent.client.user)
        self.retired.append(agent)

    def cut(self) -> None:
        agent = self.pick(up=True)
        if agent is None:
            return
        agent.up = False
        agent.client.silent(gone=self.random.random() < 0.5)

    def come_back(self) -> None:
        agent = self.pick(up=False)
        if agent is not None:
            self.return_of(agent)

    def return_of(self, agent: Agent) -> None:
        client = agent.client
        old = client.node_name, client.here
        client.node_name = self.random.choice(NODES)
        client.floor = min(agent.open, default=client.cmid + 1)
        value = client.claim(inbox=agent.position)
        assert isinstance(value, Claimed), value
        self.old_sessions.append(old)
        agent.up = True
        agent.unread = True
        self.take_outputs()
        self.restore(agent, value)
        for channel, seat in agent.seats.items():
            value = client.join(channel, restore=True)
            self.take_outputs(without=agent)
            assert isinstance(value, Membership), value
            page = client.window(channel, seat.position)
            self.take_outputs(without=agent)
            seat.got += len(page.entries) + page.lost
            assert all(entry.id > seat.position for entry in page.entries)
            seat.position = page.top
        for command in list(agent.open.values()):
            # A request is repeated inside its own time and never after it.
            if self.harness.now < agent.until[command.cmid]:
                agent.open[command.cmid] = client.again(command)
            else:
                del agent.open[command.cmid]

    def wait(self) -> None:
        seconds = self.random.choice([0.1, 0.3, 1.5, 4.0, 9.0, 31.0])
        self.harness.advance(seconds)

    def try_what_is_over(self) -> None:
        if self.old_sessions:
            node, session = self.random.choice(self.old_sessions)
            value = self.harness.do(self.harness.node(node), ReadInbox(session, 0, 1, 1))
            assert isinstance(value, Refusal), "a session that is over reads"
            assert value.code is Trouble.FENCED
        if self.kicked:
            agent = self.random.choice(self.kicked)
            value = agent.client.claim(authorized=self.random.random() < 0.5)
            assert isinstance(value, Refusal), "a kicked instance is back"
            assert value.code in (Trouble.SUPERSEDED, Trouble.UNAUTHORIZED)

    def compare_views(self) -> None:
        """What each agent was told of users bit by bit is what a newcomer is told at once."""
        self.instances += 1
        newcomer = self.harness.client("newcomer", f"instance-{self.instances:07}", NODES[1])
        assert isinstance(newcomer.log_in(), Claimed)
        assert newcomer.subscribe(*USERS) == Settled()
        (states,) = newcomer.presence()
        attributes = {user: newcomer.attributes_of(user) for user in USERS}
        newcomer.log_out()
        self.take_outputs()
        for user, state in states.items():
            agent, value = self.agents.get(user), attributes[user]
            assert isinstance(value, Refusal) == (state is PeerOnlineState.OFFLINE)
            if agent is None:
                # A restart brings a session back whose end had not reached the disk.
                assert state is not PeerOnlineState.ONLINE
                assert self.restarted or state is PeerOnlineState.OFFLINE
            elif isinstance(value, Attributes):
                # A session that a restart brought back has none before its client returns.
                own = (("owner", agent.client.iid),)
                assert value.attributes == own or (not agent.up and value.attributes == ())
        for agent in self.agents.values():
            assert not agent.up or agent.presence == states, f"{agent.client.user} was told otherwise"

    def change_the_disk(self) -> None:
        system = self.harness.system
        system.fail(self.random.random() < 0.2)
        if self.stuck:
            system.let_go()
        else:
            system.hold()
        self.stuck = not self.stuck

    def restart(self) -> None:
        self.take_outputs()
        self.harness.restart(clean=not self.stuck and self.random.random() < 0.3)
        self.stuck = False
        self.restarted = True
        self._watch()
        # Who was kicked is known to the disk only as far as it got; the cores of clients know by themselves.
        self.kicked.clear()
        self.old_sessions.clear()
        self.tops.clear()
        self.moves.clear()
        self.told.clear()
        for agent in (*self.agents.values(), *self.retired):
            self.unsure.update(command.body for command in agent.open.values())
        for agent in self.agents.values():
            agent.up = False
            for channel, seat in agent.seats.items():
                seat.exact = False
                seat.position = max(seat.position, 0)
                self.log[channel] = []

    # --- What clients and nodes do with what they are told --------------------------

    def take_outputs(self, without: Agent | None = None) -> None:
        for node in self.harness.nodes.values():
            node.drain()
            outputs, node.log = node.log, []
            for output in outputs:
                if isinstance(output, Answer):
                    self.take_answer(output)
                elif isinstance(output, InboxNotice):
                    self.take_entry(output)
                elif isinstance(output, PresenceNotice):
                    self.take_states(output)
                elif isinstance(output, ChannelNotice) and node.name == NODES[0]:
                    self.take_channel_entry(output, without)
                elif isinstance(output, MemberNotice) and node.name == NODES[0]:
                    self.moves.setdefault((output.channel, output.user), []).append(output.joined)

    def take_answer(self, answer: Answer) -> None:
        command, value = answer.command, answer.value
        if not isinstance(command, PeerSend | PublishMessage):
            return
        before = self.told.setdefault(command.body, value)
        assert before == value, "a repeat was answered otherwise"
        if isinstance(value, Logged):
            self.published[command.body] = value
        for agent in self.agents.values():
            if agent.client.iid == command.iid and agent.up and agent.open.pop(command.cmid, None):
                self.outcomes[command.body] = value

    def take_states(self, notice: PresenceNotice) -> None:
        agent = self.agents.get(notice.session.name.name)
        if agent is None or notice.session != agent.client.here:
            return
        if len(notice.states) == 1:
            ((user, state),) = notice.states
            assert agent.presence[user] is not state, "a change that is none"
        agent.presence.update(notice.states)

    def take_entry(self, notice: InboxNotice) -> None:
        agent = self.agents.get(notice.session.name.name)
        if agent is None or not agent.up or notice.session != agent.client.here:
            return
        if agent.unread or notice.entry.prev != agent.position:
            agent.unread = True
            return
        self.hand_over(agent, notice.entry)

    def read_inbox(self, agent: Agent) -> None:
        agent.unread = False
        while True:
            page: Page = agent.client.read(agent.position, messages=self.random.choice([1, 3, 100]))
            assert page.lost == 0
            for entry in page.entries:
                self.hand_over(agent, entry)
            if page.complete:
                break
        agent.position = max(agent.position, page.top)
        self.take_outputs()

    def hand_over(self, agent: Agent, entry: Entry) -> None:
        assert entry.id > agent.position, "an entry came again, or out of order"
        agent.position = entry.id
        origin = entry.user, entry.iid, entry.cmid
        if origin not in agent.origins:
            agent.origins.add(origin)
            agent.handed_over.append(entry)
            self.copies.setdefault(entry.body, []).append(entry)

    def take_channel_entry(self, notice: ChannelNotice, without: Agent | None) -> None:
        entry, channel = notice.entry, notice.channel
        top = self.tops.get(channel)
        assert top is None or entry.prev == top, "a channel's log has a gap"
        self.tops[channel] = entry.id
        self.log[channel].append(entry)
        for agent in self.agents.values():
            seat = agent.seats.get(channel)
            if seat is None or not agent.up or agent is without or entry.id <= seat.position:
                continue
            seat.position = entry.id
            if entry.user != agent.client.user:
                seat.got += 1

    def stand_up(self, agent: Agent, channel: str) -> None:
        """Whoever leaves a channel has received, or knows of, all that others published meanwhile."""
        seat = agent.seats.pop(channel)
        if not seat.exact:
            return
        due = [entry for entry in self.log[channel][seat.due :] if entry.user != agent.client.user]
        assert seat.got == len(due), (
            f"{agent.client.user} knows of {seat.got} of {len(due)} messages in {channel}"
        )

    # --- The end ------------------------------------------------------------------

    def finish(self) -> None:
        """Everybody comes back, and everything that waits is decided."""
        if self.disk:
            self.harness.system.fail(False)
            self.harness.system.let_go()
            self.stuck = False
            self.harness.advance(2 * JOURNAL_RETRY)
        for user in USERS:
            agent = self.agents.get(user)
            if agent is None:
                self.instances += 1
                client = self.harness.client(user, f"instance-{self.instances:07}", NODES[0])
                value = client.log_in()
                agent = self.agents[user] = Agent(client, up=True, position=value.inbox, unread=True)
                self.restore(agent, value)
            elif not agent.up:
                self.return_of(agent)
        self.harness.settle()
        self.take_outputs()
        for _ in range(3):
            for agent in list(self.agents.values()):
                self.read_inbox(agent)
                agent.client.acknowledge(agent.position)
            self.harness.advance(1.0)
            self.take_outputs()
        self.compare_views()
        for agent in list(self.agents.values()):
            assert agent.presence == dict.fromkeys(USERS, PeerOnlineState.ONLINE)
            for channel in list(agent.seats):
                agent.client.leave(channel)
                self.take_outputs()
                self.stand_up(agent, channel)

    def check_what_is_kept(self) -> None:
        """The history holds each message that wanted it and was accepted once, and none that was refused."""
        question = ReadHistory(APP, None, 0, None, None, False, 0, 2**62, 0, 1_000_000, True)
        kept = self.harness.do(self.harness.node(), question)
        assert isinstance(kept, Kept), kept
        bodies = [message.body for message in kept.messages]
        assert len(bodies) == len(set(bodies)) == kept.count
        found = set(bodies)
        for body, command in {**self.sends, **self.to_publish}.items():
            value = self.outcomes.get(body)
            if not command.history:
                assert body not in found
            elif isinstance(value, Logged) or (
                isinstance(value, PeerOutcome) and value.code in (DELIVERED, CACHED)
            ):
                assert body in found, f"{command} was answered {value} and is not in the history"
            elif (
                isinstance(value, Refusal)
                and value.code in (Trouble.UNAVAILABLE, Trouble.FULL)
                and body not in self.unsure
            ):
                assert body not in found, f"{command} was answered {value} and is in the history"

    def check(self) -> None:
        self.check_what_is_kept()
        for agent in (*self.agents.values(), *self.retired):
            order: dict[tuple[str, str], int] = {}
            for entry in agent.handed_over:
                assert self.sends[entry.body].to == agent.client.user
                if entry.body in self.unsure:
                    continue
                sender = entry.user, entry.iid
                assert order.get(sender, 0) < entry.cmid, "messages of one sender came out of order"
                order[sender] = entry.cmid
        for body, command in self.sends.items():
            found = self.copies.get(body, [])
            value = self.outcomes.get(body)
            if isinstance(value, PeerOutcome) and value.code in (DELIVERED, CACHED):
                assert found, f"{command} was answered {value} and is lost"
            assert all(entry.again for entry in found[1:]), f"{command} came twice without a warning"
            if body in self.unsure:
                continue
            if isinstance(value, PeerOutcome) and value.code == PEER_UNREACHABLE:
                assert not found, f"{command} was answered {value} and delivered"
            if isinstance(value, Refusal) and value.code in (Trouble.UNAVAILABLE, Trouble.FULL):
                assert not found, f"{command} was answered {value} and delivered"
        ids = [entry.id for channel in CHANNELS for entry in self.log[channel]]
        assert len(ids) == len(set(ids))
        in_logs = {entry.body for channel in CHANNELS for entry in self.log[channel]}
        if not self.disk:
            assert set(self.published) == in_logs
        for who, moves in self.moves.items():
            assert moves == [n % 2 == 0 for n in range(len(moves))], f"joins and leaves of {who}: {moves}"
            assert len(moves) % 2 == 0, f"{who} has left, and nobody was told"
