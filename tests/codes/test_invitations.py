"""Call invitations: what a wrong call raises, and how they fail. The documented times are shortened.

They are so where nothing but time is to pass any more: before, a busy machine may take what it needs.
"""

import pytest

import rtmsync
from rtmcore.client import invitations
from rtmcore.codes import InvitationApiCallError, LocalInvitationError, RemoteInvitationError
from rtmsync import LocalInvitationReceivedByPeer, RemoteInvitation, RemoteInvitationReceived
from rtmsync.testing import FaultProxy
from tests.sync.conftest import Connect
from tests.sync.test_messages import eventually

SOON = 1.5
LATER = 30.0


def ring(feed: "rtmsync.Subscription[RemoteInvitationReceived]") -> RemoteInvitation:
    event = feed.get()
    assert isinstance(event, RemoteInvitationReceived)
    return event.invitation


def failure(invitation: rtmsync.LocalInvitation | RemoteInvitation) -> object:
    """The code that an invitation has failed with, as its state and as the error of `wait`."""
    with pytest.raises(rtmsync.InvitationFailed) as caught:
        invitation.wait(LATER)
    assert caught.value.code is invitation.error
    return invitation.error


@pytest.mark.produces(
    InvitationApiCallError.NOT_STARTED,
    InvitationApiCallError.ALREADY_SENT,
    InvitationApiCallError.ALREADY_ACCEPT,
    InvitationApiCallError.ALREADY_END,
    InvitationApiCallError.INVALID_ARGUMENT,
)
def test_a_call_that_does_not_fit_the_state_of_an_invitation(connect: Connect, name: str) -> None:
    alice, bob = connect(), connect(user=name)
    call = alice.invite(name)
    with pytest.raises(rtmsync.InvitationNotStarted) as caught:
        call.cancel()
    assert caught.value.code is InvitationApiCallError.NOT_STARTED
    with bob.events(RemoteInvitationReceived) as rings:
        call.send()
        invited = ring(rings)
    with pytest.raises(rtmsync.InvitationAlreadySent) as sent:
        call.send()
    assert sent.value.code is InvitationApiCallError.ALREADY_SENT
    with pytest.raises(rtmsync.InvalidArgument) as invalid:
        invited.accept("x" * 8193)
    assert invalid.value.code is InvitationApiCallError.INVALID_ARGUMENT
    invited.accept()
    call.wait()
    with pytest.raises(rtmsync.InvitationAlreadyAccepted) as accepted:
        call.cancel()
    assert accepted.value.code is InvitationApiCallError.ALREADY_ACCEPT
    with pytest.raises(rtmsync.InvitationAlreadyEnded) as ended:
        call.send()
    assert ended.value.code is InvitationApiCallError.ALREADY_END


@pytest.mark.produces(LocalInvitationError.NOT_LOGGED_IN)
def test_a_caller_without_a_login(make: Connect) -> None:
    assert failure(make().invite("bob").send()) is LocalInvitationError.NOT_LOGGED_IN


@pytest.mark.produces(LocalInvitationError.PEER_OFFLINE)
def test_a_callee_that_stays_offline(connect: Connect, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """After 1.5 s in place of 30 it has failed."""
    call = connect().invite(name).send()
    eventually(lambda: call._invitation.callee_offline)
    monkeypatch.setattr(invitations, "INVITATION_ACKNOWLEDGE_TIMEOUT", SOON)
    assert failure(call) is LocalInvitationError.PEER_OFFLINE


@pytest.mark.produces(LocalInvitationError.PEER_NO_RESPONSE)
def test_a_callee_that_does_not_acknowledge(
    connect: Connect, monkeypatch: pytest.MonkeyPatch, proxy: FaultProxy, proxied: str, name: str
) -> None:
    """After 1.5 s in place of 30 it has failed."""
    monkeypatch.setattr(invitations, "INVITATION_ACKNOWLEDGE_TIMEOUT", SOON)
    alice, _ = connect(), connect(user=name, url=proxied)
    proxy.blackhole()
    assert failure(alice.invite(name).send()) is LocalInvitationError.PEER_NO_RESPONSE
    proxy.heal()


@pytest.mark.produces(LocalInvitationError.INVITATION_EXPIRE, RemoteInvitationError.INVITATION_EXPIRE)
def test_an_invitation_that_nobody_acts_on(
    connect: Connect, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """After 3 s in place of 60 it expires."""
    alice, bob = connect(), connect(user=name)
    with bob.events(RemoteInvitationReceived) as rings:
        call = alice.invite(name)
        with call.events(LocalInvitationReceivedByPeer) as told:
            call.send()
            told.get()
        invited = ring(rings)
    monkeypatch.setattr(invitations, "INVITATION_EXPIRE_AFTER", 3.0)
    assert failure(call) is LocalInvitationError.INVITATION_EXPIRE
    assert failure(invited) is RemoteInvitationError.INVITATION_EXPIRE


@pytest.mark.produces(RemoteInvitationError.ACCEPT_FAILURE)
def test_an_acceptance_that_the_caller_does_not_confirm(
    connect: Connect, monkeypatch: pytest.MonkeyPatch, proxy: FaultProxy, proxied: str, name: str
) -> None:
    """After 1.5 s in place of 30 it has failed."""
    monkeypatch.setattr(invitations, "INVITATION_ACCEPT_TIMEOUT", SOON)
    alice, bob = connect(url=proxied), connect(user=name)
    with bob.events(RemoteInvitationReceived) as rings:
        call = alice.invite(name)
        with call.events(LocalInvitationReceivedByPeer) as told:
            call.send()
            told.get()
        invited = ring(rings)
    proxy.blackhole()
    invited.accept()
    assert failure(invited) is RemoteInvitationError.ACCEPT_FAILURE
    proxy.heal()


@pytest.mark.produces(RemoteInvitationError.PEER_OFFLINE)
def test_a_caller_that_has_gone(connect: Connect, name: str) -> None:
    alice, bob = connect(), connect(user=name)
    with bob.events(RemoteInvitationReceived) as rings:
        alice.invite(name).send()
        invited = ring(rings)
    alice.logout()
    invited.accept()
    assert failure(invited) is RemoteInvitationError.PEER_OFFLINE
