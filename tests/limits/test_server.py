"""Sizes, counts and character sets against the node, by a hand-made client that checks nothing before it sends."""

from collections.abc import Callable
from typing import Any

import pytest

from rtmcore.codes import (
    CloseCode,
    JoinChannelError,
    LoginError,
    PeerSubscriptionStatusError,
    RenewTokenError,
    SendPeerMessageError,
)
from rtmcore.limits import (
    APP_ID_LENGTH,
    CHANNEL_MEMBERS_LISTED,
    CHANNELS_JOINED,
    INVITATION_CHANNEL_BYTES,
    INVITATION_CONTENT_BYTES,
    INVITATION_RESPONSE_BYTES,
    INVITATION_SIGNAL_BYTES,
    MEMBER_EVENTS_MAX,
    OFFLINE_MESSAGES,
    PACKETS_PER_FRAME,
    PRESENCE_SUBSCRIPTIONS,
    REQUESTS_IN_FLIGHT,
    TOKEN_BYTES,
)
from rtmcore.service.config import NodeConfig
from rtmcore.service.grants import Grant
from rtmcore.wire.invitations import InvitationSignal, Signal, encode_signal
from rtmcore.wire.packets import (
    INVITATION,
    Ack,
    AttributeList,
    ChannelAttributeList,
    ChannelEntry,
    Done,
    Failed,
    GetAttributes,
    GetChannelAttributes,
    GetMembers,
    GetStored,
    GetSubscriptions,
    InboxEntry,
    Join,
    Joined,
    Leave,
    MemberChanged,
    MemberList,
    MessagePage,
    PeerSent,
    Publish,
    Published,
    QueryOnline,
    Refused,
    Renewed,
    RenewToken,
    Request,
    SendPeer,
    SetAttributes,
    SetChannelAttributes,
    Subscribe,
    UserList,
)
from tests.limits.rows import BAD_IDS, CHANNEL, GOOD_IDS, IDS, PEER, ROWS, Row
from tests.service import wires
from tests.service.wires import SETTLE, World

UNLIMITED = NodeConfig(node="n1", rate_limits=False)


@pytest.fixture(params=[None, 1], ids=["prompt", "late"])
def world(request: pytest.FixtureRequest) -> World:
    return World(seed=request.param, config=UNLIMITED)


class Stage:
    """A hand-made client that has something to lose, and its peer in the same channel."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.alice = world.login("alice")
        self.bob = world.login(PEER)
        self.alice.join(CHANNEL)
        self.bob.join(CHANNEL)
        for request in (
            lambda i: SetAttributes(i, {"mine": "kept"}),
            lambda i: SetChannelAttributes(i, CHANNEL, {"ours": "kept"}),
            lambda i: Subscribe(i, [PEER]),
            lambda i: SendPeer(i, "dave", 1, b"stored", True),
        ):
            self.answer(request)

    def answer(self, request: Callable[[int], Request]) -> Any:
        """What a request is answered with; the peer acknowledges what comes to it."""
        (answer,) = self.answers([request])
        return answer

    def answers(self, requests: list[Callable[[int], Request]]) -> list[Any]:
        """The same of several requests in one message."""
        numbers = [self.alice.next_request() for _ in requests]
        heard = len(self.alice.heard)
        self.alice.say(*(request(number) for request, number in zip(requests, numbers, strict=True)))
        for _ in range(2):
            self.world.pass_time(SETTLE)
            entries = self.bob.all_of(InboxEntry)
            if entries:
                self.bob.say(Ack(entries[-1].id))
        found = {
            packet.i: packet for packet in self.alice.heard[heard:] if getattr(packet, "i", 0) in numbers
        }
        assert not self.alice.gone, self.alice.closed
        return [found[number] for number in numbers]

    def belongings(self) -> Any:
        """What the server keeps for alice."""
        answers = self.answers(
            [
                lambda i: GetAttributes(i, "alice"),
                lambda i: GetChannelAttributes(i, CHANNEL),
                GetSubscriptions,
                lambda i: GetMembers(i, CHANNEL),
            ]
        )
        assert [type(answer) for answer in answers] == [
            AttributeList,
            ChannelAttributeList,
            UserList,
            MemberList,
        ]
        own, of_channel, subscriptions, members = answers
        values = {key: found.value for key, found in of_channel.attributes.items()}
        return own.attributes, values, sorted(subscriptions.users), sorted(members.users)

    def assert_nothing_is_lost(self, before: Any) -> None:
        """The session lives, and all is as it was."""
        assert self.belongings() == before
        sent, published = self.answers(
            [lambda i: SendPeer(i, PEER, 1, b"still"), lambda i: Publish(i, CHANNEL, 1, b"here")]
        )
        assert (type(sent), getattr(sent, "code", None), type(published)) == (PeerSent, 0, Published)
        assert self.bob.all_of(InboxEntry)[-1].body == b"still"
        assert self.bob.all_of(ChannelEntry)[-1].body == b"here"


@pytest.fixture
def stage(world: World) -> Stage:
    return Stage(world)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_the_last_allowed_works_and_the_next_is_refused(row: Row, stage: Stage) -> None:
    for good in row.good:
        if row.before is not None:
            stage.answer(row.before[1])
        answer = stage.answer(lambda i, good=good: row.request(i, good))
        assert not isinstance(answer, Failed) or answer.code in row.fine, answer
        if row in IDS and isinstance(answer, Joined):
            stage.answer(lambda i, good=good: Leave(i, good))
    if row.before is not None:
        stage.answer(row.before[1])
    before = stage.belongings()
    for start in range(0, len(row.bad), PACKETS_PER_FRAME // 4):
        part = row.bad[start : start + PACKETS_PER_FRAME // 4]
        requests = [lambda i, bad=bad: row.request(i, bad) for bad, _ in part]
        if sum(len(getattr(request(0), "body", b"")) for request in requests) > 4 * 32768:
            answers = [stage.answer(request) for request in requests]
        else:
            answers = stage.answers(requests)
        for (bad, code), answer in zip(part, answers, strict=True):
            assert isinstance(answer, Failed), (bad, answer)
            assert answer.code == code, (bad, answer)
            assert answer.text
            assert answer.retry is None
    stage.assert_nothing_is_lost(before)


def test_what_was_sent_with_a_refused_request_is_carried_out(stage: Stage) -> None:
    before = stage.belongings()
    answers = stage.answers(
        [
            lambda i: Publish(i, CHANNEL, 1, b"one"),
            lambda i: Publish(i, CHANNEL, 1, b"x" * 32769),
            lambda i: SendPeer(i, PEER, 1, b"two"),
            lambda i: SendPeer(i, "", 1, b"nobody"),
            lambda i: SetAttributes(i, {"k": ""}),
            lambda i: Publish(i, CHANNEL, 1, b"three"),
        ]
    )
    kinds = [Published, Failed, PeerSent, Failed, Failed, Published]
    assert [type(answer) for answer in answers] == kinds
    assert [entry.body for entry in stage.bob.all_of(ChannelEntry)] == [b"one", b"three"]
    assert [entry.body for entry in stage.bob.all_of(InboxEntry)] == [b"two"]
    stage.assert_nothing_is_lost(before)


# --- Counts of a session ---------------------------------------------------------------------------------------------


def test_channels_at_the_same_time(stage: Stage) -> None:
    names = [f"channel-{n}" for n in range(CHANNELS_JOINED)]
    answers = stage.answers([lambda i, name=name: Join(i, name) for name in names])
    assert [type(answer) for answer in answers] == [Joined] * (CHANNELS_JOINED - 1) + [Failed]
    assert answers[-1].code == JoinChannelError.EXCEED_LIMIT
    before = stage.belongings()
    stage.answer(lambda i: Leave(i, names[0]))
    assert isinstance(stage.answer(lambda i: Join(i, names[-1])), Joined)
    assert stage.answer(lambda i: Join(i, names[0])).code == JoinChannelError.EXCEED_LIMIT
    stage.assert_nothing_is_lost(before)


def test_subscriptions_in_all(stage: Stage) -> None:
    users = [f"user-{n}" for n in range(PRESENCE_SUBSCRIPTIONS)]
    answers = stage.answers(
        [
            lambda i: Subscribe(i, users[:300]),
            lambda i: Subscribe(i, users[200:]),  # one too many, with bob
            lambda i: Subscribe(i, users[300:-1]),
            lambda i: Subscribe(i, users[-1:]),
            lambda i: Subscribe(i, [PEER, *users[:300]]),  # all of them are there
        ]
    )
    assert [type(answer) for answer in answers] == [Done, Failed, Done, Failed, Done]
    overflow = PeerSubscriptionStatusError.OVERFLOW
    assert {answer.code for answer in answers if isinstance(answer, Failed)} == {overflow}
    assert stage.belongings()[2] == sorted([PEER, *users[:-1]])


def test_requests_without_an_answer() -> None:
    world = World(seed=7, config=UNLIMITED)
    alice = world.login("alice")
    late = world.late
    assert late is not None
    late.paused = True
    numbers = [alice.next_request() for _ in range(REQUESTS_IN_FLIGHT + 1)]
    for number in numbers:
        alice.say(QueryOnline(number, [PEER]))
    world.pass_time(SETTLE)
    (refused,) = alice.all_of(Failed)
    assert (refused.i, refused.code) == (numbers[-1], 1)
    assert refused.retry
    late.paused = False
    world.pass_time(SETTLE)
    answered = {packet.i for packet in alice.heard if getattr(packet, "i", 0)}
    assert answered == set(numbers)
    assert len(alice.all_of(Failed)) == 1


# --- Names and tokens of a hello -------------------------------------------------------------------------------------


@pytest.mark.parametrize("user", GOOD_IDS)
def test_ids_of_users_who_log_in(world: World, user: str) -> None:
    world.login(user)


@pytest.mark.parametrize("user", BAD_IDS, ids=ascii)
def test_names_that_are_no_ids_do_not_log_in(user: str) -> None:
    world = World(config=UNLIMITED)
    wire = world.wire()
    wire.hello(user, iid="instance-0000000001")
    assert wire.expect(Refused).code == LoginError.INVALID_ARGUMENT
    wire.expect_closed(CloseCode.LOGIN_REFUSED)


@pytest.mark.parametrize(
    "app", ["a" * (APP_ID_LENGTH - 1), "a" * (APP_ID_LENGTH + 1), "é" * APP_ID_LENGTH, ""]
)
def test_app_ids_of_another_length(app: str) -> None:
    wire = World(config=UNLIMITED).wire()
    wire.hello("alice", app=app)
    assert wire.expect(Refused).code == LoginError.INVALID_APP_ID


def test_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    longest, longer = "x" * TOKEN_BYTES, "x" * (TOKEN_BYTES + 1)
    for token in (longest, longer):
        monkeypatch.setitem(wires.GRANTS, token, Grant())
    world = World(config=UNLIMITED)
    stage = Stage(world)
    before = stage.belongings()
    assert isinstance(stage.answer(lambda i: RenewToken(i, longest)), Renewed)
    assert stage.answer(lambda i: RenewToken(i, longer)).code == RenewTokenError.INVALID_TOKEN
    assert stage.answer(lambda i: RenewToken(i, "")).code == RenewTokenError.INVALID_ARGUMENT
    stage.assert_nothing_is_lost(before)
    world.login("carol", token=longest)
    wire = world.wire()
    wire.hello("dora", token=longer)
    assert wire.expect(Refused).code == LoginError.INVALID_TOKEN


# --- Invitations -----------------------------------------------------------------------------------------------------


def _signal(**fields: Any) -> bytes:
    return encode_signal(InvitationSignal(id="invitation-1", **{"signal": Signal.INVITE, **fields}))


@pytest.mark.parametrize("unit", ["x", "é", "\x01"])
@pytest.mark.parametrize(
    ("signal", "field", "most"),
    [
        (Signal.INVITE, "content", INVITATION_CONTENT_BYTES),
        (Signal.CANCEL, "content", INVITATION_CONTENT_BYTES),
        (Signal.INVITE, "channel", INVITATION_CHANNEL_BYTES),
        (Signal.ACCEPT, "response", INVITATION_RESPONSE_BYTES),
        (Signal.REFUSE, "response", INVITATION_RESPONSE_BYTES),
    ],
)
def test_texts_of_invitations(stage: Stage, unit: str, signal: Signal, field: str, most: int) -> None:
    before = stage.belongings()
    longest = unit * (most // len(unit.encode()))
    good, bad = (_signal(signal=signal, **{field: text}) for text in (longest, longest + "x"))
    answers = stage.answers(
        [lambda i: SendPeer(i, PEER, INVITATION, good), lambda i: SendPeer(i, PEER, INVITATION, bad)]
    )
    assert [type(answer) for answer in answers] == [PeerSent, Failed]
    assert answers[1].code == SendPeerMessageError.INVALID_MESSAGE
    assert [entry.body for entry in stage.bob.all_of(InboxEntry)] == [good]
    stage.assert_nothing_is_lost(before)


def test_the_signal_of_an_invitation_as_a_whole(stage: Stage) -> None:
    signal = _signal(content="hello")
    longest = signal + b" " * (INVITATION_SIGNAL_BYTES - len(signal))
    assert isinstance(stage.answer(lambda i: SendPeer(i, PEER, INVITATION, longest)), PeerSent)
    refused = stage.answer(lambda i: SendPeer(i, PEER, INVITATION, longest + b" "))
    assert refused.code == SendPeerMessageError.INVALID_MESSAGE


# --- What is kept, and who is listed ---------------------------------------------------------------------------------


def test_stored_messages() -> None:
    world = World(config=UNLIMITED)
    alice = world.login("alice")
    for n in range(OFFLINE_MESSAGES + 1):
        alice.send_peer("carol", f"{n}".encode(), offline=True)
        assert alice.expect(PeerSent).code == SendPeerMessageError.CACHED_BY_SERVER
    carol = world.login("carol")
    number = carol.next_request()
    carol.say(GetStored(number))
    assert carol.expect(MessagePage).count == OFFLINE_MESSAGES
    bodies = [entry.body for entry in carol.all_of(InboxEntry)]
    assert bodies == [f"{n}".encode() for n in range(1, OFFLINE_MESSAGES + 1)]


def test_members_that_are_listed_and_announced() -> None:
    world = World(config=UNLIMITED)
    alice = world.login("alice")
    alice.join("large")
    others = [world.login(f"user-{n}") for n in range(MEMBER_EVENTS_MAX)]
    for other in others[:-1]:
        other.join("large")
    assert len(alice.all_of(MemberChanged)) == MEMBER_EVENTS_MAX - 1

    def members() -> MemberList:
        alice.say(GetMembers(alice.next_request(), "large"))
        return alice.expect(MemberList)

    listed = members()
    assert (len(listed.users), len(set(listed.users))) == (CHANNEL_MEMBERS_LISTED, CHANNEL_MEMBERS_LISTED)
    others[-1].join("large")
    assert len(alice.all_of(MemberChanged)) == MEMBER_EVENTS_MAX - 1, "the 513th is not announced"
    listed = members()
    assert len(set(listed.users)) == CHANNEL_MEMBERS_LISTED
    others[0].say(Leave(others[0].next_request(), "large"))
    others[0].expect(Done)
    assert len(members().users) == CHANNEL_MEMBERS_LISTED
