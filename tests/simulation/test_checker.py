"""The checker notices when a rule is broken: each test breaks one in the product, and the story tells of it.

The same stories without the break are in order.
"""

from collections import deque
from collections.abc import Callable
from itertools import count, takewhile
from typing import Any

import attrs
import pytest

from rtmcore.client.pacing import Pacer
from rtmcore.client.requests import RESTORES
from rtmcore.client.session import Session
from rtmcore.client.users import Users
from rtmcore.codes import MessageType, PeerOnlineState
from rtmcore.service import deadlines
from rtmcore.service.commands.history import Kept
from rtmcore.service.counts import MemberCounter
from rtmcore.service.memory import channel_attributes, presence, sessions, stored
from rtmcore.service.memory.attributes import UserAttributes
from rtmcore.service.memory.channel_attributes import AttributedChannels
from rtmcore.service.memory.channels import Channels
from rtmcore.service.memory.kept import MemoryHistory
from rtmcore.service.memory.offline import Offline
from rtmcore.service.memory.presence import Presence
from rtmcore.service.memory.sends import Sends
from rtmcore.service.memory.state import Held
from rtmcore.service.memory.stored import StoredMessages
from tests.simulation.checker import check
from tests.simulation.hosts import ClientHost
from tests.simulation.scenario import Scenario

Patch = pytest.MonkeyPatch
Story = Callable[[], Scenario]
TEXT = MessageType.TEXT


# --- Stories --------------------------------------------------------------------------


def watching() -> Scenario:
    """bob is watched, logs out, and is asked for."""
    world = Scenario()
    alice, bob = world.login("alice", "bob")
    alice.call("users.subscribe", ["bob"])
    world.run_for(100.0)
    bob.call("logout")
    world.run_for(250.0)
    alice.call("users.query", ["bob"])
    alice.call("users.unsubscribe", ["bob"])
    world.run_for(1.0)
    alice.call("users.subscribed")
    world.run_for(1.0)
    return world


def unheard() -> Scenario:
    """Nothing of bob arrives for some seconds, and he does not notice."""
    world = Scenario()
    alice, bob = world.login("alice", "bob")
    alice.call("users.subscribe", ["bob"])
    world.run_for(100.0)
    bob.swallow()
    world.run_for(9.0)
    bob.reset()
    world.run_for(100.0)
    return world


def restarted() -> Scenario:
    """bob dies, and a server that restarts again and again waits for him each time anew."""
    world = Scenario()
    alice, bob = world.login("alice", "bob")
    bob.crash(silent=True)
    for _ in range(8):
        world.side.restart(down=0.1)
        world.run_for(25.0)
    alice.call("users.query", ["bob"])
    world.run_for(100.0)
    alice.call("users.query", ["bob"])
    world.run_for(1.0)
    return world


def forgotten() -> Scenario:
    """A server loses its memory, and bob comes back to it some seconds after alice."""
    world = Scenario(journal=False)
    alice, bob = world.login("alice", "bob")
    alice.call("users.subscribe", ["bob"])
    world.run_for(100.0)
    bob.refuse(6.0)
    world.side.restart(down=0.1)
    world.run_for(100.0)
    return world


def unanswered() -> Scenario:
    """A server loses its memory before it answers a change."""
    world = Scenario()
    alice, bob = world.login("alice", "bob")
    alice.call("users.subscribe", ["bob"])
    alice.call("users.set_attributes", {"mood": "1"})
    world.run_for(1.0)
    alice.hole(6.0)
    alice.call("users.set_attributes", {"mood": "2"}, timeout=30.0)
    world.side.restart(down=0.1)
    world.run_for(20.0)
    bob.call("users.get_attributes", "alice")
    world.run_for(1.0)
    return world


def described() -> Scenario:
    """alice writes about herself, and comes again."""
    world = Scenario()
    alice, bob = world.login("alice", "bob")
    world.run_for(20.0)
    for name, given in (("set", {"mood": "1"}), ("update", {"place": "2"})):
        alice.call(f"users.{name}_attributes", given)
        world.run_for(1.0)
    bob.call("users.get_attributes", "alice")
    world.run_for(60.0)
    alice.call("logout")
    world.run_for(1.0)
    alice.call("login")
    world.run_for(1.0)
    bob.call("users.get_attributes", "alice")
    world.run_for(1.0)
    return world


def written(seed: int = 1, *, killed: bool = False) -> Scenario:
    """Two write at the same time while the disk is slow, in a channel of which both are members."""
    world = Scenario(seed)
    alice, bob = world.login("alice", "bob")
    world.join("room", alice, bob)
    world.run_for(20.0)
    world.side.habits.commit = 1.0
    alice.call("channel_info.update_attributes", "room", {"a": "1"}, notify=True)
    bob.call("channel_info.update_attributes", "room", {"b": "2"})
    world.run_for(0.1)
    if killed:
        world.side.restart(down=0.1)
    world.run_for(60.0)
    alice.call("channel_info.update_attributes", "room", {"b": "3"})
    alice.call("channel_info.get_attributes", "room")
    world.run_for(130.0)
    alice.call("channel_info.get_attributes", "room")
    alice.call("channel_info.count_members", ["room"])
    world.run_for(1.0)
    return world


def killed() -> Scenario:
    """A server is killed while changes are on their way to the disk, some time before they are there."""
    for seed in range(10):
        world = written(seed, killed=True)
        if check(world):
            break
    return world


def abandoned() -> Scenario:
    """Nobody is in a channel that has attributes."""
    world = Scenario()
    (alice,) = world.login("alice")
    alice.call("channel_info.set_attributes", "board-0", {"topic": "1"})
    for seconds in (100.0, 60.0):
        world.run_for(seconds)
        alice.call("channel_info.get_attributes", "board-0")
    world.run_for(1.0)
    return world


def crowded() -> Scenario:
    """Several come into a channel within a second."""
    world = Scenario()
    alice, *others = world.login("alice", "bob", "carol", "dave")
    world.join("room", alice)
    for other in others:
        other.call("join", "room")
        world.run_for(0.2)
    world.run_for(5.0)
    return world


def stored_for_bob() -> Scenario:
    """Messages are stored for bob, who lists and flushes them, and comes again on another connection."""
    world = Scenario()
    (alice,) = world.login("alice")
    for number, ttl in enumerate((None, None, 5.0)):
        alice.call("send_peer", "bob", TEXT, b"%d" % number, offline=True, ttl=ttl)
    world.run_for(20.0)
    bob = world.client("bob")
    bob.weather.down_rate = 50_000.0
    bob.take_on(None)
    bob.call("login")
    world.run_for(1.0)
    bob.call("history.stored")
    world.run_for(1.0)
    bob.call("history.flush_stored")
    world.run_for(1.0)
    bob.crash()
    world.login("bob")
    world.run_for(5.0)
    return world


def kept() -> Scenario:
    """Messages are kept in the history, and asked for."""
    world = Scenario()
    alice, bob = world.login("alice", "bob")
    for number in range(3):
        alice.call("send_peer", "bob", TEXT, b"%d" % number, history=number != 1)
        bob.call("send_peer", "alice", TEXT, b"b%d" % number, history=True)
        world.run_for(0.5)
    alice.call("history.query", source="alice", ascending=True)
    world.run_for(1.0)
    return world


def much_for_bob() -> Scenario:
    """More is stored for bob than is kept: of some of it the sender never hears, and some lay there while he was."""
    world = Scenario()
    alice, carol = world.login("alice", "carol")

    def store(sender: ClientHost, count: int) -> None:
        for _ in range(count):
            sender.call("send_peer", "bob", TEXT, b"%d" % next(bodies), offline=True)

    bodies = count()
    store(alice, 200)
    world.run_for(5.0)
    bob = world.client("bob")
    bob.take_on(2.0)
    bob.call("login")
    world.run_for(3.0)
    bob.crash()
    world.run_for(40.0)
    store(alice, 195)
    world.run_for(5.0)
    carol.hole(5.0, up=False)
    store(carol, 5)
    world.run_for(1.0)
    carol.crash()
    world.run_for(5.0)
    world.login("bob")
    world.run_for(5.0)
    return world


def told_at_once() -> Scenario:
    """One commit lets go what two wrote on two nodes: what goes into the history, and what lies between."""
    world = Scenario(nodes=("n1", "n2"))
    alice, bob = world.login("alice", "bob")
    world.join("room", alice, bob)
    world.side.habits.commit = 1.0
    # The disk is busy until then.
    alice.call("send_peer", "carol", TEXT, b"before", offline=True)
    world.run_for(0.02)
    for number, sender in enumerate((alice, bob, alice, bob, alice)):
        sender.call("publish", "room", TEXT, b"%d" % number, history=number % 2 == 0)
        world.run_for(0.02)
    world.run_for(5.0)
    world.login("carol")
    return world


def slept_through_a_login() -> Scenario:
    """alice's machine wakes when her login is over, and finds its connection reset."""
    world = Scenario()
    alice = world.client("alice")
    alice.hole(60.0)
    call = alice.call("login")
    world.run_for(7.0)
    alice.suspend(5.5)
    world.run_for(1.0)
    alice.reset()
    world.run_for(10.0)
    assert call.error is not None
    alice.heal()
    alice.call("login")
    world.run_for(5.0)
    alice.call("logout")
    world.run_for(60.0)
    return world


STORIES: tuple[Story, ...] = (
    watching,
    restarted,
    unheard,
    forgotten,
    unanswered,
    described,
    written,
    killed,
    abandoned,
    crowded,
    stored_for_bob,
    kept,
    much_for_bob,
    told_at_once,
    slept_through_a_login,
)


@pytest.mark.parametrize("story", STORIES)
def test_nothing_is_wrong_with_the_stories(story: Story) -> None:
    assert check(story()) == []


# --- Breaks ---------------------------------------------------------------------------


def nobody_is_told_of_departures(patch: Patch) -> None:
    real = Presence._tell

    def tell(self: Any, live: Any, states: Any) -> None:
        kept = tuple(each for each in states if each[1] is not PeerOnlineState.OFFLINE)
        if kept:
            real(self, live, kept)

    patch.setattr(Presence, "_tell", tell)


def everybody_is_online(patch: Patch) -> None:
    patch.setattr(presence, "_presence_of", lambda account: PeerOnlineState.ONLINE)


def everybody_is_silent_at_once(patch: Patch) -> None:
    patch.setattr(deadlines, "UNREACHABLE_AFTER", 2.0)
    patch.setattr(sessions, "UNREACHABLE_AFTER", 2.0)


def the_silent_are_not_heard_again(patch: Patch) -> None:
    patch.setattr(Presence, "returned", lambda self, live: None)


def subscriptions_stay(patch: Patch) -> None:
    real = Presence.list_subscriptions

    def listed(self: Any, outlet: Any, command: Any, now: float, wall: int) -> None:
        self._state.current(command.session).subscriptions["bob"] = None
        real(self, outlet, command, now, wall)

    patch.setattr(Presence, "list_subscriptions", listed)


def nothing_is_withheld(patch: Patch) -> None:
    patch.setattr(Users, "_doubt", lambda self, known, state: 0.0)


def what_is_restored_comes_last(patch: Patch) -> None:
    real = Pacer.submit_all

    def submit_all(self: Any, tickets: Any, now: float) -> None:
        real(self, sorted(tickets, key=lambda ticket: ticket.operation in RESTORES), now)

    patch.setattr(Pacer, "submit_all", submit_all)


def an_update_replaces(patch: Patch) -> None:
    real = UserAttributes.change

    def change(self: Any, outlet: Any, command: Any, now: float, wall: int) -> None:
        self._state.current(command.session).attributes = ()
        real(self, outlet, command, now, wall)

    patch.setattr(UserAttributes, "change", change)


def attributes_outlast_a_session(patch: Patch) -> None:
    real, known = UserAttributes.read, {}

    def read(self: Any, outlet: Any, command: Any, now: float, wall: int) -> None:
        other = self._state.current(command.session).account.peers[command.user].live
        other.attributes = known[command.user] = other.attributes or known.get(command.user, ())
        real(self, outlet, command, now, wall)

    patch.setattr(UserAttributes, "read", read)


def changes_do_not_build_on_those_that_wait(patch: Patch) -> None:
    real = channel_attributes._changed

    def changed(known: Any, command: Any, user: str, wall: int) -> Any:
        return real(known and attrs.evolve(known, writes=deque()), command, user, wall)

    patch.setattr(channel_attributes, "_changed", changed)


def the_first_writer_stays(patch: Patch) -> None:
    real = channel_attributes._changed

    def changed(known: Any, command: Any, user: str, wall: int) -> Any:
        first = {} if known is None else {key: value.user for key, value in known.values}
        return tuple(
            (key, attrs.evolve(value, user=first.get(key, value.user)))
            for key, value in real(known, command, user, wall)
        )

    patch.setattr(channel_attributes, "_changed", changed)


def the_clock_is_wrong(patch: Patch) -> None:
    real = channel_attributes._changed
    patch.setattr(
        channel_attributes,
        "_changed",
        lambda known, command, user, wall: real(known, command, user, wall - 1_000_000),
    )


def answers_do_not_wait_for_the_disk(patch: Patch) -> None:
    real = AttributedChannels.change

    def change(self: Any, outlet: Any, command: Any, now: float, wall: int) -> None:
        real(self, outlet, command, now, wall)
        while self._waiting:
            self._apply(*self._waiting.popleft()[1:])

    patch.setattr(AttributedChannels, "change", change)


def members_do_not_keep_attributes(patch: Patch) -> None:
    patch.setattr(AttributedChannels, "_has_members", lambda self, key: False)


def attributes_are_never_dropped(patch: Patch) -> None:
    patch.setattr(AttributedChannels, "on_alarm", lambda self, known, now: None)


def attributes_are_dropped_early(patch: Patch) -> None:
    real = AttributedChannels._keep_for_a_while
    patch.setattr(
        AttributedChannels, "_keep_for_a_while", lambda self, known, now: real(self, known, now - 60.0)
    )


def telling(notify: bool) -> Callable[[Patch], None]:
    def patched(patch: Patch) -> None:
        real = AttributedChannels._apply

        def apply(self: Any, known: Any, write: Any) -> None:
            write.notify = notify
            real(self, known, write)

        patch.setattr(AttributedChannels, "_apply", apply)

    return patched


def counts_come_often(patch: Patch) -> None:
    patch.setattr(MemberCounter, "_interval", lambda self, count: 0.1)


def one_too_many(patch: Patch) -> None:
    real = Channels.count_members

    def count(self: Any, outlet: Any, command: Any, now: float, wall: int) -> None:
        real(self, outlet, command, now, wall)
        value = outlet.outputs[-1].value
        outlet.outputs[-1].value = attrs.evolve(
            value, counts=tuple((name, number + 1) for name, number in value.counts)
        )

    patch.setattr(Channels, "count_members", count)


def a_flush_does_nothing(patch: Patch) -> None:
    patch.setattr(StoredMessages, "_drop", lambda self, account: False)


def time_does_not_end_messages(patch: Patch) -> None:
    patch.setattr(Offline, "_drop_mortal", lambda self, inbox, wall, reader=None: None)


def lists_are_short(patch: Patch) -> None:
    real = stored._stored
    patch.setattr(stored, "_stored", lambda account, after, wall: real(account, after, wall)[1:])


def finding(change: Callable[[Kept], Kept]) -> Callable[[Patch], None]:
    def patched(patch: Patch) -> None:
        real = MemoryHistory.find
        patch.setattr(MemoryHistory, "find", lambda self, question: change(real(self, question)))

    return patched


def everything_is_kept(patch: Patch) -> None:
    real = Sends.send

    def send(self: Any, outlet: Any, command: Any, now: float, wall: int) -> None:
        real(self, outlet, attrs.evolve(command, history=True), now, wall)

    patch.setattr(Sends, "send", send)


def one_too_few_is_stored(patch: Patch) -> None:
    real = Offline.make_room

    def make_room(self: Any, account: Any) -> None:
        self._state.caps = attrs.evolve(self._state.caps, offline_messages=199)
        real(self, account)

    patch.setattr(Offline, "make_room", make_room)


def letting_go(order: Callable[[list[Held]], list[Held]]) -> Callable[[Patch], None]:
    def patched(patch: Patch) -> None:
        real = Channels._let_go

        def let_go(self: Any, channel: Any, now: float) -> None:
            channel.held = deque(order(list(channel.held)))
            real(self, channel, now)

        patch.setattr(Channels, "_let_go", let_go)

    return patched


def the_last_first(held: list[Held]) -> list[Held]:
    ready = list(takewhile(lambda each: each.ready, held))
    return [*reversed(ready), *held[len(ready) :]]


def those_that_are_ready_first(held: list[Held]) -> list[Held]:
    return sorted(held, key=lambda each: not each.ready)


def whoever_logs_out_comes_back(patch: Patch) -> None:
    real = Session._finish_logout

    def finish(self: Any, now: float) -> None:
        real(self, now)
        self._begin_attempt(now)

    patch.setattr(Session, "_finish_logout", finish)


BREAKS: tuple[tuple[Callable[[Patch], None], Story, str], ...] = (
    (nobody_is_told_of_departures, watching, "alice#1 believes that bob is ONLINE, who has been OFFLINE"),
    (everybody_is_online, watching, "who is not there"),
    (everybody_is_online, restarted, "who is not there"),
    (everybody_is_silent_at_once, unheard, "bob is called UNREACHABLE after 2.000 s of silence"),
    (
        the_silent_are_not_heard_again,
        unheard,
        "alice#1 believes that bob is UNREACHABLE, who has been ONLINE",
    ),
    (subscriptions_stay, watching, "alice#1 is told of subscriptions to ['bob']: without [], with ['bob']"),
    (nothing_is_withheld, forgotten, "alice#1 is told that bob is OFFLINE, who was never away for long"),
    (what_is_restored_comes_last, unanswered, "but 1 was overwritten"),
    (an_update_replaces, described, "without mood 1"),
    (attributes_outlast_a_session, described, "has logged in since"),
    (changes_do_not_build_on_those_that_wait, written, "of room, without a"),
    (the_first_writer_stays, written, "was not written by bob"),
    (the_clock_is_wrong, written, "was not written at"),
    (members_do_not_keep_attributes, written, "of room, without a"),
    (telling(True), written, "which nobody wanted to be told"),
    (telling(False), written, "is not told of"),
    (one_too_many, written, "is answered that room has 3 members: 2 to 2 are there"),
    (answers_do_not_wait_for_the_disk, killed, "of room, without"),
    (attributes_are_never_dropped, abandoned, "was to be dropped long before"),
    (attributes_are_dropped_early, abandoned, "of board-0, without topic"),
    (counts_come_often, crowded, "is told of room twice in"),
    (a_flush_does_nothing, stored_for_bob, "which was flushed"),
    (time_does_not_end_messages, stored_for_bob, "after its time was over"),
    (lists_are_short, stored_for_bob, "without 1 of alice"),
    (finding(lambda page: Kept(page.messages[1:], page.count - 1)), kept, "without ["),
    (finding(lambda page: Kept(page.messages * 2, page.count * 2)), kept, "twice of"),
    (finding(lambda page: Kept(page.messages[::-1], page.count)), kept, "is told ["),
    (everything_is_kept, kept, "which was not to be kept"),
    (one_too_few_is_stored, much_for_bob, "of alice#1 to bob was stored, and is lost"),
    (whoever_logs_out_comes_back, slept_through_a_login, "alice#1 connects by itself while DISCONNECTED"),
    (letting_go(the_last_first), told_at_once, "the log of ('rtm', 'room') has"),
    (letting_go(those_that_are_ready_first), told_at_once, "the log of ('rtm', 'room') goes back from"),
)


@pytest.mark.parametrize(("break_it", "story", "words"), BREAKS)
def test_a_broken_rule_is_noticed(
    break_it: Callable[[Patch], None], story: Story, words: str, monkeypatch: Patch
) -> None:
    break_it(monkeypatch)
    found = check(story())
    assert any(words in text for _, text in found), found


def test_a_count_that_a_client_finds_out_by_itself_is_not_held_against_the_server() -> None:
    world = Scenario()
    alice, bob, carol = world.login("alice", "bob", "carol")
    world.join("room", alice, bob)
    world.run_for(5.0)
    bob.crash(silent=True)
    world.side.restart(down=0.1)
    world.run_for(20.0)
    # When bob's time to come back ends, she is away.
    alice.reset()
    alice.refuse(15.0)
    while alice.core.state.name == "CONNECTED":
        world.run_for(0.01)
    while alice.core.state.name != "CONNECTED":
        world.run_for(0.01)
    carol.call("join", "room")
    world.run_for(5.0)
    (found_out, own, _), (told, event, _) = alice.life.counted[-2:]
    assert (own.count, event.count) == (1, 2)
    assert told - found_out < 1.0
    world.check()
