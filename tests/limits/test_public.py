"""Sizes, counts and character sets through the public API, against a real server: the client refuses by itself."""

import contextlib
import secrets
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import rtmsync
from rtmcore.limits import (
    APP_ID_LENGTH,
    CHANNELS_JOINED,
    INVITATION_CHANNEL_BYTES,
    INVITATION_CONTENT_BYTES,
    INVITATION_RESPONSE_BYTES,
    OFFLINE_MESSAGES,
    OFFLINE_SECONDS,
    PRESENCE_SUBSCRIPTIONS,
    TOKEN_BYTES,
    RateLimit,
)
from rtmcore.models import ChannelMessage, PeerMessage
from rtmsync import (
    InvitationApiCallError,
    JoinChannelError,
    LoginError,
    PeerSubscriptionStatusError,
    RenewTokenError,
    SendPeerMessageError,
    SendStatus,
)
from rtmsync.config import DEFAULT_TIMEOUTS
from rtmsync.server.config import DEV_APP_ID, ServerConfig
from rtmsync.server.server import Server
from rtmsync.server.tokens import AppKeys
from tests.limits.rows import BAD_IDS, GOOD_IDS, IDS, MESSAGES, ROWS, Place, Row
from tests.sync.conftest import longer

APP = DEV_APP_ID
Make = Callable[..., rtmsync.Client]
WAIT = 30.0
PATIENCE = longer(DEFAULT_TIMEOUTS)
"""Longer timeouts: the machine may do much else."""


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A server without rates."""
    config = ServerConfig(apps=[AppKeys(APP)], port=0, drain_seconds=0.0, rate_limits=False)
    with Server(config) as running:
        yield running


@pytest.fixture
def make(server: Server) -> Iterator[Make]:
    """Makes clients that have not logged in."""
    with contextlib.ExitStack() as stack:

        def build(user: str | None = None, **options: Any) -> rtmsync.Client:
            options = {"app_id": APP, "proxy": None, "timeouts": PATIENCE, **options}
            client = rtmsync.Client(
                server.url, user_id=f"u-{secrets.token_hex(6)}" if user is None else user, **options
            )
            stack.callback(client.close)
            return client

        yield build


@pytest.fixture
def place(make: Make) -> Place:
    """Two clients in a channel, who have something to lose."""
    alice, bob = make(), make()
    alice.login()
    bob.login()
    name = f"c-{secrets.token_hex(6)}"
    bob.on(PeerMessage, lambda message: None)
    bob.channel(name).join()
    room = alice.channel(name)
    room.join()
    alice.set_attributes({"mine": "kept"})
    alice.set_channel_attributes(name, {"ours": "kept"})
    alice.subscribe_presence([bob.user_id])
    return Place(alice, bob, room)


def belongings(place: Place) -> Any:
    """What the server keeps for alice."""
    alice = place.alice
    values = {key: found.value for key, found in place.room.get_attributes().items()}
    return (
        alice.get_attributes(alice.user_id),
        values,
        sorted(alice.subscribed_peers()),
        sorted(place.room.members()),
    )


def try_one(row: Row, place: Place, value: Any) -> None:
    """Call with an argument that is allowed."""
    try:
        row.call(place, value)
    except rtmsync.RtmError as error:
        assert error.code in row.fine, error  # noqa: PT017 - most calls raise nothing


def assert_nothing_is_lost(place: Place, before: Any) -> None:
    """The session lives, and all is as it was."""
    assert place.alice.state is rtmsync.ConnectionState.CONNECTED
    assert belongings(place) == before
    assert place.alice.send_peer(place.bob.user_id, "still here").status is SendStatus.DELIVERED


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_the_last_allowed_works_and_the_next_is_refused(row: Row, place: Place) -> None:
    for good in row.good:
        if row.before is not None:
            row.before[0](place)
        try_one(row, place, good)
        if row in IDS and row.figures[0] == "CHANNEL_ID_BYTES":
            with contextlib.suppress(rtmsync.NotInChannel):
                place.alice.channel(good).leave()
    if row.before is not None:
        row.before[0](place)
    before = belongings(place)
    for bad, code in row.bad:
        with pytest.raises(rtmsync.RtmError) as caught:
            row.call(place, bad)
        assert caught.value.code is (row.public or code), (bad, caught.value)
        assert isinstance(caught.value, rtmsync.InvalidArgument | rtmsync.LimitExceeded)
    assert_nothing_is_lost(place, before)


@pytest.mark.parametrize("row", MESSAGES, ids=lambda row: row.name)
def test_the_largest_messages_arrive_whole(row: Row, place: Place) -> None:
    kind: Any = PeerMessage if "peer" in row.name else ChannelMessage
    with place.bob.events(kind) as messages:
        for good in row.good:
            row.call(place, good)
            got = messages.get(WAIT)
            if isinstance(good, tuple):
                assert (got.body, got.description) == good
            else:
                assert got.body == (good.encode() if isinstance(good, str) else good)
        for bad, _ in row.bad:
            with pytest.raises(rtmsync.InvalidArgument):
                row.call(place, bad)
        row.call(place, row.good[0])
        assert messages.get(WAIT).body == (b"" if not isinstance(row.good[0], tuple) else row.good[0][0])


def test_ids_of_users_who_log_in(make: Make) -> None:
    for good in GOOD_IDS:
        client = make(good)
        client.login()
        client.logout()
    for bad in BAD_IDS:
        with pytest.raises(rtmsync.InvalidArgument) as caught:
            make(bad).login()
        assert caught.value.code is LoginError.INVALID_ARGUMENT


def test_app_ids(make: Make) -> None:
    make(app_id="a" * APP_ID_LENGTH)
    for bad in ("a" * (APP_ID_LENGTH - 1), "a" * (APP_ID_LENGTH + 1), "é" * APP_ID_LENGTH, ""):
        with pytest.raises(rtmsync.RtmError) as caught:
            make(app_id=bad).login()
        assert caught.value.code is LoginError.INVALID_APP_ID, bad


def test_tokens(place: Place) -> None:
    before = belongings(place)
    place.alice.renew_token("x" * TOKEN_BYTES)
    for bad in ("x" * (TOKEN_BYTES + 1), "", "é"):
        with pytest.raises(rtmsync.InvalidArgument) as caught:
            place.alice.renew_token(bad)
        assert caught.value.code is RenewTokenError.INVALID_ARGUMENT
    assert_nothing_is_lost(place, before)


def test_channels_at_the_same_time(place: Place) -> None:
    alice = place.alice
    name = secrets.token_hex(6)
    joined = [alice.channel(f"{name}-{n}") for n in range(CHANNELS_JOINED - 1)]
    for channel in joined:
        channel.join()
    before = belongings(place)
    for _ in range(2):
        with pytest.raises(rtmsync.LimitExceeded) as caught:
            alice.channel(f"{name}-more").join()
        assert caught.value.code is JoinChannelError.EXCEED_LIMIT
        assert f"{CHANNELS_JOINED} channels" in str(caught.value)
    assert_nothing_is_lost(place, before)
    assert all(channel.joined for channel in joined)
    joined[0].leave()
    alice.channel(f"{name}-more").join()


def test_subscriptions_in_all(place: Place) -> None:
    alice = place.alice
    users = [f"user-{n}" for n in range(PRESENCE_SUBSCRIPTIONS - 1)]
    alice.subscribe_presence(users[:300])
    alice.subscribe_presence(users[200:])
    before = belongings(place)
    assert len(before[2]) == PRESENCE_SUBSCRIPTIONS
    with pytest.raises(rtmsync.LimitExceeded) as caught:
        alice.subscribe_presence(["more"])
    assert caught.value.code is PeerSubscriptionStatusError.OVERFLOW
    alice.subscribe_presence(users[:2])  # those who are there already do not count twice
    assert_nothing_is_lost(place, before)
    alice.unsubscribe_presence(users[:1])
    alice.subscribe_presence(["more"])


@pytest.mark.parametrize("seconds", [0.001, 1, OFFLINE_SECONDS])
def test_the_longest_time_to_live(place: Place, seconds: float) -> None:
    result = place.alice.send_peer("nobody-" + secrets.token_hex(4), "x", offline=True, ttl=seconds)
    assert result.status is SendStatus.CACHED


@pytest.mark.parametrize("seconds", [0, -1, OFFLINE_SECONDS + 1, float("inf"), float("nan")])
def test_times_to_live_beyond_it(place: Place, seconds: float) -> None:
    with pytest.raises(rtmsync.InvalidArgument) as caught:
        place.alice.send_peer("nobody", "x", offline=True, ttl=seconds)
    assert caught.value.code is SendPeerMessageError.INVALID_MESSAGE


@pytest.mark.parametrize("unit", ["x", "é"])
def test_content_and_channel_of_an_invitation(place: Place, unit: str) -> None:
    size = len(unit.encode())
    callee = place.bob.user_id
    with place.bob.events(rtmsync.RemoteInvitationReceived) as rings:
        invitation = place.alice.invite(
            callee, unit * (INVITATION_CONTENT_BYTES // size), unit * (INVITATION_CHANNEL_BYTES // size)
        )
        invitation.send()
        rang = rings.get(WAIT).invitation
        assert rang.content == invitation.content
        assert rang.channel_id == invitation.channel_id
    for content, channel in (
        (unit * (INVITATION_CONTENT_BYTES // size) + "x", ""),
        ("", unit * (INVITATION_CHANNEL_BYTES // size) + "x"),
    ):
        with pytest.raises(rtmsync.InvalidArgument) as caught:
            place.alice.invite(callee, content, channel).send()
        assert caught.value.code is InvitationApiCallError.INVALID_ARGUMENT
    with pytest.raises(rtmsync.InvalidArgument):
        invitation.cancel(unit * (INVITATION_CONTENT_BYTES // size) + "x")
    assert invitation.state < rtmsync.LocalInvitationState.ACCEPTED_BY_REMOTE
    invitation.cancel(unit * (INVITATION_CONTENT_BYTES // size))


@pytest.mark.parametrize("answer", ["accept", "refuse"])
def test_the_response_to_an_invitation(place: Place, answer: str) -> None:
    most = INVITATION_RESPONSE_BYTES
    with place.bob.events(rtmsync.RemoteInvitationReceived) as rings:
        invitation = place.alice.invite(place.bob.user_id)
        invitation.send()
        rang = rings.get(WAIT).invitation
    for bad in ("x" * (most + 1), "é" * (most // 2) + "x"):
        with pytest.raises(rtmsync.InvalidArgument) as caught:
            getattr(rang, answer)(bad)
        assert caught.value.code is InvitationApiCallError.INVALID_ARGUMENT
    assert rang.state is rtmsync.RemoteInvitationState.INVITATION_RECEIVED
    getattr(rang, answer)("é" * (most // 2))
    invitation.wait(WAIT)
    assert invitation.response == "é" * (most // 2)


def test_a_client_keeps_what_a_server_is_set_to() -> None:
    config = ServerConfig(
        apps=[AppKeys(APP)],
        port=0,
        drain_seconds=0.0,
        limits={"message": 100, "channels": 2, "attributes": 1, "invitation_content": 10, "in_flight": 500},
        rates={"members": RateLimit(1, 60.0)},
    )
    with (
        Server(config) as server,
        rtmsync.connect(server.url, app_id=APP, user_id="ann", proxy=None, timeouts=PATIENCE) as ann,
    ):
        ann.on(PeerMessage, lambda message: None)
        ann.send_peer("ann", "x" * 100)
        with pytest.raises(rtmsync.InvalidArgument, match="at most 100 "):
            ann.send_peer("ann", "x" * 101)
        ann.set_attributes({"a": "b"})
        with pytest.raises(rtmsync.LimitExceeded, match="at most 1 "):
            ann.set_attributes({"a": "b", "c": "d"})
        assert ann.get_attributes("ann") == {"a": "b"}
        with pytest.raises(rtmsync.InvalidArgument, match="at most 10 "):
            ann.invite("bob", "x" * 11).send()
        room = ann.channel("one")
        room.join()
        ann.channel("two").join()
        with pytest.raises(rtmsync.LimitExceeded, match="2 channels") as caught:
            ann.channel("three").join()
        assert caught.value.code is JoinChannelError.EXCEED_LIMIT
        assert room.members() == ("ann",)
        with pytest.raises(rtmsync.RateLimited, match="1 in 60 s") as refused:
            room.members()
        assert refused.value.retry_after is not None
        assert 50 < refused.value.retry_after <= 60


def test_stored_messages(place: Place, make: Make) -> None:
    carol = f"carol-{secrets.token_hex(4)}"
    sent = [place.alice.send_peer_future(carol, f"{n}", offline=True) for n in range(OFFLINE_MESSAGES + 1)]
    assert {future.result(WAIT).status for future in sent} == {SendStatus.CACHED}
    client = make(carol)
    client.login()
    assert client.stored_messages().count == OFFLINE_MESSAGES
    with client.events(PeerMessage) as messages:
        got = [messages.get(WAIT).body for _ in range(OFFLINE_MESSAGES)]
    assert got == [f"{n}".encode() for n in range(1, OFFLINE_MESSAGES + 1)]
