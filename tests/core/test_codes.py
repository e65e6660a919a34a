"""The numbers of every enumeration, against tables typed from the documented pages."""

import enum
import itertools
import pickle
import re

import pytest

from rtmcore import codes
from rtmcore.codes import CloseCode, RoomErrorCode

#: Enumerations that name every member by a number; aliases stand behind the same number.
DOCUMENTED = {
    "ConnectionState": "1 DISCONNECTED, 2 CONNECTING, 3 CONNECTED, 4 RECONNECTING, 5 ABORTED",
    "ConnectionChangeReason": """1 LOGIN, 2 LOGIN_SUCCESS, 3 LOGIN_FAILURE, 4 LOGIN_TIMEOUT, 5 INTERRUPTED, 6 LOGOUT,
        7 BANNED_BY_SERVER, 8 REMOTE_LOGIN, 9 TOKEN_EXPIRED""",
    "MessageType": "0 UNDEFINED, 1 TEXT, 2 RAW, 3 FILE, 4 IMAGE",
    "PeerSubscriptionOption": "0 ONLINE_STATUS",
    "PeerOnlineState": "0 ONLINE, 1 UNREACHABLE, 2 OFFLINE",
    "LocalInvitationState": """0 IDLE, 1 SENT_TO_REMOTE, 2 RECEIVED_BY_REMOTE, 3 ACCEPTED_BY_REMOTE,
        4 REFUSED_BY_REMOTE, 5 CANCELED, 6 FAILURE""",
    "RemoteInvitationState": """0 IDLE, 1 INVITATION_RECEIVED, 2 ACCEPT_SENT_TO_LOCAL, 3 REFUSED, 4 ACCEPTED,
        5 CANCELED, 6 FAILURE""",
    "LocalInvitationError": """0 OK, 1 PEER_OFFLINE, 1 REMOTE_OFFLINE, 2 PEER_NO_RESPONSE, 2 REMOTE_NO_RESPONSE,
        3 INVITATION_EXPIRE, 3 EXPIRE, 4 NOT_LOGGED_IN, 4 NOT_LOGGEDIN""",
    "RemoteInvitationError": """0 OK, 1 PEER_OFFLINE, 1 LOCAL_OFFLINE, 2 ACCEPT_FAILURE, 3 INVITATION_EXPIRE,
        3 EXPIRE""",
    "InvitationApiCallError": """0 OK, 1 INVALID_ARGUMENT, 1 INVALID_AUGMENT, 2 NOT_STARTED, 3 ALREADY_END,
        4 ALREADY_ACCEPT, 5 ALREADY_SENT""",
    "InitError": "0 OK, 1 FAILURE, 2 ALREADY_INITIALIZED, 3 INVALID_APP_ID, 4 INVALID_ARGUMENT",
    "LoginError": """0 OK, 1 UNKNOWN, 2 REJECTED, 3 INVALID_ARGUMENT, 4 INVALID_APP_ID, 5 INVALID_TOKEN,
        6 TOKEN_EXPIRED, 7 NOT_AUTHORIZED, 8 ALREADY_LOGIN, 8 ALREADY_LOGGED_IN, 9 TIMEOUT, 10 TOO_OFTEN,
        101 NOT_INITIALIZED, 201 ABORTED_BY_LOGOUT""",
    "LogoutError": "0 OK, 1 REJECTED, 101 NOT_INITIALIZED, 102 NOT_LOGGED_IN",
    "RenewTokenError": """0 OK, 1 FAILURE, 2 INVALID_ARGUMENT, 3 REJECTED, 4 TOO_OFTEN, 5 TOKEN_EXPIRED,
        6 INVALID_TOKEN, 101 NOT_INITIALIZED, 102 NOT_LOGGED_IN, 201 ABORTED_BY_LOGOUT""",
    "SendPeerMessageError": """0 OK, 1 FAILURE, 2 TIMEOUT, 2 SENT_TIMEOUT, 3 PEER_UNREACHABLE, 4 CACHED_BY_SERVER,
        5 TOO_OFTEN, 6 INVALID_USER_ID, 6 INVALID_USERID, 7 INVALID_MESSAGE, 8 INCOMPATIBLE_MESSAGE,
        8 IMCOMPATIBLE_MESSAGE, 101 NOT_INITIALIZED, 102 NOT_LOGGED_IN""",
    "SendChannelMessageError": """0 OK, 1 FAILURE, 2 TIMEOUT, 3 TOO_OFTEN, 4 INVALID_MESSAGE, 5 NOT_IN_CHANNEL,
        101 NOT_INITIALIZED, 102 NOT_LOGGED_IN""",
    "CreateChannelError": "0 OK, 1 INVALID_ARGUMENT, 101 NOT_INITIALIZED",
    "JoinChannelError": """0 OK, 1 FAILURE, 2 REJECTED, 3 INVALID_ARGUMENT, 4 TIMEOUT, 4 JOIN_CHANNEL_TIMEOUT,
        5 EXCEED_LIMIT, 6 ALREADY_JOINED, 7 TOO_OFTEN, 8 JOIN_SAME_CHANNEL_TOO_OFTEN, 101 NOT_INITIALIZED,
        102 NOT_LOGGED_IN, 201 ABORTED_BY_LEAVE, 202 ALREADY_JOINED_CHANNEL_OF_SAME_ID""",
    "LeaveChannelError": """0 OK, 1 FAILURE, 2 REJECTED, 3 NOT_IN_CHANNEL, 4 KICKED, 101 NOT_INITIALIZED,
        102 NOT_LOGGED_IN""",
    "LeaveChannelReason": "1 QUIT, 2 KICKED",
    "GetMembersError": """0 OK, 1 FAILURE, 2 REJECTED, 3 TIMEOUT, 4 TOO_OFTEN, 5 NOT_IN_CHANNEL,
        101 NOT_INITIALIZED, 102 NOT_LOGGED_IN""",
    "ChannelMemberCountError": """0 OK, 1 FAILURE, 2 INVALID_ARGUMENT, 3 TOO_OFTEN, 4 TIMEOUT, 5 EXCEED_LIMIT,
        101 NOT_INITIALIZED, 102 NOT_LOGGED_IN""",
    "AttributeOperationError": """0 OK, 1 NOT_READY, 2 FAILURE, 3 INVALID_ARGUMENT, 4 SIZE_OVERFLOW, 5 TOO_OFTEN,
        6 USER_NOT_FOUND, 7 TIMEOUT, 101 NOT_INITIALIZED, 102 NOT_LOGGED_IN""",
    "QueryPeersOnlineError": """0 OK, 1 FAILURE, 2 INVALID_ARGUMENT, 3 REJECTED, 4 TIMEOUT, 5 TOO_OFTEN,
        101 NOT_INITIALIZED, 102 NOT_LOGGED_IN""",
    "PeerSubscriptionStatusError": """0 OK, 1 FAILURE, 2 INVALID_ARGUMENT, 3 REJECTED, 4 TIMEOUT, 5 TOO_OFTEN,
        6 OVERFLOW, 101 NOT_INITIALIZED, 102 NOT_LOGGED_IN""",
    "QueryPeersBySubscriptionOptionError": """0 OK, 1 FAILURE, 2 TIMEOUT, 3 TOO_OFTEN, 101 NOT_INITIALIZED,
        102 NOT_LOGGED_IN""",
    "UploadMediaError": """0 OK, 1 FAILURE, 2 INVALID_ARGUMENT, 3 TIMEOUT, 4 SIZE_OVERFLOW,
        5 CONCURRENCY_LIMIT_EXCEEDED, 6 INTERRUPTED, 101 NOT_INITIALIZED, 102 NOT_LOGGED_IN""",
    "DownloadMediaError": """0 OK, 1 FAILURE, 2 INVALID_ARGUMENT, 3 TIMEOUT, 4 NOT_EXIST,
        5 CONCURRENCY_LIMIT_EXCEEDED, 6 INTERRUPTED, 101 NOT_INITIALIZED, 102 NOT_LOGGED_IN""",
    "CancelMediaError": "0 OK, 1 FAILURE, 2 NOT_EXIST, 101 NOT_INITIALIZED, 102 NOT_LOGGED_IN",
    "ServiceContextError": "0 OK, 1 FAILURE",
    "LogFilter": "0 OFF, 15 INFO, 14 WARN, 12 ERROR, 8 CRITICAL, 2063 MASK",
    "AreaCode": """1 CN, 2 NA, 4 EU, 8 AS, 16 JP, 32 IN, 64 OC, 128 SA, 256 AF, 512 KR, 4294967294 OVS,
        4294967295 GLOB""",
    "RtcConnectionState": "1 DISCONNECTED, 2 CONNECTING, 3 CONNECTED, 4 RECONNECTING, 5 FAILED",
    "RtcConnectionChangeReason": """0 CONNECTING, 1 JOIN_SUCCESS, 2 INTERRUPTED, 3 BANNED_BY_SERVER, 4 JOIN_FAILED,
        5 LEAVE_CHANNEL, 6 INVALID_APP_ID, 7 INVALID_CHANNEL_NAME, 8 INVALID_TOKEN, 9 TOKEN_EXPIRED,
        10 REJECTED_BY_SERVER, 11 SETTING_PROXY_SERVER, 12 RENEW_TOKEN, 13 CLIENT_IP_ADDRESS_CHANGED,
        14 KEEP_ALIVE_TIMEOUT, 15 REJOIN_SUCCESS, 16 LOST, 17 ECHO_TEST, 18 CLIENT_IP_ADDRESS_CHANGED_BY_USER,
        19 SAME_UID_LOGIN, 20 TOO_MANY_BROADCASTERS""",
    "UserOfflineReason": "0 QUIT, 1 DROPPED, 2 BECOME_AUDIENCE",
    "CloseCode": """1000 NORMAL, 1001 GOING_AWAY, 1002 PROTOCOL_ERROR, 1003 UNSUPPORTED_DATA, 1007 INVALID_DATA, 1008
        POLICY, 1009 TOO_BIG, 1011 INTERNAL_ERROR, 4000 SHUTDOWN, 4002 ENGINE_UNAVAILABLE, 4003
        HEARTBEAT_TIMEOUT, 4004 SLOW_CONSUMER, 4005 RESYNC, 4006 TOO_MANY_REQUESTS, 4007 HELLO_TIMEOUT, 4010
        MALFORMED, 4011 TOO_LARGE, 4012 UNSUPPORTED, 4013 REPLACED, 4014 STALE_ATTEMPT, 4015 NO_SESSION,
        4500 REMOTE_LOGIN, 4501 BANNED, 4502 TOKEN_EXPIRED, 4503 LOGIN_REFUSED, 4504 LOGGED_OUT""",
}

STRINGS = {
    "RoomState": "connected reconnecting disconnected",
    "ParticipantState": "connected reconnecting disconnected",
    "PeerConnectionState": "new connecting connected disconnected failed closed",
    "IceTransportState": "new checking connected completed disconnected failed closed",
    "DtlsTransportState": "new connecting connected closed failed",
}

#: Room errors by the class names of the public catalogue.
ROOM_ERRORS = """
20101 AccessTokenInvalidError 20102 AccessTokenHeaderInvalidError 20103 AccessTokenIssuerInvalidError
20104 AccessTokenExpiredError 20105 AccessTokenNotYetValidError 20106 AccessTokenGrantsInvalidError
20107 AccessTokenSignatureInvalidError
53000 SignalingConnectionError 53001 SignalingConnectionDisconnectedError 53002 SignalingConnectionTimeoutError
53003 SignalingIncomingMessageInvalidError 53004 SignalingOutgoingMessageInvalidError 53006 SignalingServerBusyError
53100 RoomNameInvalidError 53101 RoomNameTooLongError 53102 RoomNameCharsInvalidError 53103 RoomCreateFailedError
53104 RoomConnectFailedError 53105 RoomMaxParticipantsExceededError 53106 RoomNotFoundError
53107 RoomMaxParticipantsOutOfRangeError 53108 RoomTypeInvalidError 53109 RoomTimeoutOutOfRangeError
53110 RoomStatusCallbackMethodInvalidError 53111 RoomStatusCallbackInvalidError 53112 RoomStatusInvalidError
53113 RoomRoomExistsError 53114 RoomInvalidParametersError 53115 RoomMediaRegionInvalidError
53116 RoomMediaRegionUnavailableError 53117 RoomSubscriptionOperationNotSupportedError 53118 RoomCompletedError
53124 RoomAudioOnlyFlagNotSupportedError 53125 RoomTrackKindNotSupportedError
53200 ParticipantIdentityInvalidError 53201 ParticipantIdentityTooLongError 53202 ParticipantIdentityCharsInvalidError
53203 ParticipantMaxTracksExceededError 53204 ParticipantNotFoundError 53205 ParticipantDuplicateIdentityError
53300 TrackInvalidError 53301 TrackNameInvalidError 53302 TrackNameTooLongError 53303 TrackNameCharsInvalidError
53304 TrackNameIsDuplicatedError 53305 TrackServerTrackCapacityReachedError
53400 MediaClientLocalDescFailedError 53401 MediaServerLocalDescFailedError 53402 MediaClientRemoteDescFailedError
53403 MediaServerRemoteDescFailedError 53404 MediaNoSupportedCodecError 53405 MediaConnectionError
53407 MediaDTLSTransportFailedError 53500 ConfigurationAcquireFailedError 53501 ConfigurationAcquireTurnFailedError
"""


def enumerations():
    """Every enumeration that the module defines, by name."""
    return {
        name: value
        for name, value in vars(codes).items()
        if isinstance(value, type) and issubclass(value, enum.Enum) and value.__module__ == codes.__name__
    }


def upper_case(camel_case):
    words = re.findall(r"[A-Z]+(?=[A-Z][a-z])|[A-Z][a-z]*", camel_case.removesuffix("Error"))
    return "_".join(words).upper()


def test_no_enumeration_is_missing_or_undocumented_here():
    assert set(enumerations()) == {*DOCUMENTED, *STRINGS, "RoomErrorCode"}


@pytest.mark.parametrize("name", DOCUMENTED)
def test_members_aliases_and_numbers_are_the_documented_ones(name):
    documented = [entry.split() for entry in DOCUMENTED[name].split(",")]
    members = getattr(codes, name).__members__
    assert {name: int(member) for name, member in members.items()} == {
        name: int(number) for number, name in documented
    }


@pytest.mark.parametrize("name", DOCUMENTED)
def test_the_first_documented_name_is_the_one_that_is_shown(name):
    shown = {}
    for number, member in (entry.split() for entry in DOCUMENTED[name].split(",")):
        shown.setdefault(int(number), member)
    kind = getattr(codes, name)
    assert {number: kind(number).name for number in shown} == shown


@pytest.mark.parametrize("name", STRINGS)
def test_string_states_are_the_documented_words(name):
    kind = getattr(codes, name)
    assert [member.value for member in kind] == STRINGS[name].split()
    assert all(member == member.value and member.name == member.value.upper() for member in kind)


def test_room_errors_are_the_documented_catalogue():
    numbers_and_classes = ROOM_ERRORS.split()
    documented = dict(
        zip(map(int, numbers_and_classes[::2]), map(upper_case, numbers_and_classes[1::2]), strict=True)
    )
    assert {int(code): code.name for code in RoomErrorCode} == documented
    assert len(RoomErrorCode.__members__) == len(documented)


@pytest.mark.parametrize("kind", [*enumerations().values()], ids=lambda kind: kind.__name__)
def test_every_enumeration_names_its_source_and_survives_pickling(kind):
    assert re.search(r"seeds? 00\d|C\+\+|Web|headers|RFC", kind.__doc__)
    for member in kind:
        assert pickle.loads(pickle.dumps(member)) is member


@pytest.mark.parametrize(
    ("reason", "returns"),
    [(code, code < 4500) for code in CloseCode],
    ids=lambda value: getattr(value, "name", value),
)
def test_close_codes_tell_by_their_range_whether_the_client_returns(reason, returns):
    stopping = {"REMOTE_LOGIN", "BANNED", "TOKEN_EXPIRED", "LOGIN_REFUSED", "LOGGED_OUT"}
    assert returns == (reason.name not in stopping)
    assert 1000 <= reason <= 1011 or 4000 <= reason <= 4999


def test_log_filters_let_through_what_is_more_severe():
    order = [codes.LogFilter.INFO, codes.LogFilter.WARN, codes.LogFilter.ERROR, codes.LogFilter.CRITICAL]
    for wider, narrower in itertools.pairwise(order):
        assert wider & narrower == narrower
        assert wider != narrower


def test_area_codes_combine():
    both = codes.AreaCode.EU | codes.AreaCode.JP
    assert codes.AreaCode.EU in both
    assert codes.AreaCode.CN not in both
    assert codes.AreaCode.CN not in codes.AreaCode.OVS
    assert both in codes.AreaCode.GLOB
