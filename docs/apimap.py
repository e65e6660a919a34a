"""The tables of codes in docs/reference/api-map.md: what the documents call each member, and the test that shows it.

The rest of that page is written by hand; `tests/docs/test_map.py` checks both.
"""

from collections.abc import Iterator, Mapping
from enum import Enum, IntEnum
from pathlib import Path

import attrs

from rtmcore.codes import (
    AreaCode,
    AttributeOperationError,
    CancelMediaError,
    ChannelMemberCountError,
    CloseCode,
    ConnectionChangeReason,
    ConnectionState,
    CreateChannelError,
    DownloadMediaError,
    DtlsTransportState,
    GetMembersError,
    IceTransportState,
    InitError,
    InvitationApiCallError,
    JoinChannelError,
    LeaveChannelError,
    LeaveChannelReason,
    LocalInvitationError,
    LocalInvitationState,
    LogFilter,
    LoginError,
    LogoutError,
    MessageType,
    ParticipantState,
    PeerConnectionState,
    PeerOnlineState,
    PeerSubscriptionOption,
    PeerSubscriptionStatusError,
    QueryPeersBySubscriptionOptionError,
    QueryPeersOnlineError,
    RemoteInvitationError,
    RemoteInvitationState,
    RenewTokenError,
    RoomErrorCode,
    RoomState,
    RtcConnectionChangeReason,
    RtcConnectionState,
    SendChannelMessageError,
    SendPeerMessageError,
    ServiceContextError,
    UploadMediaError,
    UserOfflineReason,
)
from rtmcore.models import SendStatus
from rtmsync.publisher import PublishStatus
from tests.codes.registry import EXCUSED, name_of, producers
from tests.codes.registry import FAMILIES as PRODUCED

PAGE = Path(__file__).resolve().parent / "reference" / "api-map.md"
BEGIN = "<!-- Made from rtmcore/codes.py by docs/generate.py; do not edit from here. -->"
END = "<!-- End of what is made. -->"
NEVER = "not applicable: "


@attrs.frozen
class Family:
    """How the documents name the members of an enumeration.

    Attributes:
        kind: The enumeration.
        title: What the documents call it.
        objective_c: What stands before each member in Objective-C; empty where that has none of them.
        elsewhere: What stands before each member in C++ and on the Web; None where these are not named by members.
        named: Names in Objective-C that are formed otherwise, by member; empty for what is not there.
        also: Names elsewhere that are formed otherwise, by member.
    """

    kind: type[Enum]
    title: str
    objective_c: str = ""
    elsewhere: str | None = None
    named: Mapping[str, str] = attrs.field(factory=dict)
    also: Mapping[str, str] = attrs.field(factory=dict)

    def first_name(self, member: Enum) -> str:
        """The name in the first column."""
        if member.name in self.named:
            return self.named[member.name]
        return f"{self.objective_c}{camel(member.name)}" if self.objective_c else ""

    def other_name(self, member: Enum) -> str:
        """The name in the second column."""
        if member.name in self.also:
            return self.also[member.name]
        return "" if self.elsewhere is None else f"{self.elsewhere}{member.name}"


def camel(name: str) -> str:
    """`TOO_OFTEN` as `TooOften`."""
    return "".join(word.capitalize() for word in name.split("_"))


# --- How the documents name them --------------------------------------------------------------------------------

_STATUS = (
    Family(ConnectionState, "AgoraRtmConnectionState", "AgoraRtmConnectionState", ""),
    Family(
        ConnectionChangeReason,
        "AgoraRtmConnectionChangeReason",
        "AgoraRtmConnectionChangeReason",
        "",
        named={"TOKEN_EXPIRED": ""},
    ),
    Family(MessageType, "AgoraRtmMessageType", "AgoraRtmMessageType", "", named={"FILE": "", "IMAGE": ""}),
    Family(PeerSubscriptionOption, "AgoraRtmPeerSubscriptionOptions", "AgoraRtmPeerSubscription", ""),
    Family(PeerOnlineState, "AgoraPeerOnlineState", "AgoraRtmPeerOnlineState", ""),
    Family(LocalInvitationState, "AgoraRtmLocalInvitationState", "AgoraRtmLocalInvitationState", ""),
    Family(RemoteInvitationState, "AgoraRtmRemoteInvitationState", "AgoraRtmRemoteInvitationState", ""),
    Family(LeaveChannelReason, "LEAVE_CHANNEL_REASON (C++)", "", "LEAVE_CHANNEL_REASON_"),
    Family(
        LogFilter,
        "AgoraRtmLogFilter",
        "AgoraRtmLogFilter",
        "LOG_FILTER_",
        also={"WARN": "LOG_FILTER_WARNING", "CRITICAL": "", "MASK": ""},
    ),
    Family(
        AreaCode,
        "Area codes",
        "",
        "",
        also={
            "CN": "CHINA, CN",
            "NA": "NORTH_AMERICA, NA",
            "EU": "EUROPE, EU",
            "AS": "ASIA, AS",
            "JP": "JAPAN, JP",
            "IN": "INDIA, IN",
            "GLOB": "GLOBAL, GLOB",
        },
    ),
)

_ERRORS = (
    Family(ServiceContextError, "Results of setRtmServiceContext"),
    Family(
        InitError,
        "INIT_ERR (C++), CREATE_INSTANCE_ERR (Web)",
        "",
        "INIT_ERR_",
        also={"INVALID_ARGUMENT": "INIT_ERR_INVALID_ARGUMENT, CREATE_INSTANCE_ERR_INVALID_ARGUMENT"},
    ),
    Family(
        LoginError,
        "AgoraRtmLoginErrorCode",
        "AgoraRtmLoginError",
        "LOGIN_ERR_",
        named={
            "TOO_OFTEN": "AgoraRtmLoginErrorLoginTooOften",
            "NOT_INITIALIZED": "AgoraRtmLoginErrorLoginNotInitialized",
            "ABORTED_BY_LOGOUT": "",
        },
        also={"ALREADY_LOGIN": "LOGIN_ERR_ALREADY_LOGIN, LOGIN_ERR_ALREADY_LOGGED_IN"},
    ),
    Family(LogoutError, "AgoraRtmLogoutErrorCode", "AgoraRtmLogoutError", "LOGOUT_ERR_"),
    Family(
        RenewTokenError,
        "AgoraRtmRenewTokenErrorCode",
        "AgoraRtmRenewTokenError",
        "RENEW_TOKEN_ERR_",
        named={"ABORTED_BY_LOGOUT": ""},
    ),
    Family(
        SendPeerMessageError,
        "AgoraRtmSendPeerMessageErrorCode",
        "AgoraRtmSendPeerMessageError",
        "PEER_MESSAGE_ERR_",
        named={"INCOMPATIBLE_MESSAGE": ""},
        also={
            "TIMEOUT": "PEER_MESSAGE_ERR_TIMEOUT, PEER_MESSAGE_ERR_SENT_TIMEOUT",
            "INVALID_USER_ID": "PEER_MESSAGE_ERR_INVALID_USERID",
            "INCOMPATIBLE_MESSAGE": "PEER_MESSAGE_ERR_INCOMPATIBLE_MESSAGE, PEER_MESSAGE_ERR_IMCOMPATIBLE_MESSAGE",
        },
    ),
    Family(
        SendChannelMessageError,
        "AgoraRtmSendChannelMessageErrorCode",
        "AgoraRtmSendChannelMessageError",
        "CHANNEL_MESSAGE_ERR_",
        named={
            "TOO_OFTEN": "AgoraRtmSendChannelMessageTooOften",
            "INVALID_MESSAGE": "AgoraRtmSendChannelMessageInvalidMessage",
            "NOT_LOGGED_IN": "AgoraRtmSendChannelMessageNotLoggedIn",
            "NOT_IN_CHANNEL": "",
        },
    ),
    Family(
        CreateChannelError,
        "CREATE_CHANNEL_ERR (Web)",
        "",
        "CREATE_CHANNEL_ERR_",
        also={"OK": "", "NOT_INITIALIZED": ""},
    ),
    Family(
        JoinChannelError,
        "AgoraRtmJoinChannelErrorCode",
        "AgoraRtmJoinChannelError",
        "JOIN_CHANNEL_ERR_",
        named={
            "JOIN_SAME_CHANNEL_TOO_OFTEN": "AgoraRtmJoinSameChannelErrorTooOften",
            "ABORTED_BY_LEAVE": "",
            "ALREADY_JOINED_CHANNEL_OF_SAME_ID": "",
        },
        also={"TIMEOUT": "JOIN_CHANNEL_TIMEOUT"},
    ),
    Family(
        LeaveChannelError,
        "AgoraRtmLeaveChannelErrorCode",
        "AgoraRtmLeaveChannelError",
        "LEAVE_CHANNEL_ERR_",
        named={"KICKED": ""},
    ),
    Family(GetMembersError, "AgoraRtmGetMembersErrorCode", "AgoraRtmGetMembersError", "GET_MEMBERS_ERR_"),
    Family(
        ChannelMemberCountError,
        "AgoraRtmChannelMemberCountErrorCode",
        "AgoraRtmChannelMemberCountError",
        "GET_CHANNEL_MEMBER_COUNT_ERR_",
    ),
    Family(
        AttributeOperationError,
        "AgoraRtmProcessAttributeErrorCode",
        "AgoraRtmAttributeOperationError",
        "ATTRIBUTE_OPERATION_ERR_",
    ),
    Family(
        QueryPeersOnlineError,
        "AgoraRtmQueryPeersOnlineErrorCode",
        "AgoraRtmQueryPeersOnlineError",
        "QUERY_PEERS_ONLINE_STATUS_ERR_",
    ),
    Family(
        PeerSubscriptionStatusError,
        "AgoraRtmPeerSubscriptionStatusErrorCode",
        "AgoraRtmPeerSubscriptionStatusError",
        "PEER_SUBSCRIPTION_STATUS_ERR_",
        named={"OVERFLOW": "PEER_SUBSCRIPTION_STATUS_ERR_OVERFLOW"},
    ),
    Family(
        QueryPeersBySubscriptionOptionError,
        "AgoraRtmQueryPeersBySubscriptionOptionErrorCode",
        "AgoraRtmQueryPeersBySubscriptionOptionError",
        "QUERY_PEERS_BY_SUBSCRIPTION_OPTION_ERR_",
    ),
    Family(
        InvitationApiCallError,
        "AgoraRtmInvitationApiCallErrorCode",
        "AgoraRtmInvitationApiCallError",
        "INVITATION_API_CALL_ERR_",
        named={"INVALID_ARGUMENT": "AgoraRtmInvitationApiCallErrorInvalidAugment"},
    ),
    Family(
        LocalInvitationError,
        "AgoraRtmLocalInvitationErrorCode",
        "AgoraRtmLocalInvitationError",
        "LOCAL_INVITATION_ERR_",
        named={
            "PEER_OFFLINE": "AgoraRtmLocalInvitationErrorRemoteOffline",
            "PEER_NO_RESPONSE": "AgoraRtmLocalInvitationErrorRemoteNoResponse",
            "INVITATION_EXPIRE": "AgoraRtmLocalInvitationErrorExpire",
        },
        also={"NOT_LOGGED_IN": "LOCAL_INVITATION_ERR_NOT_LOGGEDIN"},
    ),
    Family(
        RemoteInvitationError,
        "AgoraRtmRemoteInvitationErrorCode",
        "AgoraRtmRemoteInvitationError",
        "REMOTE_INVITATION_ERR_",
        named={
            "PEER_OFFLINE": "AgoraRtmRemoteInvitationErrorLocalOffline",
            "INVITATION_EXPIRE": "AgoraRtmRemoteInvitationErrorExpire",
        },
    ),
    Family(UploadMediaError, "UploadMediaErrorCode", "", "UPLOAD_MEDIA_ERR_"),
    Family(DownloadMediaError, "DownloadMediaErrorCode", "", "DOWNLOAD_MEDIA_ERR_"),
    Family(CancelMediaError, "CancelMediaErrorCode", "", "CANCEL_MEDIA_ERR_"),
)

_RTC = (
    Family(RtcConnectionState, "AgoraConnectionStateType", "AgoraConnectionState", ""),
    Family(RtcConnectionChangeReason, "AgoraConnectionChangedReason", "AgoraConnectionChanged"),
    Family(
        UserOfflineReason,
        "UserOfflineReason",
        elsewhere="",
        also={"DROPPED": "DROPPED, ServerTimeOut"},
    ),
)

_ROOM_NAMES = {"MEDIA_DTLS_TRANSPORT_FAILED": "MediaDTLSTransportFailedError"}

_ROOM = (
    Family(RoomState, "Room.state", elsewhere="room.state "),
    Family(ParticipantState, "RemoteParticipant.state", elsewhere="remoteParticipant.state "),
    Family(
        RoomErrorCode,
        "Errors of rooms",
        elsewhere="error.code ",
        named={code.name: _ROOM_NAMES.get(code.name, f"{camel(code.name)}Error") for code in RoomErrorCode},
        also={code.name: f"error.code {code.value}" for code in RoomErrorCode},
    ),
)

_AGGREGATE = (
    Family(PeerConnectionState, "RTCPeerConnectionState"),
    Family(IceTransportState, "RTCIceTransport.state"),
    Family(DtlsTransportState, "RTCDtlsTransport.state"),
)

_OWN = (
    Family(SendStatus, "Results of a send to a user"),
    Family(PublishStatus, "Results of a send by HTTP"),
    Family(CloseCode, "Close codes"),
)


@attrs.frozen
class Section:
    """A part of the page.

    Attributes:
        title: Its heading.
        columns: What the columns of names are called; none where a value is the name.
        families: Its enumerations.
    """

    title: str
    columns: tuple[str, ...]
    families: tuple[Family, ...]


SECTIONS = (
    Section("RTM: states, reasons and kinds (seeds 000 and 004)", ("Objective-C", "C++, Web"), _STATUS),
    Section("RTM: error codes (seed 004, C++ and the Web)", ("Objective-C", "C++, Web"), _ERRORS),
    Section("Agora Native RTC: states and reasons (seed 001)", ("Objective-C", "Elsewhere"), _RTC),
    Section("Twilio Video: states and codes (seed 002)", ("Class", "Seed"), _ROOM),
    Section("MDN: states of connections and transports (seed 003)", (), _AGGREGATE),
    Section("Numbers and results of our own", (), _OWN),
)


# --- The tests that show them -----------------------------------------------------------------------------------

_STATES = "tests/rows/test_rtm_transitions.py::test_rtm_3_1_"
_RTC_ROWS = "tests/rows/test_rtc_timeline.py::test_rtc_"
_ROOM_ROWS = "tests/rows/test_room.py::test_room_"
_CALLS = "tests/simulation/test_invitations.py::test_"
_HELLO = "tests/service/test_node_hello.py::test_"
_TIME = "tests/service/test_node_time.py::test_"
_FRAMING = "tests/core/test_framing.py::test_"
_LINKS = "tests/core/test_link_states.py::test_"
_LIVE = "tests/system/test_aggregate_live.py::test_"
_PRESENCE = "tests/sync/test_presence.py::test_"
_LOGS = "tests/sync/test_logs.py::test_"
_FILTER = f"{_LOGS}a_filter_lets_through_what_it_names"
_REGIONS = "tests/sync/test_sdk.py::test_every_region_chooses_its_servers"
_LINK_AND_TLS = "tests/core/test_aggregate.py::test_row_5_4_one_link_and_its_tls"

TESTS: Mapping[type[Enum], Mapping[str, str]] = {
    ConnectionState: {
        "DISCONNECTED": f"{_STATES}row_14_logout_disconnects_and_clears_everything",
        "CONNECTING": f"{_STATES}row_01_login_makes_a_disconnected_client_connecting",
        "CONNECTED": f"{_STATES}row_02_an_accepted_login_connects_and_stored_messages_flow",
        "RECONNECTING": f"{_STATES}row_06_four_seconds_of_silence_interrupt",
        "ABORTED": f"{_STATES}row_11_a_login_elsewhere_aborts",
    },
    MessageType: {
        "UNDEFINED": f"{NEVER}no message is of this kind",
        "TEXT": "tests/sync/test_messages.py::test_text_and_bytes_arrive_as_they_are",
        "RAW": "tests/sync/test_messages.py::test_text_and_bytes_arrive_as_they_are",
        "FILE": "tests/sync/test_transfers.py::test_a_file_goes_to_a_peer_and_is_downloaded",
        "IMAGE": "tests/sync/test_transfers.py::test_an_image_goes_to_a_channel_with_its_size",
    },
    PeerSubscriptionOption: {"ONLINE_STATUS": f"{_PRESENCE}the_server_lists_the_subscriptions"},
    PeerOnlineState: {
        "ONLINE": f"{_PRESENCE}a_subscription_tells_the_state_and_its_changes",
        "UNREACHABLE": f"{_PRESENCE}a_silent_user_is_unreachable_and_comes_back",
        "OFFLINE": f"{_PRESENCE}a_subscription_tells_the_state_and_its_changes",
    },
    LocalInvitationState: {
        "IDLE": "tests/sync/test_invitations.py::test_canceling_a_sent_invitation",
        "SENT_TO_REMOTE": f"{_CALLS}a_callee_who_stays_offline",
        "RECEIVED_BY_REMOTE": f"{_CALLS}the_sequence_of_canceling",
        "ACCEPTED_BY_REMOTE": f"{_CALLS}the_sequence_of_accepting",
        "REFUSED_BY_REMOTE": f"{_CALLS}the_sequence_of_refusing",
        "CANCELED": f"{_CALLS}the_sequence_of_canceling",
        "FAILURE": f"{_CALLS}nobody_acts_for_60_s",
    },
    RemoteInvitationState: {
        "IDLE": "tests/core/test_invitation_tables.py::test_every_state_of_the_callee_with_every_input",
        "INVITATION_RECEIVED": f"{_CALLS}the_sequence_of_canceling",
        "ACCEPT_SENT_TO_LOCAL": f"{_CALLS}the_sequence_of_accepting",
        "REFUSED": f"{_CALLS}the_sequence_of_refusing",
        "ACCEPTED": f"{_CALLS}the_sequence_of_accepting",
        "CANCELED": f"{_CALLS}the_sequence_of_canceling",
        "FAILURE": f"{_CALLS}an_acceptance_that_the_caller_never_confirms",
    },
    LeaveChannelReason: {
        "QUIT": f"{NEVER}one's own leave returns, and is no event",
        "KICKED": "tests/sync/test_publisher_orders.py::test_a_member_who_is_taken_out_loses_the_channel",
    },
    LogFilter: {
        **dict.fromkeys(("OFF", "INFO", "WARN", "ERROR", "CRITICAL"), _FILTER),
        "MASK": f"{_LOGS}another_filter_is_refused_and_the_one_before_stays",
    },
    AreaCode: dict.fromkeys(AreaCode.__members__, _REGIONS),
    RtcConnectionState: {
        "DISCONNECTED": f"{_RTC_ROWS}T7_failed_is_left_only_by_leave",
        "CONNECTING": f"{_RTC_ROWS}T0_a_join_is_connecting_at_once",
        "CONNECTED": f"{_RTC_ROWS}T1_joined_as_soon_as_the_bytes_have_travelled",
        "RECONNECTING": f"{_RTC_ROWS}T4_four_seconds_without_a_byte_interrupt",
        "FAILED": f"{_RTC_ROWS}T7_twenty_minutes_without_a_byte_fail",
    },
    UserOfflineReason: {
        "QUIT": f"{_RTC_ROWS}T6_who_leaves_is_offline_at_once_and_not_dropped",
        "DROPPED": f"{_RTC_ROWS}T6_twenty_seconds_without_a_byte_are_offline_dropped",
        "BECOME_AUDIENCE": f"{NEVER}there are no roles",
    },
    RoomState: {
        "CONNECTED": f"{_ROOM_ROWS}4_3_row_1_both_connected_is_connected",
        "RECONNECTING": f"{_ROOM_ROWS}4_3_row_6_reconnecting_signaling_is_reconnecting_53001",
        "DISCONNECTED": f"{_ROOM_ROWS}4_3_row_7_disconnected_signaling_is_disconnected_for_good",
    },
    ParticipantState: {
        "CONNECTED": f"{_ROOM_ROWS}4_1_participant_state_is_about_signaling_only",
        "RECONNECTING": f"{_ROOM_ROWS}4_1_participant_state_a_newcomer_finds_one_who_is_reconnecting",
        "DISCONNECTED": "tests/sync/test_room.py::test_an_identity_that_comes_back_is_another_participant",
    },
    PeerConnectionState: {
        **dict.fromkeys(
            ("NEW", "CONNECTING", "CONNECTED", "DISCONNECTED", "CLOSED"),
            f"{_LIVE}a_client_is_new_connecting_connected_disconnected_and_closed",
        ),
        "FAILED": "tests/sync/test_renew_token.py::test_a_strict_server_aborts_the_session",
    },
    IceTransportState: {
        **dict.fromkeys(
            ("NEW", "CHECKING", "CONNECTED", "DISCONNECTED", "CLOSED"),
            f"{_LINKS}from_new_over_a_login_and_an_outage_to_closed",
        ),
        "COMPLETED": "tests/core/test_aggregate.py::test_row_5_4_two_links",
        "FAILED": f"{_LINKS}given_up_or_kicked_is_failed_until_the_next_login",
    },
    DtlsTransportState: {
        **dict.fromkeys(("NEW", "CONNECTING", "CONNECTED", "CLOSED"), _LINK_AND_TLS),
        "FAILED": f"{_LINKS}a_tls_failure_is_told_by_the_tls_state",
    },
    SendStatus: {
        "DELIVERED": "tests/sync/test_messages.py::test_text_and_bytes_arrive_as_they_are",
        "PEER_UNREACHABLE": "tests/sync/test_messages.py::test_an_unreachable_peer_is_a_result",
        "CACHED": "tests/sync/test_messages.py::test_a_stored_message_is_a_result_and_arrives_at_login",
    },
    PublishStatus: dict.fromkeys(
        PublishStatus.__members__,
        "tests/sync/test_publisher.py::test_messages_reach_clients_and_come_back_as_their_results",
    ),
    CloseCode: {
        "NORMAL": "tests/core/test_client_reconnect.py::test_a_session_comes_back_after_every_other_close_code",
        "GOING_AWAY": "tests/core/test_client_reconnect.py::test_a_session_comes_back_after_every_other_close_code",
        "PROTOCOL_ERROR": f"{_HELLO}broken_framing_closes_its_connection_and_no_other",
        "UNSUPPORTED_DATA": f"{_FRAMING}the_other_kind_of_message_closes_with_1003",
        "INVALID_DATA": f"{_FRAMING}text_that_is_not_utf8_closes_with_1007",
        "POLICY": f"{_FRAMING}a_flood_of_pings_closes_with_1008_behind_the_messages_before_it",
        "TOO_BIG": f"{_HELLO}too_large_messages_are_refused_before_they_are_kept",
        "INTERNAL_ERROR": "tests/core/test_media_link.py::test_a_server_that_welcomes_and_closes_is_not_stormed",
        "SHUTDOWN": "tests/server/test_server.py::test_a_drain_sends_everybody_away_and_ends_the_server",
        "ENGINE_UNAVAILABLE": f"{_HELLO}an_engine_that_does_not_answer_sends_the_client_away_for_now",
        "HEARTBEAT_TIMEOUT": f"{_TIME}a_client_that_is_silent_for_too_long_is_gone_for_all",
        "SLOW_CONSUMER": "tests/system/test_scenarios.py::"
        "test_scenario_26_a_client_that_stops_reading_while_its_channel_is_busy",
        "RESYNC": f"{_TIME}a_client_that_is_silent_for_too_long_is_gone_for_all",
        "TOO_MANY_REQUESTS": "tests/service/test_node_http.py::test_too_many_in_all_are_told_so",
        "HELLO_TIMEOUT": f"{_HELLO}without_a_hello_in_time_the_connection_is_closed",
        "MALFORMED": "tests/server/test_server.py::test_garbage_at_every_stage_closes_that_connection_and_no_other",
        "TOO_LARGE": f"{_HELLO}more_bytes_than_a_hello_takes_close_the_connection",
        "UNSUPPORTED": f"{_HELLO}hellos_that_no_client_of_the_protocol_says",
        "REPLACED": f"{_HELLO}a_newer_transport_of_the_same_client_replaces_the_older_without_a_word",
        "STALE_ATTEMPT": f"{_HELLO}an_older_attempt_that_arrives_late_changes_nothing",
        "NO_SESSION": "tests/service/test_node_media.py::test_without_its_session_it_is_closed",
        "REMOTE_LOGIN": f"{_HELLO}a_login_from_another_client_kicks_the_first",
        "BANNED": "tests/service/test_node_bans.py::test_a_ban_meets_a_login_that_is_under_way",
        "TOKEN_EXPIRED": f"{_TIME}under_the_policy_abort_an_expired_token_ends_the_session",
        "LOGIN_REFUSED": f"{_HELLO}refused_logins_say_why",
        "LOGGED_OUT": f"{_HELLO}a_goodbye_ends_the_session_at_once",
    },
}
"""Of the enumerations whose members need no test that produces them: the test that shows each."""


def shown_by(member: Enum) -> str:
    """The last cell of a row: the test that shows a member, or why there is none."""
    kind = type(member)
    if kind in TESTS:
        cell = TESTS[kind][member.name]
        return f"`{cell}`" if cell.startswith("tests/") else cell
    assert isinstance(member, IntEnum)
    name = name_of(member)
    assert kind in PRODUCED, f"{name} has no test"
    if name in EXCUSED:
        reason, _, where = EXCUSED[name].partition(": ")
        return f"*out*: {where}" if reason == "out" else f"{NEVER}{reason}, {where}"
    found = producers().get(name)
    return f"`{found[0]}`" if found else ""


# --- The page ---------------------------------------------------------------------------------------------------


def value(member: Enum) -> str:
    """A member's value as the documents write it."""
    if isinstance(member, LogFilter | AreaCode):
        return f"0x{member.value:X}"
    return str(member.value) if isinstance(member, int) else f"`{member.value}`"


def rows(family: Family, columns: tuple[str, ...]) -> Iterator[str]:
    """The lines of a family's table."""
    titles = (*columns, "Value", "Python", "Test")
    yield f"| {' | '.join(titles)} |"
    yield f"|{'---|' * len(titles)}"
    kind = family.kind
    for name, member in kind.__members__.items():
        # Other names of the same member stand in its row.
        if name == member.name:
            names = [quoted(family.first_name(member)), quoted(family.other_name(member))][: len(columns)]
            yield f"| {' | '.join([*names, value(member), f'`{kind.__name__}.{name}`', shown_by(member)])} |"


def quoted(names: str) -> str:
    """Names in code type."""
    return ", ".join(f"`{name}`" for name in names.split(", ") if name)


def tables() -> str:
    """All tables of codes."""
    lines = []
    for section in SECTIONS:
        lines += [f"## {section.title}", ""]
        for family in section.families:
            lines += [f"### {family.title}", "", *rows(family, section.columns), ""]
    return "\n".join(lines)


def map_page() -> str:
    """docs/reference/api-map.md with its tables as they would be made now."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{tables()}\n{END}{after}"


def enumerations() -> Iterator[type[Enum]]:
    """Every enumeration that has a table."""
    for section in SECTIONS:
        yield from (family.kind for family in section.families)
