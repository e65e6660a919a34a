"""Call invitations in simulated time: the sequences of seed 004, every end, every timer, and broken networks.

Times are seconds since the beginning of a world; the latency is 10 ms each way.
"""

import random
from typing import Any

import pytest

from rtmcore import limits
from rtmcore.client.calling import IncomingInvitation, Invitation, OutgoingInvitation
from rtmcore.client.events import LocalInvitationChanged, RemoteInvitationChanged
from rtmcore.codes import (
    InvitationApiCallError,
    LocalInvitationError,
    LocalInvitationState,
    MessageType,
    RemoteInvitationError,
    RemoteInvitationState,
)
from rtmcore.errors import ClientClosed, InvalidArgument, InvitationFailed, LimitExceeded, RequestTimeout
from rtmcore.wire.packets import INVITATION
from tests.simulation.hosts import ClientHost
from tests.simulation.scenario import Scenario

OFFLINE = LocalInvitationError.PEER_OFFLINE
NO_RESPONSE = LocalInvitationError.PEER_NO_RESPONSE
EXPIRE = LocalInvitationError.INVITATION_EXPIRE
LOGGED_OUT = LocalInvitationError.NOT_LOGGED_IN


@pytest.fixture
def world() -> Scenario:
    return Scenario()


def invite(
    caller: ClientHost, callee: str = "bob", content: str = "", channel: str = ""
) -> OutgoingInvitation:
    invitation = OutgoingInvitation(callee, content, channel)
    call = caller.call("invitations.send", invitation)
    assert call.ok, call.error
    return invitation


def rung(callee: ClientHost) -> IncomingInvitation:
    """The latest invitation that has rung."""
    event = callee.life.of(RemoteInvitationChanged)[-1]
    assert isinstance(event, RemoteInvitationChanged)
    return event.invitation


def do(client: ClientHost, what: str, invitation: Invitation, text: str = "") -> Any:
    return client.call(f"invitations.{what}", invitation, text)


def sent(client: ClientHost) -> list[str]:
    return [event.state.name for event in client.life.of(LocalInvitationChanged)]


def received(client: ClientHost) -> list[str]:
    return [event.state.name for event in client.life.of(RemoteInvitationChanged)]


def end_of(client: ClientHost, kind: type[Any] = LocalInvitationChanged) -> float:
    """When the last of its invitations has ended."""
    return round(client.life.times(kind)[-1][0], 1)


# --- The three sequences of the seed ------------------------------------------------------------------------------


def test_the_sequence_of_canceling(world: Scenario) -> None:
    alice, bob = world.login("alice", "bob")
    call = invite(alice, content="lunch?")
    world.run_for(1.0)
    assert call.state is LocalInvitationState.RECEIVED_BY_REMOTE
    assert rung(bob).caller == "alice"
    assert rung(bob).content == "lunch?"
    assert do(alice, "cancel", call, "never mind").ok
    assert call.state is LocalInvitationState.CANCELED
    world.run_for(1.0)
    assert sent(alice) == ["RECEIVED_BY_REMOTE", "CANCELED"]
    assert received(bob) == ["INVITATION_RECEIVED", "CANCELED"]
    assert rung(bob).cancel_content == "never mind"
    world.check()


def test_the_sequence_of_accepting(world: Scenario) -> None:
    alice, bob = world.login("alice", "bob")
    call = invite(alice, channel="room-7")
    world.run_for(1.0)
    assert rung(bob).channel_id == "room-7"
    assert do(bob, "accept", rung(bob), "with pleasure").ok
    assert rung(bob).state is RemoteInvitationState.ACCEPT_SENT_TO_LOCAL
    world.run_for(1.0)
    assert sent(alice) == ["RECEIVED_BY_REMOTE", "ACCEPTED_BY_REMOTE"]
    assert received(bob) == ["INVITATION_RECEIVED", "ACCEPTED"]
    assert call.response == "with pleasure"
    world.check()


def test_the_sequence_of_refusing(world: Scenario) -> None:
    alice, bob = world.login("alice", "bob")
    call = invite(alice)
    world.run_for(1.0)
    assert do(bob, "refuse", rung(bob), "busy").ok
    assert rung(bob).state is RemoteInvitationState.REFUSED
    world.run_for(1.0)
    assert sent(alice) == ["RECEIVED_BY_REMOTE", "REFUSED_BY_REMOTE"]
    assert received(bob) == ["INVITATION_RECEIVED", "REFUSED"]
    assert call.response == "busy"
    world.run_for(120.0)
    assert sent(alice)[-1] == "REFUSED_BY_REMOTE"
    world.check()


def test_the_acceptance_waits_for_the_callers_word(world: Scenario) -> None:
    alice, bob = world.login("alice", "bob")
    invite(alice)
    world.run_for(1.0)
    alice.hole(5.0)
    do(bob, "accept", rung(bob))
    world.run_for(3.0)
    assert received(bob) == ["INVITATION_RECEIVED"]
    world.run_for(8.0)
    assert received(bob) == ["INVITATION_RECEIVED", "ACCEPTED"]
    assert sent(alice)[-1] == "ACCEPTED_BY_REMOTE"
    world.check()


# --- Every failure, with its timer --------------------------------------------------------------------------------


def test_a_callee_who_stays_offline(world: Scenario) -> None:
    (alice,) = world.login("alice")
    call = invite(alice)
    begun = world.time
    world.run(begun + limits.INVITATION_ACKNOWLEDGE_TIMEOUT - 0.01)
    assert call.state is LocalInvitationState.SENT_TO_REMOTE
    world.run_for(0.02)
    assert (call.state, call.error) == (LocalInvitationState.FAILURE, OFFLINE)
    assert sent(alice) == ["FAILURE"]


def test_a_callee_who_comes_within_30_s_still_gets_it(world: Scenario) -> None:
    (alice,) = world.login("alice")
    call = invite(alice, content="hello?")
    begun = world.time
    world.run_for(26.0)
    (bob,) = world.login("bob")
    world.run_for(2.0)
    assert call.state is LocalInvitationState.RECEIVED_BY_REMOTE
    assert received(bob) == ["INVITATION_RECEIVED"]
    # Its age came along: both give up at once, 60 s after it was sent.
    world.run(begun + limits.INVITATION_EXPIRE_AFTER - 0.1)
    assert received(bob) == ["INVITATION_RECEIVED"]
    world.run_for(0.3)
    assert (call.error, rung(bob).error) == (EXPIRE, RemoteInvitationError.INVITATION_EXPIRE)
    world.check()


def test_a_callee_who_is_online_and_never_answers(world: Scenario) -> None:
    alice, bob = world.login("alice", "bob")
    bob.core.invitations.receive = lambda *_: None  # a client that knows nothing of invitations
    call = invite(alice)
    begun = world.time
    world.run(begun + limits.INVITATION_ACKNOWLEDGE_TIMEOUT - 0.01)
    assert call.state is LocalInvitationState.SENT_TO_REMOTE
    world.run_for(0.02)
    assert call.error is NO_RESPONSE


def test_a_callee_who_falls_silent_has_not_answered(world: Scenario) -> None:
    alice, bob = world.login("alice", "bob")
    bob.hole(25.0)
    call = invite(alice)
    world.run_for(29.0)
    assert received(bob)[0] == "INVITATION_RECEIVED"  # it came back in time
    assert call.state is LocalInvitationState.RECEIVED_BY_REMOTE
    assert len(received(bob)) == 1  # and rang once, however often it was sent
    world.run_for(40.0)
    world.check()


def test_nobody_acts_for_60_s(world: Scenario) -> None:
    alice, bob = world.login("alice", "bob")
    call = invite(alice)
    begun = world.time
    world.run(begun + limits.INVITATION_EXPIRE_AFTER - 0.01)
    assert call.state is LocalInvitationState.RECEIVED_BY_REMOTE
    world.run_for(0.1)
    assert (call.state, call.error) == (LocalInvitationState.FAILURE, EXPIRE)
    assert rung(bob).error is RemoteInvitationError.INVITATION_EXPIRE
    world.check()


def test_an_answer_in_the_last_moment_counts(world: Scenario) -> None:
    alice, bob = world.login("alice", "bob")
    call = invite(alice)
    begun = world.time
    world.run(begun + limits.INVITATION_EXPIRE_AFTER - 0.05)
    assert do(bob, "accept", rung(bob)).ok
    world.run_for(0.5)
    assert call.state is LocalInvitationState.ACCEPTED_BY_REMOTE
    assert rung(bob).state is RemoteInvitationState.ACCEPTED


def test_an_answer_that_comes_too_late_ends_as_expired_on_both_sides(world: Scenario) -> None:
    alice, bob = world.login("alice", "bob")
    bob.weather.latency = 0.5
    call = invite(alice)
    begun = world.time
    world.run(begun + limits.INVITATION_EXPIRE_AFTER - 0.2)
    assert do(bob, "accept", rung(bob)).ok
    world.run_for(5.0)
    assert (call.error, rung(bob).error) == (EXPIRE, RemoteInvitationError.INVITATION_EXPIRE)


@pytest.mark.parametrize("how", ["logout", "close"])
def test_the_caller_logs_out(world: Scenario, how: str) -> None:
    alice, bob = world.login("alice", "bob")
    call = invite(alice)
    world.run_for(1.0)
    alice.call(how)
    world.run_for(1.0)
    assert (call.state, call.error) == (LocalInvitationState.FAILURE, LOGGED_OUT)
    # The callee finds out when it accepts.
    assert do(bob, "accept", rung(bob)).ok
    world.run_for(1.0)
    assert rung(bob).error is RemoteInvitationError.PEER_OFFLINE


def test_the_caller_is_kicked(world: Scenario) -> None:
    alice, bob = world.login("alice", "bob")
    call = invite(alice)
    world.run_for(1.0)
    (other,) = world.login("alice")
    assert call.error is LOGGED_OUT
    # The new client knows nothing of the call.
    assert do(bob, "accept", rung(bob)).ok
    world.run_for(1.0)
    assert rung(bob).error is RemoteInvitationError.ACCEPT_FAILURE
    assert sent(other) == []


def test_the_callee_is_kicked_and_logs_out(world: Scenario) -> None:
    alice, bob = world.login("alice", "bob")
    call = invite(alice)
    world.run_for(1.0)
    world.login("bob")
    assert rung(bob).error is RemoteInvitationError.PEER_OFFLINE
    world.run_for(60.0)
    assert call.error is EXPIRE


def test_a_caller_without_a_login(world: Scenario) -> None:
    alice = world.client("alice")
    call = invite(alice)
    assert (call.state, call.error) == (LocalInvitationState.FAILURE, LOGGED_OUT)
    assert sent(alice) == ["FAILURE"]
    alice.call("close")
    assert isinstance(do_send(alice, OutgoingInvitation("bob")).error, ClientClosed)


def do_send(client: ClientHost, invitation: OutgoingInvitation) -> Any:
    return client.call("invitations.send", invitation)


def test_an_acceptance_that_the_caller_never_confirms(world: Scenario) -> None:
    alice, bob = world.login("alice", "bob")
    invite(alice)
    world.run_for(1.0)
    begun = world.time
    do(bob, "accept", rung(bob))
    bob.hole(100.0)
    world.run(begun + limits.INVITATION_ACCEPT_TIMEOUT - 0.01)
    assert rung(bob).state is RemoteInvitationState.ACCEPT_SENT_TO_LOCAL
    world.run_for(0.02)
    assert rung(bob).error is RemoteInvitationError.ACCEPT_FAILURE


# --- Races ---------------------------------------------------------------------------------------------------------


def test_cancel_against_accept_is_decided_by_the_caller(world: Scenario) -> None:
    alice, bob = world.login("alice", "bob")
    call = invite(alice)
    world.run_for(1.0)
    do(bob, "accept", rung(bob))
    do(alice, "cancel", call)
    world.run_for(1.0)
    assert call.state is LocalInvitationState.CANCELED
    assert received(bob) == ["INVITATION_RECEIVED", "CANCELED"]
    world.check()


def test_a_cancel_that_comes_after_the_acceptance_is_refused(world: Scenario) -> None:
    alice, bob = world.login("alice", "bob")
    call = invite(alice)
    world.run_for(1.0)
    do(bob, "accept", rung(bob))
    world.run_for(0.05)
    refused = do(alice, "cancel", call)
    assert refused.error.code is InvitationApiCallError.ALREADY_ACCEPT
    world.run_for(1.0)
    assert rung(bob).state is RemoteInvitationState.ACCEPTED


def test_a_cancel_before_the_callee_has_it(world: Scenario) -> None:
    alice, bob = world.login("alice", "bob")
    bob.hole(5.0)
    call = invite(alice)
    world.run_for(1.0)
    do(alice, "cancel", call)
    world.run_for(10.0)
    assert received(bob) in ([], ["INVITATION_RECEIVED", "CANCELED"])
    assert sent(alice) == ["CANCELED"]


@pytest.mark.parametrize("seed", range(40))
def test_both_sides_always_agree(seed: int) -> None:
    """Random calls, holes and resets: nobody has accepted what the other side holds for canceled or refused."""
    dice = random.Random(seed)
    world = Scenario(f"invitations {seed}")
    alice, bob = world.login("alice", "bob")
    for client in (alice, bob):
        client.weather.latency = dice.choice([0.001, 0.05, 0.4])
    calls = []
    for _ in range(4):
        at = world.time + dice.uniform(0.0, 5.0)
        call = OutgoingInvitation("bob")
        calls.append(call)
        world.at(at, alice.call, "invitations.send", call)
        if dice.random() < 0.6:
            world.at(at + dice.choice([0.1, 1.0, 8.0, 58.0]) * dice.random(), do, alice, "cancel", call)

    def answer() -> None:
        for event in bob.life.of(RemoteInvitationChanged):
            live = event.invitation.state is RemoteInvitationState.INVITATION_RECEIVED
            if live and dice.random() < 0.5:
                do(bob, dice.choice(["accept", "accept", "refuse"]), event.invitation)

    for _ in range(12):
        world.at(world.time + dice.uniform(0.0, 62.0), answer)
        world.at(world.time + dice.uniform(0.0, 20.0), answer)
    for _ in range(dice.randrange(4)):
        client = dice.choice([alice, bob])
        at = world.time + dice.uniform(0.0, 15.0)
        world.at(at, *dice.choice([(client.reset,), (client.hole, dice.uniform(0.5, 12.0))]))
    world.run_for(140.0)
    heard = {event.invitation.id: event.invitation for event in bob.life.of(RemoteInvitationChanged)}
    for call in calls:
        remote = heard.get(call.id)
        outcome = (call.state.name, "" if remote is None else remote.state.name)
        assert outcome in {
            ("ACCEPTED_BY_REMOTE", "ACCEPTED"),
            ("REFUSED_BY_REMOTE", "REFUSED"),
            ("CANCELED", "CANCELED"),
            ("CANCELED", ""),
            ("FAILURE", "FAILURE"),
            ("FAILURE", ""),
            ("CANCELED", "REFUSED"),  # the two crossed: nobody calls anybody
            ("FAILURE", "REFUSED"),
        }, f"seed {seed}: {outcome}"
    world.check()


# --- Broken networks and servers ----------------------------------------------------------------------------------


@pytest.mark.parametrize("who", ["alice", "bob"])
@pytest.mark.parametrize("seconds", [2.0, 8.0, 20.0])
def test_a_reconnect_in_the_middle(world: Scenario, who: str, seconds: float) -> None:
    alice, bob = clients = world.login("alice", "bob")
    call = invite(alice)
    world.run_for(1.0)
    {client.user: client for client in clients}[who].hole(seconds)
    do(bob, "accept", rung(bob), "yes")
    world.run_for(28.0)
    assert call.state is LocalInvitationState.ACCEPTED_BY_REMOTE
    assert received(bob) == ["INVITATION_RECEIVED", "ACCEPTED"]
    world.check()


def test_an_invitation_of_a_client_that_reconnects(world: Scenario) -> None:
    alice, bob = world.login("alice", "bob")
    alice.hole(10.0)
    world.run_for(6.0)
    call = invite(alice)
    world.run_for(10.0)
    assert call.state is LocalInvitationState.RECEIVED_BY_REMOTE
    do(bob, "accept", rung(bob))
    world.run_for(1.0)
    assert call.state is LocalInvitationState.ACCEPTED_BY_REMOTE


def test_a_restart_of_the_server_in_the_middle(world: Scenario) -> None:
    alice, bob = world.login("alice", "bob")
    call = invite(alice)
    world.run_for(1.0)
    world.side.restart(down=2.0)
    do(bob, "accept", rung(bob), "yes")
    world.run_for(20.0)
    assert call.state is LocalInvitationState.ACCEPTED_BY_REMOTE
    assert received(bob) == ["INVITATION_RECEIVED", "ACCEPTED"]
    world.check()


def test_an_application_that_takes_no_messages_is_called_all_the_same(world: Scenario) -> None:
    alice, bob = world.login("alice", "bob")
    bob.take_on(None)
    for number in range(5):
        alice.call("send_peer", "bob", MessageType.TEXT, b"%d" % number)
    call = invite(alice)
    world.run_for(1.0)
    do(bob, "accept", rung(bob))
    world.run_for(1.0)
    assert call.state is LocalInvitationState.ACCEPTED_BY_REMOTE
    assert bob.life.messages == []
    bob.take_on(0.0)
    world.run_for(60.0)
    assert [message.body for message in bob.life.messages] == [b"%d" % number for number in range(5)]
    world.check()


# --- Several, limits and misuse -----------------------------------------------------------------------------------


def test_several_at_a_time_are_told_apart(world: Scenario) -> None:
    alice, bob, carol = world.login("alice", "bob", "carol")
    first, second, third = invite(alice), invite(alice), invite(alice, "carol")
    back = invite(bob, "alice")
    world.run_for(1.0)
    rings = bob.life.of(RemoteInvitationChanged)
    do(bob, "refuse", rings[0].invitation)
    do(bob, "accept", rings[1].invitation)
    do(carol, "accept", rung(carol))
    do(alice, "refuse", rung(alice))
    world.run_for(1.0)
    assert [call.state.name for call in (first, second, third, back)] == [
        "REFUSED_BY_REMOTE",
        "ACCEPTED_BY_REMOTE",
        "ACCEPTED_BY_REMOTE",
        "REFUSED_BY_REMOTE",
    ]


def test_one_can_call_oneself(world: Scenario) -> None:
    (alice,) = world.login("alice")
    call = invite(alice, "alice")
    world.run_for(1.0)
    do(alice, "accept", rung(alice))
    world.run_for(1.0)
    assert call.state is LocalInvitationState.ACCEPTED_BY_REMOTE
    assert rung(alice).state is RemoteInvitationState.ACCEPTED


def test_too_many_sent_at_once(world: Scenario) -> None:
    (alice,) = world.login("alice")
    calls = [invite(alice) for _ in range(limits.INVITATIONS_SENT)]
    refused = do_send(alice, OutgoingInvitation("bob"))
    assert isinstance(refused.error, LimitExceeded)
    do(alice, "cancel", calls[0])
    invite(alice)


def test_a_caller_who_rings_too_much_is_not_heard(world: Scenario) -> None:
    alice, bob = world.login("alice", "bob")
    for _ in range(limits.INVITATIONS_OF_ONE_CALLER + 1):
        invite(alice)
    world.run_for(1.0)
    assert received(bob) == ["INVITATION_RECEIVED"] * limits.INVITATIONS_OF_ONE_CALLER
    assert bob.core.invitations.ignored > 0


@pytest.mark.parametrize("field", ["callee", "content", "channel_id"])
def test_arguments_at_their_limits(world: Scenario, field: str) -> None:
    alice, bob = world.login("alice", "bob")
    most = {"callee": 64, "content": limits.INVITATION_CONTENT_BYTES, "channel_id": 64}[field]
    fits = OutgoingInvitation("bob")
    setattr(fits, field, "x" * most)
    assert do_send(alice, fits).ok
    over = OutgoingInvitation("bob")
    setattr(over, field, "x" * (most + 1))
    refused = do_send(alice, over)
    assert isinstance(refused.error, InvalidArgument)
    assert refused.error.code is InvitationApiCallError.INVALID_ARGUMENT
    setattr(over, field, "bob")
    assert do_send(alice, over).ok  # it was not used up
    world.run_for(1.0)
    assert "INVITATION_RECEIVED" in received(bob)


@pytest.mark.parametrize("answer", ["accept", "refuse"])
@pytest.mark.parametrize("text", ["x", "\x01", "\N{GREEK SMALL LETTER PI}"])
def test_responses_at_their_limits(world: Scenario, answer: str, text: str) -> None:
    alice, bob = world.login("alice", "bob")
    call = invite(alice, content=text * (limits.INVITATION_CONTENT_BYTES // len(text.encode())))
    world.run_for(1.0)
    longest = text * (limits.INVITATION_RESPONSE_BYTES // len(text.encode()))
    refused = do(bob, answer, rung(bob), longest + text)
    assert refused.error.code is InvitationApiCallError.INVALID_ARGUMENT
    assert do(bob, answer, rung(bob), longest).ok
    world.run_for(1.0)
    assert call.response == longest


def test_calls_that_do_not_fit(world: Scenario) -> None:
    alice, bob = world.login("alice", "bob")
    early = do(alice, "cancel", OutgoingInvitation("bob"))
    assert early.error.code is InvitationApiCallError.NOT_STARTED
    call = invite(alice)
    assert do_send(alice, call).error.code is InvitationApiCallError.ALREADY_SENT
    world.run_for(1.0)
    do(bob, "accept", rung(bob))
    for again in ("accept", "refuse"):
        assert do(bob, again, rung(bob)).error.code is InvitationApiCallError.ALREADY_ACCEPT
    world.run_for(1.0)
    assert do(bob, "accept", rung(bob)).error.code is InvitationApiCallError.ALREADY_ACCEPT
    assert do_send(alice, call).error.code is InvitationApiCallError.ALREADY_END
    other = invite(alice)
    world.run_for(1.0)
    do(alice, "cancel", other)
    assert do(alice, "cancel", other).error.code is InvitationApiCallError.ALREADY_END
    world.run_for(1.0)
    assert do(bob, "accept", rung(bob)).error.code is InvitationApiCallError.ALREADY_END


# --- Waiting --------------------------------------------------------------------------------------------------------


def wait(client: ClientHost, invitation: Invitation, timeout: float = 100.0) -> Any:
    return client.call("invitations.wait", invitation, timeout=timeout)


def test_waiting_for_the_outcome_on_both_sides(world: Scenario) -> None:
    alice, bob = world.login("alice", "bob")
    call = invite(alice)
    first = wait(alice, call)
    world.run_for(1.0)
    second = wait(bob, rung(bob))
    short = wait(alice, call, timeout=0.5)
    world.run_for(1.0)
    assert isinstance(short.error, RequestTimeout)
    assert first.done is None
    do(bob, "accept", rung(bob))
    world.run_for(1.0)
    assert (first.value, second.value) == (
        LocalInvitationState.ACCEPTED_BY_REMOTE,
        RemoteInvitationState.ACCEPTED,
    )
    at_once = alice.core.invitations.wait(call, timeout=1.0, now=world.now)
    assert (at_once.done, at_once.value) == (True, LocalInvitationState.ACCEPTED_BY_REMOTE)


def test_waiting_for_a_failure_and_taking_a_wait_back(world: Scenario) -> None:
    (alice,) = world.login("alice")
    assert wait(alice, OutgoingInvitation("bob")).error.code is InvitationApiCallError.NOT_STARTED
    call = invite(alice)
    waits = wait(alice, call)
    ticket = alice.core.invitations.wait(call, timeout=100.0, now=world.now)
    assert alice.core.cancel(ticket, world.now)
    assert not alice.core.cancel(ticket, world.now)
    world.run_for(31.0)
    assert isinstance(waits.error, InvitationFailed)
    assert waits.error.code is OFFLINE
    assert "The callee was offline for 30 s." in str(waits.error)
    assert not ticket.done


# --- Strangers ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b'{"signal": "accept", "id": "nobody-1"}',
        b'{"signal": "confirm", "id": "nobody-1"}',
        b'{"signal": "invite", "id": "old", "age": 60000}',
        b'{"signal": "invite", "id": "' + b"x" * 65 + b'"}',
    ],
)
def test_signals_that_mean_nothing_are_not_seen(world: Scenario, body: bytes) -> None:
    mallory, bob = world.login("mallory", "bob")
    packets = mallory.core._requests
    from rtmcore.client.requests import SEND_PEER
    from rtmcore.wire.packets import SendPeer

    packet = SendPeer(packets.next_id(), "bob", INVITATION, body)
    mallory.core.request(SEND_PEER, packet, 2000, 10.0, world.now)
    mallory.turn()
    world.run_for(2.0)
    assert bob.life.messages == []
    assert received(bob) == []
    assert mallory.call("send_peer", "bob", MessageType.TEXT, b"hello") is not None
    world.run_for(2.0)
    assert [message.body for message in bob.life.messages] == [b"hello"]


def test_a_stranger_cannot_speak_for_the_callee(world: Scenario) -> None:
    alice, bob, mallory = world.login("alice", "bob", "mallory")
    call = invite(alice)
    world.run_for(1.0)
    forged = IncomingInvitation("alice", call.id, expires_at=world.now + 60)
    forged.state = RemoteInvitationState.INVITATION_RECEIVED
    do(mallory, "accept", forged)
    world.run_for(1.0)
    assert call.state is LocalInvitationState.RECEIVED_BY_REMOTE
    assert received(bob) == ["INVITATION_RECEIVED"]
