"""The transitions of an RTM connection, one test a row: what the client, its application and the others see.

The rows are those of the documented table (3.1): from a state, by a trigger, to a state, for a reason.
"""

import pytest

from rtmcore.client.events import (
    ChannelLost,
    MemberJoined,
    MemberLeft,
    PresenceChanged,
    StateChanged,
    TokenHasExpired,
)
from rtmcore.codes import (
    ConnectionChangeReason,
    ConnectionState,
    LoginError,
    SendPeerMessageError,
)
from rtmcore.errors import (
    Aborted,
    AlreadyLoggedIn,
    AuthError,
    Banned,
    ConnectionFailed,
    NotLoggedIn,
    OutcomeUnknown,
    RateLimited,
    RequestTimeout,
    RtmError,
)
from rtmcore.limits import LOGIN_RATE, SERVER_RATE_BURST
from rtmcore.models import SendStatus
from tests.rows.town import Rtm, Town

LOGGED_IN = [("CONNECTING", "LOGIN"), ("CONNECTED", "LOGIN_SUCCESS")]
INTERRUPTED = ("RECONNECTING", "INTERRUPTED")
BACK = ("CONNECTED", "LOGIN_SUCCESS")


def presence(party: Rtm, user: str) -> list[str]:
    """The online states of a user as another one was told of them."""
    return [e.states[user].name for e in party.of(PresenceChanged) if user in e.states]


def subscribed(party: Rtm, *users: str) -> Rtm:
    party.done(party.core.users.subscribe(list(users), now=party.town.now))
    return party


def ann_and_bob(**settings) -> tuple[Town, Rtm, Rtm]:
    """Two members of a channel; bob is told of ann's online state."""
    town = Town(**settings)
    ann, bob = Rtm(town, "ann").login().join(), Rtm(town, "bob").login().join()
    subscribed(bob, "ann")
    town.run(0.5)
    assert presence(bob, "ann") == ["ONLINE"]
    ann.forget()
    bob.forget()
    return town, ann, bob


def test_rtm_3_1_row_01_login_makes_a_disconnected_client_connecting() -> None:
    town = Town()
    ann = Rtm(town, "ann")
    assert ann.core.state is ConnectionState.DISCONNECTED
    ticket = ann.core.login(town.now)
    town.settle()
    assert ann.core.state is ConnectionState.CONNECTING
    (change,) = ann.events
    assert change == StateChanged(
        ConnectionState.CONNECTING, ConnectionChangeReason.LOGIN, ConnectionState.DISCONNECTED
    )
    assert not ticket.done
    info = ann.core.connection(town.now)
    assert (info.state, info.reason) == (ConnectionState.CONNECTING, ConnectionChangeReason.LOGIN)
    assert (info.since, info.attempt) == (town.now, 1)


def test_rtm_3_1_row_02_an_accepted_login_connects_and_stored_messages_flow() -> None:
    town = Town()
    bob = Rtm(town, "bob").login()
    assert bob.done(bob.tell("ann", b"stored", offline=True)).status is SendStatus.CACHED
    ann = Rtm(town, "ann")
    ticket = ann.core.login(town.now)
    town.run_until(lambda: ann.core.state is ConnectionState.CONNECTED, 1)
    assert ticket.done
    assert ticket.error is None
    assert ann.states == LOGGED_IN
    town.run(1)
    # The messages come after the state.
    assert [type(e).__name__ for e in ann.events] == ["StateChanged", "StateChanged", "PeerMessage"]
    assert [(m.body, m.offline) for m in ann.events[2:]] == [(b"stored", True)]


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ("wrong token", LoginError.INVALID_TOKEN),
        ("no token", LoginError.INVALID_TOKEN),
        ("another user's token", LoginError.INVALID_TOKEN),
        ("expired token", LoginError.TOKEN_EXPIRED),
        ("token without the login scope", LoginError.NOT_AUTHORIZED),
        ("unknown app", LoginError.INVALID_APP_ID),
        ("banned", LoginError.REJECTED),
    ],
)
def test_rtm_3_1_row_03_a_refused_login_disconnects(given: str, code: LoginError) -> None:
    town = Town(tokens=True)
    token = {
        "wrong token": "nonsense",
        "no token": None,
        "another user's token": town.token("bob"),
        "expired token": town.token("ann", seconds=1),
        "token without the login scope": town.token("ann", scopes={"login": False}),
    }.get(given, town.token("ann"))
    town.run(20)
    app = "b" * 32 if given == "unknown app" else "a" * 32
    ann = Rtm(town, "ann", token=token, app_id=app)
    if given == "banned":
        town.ban("ann")
    ticket = ann.core.login(town.now)
    town.run(1)
    assert ann.states == [("CONNECTING", "LOGIN"), ("DISCONNECTED", "LOGIN_FAILURE")]
    assert ticket.done
    assert isinstance(ticket.error, Banned if given == "banned" else AuthError)
    assert ticket.error.code is code
    assert ann.of(StateChanged)[-1].cause is ticket.error
    # The app has to log in again: nothing does it by itself, and it may.
    attempts = len(ann.opened)
    town.run(60)
    assert (len(ann.opened), ann.core.idle, ann.core.next_deadline()) == (attempts, True, None)
    ann.core.login(town.now)
    town.run(1)
    assert ann.states[2:] == ann.states[:2]


@pytest.mark.parametrize("given", ["a black hole", "refused connections", "a server that says nothing"])
def test_rtm_3_1_row_04_a_login_without_success_in_its_time_disconnects(given: str) -> None:
    town = Town()
    ann = Rtm(town, "ann")
    ann.away = given == "a black hole"
    ann.refusing = ConnectionFailed("refused") if given == "refused connections" else None
    begun = town.now
    ticket = ann.core.login(town.now)
    while town.now < begun + 11.99:
        for line in ann.lines.values():
            line.hole_down = line.hole_down or (given == "a server that says nothing" and line.accepted)
        town.run(0.01)
    assert ann.core.state is ConnectionState.CONNECTING
    assert not ticket.done
    town.run(0.1)
    assert ann.states == [("CONNECTING", "LOGIN"), ("DISCONNECTED", "LOGIN_TIMEOUT")]
    assert ann.when(StateChanged, 1) == pytest.approx(begun + 12.0, abs=0.02)
    assert isinstance(ticket.error, RequestTimeout)
    assert ticket.error.code is LoginError.TIMEOUT
    ann.find_network()
    ann.refusing = None
    town.run(60)
    assert len(ann.states) == 2, "it logged in by itself"


@pytest.mark.parametrize("moment", ["while the connection is being opened", "with the hello under way"])
def test_rtm_3_1_row_05_logout_during_the_login_disconnects(moment: str) -> None:
    town = Town(latency=0.1)
    bob = subscribed(Rtm(town, "bob").login(), "ann")
    ann = Rtm(town, "ann")
    ticket = ann.core.login(town.now)
    town.run(0.05 if moment.startswith("while") else 0.35)
    assert ann.core.state is ConnectionState.CONNECTING
    goodbye = ann.core.logout(town.now)
    town.run(2)
    assert ann.states == [("CONNECTING", "LOGIN"), ("DISCONNECTED", "LOGOUT")]
    assert ticket.error is not None
    assert ticket.error.code is LoginError.ABORTED_BY_LOGOUT
    assert goodbye.done
    assert goodbye.error is None
    assert presence(bob, "ann")[-1] == "OFFLINE", "a session was left behind"


@pytest.mark.parametrize("given", ["no traffic", "link lost"])
def test_rtm_3_1_row_06_four_seconds_of_silence_interrupt(given: str) -> None:
    town, ann, bob = ann_and_bob()
    if given == "no traffic":
        ann.lose_network()
    else:
        town.run(0.7)
        ann.refusing = ConnectionFailed("refused")
        ann.cut()
    silent_since = ann.silence_began
    town.run_to(silent_since + 3.999)
    assert ann.states == []
    assert ann.core.state is ConnectionState.CONNECTED
    town.run(0.002)
    assert ann.states == [INTERRUPTED]
    assert ann.when(StateChanged) == pytest.approx(silent_since + 4.0, abs=1e-6)
    assert ann.core.connection(town.now).reason is ConnectionChangeReason.INTERRUPTED
    assert bob.events == []


@pytest.mark.parametrize("given", ["no traffic", "link lost"])
def test_rtm_3_1_row_06_a_blip_of_less_than_four_seconds_changes_no_state(given: str) -> None:
    town, ann, bob = ann_and_bob()
    for _ in range(3):
        if given == "no traffic":
            ann.lose_network()
            town.run_to(ann.silence_began + 3.9)
            ann.find_network()
        else:
            ann.refusing = ConnectionFailed("refused")
            ann.cut()
            town.run_to(ann.silence_began + 1.5)
            ann.refusing = None
        town.run(3)
        assert ann.done(ann.tell("bob", b"here")).status is SendStatus.DELIVERED
    assert ann.states == []
    assert presence(bob, "ann") == []
    assert bob.of(MemberLeft, MemberJoined) == []


@pytest.mark.parametrize("outage", [5.0, 15.0, 20.0])
def test_rtm_3_1_row_07_back_within_thirty_seconds_nobody_was_told_of_a_leave(outage: float) -> None:
    town, ann, bob = ann_and_bob()
    ann.lose_network()
    silent_since = ann.silence_began
    logins = len(ann.completed)
    town.run(0.5)
    told = [bob.tell("ann", b"told %d" % n) for n in range(50)]
    said = [bob.say(b"said %d" % n) for n in range(20)]
    town.run_to(silent_since + outage)
    ann.find_network()
    town.run(9)
    assert ann.states == [INTERRUPTED, BACK]
    assert len(ann.completed) == logins, "a login was reported"
    assert ann.messages == [b"told %d" % n for n in range(50)]
    assert ann.heard() == [b"said %d" % n for n in range(20)]
    assert ann.lost() == 0
    assert all(ticket.value.status is SendStatus.DELIVERED for ticket in told)
    assert all(ticket.error is None for ticket in said)
    assert bob.of(MemberLeft, MemberJoined) == []
    assert presence(bob, "ann") == (["UNREACHABLE", "ONLINE"] if outage > 6.5 else [])


def test_rtm_3_1_row_07_at_most_thirty_two_channel_messages_come_and_the_rest_is_counted() -> None:
    town, ann, bob = ann_and_bob()
    ann.lose_network()
    for n in range(100):
        bob.say(b"%d" % n)
    town.run(10)
    # What lay in the old connection is gone with it.
    ann.cut()
    ann.find_network()
    town.run(9)
    assert ann.heard() == [b"%d" % n for n in range(68, 100)]
    assert ann.lost() == 68
    order = [type(event).__name__ for event in ann.events if not isinstance(event, StateChanged)]
    assert order == ["ChannelGap"] + ["ChannelMessage"] * 32


def test_rtm_3_1_row_08_back_after_thirty_seconds_everything_is_restored_before_connected() -> None:
    town, ann, bob = ann_and_bob()
    ann.done(ann.core.users.set_attributes({"mood": "fine"}, now=town.now))
    subscribed(ann, "bob")
    town.run(0.5)
    ann.forget()
    ann.lose_network()
    last_heard = ann.last_heard
    bob.done(bob.core.users.get_attributes("ann", now=town.now))
    town.run_to(last_heard + 29.9)
    assert bob.of(MemberLeft) == []
    town.run(0.5)
    assert bob.of(MemberLeft) == [MemberLeft("plaza", "ann", 1)]
    assert presence(bob, "ann") == ["UNREACHABLE", "OFFLINE"]
    with pytest.raises(RtmError):
        bob.done(bob.core.users.get_attributes("ann", now=town.now))
    bob.say(b"said while gone")
    town.run(15)
    ann.find_network()
    town.run_until(lambda: ann.core.state is ConnectionState.CONNECTED, 10)
    # At this moment the channel is joined, attributes are set and subscriptions are restored.
    assert ann.states == [INTERRUPTED, BACK]
    ann.say(b"at once")
    sent = town.now
    town.run(1)
    assert bob.of(MemberLeft, MemberJoined) == [
        MemberLeft("plaza", "ann", 1),
        MemberJoined("plaza", "ann", 2),
    ]
    assert bob.when(MemberJoined) <= sent + town.latency
    assert bob.heard() == [b"at once"]
    assert presence(bob, "ann") == ["UNREACHABLE", "OFFLINE", "ONLINE"]
    assert bob.done(bob.core.users.get_attributes("ann", now=town.now)) == {"mood": "fine"}
    assert ann.heard() == [b"said while gone"], "the 30 s before the reconnect are replayed"
    assert ann.of(ChannelLost) == []
    ann.forget()
    bob.logout()
    town.run(0.5)
    assert ann.of(MemberLeft) == [MemberLeft("plaza", "bob", 1)]
    assert presence(ann, "bob")[-1] == "OFFLINE", "the subscription is not in force again"


@pytest.mark.parametrize("seed", range(20))
def test_rtm_3_1_row_08_connected_waits_for_channels_subscriptions_and_attributes(seed: int) -> None:
    town = Town(seed, late=0.5)
    ann, bob = Rtm(town, "ann").login().join(), Rtm(town, "bob").login().join()
    ann.done(ann.core.users.set_attributes({"mood": "fine"}, now=town.now), 3)
    ann.done(ann.core.users.subscribe(["bob"], now=town.now), 3)
    town.run(2)
    ann.forget()
    ann.lose_network()
    town.run(40)
    ann.find_network()
    town.run_until(lambda: ann.core.state is ConnectionState.CONNECTED, 15)
    # Nobody who asks from this moment on finds her without her attributes or outside of the channel.
    asked = bob.core.users.get_attributes("ann", now=town.now)
    members = bob.core.members("plaza", now=town.now)
    assert bob.done(asked, 3) == {"mood": "fine"}
    assert sorted(bob.done(members, 3)) == ["ann", "bob"]
    bob.core.logout(town.now)
    town.run(3)
    assert presence(ann, "bob")[-1] == "OFFLINE"


def test_rtm_3_1_row_09_reconnecting_goes_on_for_ever() -> None:
    town, ann, _ = ann_and_bob()
    ann.refusing = ConnectionFailed("refused")
    ann.cut()
    town.run(6 * 3600)
    assert ann.states == [INTERRUPTED]
    info = ann.core.connection(town.now)
    assert info.next_attempt_in is not None
    assert 0 <= info.next_attempt_in <= 8.0
    assert str(info.cause).startswith("refused")
    assert len(ann.opened) > 6 * 3600 / 8.1
    ann.refusing = None
    town.run(9)
    assert ann.states == [INTERRUPTED, BACK]


def test_rtm_3_1_row_10_a_token_that_expires_while_reconnecting_is_an_event_only() -> None:
    town = Town(tokens=True)
    ann = Rtm(town, "ann", token=town.token("ann", seconds=60)).login().join()
    ann.forget()
    ann.lose_network()
    town.run(300)
    ann.find_network()
    town.run(60)
    assert ann.states == [INTERRUPTED], "it left RECONNECTING without a token"
    assert len(ann.of(TokenHasExpired)) == 1
    renewed = ann.core.renew_token(town.token("ann"), now=town.now)
    took = town.run_until(lambda: ann.core.state is ConnectionState.CONNECTED, 5)
    assert took < 0.2, "the new token did not let the reconnect finish at once"
    town.run(1)
    assert renewed.done
    assert renewed.error is None
    assert ann.states == [INTERRUPTED, BACK]
    assert len(ann.of(TokenHasExpired)) == 1


@pytest.mark.parametrize("state", ["CONNECTED", "RECONNECTING"])
def test_rtm_3_1_row_11_a_login_elsewhere_aborts(state: str) -> None:
    town, ann, bob = ann_and_bob(nodes=("n1", "n2"))
    if state == "RECONNECTING":
        ann.refusing = ConnectionFailed("refused")
        ann.cut()
        town.run(5)
    else:
        ann.line.hole_up = True
    waiting = ann.say(b"under way")
    other = Rtm(town, "ann", node="n2").login()
    kicked_by = town.now
    ann.refusing = None
    town.run_until(lambda: ann.core.state is ConnectionState.ABORTED, 9)
    assert state == "RECONNECTING" or town.now - kicked_by < 0.2
    assert ann.states[-1] == ("ABORTED", "REMOTE_LOGIN")
    assert ann.of(StateChanged)[-1].previous is ConnectionState[state]
    town.run(1)
    assert isinstance(waiting.error, OutcomeUnknown | Aborted)
    assert ann.core.channels == ()
    with pytest.raises(Aborted) as caught:
        ann.tell("bob", b"x")
    assert caught.value.code is SendPeerMessageError.NOT_LOGGED_IN
    # It left the channels; whoever is watched stays online.
    assert bob.of(MemberLeft) == [MemberLeft("plaza", "ann", 1)]
    assert "OFFLINE" not in presence(bob, "ann")
    town.run(120)
    assert other.states == LOGGED_IN, "the old one came back"
    assert bob.done(bob.tell("ann", b"to the new one")).status is SendStatus.DELIVERED
    assert (other.messages, ann.messages) == ([b"to the new one"], [])


@pytest.mark.parametrize("state", ["CONNECTED", "RECONNECTING"])
def test_rtm_3_1_row_12_a_ban_aborts(state: str) -> None:
    town, ann, bob = ann_and_bob()
    if state == "RECONNECTING":
        ann.refusing = ConnectionFailed("refused")
        ann.cut()
        town.run(5)
    town.ban("ann")
    town.run(0.1)
    ann.refusing = None
    town.run(9)
    assert ann.states[-1] == ("ABORTED", "BANNED_BY_SERVER")
    assert ann.of(StateChanged)[-1].previous is ConnectionState[state]
    assert "spam" in str(ann.of(StateChanged)[-1].cause)
    assert bob.of(MemberLeft) == [MemberLeft("plaza", "ann", 1)]
    assert presence(bob, "ann")[-1] == "OFFLINE"
    with pytest.raises(Aborted):
        ann.tell("bob", b"x")


def test_rtm_3_1_row_13_an_expired_token_aborts_where_that_is_the_policy() -> None:
    town = Town(tokens=True, token_policy="abort")
    bob = Rtm(town, "bob", token=town.token("bob")).login().join()
    begun = town.now
    ann = Rtm(town, "ann", token=town.token("ann", seconds=60)).login().join()
    ann.forget()
    town.run_to(begun + 59)
    assert ann.states == []
    town.run(15)
    assert ann.states == [("ABORTED", "TOKEN_EXPIRED")]
    assert len(ann.of(TokenHasExpired)) == 1
    assert [type(e).__name__ for e in ann.events if isinstance(e, TokenHasExpired | StateChanged)] == [
        "TokenHasExpired",
        "StateChanged",
    ]
    assert bob.of(MemberLeft) == [MemberLeft("plaza", "ann", 1)]
    with pytest.raises(Aborted):
        ann.tell("bob", b"x")
    town.run(60)
    assert ann.core.state is ConnectionState.ABORTED


def test_rtm_3_1_row_13_an_expired_token_is_an_event_only_where_it_is_kept() -> None:
    town = Town(tokens=True)
    bob = Rtm(town, "bob", token=town.token("bob")).login()
    ann = Rtm(town, "ann", token=town.token("ann", seconds=60)).login()
    ann.forget()
    town.run(120)
    assert ann.states == []
    assert len(ann.of(TokenHasExpired)) == 1
    assert ann.done(ann.tell("bob", b"still here")).status is SendStatus.DELIVERED
    assert bob.messages == [b"still here"]


@pytest.mark.parametrize("state", ["CONNECTED", "RECONNECTING", "ABORTED"])
def test_rtm_3_1_row_14_logout_disconnects_and_clears_everything(state: str) -> None:
    town, ann, bob = ann_and_bob()
    ann.done(ann.core.users.set_attributes({"mood": "fine"}, now=town.now))
    subscribed(ann, "bob")
    if state == "RECONNECTING":
        ann.lose_network()
        town.run_to(ann.silence_began + 5)
    elif state == "ABORTED":
        town.ban("ann")
        town.run(0.1)
    assert ann.core.state is ConnectionState[state]
    ann.logout()
    assert ann.states[-1] == ("DISCONNECTED", "LOGOUT")
    assert ann.of(StateChanged)[-1].previous is ConnectionState[state]
    assert ann.core.channels == ()
    assert ann.core.users.subscriptions == frozenset()
    assert ann.core.users.peer_states == {}
    with pytest.raises(NotLoggedIn):
        ann.tell("bob", b"x")
    # The others learn at once of one whose goodbye arrives, and after the silence of one whose does not.
    town.run(31 if state == "RECONNECTING" else 0.1)
    assert bob.of(MemberLeft) == [MemberLeft("plaza", "ann", 1)]
    assert presence(bob, "ann")[-1] == "OFFLINE"
    with pytest.raises(RtmError):
        bob.done(bob.core.users.get_attributes("ann", now=town.now))
    if state != "ABORTED":
        bob.forget()
        ann.find_network()
        ann.forget()
        ann.login()
        assert ann.states == LOGGED_IN
        bob.say(b"not for ann")
        town.run(1)
        assert ann.heard() == []
        assert bob.of(MemberJoined) == []
        assert bob.done(bob.core.users.get_attributes("ann", now=town.now)) == {}
        bob.logout()
        town.run(1)
        assert ann.of(PresenceChanged) == []


def test_rtm_3_1_row_15_login_in_aborted_is_refused_until_logout() -> None:
    town, ann, _ = ann_and_bob()
    other = Rtm(town, "ann").login()
    town.run(1)
    assert ann.states == [("ABORTED", "REMOTE_LOGIN")]
    for _ in range(2):
        with pytest.raises(AlreadyLoggedIn) as caught:
            ann.core.login(town.now)
        assert caught.value.code is LoginError.ALREADY_LOGIN
        town.run(10)
    assert ann.states == [("ABORTED", "REMOTE_LOGIN")]
    assert other.states == LOGGED_IN
    ann.logout()
    ann.login()
    assert ann.states[1:] == [("DISCONNECTED", "LOGOUT"), *LOGGED_IN]


def test_rtm_3_1_row_15_auto_logout_leaves_aborted_and_never_logs_in() -> None:
    town = Town()
    ann = Rtm(town, "ann", auto_logout_on_abort=True).login()
    Rtm(town, "ann").login()
    town.run(120)
    assert ann.states == [*LOGGED_IN, ("ABORTED", "REMOTE_LOGIN"), ("DISCONNECTED", "LOGOUT")]
    assert len(ann.opened) == 1


@pytest.mark.parametrize("state", ["CONNECTING", "CONNECTED", "RECONNECTING"])
def test_rtm_3_1_row_16_login_while_logged_in_is_refused(state: str) -> None:
    town = Town()
    ann = Rtm(town, "ann")
    if state == "CONNECTING":
        ann.away = True
        ann.core.login(town.now)
        town.run(1)
    else:
        ann.login()
        if state == "RECONNECTING":
            ann.lose_network()
            town.run(5)
    before = list(ann.events)
    with pytest.raises(AlreadyLoggedIn) as caught:
        ann.core.login(town.now)
    assert caught.value.code is LoginError.ALREADY_LOGIN
    town.settle()
    assert ann.events == before
    assert ann.core.state is ConnectionState[state]
    ann.find_network()
    town.run(9)
    assert ann.states[-1] == BACK


@pytest.mark.parametrize("judge", ["client", "server"])
def test_rtm_3_1_row_17_logins_above_their_rate_change_nothing(judge: str) -> None:
    town = Town(rate_limits=True)
    ann = Rtm(town, "ann", rate_limits=judge == "client")
    for _ in range(LOGIN_RATE.count if judge == "client" else SERVER_RATE_BURST * LOGIN_RATE.count):
        ann.login()
        ann.logout()
    assert town.now - 1000.0 < LOGIN_RATE.seconds / LOGIN_RATE.count
    before = list(ann.events)
    if judge == "client":
        with pytest.raises(RateLimited) as caught:
            ann.core.login(town.now)
        assert caught.value.code is LoginError.TOO_OFTEN
        town.run(5)
        assert ann.events == before
        assert ann.core.state is ConnectionState.DISCONNECTED
    else:
        # What a server refuses has begun as a login, and ends as one that was refused: row 3.
        ticket = ann.core.login(town.now)
        town.run(5)
        assert isinstance(ticket.error, RateLimited)
        assert ticket.error.code is LoginError.TOO_OFTEN
        assert ann.states[-2:] == [("CONNECTING", "LOGIN"), ("DISCONNECTED", "LOGIN_FAILURE")]
    ann.login()
    assert ann.core.state is ConnectionState.CONNECTED


@pytest.mark.parametrize("state", ["CONNECTED", "ABORTED"])
def test_rtm_3_1_row_17_holds_in_other_states_too(state: str) -> None:
    town = Town(rate_limits=True)
    ann = Rtm(town, "ann", rate_limits=True)
    ann.login()
    ann.logout()
    ann.login()
    if state == "ABORTED":
        Rtm(town, "ann").login()
    before = list(ann.events)
    with pytest.raises(RtmError) as caught:
        ann.core.login(town.now)
    assert caught.value.code in (LoginError.TOO_OFTEN, LoginError.ALREADY_LOGIN)
    town.settle()
    assert ann.events == before
    assert ann.core.state is ConnectionState[state]


def test_rtm_3_1_no_event_without_a_change_of_state() -> None:
    town, ann, _ = ann_and_bob()
    for outage in (0.5, 5.0, 12.0, 40.0):
        ann.lose_network()
        town.run(outage)
        ann.find_network()
        town.run(10)
    ann.logout()
    changes = ann.of(StateChanged)
    assert all(change.state is not change.previous for change in changes)
    assert [change.previous for change in changes[1:]] == [change.state for change in changes[:-1]]
