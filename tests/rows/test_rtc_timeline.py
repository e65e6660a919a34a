# ruff: noqa: N802 - T0 to T7 are what the marks of the time line are called.
"""The documented time line of an RTC channel, T0 to T7, and the reasons of its states (6.1 to 6.3).

UID 1 suffers the outage, UID 2 watches. All offsets count from the last byte that the one who judges received.
"""

import attrs
import pytest

from rtmcore.client.events import (
    Purpose,
    RtcConnectionLost,
    RtcInterrupted,
    RtcJoined,
    RtcRejoined,
    RtcStateChanged,
    RtcUserJoined,
    RtcUserOffline,
)
from rtmcore.codes import (
    LoginError,
    RtcConnectionChangeReason,
    RtcConnectionState,
    UserOfflineReason,
)
from rtmcore.errors import ConnectionFailed, RtmError, StateError
from tests.rows.callers import CALL, Rtc
from tests.rows.town import Town

CONNECTING = ("CONNECTING", "CONNECTING")
JOINED = ("CONNECTED", "JOIN_SUCCESS")
INTERRUPTED = ("RECONNECTING", "INTERRUPTED")
REJOINED = ("CONNECTED", "REJOIN_SUCCESS")


def two_in_call(**settings) -> tuple[Town, Rtc, Rtc]:
    """UID 1 and UID 2 in the channel."""
    town = Town(**settings)
    one, two = Rtc(town, "1").join(), Rtc(town, "2").join()
    town.run(0.3)
    one.forget()
    two.forget()
    return town, one, two


# --- The time line ---------------------------------------------------------------------------------------------


def test_rtc_T0_a_join_is_connecting_at_once() -> None:
    town = Town()
    one = Rtc(town, "1")
    assert one.core.state is RtcConnectionState.DISCONNECTED
    ticket = one.core.join(town.now)
    town.settle()
    assert one.core.state is RtcConnectionState.CONNECTING
    assert one.events == [
        RtcStateChanged(
            RtcConnectionState.CONNECTING,
            RtcConnectionChangeReason.CONNECTING,
            RtcConnectionState.DISCONNECTED,
        )
    ]
    assert not ticket.done


def test_rtc_T1_joined_as_soon_as_the_bytes_have_travelled() -> None:
    # Five ways of 40 ms make the documented 200 ms.
    town = Town(latency=0.04)
    one = Rtc(town, "1")
    begun = town.now
    ticket = one.core.join(town.now)
    town.run_until(lambda: ticket.done, 1)
    assert town.now - begun == pytest.approx(0.2, abs=0.001)
    assert one.states == [CONNECTING, JOINED]
    assert one.callbacks == ["RtcJoined"]
    (joined,) = one.of(RtcJoined)
    assert (joined.channel, joined.uid) == (CALL, "1")
    assert joined.elapsed == pytest.approx(0.2, abs=0.001)
    assert [type(event) for event in one.events[-2:]] == [RtcStateChanged, RtcJoined]
    assert ticket.error is None


def test_rtc_T2_the_others_are_told_of_a_join_one_way_later() -> None:
    town = Town(latency=0.05)
    two = Rtc(town, "2").join()
    one = Rtc(town, "1").join()
    town.run(0.3)
    assert two.others == [RtcUserJoined("1")]
    assert two.when(RtcUserJoined) - one.when(RtcJoined) <= 0.1
    # And who is new is told of those who were there, right behind his own join.
    assert one.callbacks == ["RtcJoined", "RtcUserJoined"]
    assert one.others == [RtcUserJoined("2")]
    assert one.core.users == ("2",)
    assert two.core.users == ("1",)


def test_rtc_T2_channels_are_apart() -> None:
    town = Town()
    here, there = Rtc(town, "1").join(), Rtc(town, "1", channel="elsewhere").join()
    town.run(1)
    assert here.states == there.states == [CONNECTING, JOINED], (
        "the same uid in another channel is another user"
    )
    assert here.others == there.others == []


def test_rtc_T3_the_client_silently_tries_again_before_anyone_is_told() -> None:
    town, one, two = two_in_call()
    one.opened.clear()
    one.line.hole()
    last = one.silence_began
    town.run_to(last + 3.5)
    assert one.events == []
    assert two.events == []
    assert [(when, event.purpose) for when, event in one.opened] == [
        (pytest.approx(last + 3.0, abs=0.001), Purpose.SPARE)
    ]
    town.run(5)
    assert one.events == [], "the transport beside the silent one has taken over"
    assert two.events == []


def test_rtc_T4_four_seconds_without_a_byte_interrupt() -> None:
    town, one, two = two_in_call()
    one.lose_network()
    last = one.silence_began
    town.run_to(last + 3.999)
    assert one.events == []
    town.run(0.002)
    assert one.states == [INTERRUPTED]
    assert one.callbacks == ["RtcInterrupted"]
    assert one.when(RtcStateChanged) == one.when(RtcInterrupted) == pytest.approx(last + 4.0, abs=1e-6)
    assert two.events == []


def test_rtc_T5_ten_seconds_without_a_byte_are_connection_lost_once_an_outage() -> None:
    town, one, two = two_in_call()
    for outage in (1, 2):
        one.forget()
        one.lose_network()
        last = one.silence_began
        town.run_to(last + 9.999)
        assert one.of(RtcConnectionLost) == []
        town.run(0.002)
        assert one.callbacks == ["RtcInterrupted", "RtcConnectionLost"], outage
        assert one.when(RtcConnectionLost) == pytest.approx(last + 10.0, abs=1e-6)
        assert one.core.state is RtcConnectionState.RECONNECTING
        town.run_to(last + 100)
        assert len(one.of(RtcConnectionLost)) == 1
        one.find_network()
        town.run(10)
        assert one.states == [INTERRUPTED, REJOINED]
    assert len(two.of(RtcUserOffline)) == 2


def test_rtc_T5_connection_lost_comes_before_a_first_join_too() -> None:
    town = Town()
    one = Rtc(town, "1")
    one.away = True
    begun = town.now
    ticket = one.core.join(town.now)
    town.run_to(begun + 9.99)
    assert one.states == [CONNECTING]
    assert one.callbacks == []
    town.run(0.02)
    assert one.callbacks == ["RtcConnectionLost"]
    assert one.states == [CONNECTING, ("FAILED", "JOIN_FAILED")]
    assert [type(event) for event in one.events[-2:]] == [RtcConnectionLost, RtcStateChanged]
    assert ticket.error is not None
    assert ticket.error.code is LoginError.TIMEOUT


@pytest.mark.parametrize("how", ["black hole", "reset"])
def test_rtc_T6_twenty_seconds_without_a_byte_are_offline_dropped(how: str) -> None:
    town, one, two = two_in_call()
    town.run(0.7)
    last = one.last_heard
    if how == "reset":
        one.refusing = ConnectionFailed("refused")
        one.cut()
    else:
        one.lose_network()
    town.run_to(last + 19.99)
    assert two.events == []
    assert two.core.users == ("1",)
    town.run(0.1)
    assert two.others == [RtcUserOffline("1", UserOfflineReason.DROPPED)]
    assert two.when(RtcUserOffline) == pytest.approx(last + 20.0 + town.latency, abs=1e-3)
    assert two.core.users == ()
    assert UserOfflineReason.DROPPED == 1


def test_rtc_T6_who_leaves_is_offline_at_once_and_not_dropped() -> None:
    town, one, two = two_in_call()
    left = town.now
    one.leave()
    town.run(0.5)
    assert two.others == [RtcUserOffline("1", UserOfflineReason.QUIT)]
    assert two.when(RtcUserOffline) <= left + 2 * town.latency + 0.001
    assert one.states == [("DISCONNECTED", "LEAVE_CHANNEL")]
    assert one.core.users == ()


@pytest.mark.parametrize("how", ["black hole", "reset"])
def test_rtc_T7_twenty_minutes_without_a_byte_fail(how: str) -> None:
    town, one, two = two_in_call()
    if how == "reset":
        one.refusing = ConnectionFailed("refused")
    last = one.silence_began
    one.cut() if how == "reset" else one.lose_network()
    town.run_to(last + 1199.9)
    assert one.states == [INTERRUPTED]
    town.run(0.2)
    assert one.states == [INTERRUPTED, ("FAILED", "JOIN_FAILED")]
    assert one.when(RtcStateChanged, 1) == pytest.approx(last + 1200.0, abs=0.01)
    assert one.callbacks == ["RtcInterrupted", "RtcConnectionLost"]
    # It stops: the network's return changes nothing.
    attempts = len(one.opened)
    one.find_network()
    one.refusing = None
    town.run(3600)
    assert (len(one.opened), one.core.idle, one.core.next_deadline()) == (attempts, True, None)
    # A join is refused until the channel was left.
    with pytest.raises(StateError):
        one.core.join(town.now)
    one.leave()
    assert one.states[2:] == [("DISCONNECTED", "LEAVE_CHANNEL")]
    one.join()
    assert one.states[3:] == [CONNECTING, JOINED]
    town.run(1)
    assert [type(event) for event in two.others] == [RtcUserOffline, RtcUserJoined]


def test_rtc_T7_failed_is_left_only_by_leave() -> None:
    town = Town()
    one = Rtc(town, "1")
    one.away = True
    one.core.join(town.now)
    town.run(11)
    one.find_network()
    for _ in range(3):
        town.run(3600)
        with pytest.raises(StateError):
            one.core.join(town.now)
        assert one.core.state is RtcConnectionState.FAILED
    one.leave()
    assert one.core.state is RtcConnectionState.DISCONNECTED


@pytest.mark.parametrize("outage", [7.0, 15.0])
def test_rtc_recovery_before_twenty_seconds_is_told_to_nobody_else(outage: float) -> None:
    town, one, two = two_in_call()
    one.lose_network()
    last = one.silence_began
    town.run_to(last + outage)
    one.find_network()
    town.run(4)
    assert one.states == [INTERRUPTED, REJOINED]
    assert one.callbacks == ["RtcInterrupted", *["RtcConnectionLost"] * (outage > 10), "RtcRejoined"]
    (rejoined,) = one.of(RtcRejoined)
    assert rejoined.elapsed == pytest.approx(one.when(RtcRejoined) - last, abs=1e-6)
    assert outage <= rejoined.elapsed <= outage + 5
    assert two.events == []


@pytest.mark.parametrize("outage", [25.0, 600.0])
def test_rtc_recovery_after_twenty_seconds_is_a_join_to_the_others(outage: float) -> None:
    town, one, two = two_in_call()
    one.lose_network()
    town.run(outage)
    one.find_network()
    town.run(10)
    assert one.states == [INTERRUPTED, REJOINED]
    assert one.callbacks == ["RtcInterrupted", "RtcConnectionLost", "RtcRejoined"]
    assert two.others == [RtcUserOffline("1", UserOfflineReason.DROPPED), RtcUserJoined("1")]
    assert one.core.users == ("2",)
    assert two.core.users == ("1",)


def test_rtc_recovery_tells_of_those_who_came_and_went_meanwhile() -> None:
    town, one, two = two_in_call()
    one.lose_network()
    town.run(5)
    two.leave()
    Rtc(town, "3").join()
    town.run(5)
    one.find_network()
    town.run(10)
    assert one.of(RtcUserJoined) == [RtcUserJoined("3")]
    assert [event.uid for event in one.of(RtcUserOffline)] == ["2"]
    assert one.core.users == ("3",)


def test_rtc_stream_messages_reach_the_others_in_order_and_are_never_replayed() -> None:
    town, one, two = two_in_call()
    for n in range(20):
        one.core.send_stream_message(b"%d" % n, town.now)
    town.run(1)
    assert two.frames == [b"%d" % n for n in range(20)]
    assert one.frames == []
    two.lose_network()
    town.run(5)
    with pytest.raises(RtmError):
        two.core.send_stream_message(b"x", town.now)
    for n in range(200):
        one.core.send_stream_message(b"missed %d" % n, town.now)
    town.run(1)
    two.cut()
    two.find_network()
    town.run(10)
    one.core.send_stream_message(b"after", town.now)
    town.run(1)
    assert two.frames[20:] == [b"after"]


# --- The reasons -----------------------------------------------------------------------------------------------


def reasons(party: Rtc) -> list[tuple[str, int]]:
    return [(e.state.name, int(e.reason)) for e in party.of(RtcStateChanged)]


def test_rtc_6_2_states_have_their_numbers() -> None:
    assert {state.name: int(state) for state in RtcConnectionState} == {
        "DISCONNECTED": 1,
        "CONNECTING": 2,
        "CONNECTED": 3,
        "RECONNECTING": 4,
        "FAILED": 5,
    }


def test_rtc_6_3_reason_00_connecting_and_01_join_success() -> None:
    one = Rtc(Town(), "1").join()
    assert reasons(one) == [("CONNECTING", 0), ("CONNECTED", 1)]


def test_rtc_6_3_reason_02_interrupted() -> None:
    town, one, _ = two_in_call()
    one.lose_network()
    town.run(5)
    assert reasons(one) == [("RECONNECTING", 2)]


@pytest.mark.parametrize("moment", ["connecting", "connected", "reconnecting"])
def test_rtc_6_3_reason_03_banned_by_server(moment: str) -> None:
    town, one, two = two_in_call()
    if moment == "connecting":
        one.leave()
    elif moment == "reconnecting":
        one.refusing = ConnectionFailed("refused")
        one.cut()
        town.run(5)
    town.ban("1", kind="rtc", scope=CALL)
    town.run(0.1)
    if moment == "connecting":
        with pytest.raises(RtmError):
            one.join()
    one.refusing = None
    town.run(9)
    assert reasons(one)[-1] == ("FAILED", 3)
    assert two.core.users == ()
    attempts = len(one.opened)
    town.run(100)
    assert len(one.opened) == attempts


def test_rtc_6_3_reason_04_join_failed() -> None:
    town = Town()
    one = Rtc(town, "1")
    one.refusing = ConnectionFailed("refused")
    one.core.join(town.now)
    town.run(11)
    assert reasons(one) == [("CONNECTING", 0), ("FAILED", 4)]


@pytest.mark.parametrize("moment", ["connecting", "connected", "reconnecting", "failed"])
def test_rtc_6_3_reason_05_leave_channel(moment: str) -> None:
    town = Town()
    one = Rtc(town, "1")
    if moment in ("connecting", "failed"):
        one.away = True
        one.core.join(town.now)
        town.run(1 if moment == "connecting" else 11)
    else:
        one.join()
        if moment == "reconnecting":
            one.lose_network()
            town.run(5)
    assert one.core.state is RtcConnectionState[moment.upper()]
    one.leave()
    assert reasons(one)[-1] == ("DISCONNECTED", 5)


def test_rtc_6_3_reason_06_invalid_app_id() -> None:
    town = Town()
    one = Rtc(town, "1", app_id="b" * 32)
    one.core.join(town.now)
    town.run(1)
    assert reasons(one) == [("CONNECTING", 0), ("FAILED", 6)]


@pytest.mark.parametrize("name", ["x" * 65, "snow\N{SNOWMAN}man"])
def test_rtc_6_3_reason_07_invalid_channel_name(name: str) -> None:
    town = Town()
    one = Rtc(town, "1", channel=name)
    one.core.join(town.now)
    town.run(1)
    assert reasons(one) == [("CONNECTING", 0), ("FAILED", 7)]


@pytest.mark.parametrize("given", ["nonsense", "another uid", "another channel"])
def test_rtc_6_3_reason_08_invalid_token_and_10_rejected_by_server(given: str) -> None:
    town = Town(tokens=True)
    scopes = {"login": True, "rtc": ["elsewhere"]}
    token = {
        "nonsense": "nonsense",
        "another uid": town.token("2"),
        "another channel": town.token("1", scopes=scopes),
    }[given]
    one = Rtc(town, "1", token=token)
    one.core.join(town.now)
    town.run(1)
    assert reasons(one) == [("CONNECTING", 0), ("FAILED", 10 if given == "another channel" else 8)]
    town.run(100)
    assert len(one.opened) == 1


def test_rtc_6_3_reason_09_token_expired() -> None:
    town = Town(tokens=True)
    expired = town.token("1", seconds=1)
    town.run(20)
    one = Rtc(town, "1", token=expired)
    one.core.join(town.now)
    town.run(1)
    assert reasons(one) == [("CONNECTING", 0), ("FAILED", 9)]


def test_rtc_6_3_reason_09_token_expired_at_a_return() -> None:
    town = Town(tokens=True)
    one = Rtc(town, "1", token=town.token("1", seconds=60)).join()
    one.lose_network()
    town.run(300)
    one.find_network()
    town.run(10)
    assert reasons(one)[-1] == ("FAILED", 9)


def test_rtc_6_3_reason_12_renew_token() -> None:
    town = Town(tokens=True)
    one = Rtc(town, "1", token=town.token("1", seconds=60)).join()
    two = Rtc(town, "2", token=town.token("2")).join()
    one.lose_network()
    town.run(15)
    one.core.renew_token(town.token("1", seconds=600), now=town.now)
    town.run(0.1)
    info = one.core.connection(town.now)
    assert (info.state, info.reason) == (
        RtcConnectionState.RECONNECTING,
        RtcConnectionChangeReason.RENEW_TOKEN,
    )
    town.run(100)
    one.find_network()
    town.run(10)
    assert reasons(one)[-1] == ("CONNECTED", 15)
    assert two.core.users == ("1",)


def test_rtc_6_3_reason_14_keep_alive_timeout() -> None:
    # The way to the server is closed, the way back is open: the server says that it has heard nothing.
    town, one, _ = two_in_call()
    for line in one.lines.values():
        line.hole_up = True
    one.refusing = ConnectionFailed("refused")
    town.run(60)
    assert reasons(one) == [("RECONNECTING", 14)]


def test_rtc_6_3_reason_15_rejoin_success() -> None:
    town, one, _ = two_in_call()
    one.lose_network()
    town.run(5)
    one.find_network()
    town.run(5)
    assert reasons(one) == [("RECONNECTING", 2), ("CONNECTED", 15)]


def test_rtc_6_3_reason_16_lost() -> None:
    town, one, _ = two_in_call()
    one.lose_network()
    town.run(11)
    info = one.core.connection(town.now)
    assert (info.state, info.reason) == (RtcConnectionState.RECONNECTING, RtcConnectionChangeReason.LOST)
    assert reasons(one) == [("RECONNECTING", 2)], "no event without a change of state"


@pytest.mark.parametrize("moment", ["connected", "reconnecting"])
def test_rtc_6_3_reason_19_same_uid_login(moment: str) -> None:
    town, one, two = two_in_call()
    if moment == "reconnecting":
        one.refusing = ConnectionFailed("refused")
        one.cut()
        town.run(5)
    other = Rtc(town, "1").join()
    one.refusing = None
    town.run(9)
    assert reasons(one)[-1] == ("FAILED", 19)
    attempts = len(one.opened)
    town.run(120)
    assert len(one.opened) == attempts
    assert other.states == [CONNECTING, JOINED]
    assert two.core.users == ("1",)


@attrs.frozen
class NotApplicable:
    """A documented row that cannot happen here, and why."""

    why: str


REASONS: dict[RtcConnectionChangeReason, str | NotApplicable] = {
    RtcConnectionChangeReason.CONNECTING: "test_rtc_T0_a_join_is_connecting_at_once",
    RtcConnectionChangeReason.JOIN_SUCCESS: "test_rtc_T1_joined_as_soon_as_the_bytes_have_travelled",
    RtcConnectionChangeReason.INTERRUPTED: "test_rtc_6_3_reason_02_interrupted",
    RtcConnectionChangeReason.BANNED_BY_SERVER: "test_rtc_6_3_reason_03_banned_by_server",
    RtcConnectionChangeReason.JOIN_FAILED: "test_rtc_6_3_reason_04_join_failed",
    RtcConnectionChangeReason.LEAVE_CHANNEL: "test_rtc_6_3_reason_05_leave_channel",
    RtcConnectionChangeReason.INVALID_APP_ID: "test_rtc_6_3_reason_06_invalid_app_id",
    RtcConnectionChangeReason.INVALID_CHANNEL_NAME: "test_rtc_6_3_reason_07_invalid_channel_name",
    RtcConnectionChangeReason.INVALID_TOKEN: (
        "test_rtc_6_3_reason_08_invalid_token_and_10_rejected_by_server"
    ),
    RtcConnectionChangeReason.TOKEN_EXPIRED: "test_rtc_6_3_reason_09_token_expired",
    RtcConnectionChangeReason.REJECTED_BY_SERVER: (
        "test_rtc_6_3_reason_08_invalid_token_and_10_rejected_by_server"
    ),
    RtcConnectionChangeReason.SETTING_PROXY_SERVER: NotApplicable(
        "A proxy is chosen when the client is made; no call changes it while the channel is joined."
    ),
    RtcConnectionChangeReason.RENEW_TOKEN: "test_rtc_6_3_reason_12_renew_token",
    RtcConnectionChangeReason.CLIENT_IP_ADDRESS_CHANGED: NotApplicable(
        "Python has no portable notice of an address that changes; its effect is seen as silence, INTERRUPTED."
    ),
    RtcConnectionChangeReason.KEEP_ALIVE_TIMEOUT: "test_rtc_6_3_reason_14_keep_alive_timeout",
    RtcConnectionChangeReason.REJOIN_SUCCESS: "test_rtc_6_3_reason_15_rejoin_success",
    RtcConnectionChangeReason.LOST: "test_rtc_6_3_reason_16_lost",
    RtcConnectionChangeReason.ECHO_TEST: NotApplicable(
        "The echo test plays back recorded sound; there is no sound here."
    ),
    RtcConnectionChangeReason.CLIENT_IP_ADDRESS_CHANGED_BY_USER: NotApplicable(
        "There is no call by which an application says that its address has changed."
    ),
    RtcConnectionChangeReason.SAME_UID_LOGIN: "test_rtc_6_3_reason_19_same_uid_login",
    RtcConnectionChangeReason.TOO_MANY_BROADCASTERS: NotApplicable(
        "There are no roles: everybody in a channel may send, and their number is not limited."
    ),
}
"""All twenty-one reasons, each with its test or with why there is none."""

OFFLINE_REASONS: dict[UserOfflineReason, str | NotApplicable] = {
    UserOfflineReason.QUIT: "test_rtc_T6_who_leaves_is_offline_at_once_and_not_dropped",
    UserOfflineReason.DROPPED: "test_rtc_T6_twenty_seconds_without_a_byte_are_offline_dropped",
    UserOfflineReason.BECOME_AUDIENCE: NotApplicable("There are no roles, so nobody becomes audience."),
}


def test_rtc_6_3_every_reason_has_a_test_or_says_why_not() -> None:
    assert set(REASONS) == set(RtcConnectionChangeReason)
    assert len(REASONS) == 21
    assert set(OFFLINE_REASONS) == set(UserOfflineReason)
    for entry in (*REASONS.values(), *OFFLINE_REASONS.values()):
        assert isinstance(entry, NotApplicable) or callable(globals().get(entry)), entry
    assert {int(reason) for reason, entry in REASONS.items() if isinstance(entry, NotApplicable)} == {
        11,
        13,
        17,
        18,
        20,
    }
