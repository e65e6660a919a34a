"""The exception tree: what is caught by what, which code becomes which class, and that nothing gets lost."""

import copy
import enum
import inspect
import pathlib
import pickle
import subprocess
import sys

import pytest

from rtmcore import codes, errors
from rtmcore.codes import (
    AttributeOperationError,
    CancelMediaError,
    ChannelMemberCountError,
    CloseCode,
    ConnectionChangeReason,
    CreateChannelError,
    DownloadMediaError,
    GetMembersError,
    InitError,
    InvitationApiCallError,
    JoinChannelError,
    LeaveChannelError,
    LocalInvitationError,
    LoginError,
    LogoutError,
    PeerSubscriptionStatusError,
    QueryPeersBySubscriptionOptionError,
    QueryPeersOnlineError,
    RemoteInvitationError,
    RenewTokenError,
    RoomErrorCode,
    SendChannelMessageError,
    SendPeerMessageError,
    ServiceContextError,
    UploadMediaError,
)
from rtmcore.errors import RtmError, error_class, error_for


def classes(base=RtmError):
    """The base and everything below it in its module; the kinds that other layers add are tested there."""
    found = {base: None}
    for kind in base.__subclasses__():
        if kind.__module__ == base.__module__:
            found.update(dict.fromkeys(classes(kind)))
    return list(found)


FAMILIES = [kind for name, kind in vars(codes).items() if name.endswith(("Error", "RoomErrorCode"))]
ERROR_CODES = [code for kind in FAMILIES for code in kind]
RESULTS = [code for code in ERROR_CODES if code.name in ("OK", "CACHED_BY_SERVER")]
FAILURES = [code for code in ERROR_CODES if code.name not in ("OK", "CACHED_BY_SERVER")]

EVERY_CLASS = pytest.mark.parametrize("kind", classes(), ids=lambda kind: kind.__name__)


def full(kind):
    """An instance that has a value in every argument that its class takes."""
    values = {
        "code": JoinChannelError.TOO_OFTEN,
        "operation": "join",
        "state": "RECONNECTING",
        "request_id": 17,
        "retry_after": 0.75,
        "hint": "Wait a little.",
        "outcome_unknown": True,
        "close_code": CloseCode.MALFORMED,
        "reason": ConnectionChangeReason.REMOTE_LOGIN,
    }
    accepted = [name for name in inspect.signature(kind).parameters if name != "message"]
    assert {"code", "operation", "state", "request_id", "retry_after", "hint"} <= set(accepted)
    return kind("It went wrong.", **{name: values[name] for name in accepted})


def assert_same(one, other):
    assert type(other) is type(one)
    assert other.args == one.args == ("It went wrong.",)
    assert vars(other) == vars(one)
    assert other.code is one.code
    assert str(other) == str(one)


# --- The tree ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "bases"),
    [
        ("RtmError", [Exception]),
        ("NotLoggedIn", [RtmError, RuntimeError]),
        ("ClientClosed", [RtmError, RuntimeError]),
        ("InvalidArgument", [RtmError, ValueError]),
        ("LimitExceeded", [RtmError]),
        ("RateLimited", [RtmError]),
        ("RequestTimeout", [RtmError, TimeoutError]),
        ("OutcomeUnknown", [RtmError]),
        ("ConnectionFailed", [RtmError, ConnectionError]),
        ("TlsError", [errors.ConnectionFailed]),
        ("ProxyError", [errors.ConnectionFailed]),
        ("NameResolutionError", [errors.ConnectionFailed]),
        ("ProtocolError", [RtmError]),
        ("LocalProtocolError", [errors.ProtocolError]),
        ("RemoteProtocolError", [errors.ProtocolError]),
        ("AuthError", [RtmError]),
        ("InvalidAppId", [errors.AuthError]),
        ("InvalidToken", [errors.AuthError]),
        ("TokenExpired", [errors.AuthError]),
        ("NotAuthorized", [errors.AuthError]),
        ("Rejected", [errors.AuthError]),
        ("Banned", [errors.Rejected]),
        ("StateError", [RtmError]),
        ("AlreadyLoggedIn", [errors.StateError]),
        ("AlreadyJoined", [errors.StateError]),
        ("NotInChannel", [errors.StateError]),
        ("InvitationNotStarted", [errors.StateError]),
        ("InvitationAlreadyEnded", [errors.StateError]),
        ("InvitationAlreadyAccepted", [errors.StateError]),
        ("InvitationAlreadySent", [errors.StateError]),
        ("PeerUnreachable", [RtmError]),
        ("UserNotFound", [RtmError]),
        ("InvitationFailed", [RtmError]),
        ("Aborted", [RtmError]),
        ("TransferCancelled", [RtmError]),
        ("TransferFailed", [RtmError]),
        ("ServerFailure", [RtmError]),
        ("WouldDeadlock", [RtmError, RuntimeError]),
        ("ForkedClient", [RtmError, RuntimeError]),
    ],
)
def test_each_class_is_caught_by_its_bases(name, bases):
    assert list(getattr(errors, name).__bases__) == bases


def test_the_table_above_is_complete():
    table = test_each_class_is_caught_by_its_bases.pytestmark[0].args[1]
    assert {name for name, _ in table} == {kind.__name__ for kind in classes()}


@EVERY_CLASS
def test_every_class_says_when_it_is_raised(kind):
    assert "__doc__" in vars(kind)
    assert kind.__doc__.partition("\n")[0].endswith(".")


@EVERY_CLASS
def test_a_message_is_enough_and_everything_else_is_a_keyword(kind):
    error = kind("Something happened.")
    assert error.message == "Something happened."
    assert (error.code, error.operation, error.state, error.request_id, error.retry_after) == (None,) * 5
    assert str(error).startswith("Something happened.")
    assert kind().args == ("",)
    with pytest.raises(TypeError):
        kind("Something happened.", JoinChannelError.FAILURE)


# --- Nothing gets lost ------------------------------------------------------------------------------------------


@EVERY_CLASS
@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_errors_survive_pickling(kind, protocol):
    error = full(kind)
    assert_same(error, pickle.loads(pickle.dumps(error, protocol)))


@EVERY_CLASS
@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy])
def test_errors_survive_copying(kind, duplicate):
    error = full(kind)
    assert_same(error, duplicate(error))


def test_errors_survive_the_way_out_of_another_process():
    script = "import pickle, sys; from tests.core.test_errors import *; "
    script += "sys.stdout.buffer.write(pickle.dumps(full(errors.RequestTimeout)))"
    root = pathlib.Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=root, stdout=subprocess.PIPE, check=True, timeout=60
    )
    assert_same(full(errors.RequestTimeout), pickle.loads(done.stdout))


def test_an_error_reads_as_what_happened_where_and_what_to_do():
    error = error_for(
        JoinChannelError.TOO_OFTEN,
        "Joined more than 50 channels in 3 s.",
        operation="join",
        state="CONNECTED",
        retry_after=1.25,
    )
    assert str(error) == (
        "Joined more than 50 channels in 3 s. "
        "(in join, state CONNECTED, code 7 JoinChannelError.TOO_OFTEN, retry after 1.25 s)"
    )
    error = error_for(
        SendPeerMessageError.NOT_LOGGED_IN,
        "The client is not logged in.",
        operation="send_peer",
        state="DISCONNECTED",
    )
    assert str(error) == (
        "The client is not logged in. "
        "(in send_peer, state DISCONNECTED, code 102 SendPeerMessageError.NOT_LOGGED_IN) "
        "Call login() and wait for it to succeed first."
    )
    assert str(RtmError()) == "RtmError"


def test_a_hint_of_ones_own_replaces_that_of_the_class():
    assert errors.NotLoggedIn("No.").hint == errors.NotLoggedIn.default_hint
    assert str(errors.NotLoggedIn("No.", hint="Leave the room.")) == "No. Leave the room."
    assert str(errors.NotLoggedIn("No.", hint="")) == "No."


# --- Codes ------------------------------------------------------------------------------------------------------

#: Typed from the documented table: class, then the codes that it carries.
CARRIED = {
    "NotLoggedIn": [
        LogoutError(102), RenewTokenError(102), SendPeerMessageError(102), SendChannelMessageError(102),
        JoinChannelError(102), LeaveChannelError(102), GetMembersError(102), ChannelMemberCountError(102),
        AttributeOperationError(102), QueryPeersOnlineError(102), PeerSubscriptionStatusError(102),
        QueryPeersBySubscriptionOptionError(102), UploadMediaError(102), DownloadMediaError(102),
        CancelMediaError(102),
    ],
    "ClientClosed": [
        LoginError(101), LogoutError(101), RenewTokenError(101), SendPeerMessageError(101),
        SendChannelMessageError(101), CreateChannelError(101), JoinChannelError(101), LeaveChannelError(101),
        GetMembersError(101), ChannelMemberCountError(101), AttributeOperationError(101), QueryPeersOnlineError(101),
        PeerSubscriptionStatusError(101), QueryPeersBySubscriptionOptionError(101), UploadMediaError(101),
        DownloadMediaError(101), CancelMediaError(101),
    ],
    "InvalidArgument": [
        InitError(4), LoginError(3), RenewTokenError(2), SendPeerMessageError(6), SendPeerMessageError(7),
        SendPeerMessageError(8), SendChannelMessageError(4), CreateChannelError(1), JoinChannelError(3),
        ChannelMemberCountError(2), AttributeOperationError(3), QueryPeersOnlineError(2),
        PeerSubscriptionStatusError(2), InvitationApiCallError(1), UploadMediaError(2), DownloadMediaError(2),
    ],
    "LimitExceeded": [
        JoinChannelError(5), PeerSubscriptionStatusError(6), AttributeOperationError(4), ChannelMemberCountError(5),
        UploadMediaError(4), UploadMediaError(5), DownloadMediaError(5),
    ],
    "RateLimited": [
        LoginError(10), RenewTokenError(4), SendPeerMessageError(5), SendChannelMessageError(3), JoinChannelError(7),
        JoinChannelError(8), GetMembersError(4), ChannelMemberCountError(3), AttributeOperationError(5),
        QueryPeersOnlineError(5), PeerSubscriptionStatusError(5), QueryPeersBySubscriptionOptionError(3),
    ],
    "RequestTimeout": [
        LoginError(9), SendPeerMessageError(2), SendChannelMessageError(2), JoinChannelError(4), GetMembersError(3),
        ChannelMemberCountError(4), AttributeOperationError(7), QueryPeersOnlineError(4),
        PeerSubscriptionStatusError(4), QueryPeersBySubscriptionOptionError(2), UploadMediaError(3),
        DownloadMediaError(3),
    ],
    "ConnectionFailed": [InitError(1)],
    "InvalidAppId": [InitError(3), LoginError(4)],
    "InvalidToken": [LoginError(5), RenewTokenError(6)],
    "TokenExpired": [LoginError(6), RenewTokenError(5)],
    "NotAuthorized": [LoginError(7)],
    "Rejected": [
        LoginError(2), LogoutError(1), RenewTokenError(3), JoinChannelError(2), LeaveChannelError(2),
        GetMembersError(2), QueryPeersOnlineError(3), PeerSubscriptionStatusError(3),
    ],
    "StateError": [
        ServiceContextError(1), InitError(2), LoginError(201), RenewTokenError(201), JoinChannelError(201),
    ],
    "AlreadyLoggedIn": [LoginError(8)],
    "AlreadyJoined": [JoinChannelError(6), JoinChannelError(202)],
    "NotInChannel": [SendChannelMessageError(5), LeaveChannelError(3), LeaveChannelError(4), GetMembersError(5)],
    "InvitationNotStarted": [InvitationApiCallError(2)],
    "InvitationAlreadyEnded": [InvitationApiCallError(3)],
    "InvitationAlreadyAccepted": [InvitationApiCallError(4)],
    "InvitationAlreadySent": [InvitationApiCallError(5)],
    "PeerUnreachable": [SendPeerMessageError(3)],
    "UserNotFound": [AttributeOperationError(6)],
    "InvitationFailed": [
        LocalInvitationError(1), LocalInvitationError(2), LocalInvitationError(3), LocalInvitationError(4),
        RemoteInvitationError(1), RemoteInvitationError(2), RemoteInvitationError(3),
    ],
    "TransferFailed": [
        UploadMediaError(1), DownloadMediaError(1), DownloadMediaError(4), CancelMediaError(1), CancelMediaError(2),
    ],
    "TransferCancelled": [UploadMediaError(6), DownloadMediaError(6)],
    "ServerFailure": [
        LoginError(1), RenewTokenError(1), SendPeerMessageError(1), SendChannelMessageError(1),
        JoinChannelError(1), LeaveChannelError(1), GetMembersError(1), ChannelMemberCountError(1),
        AttributeOperationError(1), AttributeOperationError(2), QueryPeersOnlineError(1),
        PeerSubscriptionStatusError(1), QueryPeersBySubscriptionOptionError(1),
    ],
}  # fmt: skip


def test_the_families_of_error_codes_are_complete():
    assert set(errors.ERROR_FAMILIES) == set(FAMILIES)
    assert len(errors.ERROR_FAMILIES) == len(FAMILIES)


def show(value):
    return f"{type(value).__name__}.{value.name}" if isinstance(value, enum.Enum) else str(value)


@pytest.mark.parametrize(
    ("code", "name"), [(code, name) for name, carried in CARRIED.items() for code in carried], ids=show
)
def test_each_rtm_code_becomes_the_documented_class(code, name):
    assert error_class(code) is getattr(errors, name)


def test_the_table_above_names_every_rtm_code_once():
    named = [show(code) for carried in CARRIED.values() for code in carried]
    assert sorted(named) == sorted(show(code) for code in FAILURES if not isinstance(code, RoomErrorCode))


@pytest.mark.parametrize(
    ("code", "name"),
    [
        (20101, "InvalidToken"),
        (20104, "TokenExpired"),
        (20106, "NotAuthorized"),
        (53000, "ConnectionFailed"),
        (53001, "ConnectionFailed"),
        (53002, "ConnectionFailed"),
        (53003, "RemoteProtocolError"),
        (53004, "LocalProtocolError"),
        (53006, "ServerFailure"),
        (53105, "LimitExceeded"),
        (53118, "StateError"),
        (53201, "InvalidArgument"),
        (53204, "UserNotFound"),
        (53205, "Aborted"),
        (53405, "ConnectionFailed"),
        (53407, "TlsError"),
    ],
)
def test_room_codes_become_classes_by_what_the_caller_can_do(code, name):
    assert error_class(RoomErrorCode(code)) is getattr(errors, name)


@pytest.mark.parametrize("code", FAILURES, ids=show)
def test_every_error_code_becomes_an_exception_that_carries_it(code):
    error = error_for(
        code, "It went wrong.", operation="call", state="CONNECTED", retry_after=2.0, request_id=9
    )
    assert type(error) is error_class(code)
    assert error.code is code
    assert (error.message, error.operation, error.state) == ("It went wrong.", "call", "CONNECTED")
    assert (error.retry_after, error.request_id) == (2.0, 9)


@pytest.mark.parametrize(
    "code",
    [
        *RESULTS,
        CloseCode.TOKEN_EXPIRED,
        ConnectionChangeReason.TOKEN_EXPIRED,
        codes.LocalInvitationState.FAILURE,
    ],
    ids=show,
)
def test_what_is_no_error_code_becomes_no_exception(code):
    with pytest.raises(ValueError, match=code.name):
        error_for(code, "It went well.", operation="call")


def test_classes_without_a_code_are_raised_for_other_causes():
    carrying = {error_class(code) for code in FAILURES}
    assert {kind.__name__ for kind in set(classes()) - carrying} == {
        "RtmError",
        "AuthError",
        "Banned",  # by the client, which knows that code 2 came with a ban
        "ForkedClient",
        "NameResolutionError",
        "OutcomeUnknown",
        "ProtocolError",
        "ProxyError",
        "WouldDeadlock",
    }


@pytest.mark.parametrize(
    ("code", "unknown"),
    [
        (SendPeerMessageError.TIMEOUT, True),
        (SendChannelMessageError.TIMEOUT, True),
        (JoinChannelError.TIMEOUT, True),
        (AttributeOperationError.TIMEOUT, True),
        (PeerSubscriptionStatusError.TIMEOUT, True),
        (UploadMediaError.TIMEOUT, True),
        (LoginError.TIMEOUT, False),
        (GetMembersError.TIMEOUT, False),
        (ChannelMemberCountError.TIMEOUT, False),
        (QueryPeersOnlineError.TIMEOUT, False),
        (DownloadMediaError.TIMEOUT, False),
    ],
    ids=show,
)
def test_a_timeout_says_whether_the_request_may_have_been_carried_out(code, unknown):
    assert error_for(code, "No answer.", operation="call").outcome_unknown is unknown
    for known in (True, False):
        assert error_for(code, "No answer.", operation="call", outcome_unknown=known).outcome_unknown is known
