"""What a timeline keeps of a client's events, and what it never keeps."""

from rtmcore.client.events import (
    ChannelGap,
    DataReceived,
    MemberLeft,
    NotRestored,
    OpenTransport,
    ParticipantConnected,
    ParticipantDisconnected,
    ParticipantReconnecting,
    PeerConnectionStateChanged,
    PresenceChanged,
    Purpose,
    RoomDisconnected,
    RoomMessage,
    RoomReconnected,
    RoomReconnecting,
    RtcConnectionLost,
    RtcStateChanged,
    RtcUserJoined,
    RtcUserOffline,
    StateChanged,
    TokenHasExpired,
)
from rtmcore.codes import (
    ConnectionChangeReason,
    ConnectionState,
    LoginError,
    MessageType,
    PeerConnectionState,
    PeerOnlineState,
    RoomErrorCode,
    RtcConnectionChangeReason,
    RtcConnectionState,
    UserOfflineReason,
)
from rtmcore.errors import LimitExceeded, RequestTimeout, RtmError
from rtmcore.limits import TIMELINE_MARKS, TIMELINE_SPANS
from rtmcore.models import PeerMessage
from rtmsync.timeline.recorder import Timeline
from rtmsync.timeline.spans import Subject

S, R = ConnectionState, ConnectionChangeReason
START, WALL = 500.0, 1_700_000_000.0


def note(timeline: Timeline, at: float, *events: object) -> None:
    for event in events:
        timeline.note(event, START + at, WALL + at)


def changed(state: ConnectionState, reason: ConnectionChangeReason) -> StateChanged:
    return StateChanged(state, reason, S.DISCONNECTED)


def outage() -> Timeline:
    timeline = Timeline("alice")
    note(timeline, 0, changed(S.CONNECTING, R.LOGIN))
    note(timeline, 0.5, changed(S.CONNECTED, R.LOGIN_SUCCESS))
    note(timeline, 10, changed(S.RECONNECTING, R.INTERRUPTED))
    note(timeline, 12, changed(S.CONNECTED, R.LOGIN_SUCCESS))
    return timeline


def test_a_state_lasts_until_the_next_one() -> None:
    rows = outage().rows
    assert [(row.state, row.reason, row.began - START, row.ended and row.ended - START) for row in rows] == [
        ("CONNECTING", "LOGIN 1", 0, 0.5),
        ("CONNECTED", "LOGIN_SUCCESS 2", 0.5, 10),
        ("RECONNECTING", "INTERRUPTED 5", 10, 12),
        ("CONNECTED", "LOGIN_SUCCESS 2", 12, None),
    ]
    assert [row.wall - WALL for row in rows] == [0, 0.5, 10, 12]
    assert rows[2].lasted(START + 99) == 2
    assert rows[3].lasted(START + 99) == 87


def test_the_failure_behind_a_state_is_kept_by_class_and_code() -> None:
    timeline = Timeline("alice")
    cause = RequestTimeout("no answer with token eyJsecret", code=LoginError.TIMEOUT, operation="login")
    note(timeline, 0, StateChanged(S.DISCONNECTED, R.LOGIN_TIMEOUT, S.CONNECTING, cause))
    (row,) = timeline.rows
    assert (row.cause, row.code, row.why) == ("RequestTimeout", 9, "LOGIN_TIMEOUT 4 (RequestTimeout 9)")
    assert "eyJsecret" not in timeline.table() + timeline.svg()


def test_transports_have_a_lane_of_their_own() -> None:
    timeline = outage()
    note(
        timeline,
        10,
        PeerConnectionStateChanged(PeerConnectionState.DISCONNECTED, PeerConnectionState.CONNECTED),
    )
    row = timeline.rows[-1]
    assert (row.lane.subject, row.state, str(row.lane)) == (
        Subject.TRANSPORTS,
        "disconnected",
        "alice: transports",
    )


def test_users_seen_have_lanes_of_their_own() -> None:
    timeline = outage()
    online, gone = PeerOnlineState.ONLINE, PeerOnlineState.UNREACHABLE
    note(timeline, 1, PresenceChanged({"bob": online, "carol": gone}))
    note(timeline, 2, PresenceChanged({"bob": online}))
    note(timeline, 3, PresenceChanged({"bob": gone}))
    rows = [row for row in timeline.rows if row.lane.peer == "bob"]
    assert [(row.state, row.began - START) for row in rows] == [("ONLINE", 1), ("UNREACHABLE", 3)]
    assert str(rows[0].lane) == "alice sees bob"


def test_an_rtc_channel_has_its_states_and_users() -> None:
    timeline = Timeline("1")
    state, reason = RtcConnectionState, RtcConnectionChangeReason
    note(timeline, 0, RtcStateChanged(state.CONNECTED, reason.JOIN_SUCCESS, state.CONNECTING))
    note(timeline, 1, RtcUserJoined("2"))
    note(timeline, 4, RtcStateChanged(state.RECONNECTING, reason.INTERRUPTED, state.CONNECTED))
    note(timeline, 10, RtcConnectionLost())
    note(timeline, 10, RtcStateChanged(state.RECONNECTING, reason.LOST, state.RECONNECTING))
    note(timeline, 20, RtcUserOffline("2", UserOfflineReason.DROPPED))
    assert [(row.state, row.reason) for row in timeline.rows] == [
        ("CONNECTED", "JOIN_SUCCESS 1"),
        ("ONLINE", ""),
        ("RECONNECTING", "INTERRUPTED 2"),
        ("RECONNECTING", "LOST 16"),
        ("OFFLINE", "DROPPED 1"),
    ]
    assert [(mark.what, mark.at - START) for mark in timeline.marks] == [("RtcConnectionLost", 10)]


def test_a_room_has_its_states_and_participants() -> None:
    timeline = Timeline("ann")
    timeline.enter("connected", START, WALL)
    note(timeline, 0, ParticipantConnected("ben"))
    lost = RtmError("lost", code=RoomErrorCode.SIGNALING_CONNECTION_DISCONNECTED)
    note(timeline, 4, RoomReconnecting(lost))
    note(timeline, 5, RoomReconnected())
    note(timeline, 6, ParticipantReconnecting("ben"))
    note(timeline, 30, ParticipantDisconnected("ben"))
    note(timeline, 40, RoomDisconnected(None))
    own = [row for row in timeline.rows if row.lane.subject is Subject.CONNECTION]
    assert [(row.state, row.reason, row.code) for row in own] == [
        ("connected", "", None),
        ("reconnecting", "SIGNALING_CONNECTION_DISCONNECTED 53001", 53001),
        ("connected", "", None),
        ("disconnected", "", None),
    ]
    assert [row.state for row in timeline.rows if row.lane.peer] == [
        "connected",
        "reconnecting",
        "disconnected",
    ]


def test_what_happens_at_one_moment_is_a_mark() -> None:
    timeline = Timeline("alice")
    note(timeline, 1, OpenTransport(1, Purpose.RECONNECT, "ws://host/rtm/v1", "host", 80, False))
    note(
        timeline,
        2,
        TokenHasExpired(),
        ChannelGap("ops", 7),
        MemberLeft("ops", "bob", 3),
        MemberLeft("ops", "eve", 2, dropped=True),
        NotRestored(LimitExceeded("Too many."), users=("bob", "eve"), attributes=("mood",)),
    )
    assert [(str(mark), mark.attempt) for mark in timeline.marks] == [
        ("OpenTransport reconnect", True),
        ("TokenHasExpired", False),
        ("ChannelGap 7 lost in ops", False),
        ("MemberLeft bob in ops, 3 now", False),
        ("MemberLeft eve in ops, dropped, 2 now", False),
        ("NotRestored 2 subscriptions, 1 attributes", False),
    ]


def test_messages_leave_no_trace() -> None:
    timeline = Timeline("alice")
    note(
        timeline,
        0,
        RoomMessage("bob", MessageType.TEXT, b"secret", 1),
        DataReceived("bob", "track", b"secret", 1),
        PeerMessage(sender="bob", kind=MessageType.TEXT, body=b"secret", id=1),
    )
    assert timeline.rows == timeline.marks == ()
    assert timeline.table() == "Nothing has happened yet.\n"


def test_the_oldest_spans_that_have_ended_are_dropped_and_counted() -> None:
    timeline = Timeline("alice", spans=3)
    for at in range(10):
        state, reason = ((S.CONNECTED, R.LOGIN_SUCCESS), (S.RECONNECTING, R.INTERRUPTED))[at % 2]
        note(timeline, at, changed(state, reason))
    assert [row.began - START for row in timeline.rows] == [7, 8, 9]
    assert timeline.dropped == 7
    assert "7 earlier entries" in timeline.table()


def test_an_old_state_that_lasts_is_kept_while_others_change() -> None:
    timeline = Timeline("alice", spans=4)
    note(timeline, 0, changed(S.CONNECTED, R.LOGIN_SUCCESS))
    for at in range(1, 20):
        state = (PeerOnlineState.ONLINE, PeerOnlineState.OFFLINE)[at % 2]
        note(timeline, at, PresenceChanged({"bob": state}))
    assert timeline.rows[0].state == "CONNECTED"
    assert timeline.rows[0].ended is None


def test_many_users_do_not_push_out_the_connection() -> None:
    timeline = Timeline("alice", spans=10)
    note(timeline, 0, changed(S.CONNECTED, R.LOGIN_SUCCESS))
    note(timeline, 1, PresenceChanged({f"user {n}": PeerOnlineState.ONLINE for n in range(50)}))
    assert len(timeline.rows) == 10
    assert timeline.rows[0].state == "CONNECTED"
    assert timeline.dropped == 41


def test_memory_is_bounded() -> None:
    timeline = Timeline("alice")
    for at in range(2 * TIMELINE_SPANS):
        note(timeline, at, PresenceChanged({f"user {at}": PeerOnlineState.ONLINE}))
    for at in range(TIMELINE_MARKS + 5):
        note(timeline, at, TokenHasExpired())
    assert len(timeline.rows) == TIMELINE_SPANS
    assert len(timeline.marks) == TIMELINE_MARKS
    assert timeline.dropped == TIMELINE_SPANS + 5


def test_a_user_who_comes_back_after_being_dropped_is_recorded_again() -> None:
    timeline = Timeline("alice", spans=2)
    note(timeline, 0, PresenceChanged({"a": PeerOnlineState.ONLINE, "b": PeerOnlineState.ONLINE}))
    note(timeline, 1, PresenceChanged({"c": PeerOnlineState.ONLINE}))
    note(timeline, 2, PresenceChanged({"a": PeerOnlineState.ONLINE}))
    assert [row.lane.peer for row in timeline.rows] == ["c", "a"]


def test_a_clock_tells_how_long_the_last_state_has_lasted() -> None:
    timeline = Timeline("alice", lambda: START + 60)
    note(timeline, 0, changed(S.CONNECTED, R.LOGIN_SUCCESS))
    assert "1 min 00.0 s so far" in timeline.table()
    assert "1 min 00.0 s so far" in timeline.svg()
