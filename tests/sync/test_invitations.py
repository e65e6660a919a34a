"""Call invitations between real clients: the sequences of seed 004, events, waiting, misuse and outages."""

from concurrent.futures import CancelledError

import pytest

import rtmsync
from rtmsync import (
    InvitationApiCallError,
    LocalInvitationAccepted,
    LocalInvitationCanceled,
    LocalInvitationError,
    LocalInvitationFailure,
    LocalInvitationReceivedByPeer,
    LocalInvitationRefused,
    LocalInvitationState,
    RemoteInvitation,
    RemoteInvitationAccepted,
    RemoteInvitationCanceled,
    RemoteInvitationError,
    RemoteInvitationFailure,
    RemoteInvitationReceived,
    RemoteInvitationRefused,
    RemoteInvitationState,
)
from rtmsync.testing import FaultProxy
from tests.sync.conftest import Connect
from tests.sync.test_messages import eventually


def ring(feed: "rtmsync.Subscription[RemoteInvitationReceived]") -> RemoteInvitation:
    event = feed.get()
    assert isinstance(event, RemoteInvitationReceived)
    return event.invitation


# --- The three sequences of the seed -------------------------------------------------------------------------------


def test_canceling_a_sent_invitation(connect: Connect, name: str) -> None:
    alice, bob = connect(), connect(user=name)
    call = alice.invite(name, "lunch?", "room")
    with call.events() as told, bob.events(RemoteInvitationReceived) as rings:
        assert call.state is LocalInvitationState.IDLE
        assert (call.callee, call.content, call.channel_id) == (name, "lunch?", "room")
        assert call.send() is call
        assert told.get() == LocalInvitationReceivedByPeer(call)
        invited = ring(rings)
        assert (invited.caller, invited.content, invited.channel_id) == (alice.user_id, "lunch?", "room")
        with invited.events() as heard:
            call.cancel("never mind")
            assert told.get() == LocalInvitationCanceled(call)
            assert call.state is LocalInvitationState.CANCELED
            assert heard.get() == RemoteInvitationCanceled(invited, "never mind")
        assert invited.wait() is RemoteInvitationState.CANCELED
        assert list(told) == []  # a queue of its own ends with it
    assert call.wait() is LocalInvitationState.CANCELED


def test_accepting_a_received_invitation(connect: Connect, name: str) -> None:
    alice, bob = connect(), connect(user=name)
    ends: list[object] = []

    @bob.on(RemoteInvitationReceived)
    def answer(event: RemoteInvitationReceived) -> None:
        event.invitation.accept("with pleasure")
        ends.append(event.invitation.wait())

    with bob.events(RemoteInvitationAccepted) as accepted, alice.events(LocalInvitationAccepted) as told:
        call = alice.invite(name).send()
        assert call.wait() is LocalInvitationState.ACCEPTED_BY_REMOTE
        assert call.response == "with pleasure"
        assert told.get() == LocalInvitationAccepted(call, "with pleasure")
        event = accepted.get()
    assert isinstance(event, RemoteInvitationAccepted)
    assert event.invitation.state is RemoteInvitationState.ACCEPTED
    eventually(lambda: ends == [RemoteInvitationState.ACCEPTED])


def test_declining_a_received_invitation(connect: Connect, name: str) -> None:
    alice, bob = connect(), connect(user=name)
    with bob.events(RemoteInvitationReceived, RemoteInvitationRefused) as heard:
        call = alice.invite(name)
        with call.events(LocalInvitationRefused) as told:
            call.send()
            invited = heard.get()
            assert isinstance(invited, RemoteInvitationReceived)
            invited.invitation.refuse("busy")
            assert told.get() == LocalInvitationRefused(call, "busy")
        assert heard.get() == RemoteInvitationRefused(invited.invitation)
    assert call.wait() is LocalInvitationState.REFUSED_BY_REMOTE


# --- What else users see -------------------------------------------------------------------------------------------


def test_an_invitation_waits_for_the_first_subscription(connect: Connect, name: str) -> None:
    alice, bob = connect(), connect(user=name)
    call = alice.invite(name)
    with call.events(LocalInvitationReceivedByPeer) as told:
        call.send()
        told.get()
    with bob.events(RemoteInvitationReceived) as rings:
        assert ring(rings).caller == alice.user_id


def test_a_caller_without_a_login_hears_of_it_as_an_event(make: Connect) -> None:
    alice = make()
    heard: list[object] = []
    call = alice.invite("bob")
    call.on(LocalInvitationFailure, heard.append)
    call.send()
    assert (call.state, call.error) == (LocalInvitationState.FAILURE, LocalInvitationError.NOT_LOGGED_IN)
    eventually(lambda: heard == [LocalInvitationFailure(call, LocalInvitationError.NOT_LOGGED_IN)])
    with pytest.raises(rtmsync.InvitationFailed) as caught:
        call.wait()
    assert caught.value.code is LocalInvitationError.NOT_LOGGED_IN


def test_logging_out_ends_both_sides(connect: Connect, name: str) -> None:
    alice, bob = connect(), connect(user=name)
    with bob.events(RemoteInvitationReceived, RemoteInvitationFailure) as heard:
        first, second = alice.invite(name).send(), alice.invite(name).send()
        one, two = heard.get(), heard.get()
        assert isinstance(one, RemoteInvitationReceived)
        assert isinstance(two, RemoteInvitationReceived)
        waiting = first.wait_future()
        alice.logout()
        assert first.error is second.error is LocalInvitationError.NOT_LOGGED_IN
        assert isinstance(waiting.exception(30), rtmsync.InvitationFailed)
        one.invitation.accept()
        assert heard.get() == RemoteInvitationFailure(one.invitation, RemoteInvitationError.PEER_OFFLINE)
        bob.logout()
        assert heard.get() == RemoteInvitationFailure(two.invitation, RemoteInvitationError.PEER_OFFLINE)
        assert two.invitation.error is RemoteInvitationError.PEER_OFFLINE


def test_waiting_takes_no_longer_than_told(connect: Connect, name: str) -> None:
    alice, _ = connect(), connect(user=name)
    call = alice.invite(name).send()
    with pytest.raises(rtmsync.RequestTimeout):
        call.wait(timeout=0.2)
    waiting = call.wait_future()
    assert waiting.cancel()
    with pytest.raises(CancelledError):
        waiting.result(30)
    call.cancel()
    assert call.wait_future().result(30) is LocalInvitationState.CANCELED


def test_misuse_has_its_own_errors(connect: Connect, name: str) -> None:
    alice, bob = connect(), connect(user=name)
    call = alice.invite(name)
    with pytest.raises(rtmsync.InvitationNotStarted):
        call.cancel()
    with pytest.raises(rtmsync.InvitationNotStarted):
        call.wait()
    with bob.events(RemoteInvitationReceived) as rings:
        call.send()
        invited = ring(rings)
    with pytest.raises(rtmsync.InvitationAlreadySent):
        call.send()
    with pytest.raises(rtmsync.InvalidArgument) as caught:
        invited.accept("x" * 8193)
    assert caught.value.code is InvitationApiCallError.INVALID_ARGUMENT
    invited.accept("x" * 8192)
    call.wait()
    with pytest.raises(rtmsync.InvitationAlreadyAccepted):
        call.cancel()
    with pytest.raises(rtmsync.InvitationAlreadyAccepted):
        invited.refuse()
    with pytest.raises(rtmsync.InvitationAlreadyEnded):
        call.send()
    for wrong in (alice.invite("no\nname"), alice.invite(name, "x" * 8193), alice.invite(name, "", "x" * 65)):
        with pytest.raises(rtmsync.InvalidArgument):
            wrong.send()
    alice.close()
    with pytest.raises(rtmsync.ClientClosed):
        alice.invite(name).send()


def test_a_call_outlasts_a_cut_on_both_sides(
    connect: Connect, proxy: FaultProxy, proxied: str, name: str
) -> None:
    alice, bob = connect(url=proxied), connect(user=name, url=proxied)
    with bob.events(RemoteInvitationReceived) as rings:
        call = alice.invite(name).send()
        invited = ring(rings)
    proxy.cut()
    invited.accept("still here")
    proxy.cut()
    assert call.wait() is LocalInvitationState.ACCEPTED_BY_REMOTE
    assert invited.wait() is RemoteInvitationState.ACCEPTED


def test_events_of_one_invitation_and_of_all(connect: Connect, name: str) -> None:
    alice, _ = connect(), connect(user=name)
    first, second = alice.invite(name), alice.invite(name)
    with alice.events(LocalInvitationReceivedByPeer) as everything, first.events() as own:
        second.send()
        first.send()
        assert own.get() == LocalInvitationReceivedByPeer(first)
        assert [everything.get(), everything.get()] == [
            LocalInvitationReceivedByPeer(second),
            LocalInvitationReceivedByPeer(first),
        ]
    assert repr(first) == f"<LocalInvitation to {name!r}, RECEIVED_BY_REMOTE>"
    assert "lunch" not in repr(alice.invite(name, "lunch"))
