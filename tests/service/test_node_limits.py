"""Sizes and counts that an operator has set: the node and the engine judge by them, and the welcome tells them."""

import pytest

from rtmcore.codes import (
    AttributeOperationError,
    ChannelMemberCountError,
    CloseCode,
    JoinChannelError,
    PeerSubscriptionStatusError,
    QueryPeersOnlineError,
    SendChannelMessageError,
    SendPeerMessageError,
)
from rtmcore.figures import SIZES_MAX, Sizes, announced_sizes
from rtmcore.limits import CHANNELS_JOINED_MAX, FRAME_BYTES, MEMBER_EVENTS_MAX, RateLimit
from rtmcore.service.capacity import FIGURES, FIXED, explain_invalid_limits, in_force
from rtmcore.service.config import ANNOUNCED_LIMITS, NodeConfig
from rtmcore.service.memory import Caps, caps_of
from rtmcore.wire.codec import CODECS
from rtmcore.wire.packets import (
    ChannelAttributesChanged,
    ChannelPosition,
    Failed,
    GetMemberCounts,
    InboxEntry,
    Join,
    MemberChanged,
    PeerSent,
    Publish,
    QueryOnline,
    Restored,
    SendPeer,
    SetAttributes,
    SetChannelAttributes,
    Subscribe,
    WrittenAttribute,
)

SMALL = {
    "message": 100,
    "channels": 2,
    "members": 8,
    "member_events": 2,
    "subscriptions": 2,
    "query_users": 2,
    "count_channels": 2,
    "attributes": 2,
    "attributes_bytes": 20,
    "attribute_key": 4,
    "attribute_value": 8,
    "channel_attributes": 3,
    "channel_attributes_bytes": 30,
    "window": 3,
    "window_bytes": 1000,
    "in_flight": 4,
    "results": 16,
}


def config(**limits: int) -> NodeConfig:
    return NodeConfig(node="n1", rate_limits=False, limits=limits)


OF_FILES = ("unfinished_uploads", "app_files_bytes", "all_files_bytes")

# --- What can be set -----------------------------------------------------------------------------------------------


def test_every_figure_of_the_welcome_is_one_to_set_or_one_of_the_protocol() -> None:
    sizes = {name for name in ANNOUNCED_LIMITS if not name.startswith("rate_")}
    assert sizes == set(FIXED) | {name for name, figure in FIGURES.items() if figure.told}
    assert not set(FIXED) & set(FIGURES)
    assert set(SIZES_MAX) <= sizes
    assert all(1 <= figure.usual <= figure.most and figure.what for figure in FIGURES.values())


def test_what_is_set_is_told_and_the_rest_is_as_documented() -> None:
    announced = config(**SMALL).announced_limits
    assert announced == {**ANNOUNCED_LIMITS, **{name: 0 for name in announced if _is_count(name)}, **SMALL}


def _is_count(name: str) -> bool:
    return name.startswith("rate_") and not name.endswith("_ms")


@pytest.mark.parametrize("name", sorted(FIGURES))
def test_the_bounds_of_each_figure(name: str) -> None:
    most = FIGURES[name].most
    for value, words in ((0, "at least 1"), (-1, "at least 1"), (most + 1, f"at most {most}")):
        (sentence,) = explain_invalid_limits({name: value})
        assert sentence.startswith(f"limits.{name} is {value}; ")
        assert words in sentence
        with pytest.raises(ValueError, match=name):
            NodeConfig(node="n1", limits={name: value})


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        ({"mesage": 1}, "There is no limits.mesage; there are message, "),
        ({"frame": 1}, "limits.frame is 262144 for every server"),
        ({"user_id": 32}, "limits.user_id is 64 for every server"),
        ({"members": 100}, "limits.member_events is 512, which is above limits.members, 100"),
        ({"in_flight": 100, "results": 99}, "above limits.results"),
        ({"inbox_bytes": 32767}, "limits.message is 32768, which is above limits.inbox_bytes"),
        ({"message": 131072, "replay": 33}, "4325376 bytes; one connection takes 4194304"),
    ],
)
def test_what_is_not_possible_is_a_sentence(limits: dict[str, int], said: str) -> None:
    (sentence,) = explain_invalid_limits(limits)
    assert said in sentence


def test_all_mistakes_are_named() -> None:
    assert len(explain_invalid_limits({"message": 0, "frames": 1, "track": 1000})) == 3


def test_engines_are_given_what_concerns_them() -> None:
    assert caps_of({}) == caps_of(in_force({})) == Caps()
    caps = caps_of(
        {"channels": 2, "offline_days": 1, "replay_ms": 500, "channel_attributes_grace_ms": 1500, "window": 9}
    )
    assert caps == Caps(
        channels_joined=2, offline_seconds=86400, replay_window=0.5, channel_attributes_grace=1.5
    )
    for name, figure in FIGURES.items():
        if not figure.told and name not in OF_FILES:
            assert getattr(caps_of({name: 5}), name) == 5


@pytest.mark.parametrize("codec", CODECS.values(), ids=CODECS)
def test_the_largest_attributes_fit_into_a_frame(codec) -> None:
    largest = Sizes(**SIZES_MAX)
    count, size = largest.channel_attributes, largest.channel_attributes_bytes
    # Each of these bytes takes six in JSON.
    attribute = WrittenAttribute("\x01" * (size // count - 2), "u" * 64, 2**53 - 1)
    frame = codec.encode([ChannelAttributesChanged("c" * 64, {f"{n:02x}": attribute for n in range(count)})])
    assert len(frame) <= FRAME_BYTES


# --- The node judges by it -----------------------------------------------------------------------------------------


@pytest.fixture
def alice(make_world):
    return make_world(config=config(**SMALL)).login("alice")


def failure(wire, packet) -> int | None:
    """The code with which a request fails, None where it does not."""
    wire.say(packet)
    wire.world.pass_time(0.5)
    return next((found.code for found in wire.all_of(Failed) if found.i == packet.i), None)


@pytest.mark.parametrize(
    ("good", "bad", "code"),
    [
        (
            lambda i: SendPeer(i, "bob", 2, bytes(100)),
            lambda i: SendPeer(i, "bob", 2, bytes(101)),
            SendPeerMessageError.INVALID_MESSAGE,
        ),
        (
            lambda i: Subscribe(i, ["a", "b"]),
            lambda i: Subscribe(i, ["a", "b", "c"]),
            PeerSubscriptionStatusError.OVERFLOW,
        ),
        (
            lambda i: QueryOnline(i, ["a", "b"]),
            lambda i: QueryOnline(i, ["a", "b", "c"]),
            QueryPeersOnlineError.INVALID_ARGUMENT,
        ),
        (
            lambda i: GetMemberCounts(i, ["a", "b"]),
            lambda i: GetMemberCounts(i, ["a", "b", "c"]),
            ChannelMemberCountError.EXCEED_LIMIT,
        ),
        (
            lambda i: SetAttributes(i, {"a": "b", "c": "d"}),
            lambda i: SetAttributes(i, {"a": "b", "c": "d", "e": "f"}),
            AttributeOperationError.SIZE_OVERFLOW,
        ),
        (
            lambda i: SetAttributes(i, {"abcd": "12345678", "a": "1234567"}),
            lambda i: SetAttributes(i, {"abcd": "12345678", "a": "12345678"}),
            AttributeOperationError.SIZE_OVERFLOW,
        ),
        (
            lambda i: SetChannelAttributes(i, "ops", {"abcd": "1"}),
            lambda i: SetChannelAttributes(i, "ops", {"abcde": "1"}),
            AttributeOperationError.INVALID_ARGUMENT,
        ),
        (
            lambda i: SetChannelAttributes(i, "ops", {"a": "1", "b": "2", "c": "3"}),
            lambda i: SetChannelAttributes(i, "ops", {"a": "1", "b": "2", "c": "3", "d": "4"}),
            AttributeOperationError.SIZE_OVERFLOW,
        ),
    ],
)
def test_the_last_allowed_value_works_and_the_next_is_refused(alice, good, bad, code) -> None:
    assert failure(alice, good(alice.next_request())) != code
    assert failure(alice, bad(alice.next_request())) == code


def test_messages_to_channels(alice) -> None:
    alice.join("ops")
    assert failure(alice, Publish(alice.next_request(), "ops", 2, bytes(100))) is None
    wrong = Publish(alice.next_request(), "ops", 2, bytes(101))
    assert failure(alice, wrong) == SendChannelMessageError.INVALID_MESSAGE


def test_channels_joined(alice) -> None:
    alice.join("one")
    alice.join("two")
    wrong = Join(alice.next_request(), "three")
    assert failure(alice, wrong) == JoinChannelError.EXCEED_LIMIT


def test_attributes_that_were_there_count_in_the_engine(alice) -> None:
    assert failure(alice, SetAttributes(alice.next_request(), {"a": "1", "b": "2"})) is None
    assert alice.world.engine.caps.user_attributes == 2


def test_the_window_is_at_most_what_is_set(alice) -> None:
    bob = alice.world.login("bob", window=200)
    for _ in range(4):
        alice.send_peer("bob", b"hello")
    alice.world.pass_time(0.5)
    assert len(bob.all_of(InboxEntry)) == 3


def test_joins_are_told_up_to_the_number_of_members_that_is_set(alice) -> None:
    world = alice.world
    alice.join("ops")
    for user in ("bob", "carol", "dave"):
        world.login(user).join("ops")
        world.settle()
    assert [changed.user for changed in alice.all_of(MemberChanged)] == ["bob"]
    assert FIGURES["member_events"].usual == MEMBER_EVENTS_MAX


def test_requests_that_wait(make_world) -> None:
    world = make_world(config=config(in_flight=2, results=2))
    alice, _ = world.login("alice"), world.login("bob")
    numbers = [alice.send_peer("bob", b"x") for _ in range(3)]
    world.settle()
    assert [failed.i for failed in alice.all_of(Failed)] == numbers[2:]


def test_a_hello_may_name_all_channels_that_any_server_allows(make_world) -> None:
    # Of a client that was in more before its server was told to allow fewer.
    channels = [ChannelPosition(f"{n}", 0, 0) for n in range(CHANNELS_JOINED_MAX)]
    world = make_world(config=config(channels=1))
    wire = world.wire()
    wire.hello("alice", channels=channels)
    world.pass_time(1)
    assert wire.closed is None
    more = world.wire()
    more.hello("bob", channels=[*channels, ChannelPosition("more", 0, 0)])
    more.expect_closed(CloseCode.TOO_LARGE)


def test_joins_beyond_the_limit_are_refused_at_a_return_and_the_others_stand(make_world) -> None:
    world = make_world(config=config(channels=1))
    wire = world.wire()
    wire.hello("alice", channels=[ChannelPosition("one", 0, 0), ChannelPosition("two", 0, 0)])
    world.pass_time(1)
    restored = {packet.ch: packet.code for packet in wire.all_of(Restored)}
    assert sorted(code or 0 for code in restored.values()) == [0, JoinChannelError.EXCEED_LIMIT]
    assert wire.closed is None


def test_frames_of_a_receiver_that_does_not_read(make_world) -> None:
    world = make_world(config=config(frames_kept=2))
    alice = world.enter("room", "alice", "lobby")
    bob = world.enter("room", "bob", "lobby")
    hers, his = alice.media(), bob.media()
    his.room = 0
    for n in range(6):
        hers.send_frame(n)
        world.pass_time(0.1)
    his.read_on()
    world.pass_time(1)
    assert [n for _, n in his.frames()] == [0, 4, 5]


def test_a_time_to_live_is_within_the_days_that_messages_are_kept(make_world) -> None:
    world = make_world(config=config(offline_days=1))
    alice = world.login("alice")
    alice.send_peer("bob", b"long", offline=True, ttl=7 * 86_400_000)
    assert alice.expect(PeerSent).code == SendPeerMessageError.CACHED_BY_SERVER
    world.jump(2 * 86_400)
    bob = world.login("bob")
    world.pass_time(1)
    assert bob.all_of(InboxEntry) == []


# --- Other settings for a node that runs ---------------------------------------------------------------------------


def test_other_settings_count_from_now_on(make_world) -> None:
    world = make_world(config=NodeConfig(node="n1"))
    alice = world.login("alice")
    large = SendPeer(alice.next_request(), "bob", 2, bytes(200))
    assert failure(alice, large) != SendPeerMessageError.INVALID_MESSAGE
    world.node.use(NodeConfig(node="n1", limits={"message": 100}, rates={"send": RateLimit(1, 60.0)}))
    assert world.node.config.limits == {"message": 100}
    wrong = SendPeer(alice.next_request(), "bob", 2, bytes(200))
    assert failure(alice, wrong) == SendPeerMessageError.INVALID_MESSAGE
    # Her session goes on with the rates that it began with.
    for _ in range(3):
        assert failure(alice, SendPeer(alice.next_request(), "bob", 2, b"")) != SendPeerMessageError.TOO_OFTEN
    bob = world.login("bob")
    assert announced_sizes(bob.welcome.limits).message == 100
    assert bob.welcome.limits["rate_send"] == 1
    codes = [failure(bob, SendPeer(bob.next_request(), "alice", 2, b"")) for _ in range(3)]
    assert codes[2] == SendPeerMessageError.TOO_OFTEN


def test_another_rate_of_logins_begins_anew(make_world) -> None:
    world = make_world(config=NodeConfig(node="n1", rates={"login": RateLimit(1, 60.0)}))
    world.login("alice")
    world.login("alice", attempt=2)
    refused = world.wire()
    refused.hello("alice", attempt=3)
    refused.expect_closed(CloseCode.LOGIN_REFUSED)
    world.node.use(NodeConfig(node="n1", rates={"login": RateLimit(5, 1.0)}))
    world.login("alice", attempt=4)
