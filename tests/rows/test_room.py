"""Rooms, one test a row of the documented tables: states, events, aggregation, timing, ends (4.1 to 4.5)."""

import pytest

from rtmcore import limits
from rtmcore.client.events import (
    ParticipantConnected,
    ParticipantDisconnected,
    ParticipantReconnected,
    ParticipantReconnecting,
    RoomDisconnected,
    RoomReconnecting,
)
from rtmcore.codes import ParticipantState, RoomErrorCode, RoomState
from rtmcore.errors import ConnectionFailed, InvalidArgument, RtmError, TlsError
from rtmsync.server.tokens import AppKeys, AppVerifier, TokenKey
from tests.rows.guests import CALL, Guest
from tests.rows.town import APP, KEY, Town

SIGNALING = ("LOGIN", "RECONNECT", "SPARE")
"""Purposes of the connections that carry signaling."""
MEDIA = "MEDIA"


def two_in_room(**settings) -> tuple[Town, Guest, Guest]:
    """ann and bob in a room, media connected, with an empty record."""
    town = Town(**settings)
    ann, bob = Guest(town, "ann").connect(), Guest(town, "bob").connect()
    town.run(1)
    assert ann.core.media_state.value in ("connected", "completed")
    ann.forget()
    bob.forget()
    return town, ann, bob


def media_alone_fails(town: Town, ann: Guest) -> float:
    """Only the media connection is cut off; when its last byte came."""
    ann.lose(MEDIA)
    return max(line.heard_by_client for line in ann.lines.values() if line.purpose == MEDIA)


def signaling_alone_fails(town: Town, ann: Guest) -> float:
    """Only the signaling connection is cut off; when its last byte came."""
    ann.lose(*SIGNALING)
    return max(line.heard_by_client for line in ann.lines.values() if line.purpose != MEDIA)


def others_of(guest: Guest) -> list[object]:
    return guest.of(
        ParticipantConnected, ParticipantReconnecting, ParticipantReconnected, ParticipantDisconnected
    )


# --- 4.1: states and transitions -------------------------------------------------------------------------------


def test_room_4_1_room_state_exists_after_the_first_connect_and_ends_disconnected() -> None:
    town = Town()
    ann = Guest(town, "ann")
    assert ann.core.state is None
    ticket = ann.core.connect(town.now)
    town.settle()
    assert ann.core.state is None
    town.run(1)
    assert ticket.done
    assert ticket.error is None
    assert ann.core.state is RoomState.CONNECTED
    ann.lose_network()
    town.run(5)
    assert ann.core.state is RoomState.RECONNECTING
    ann.find_network()
    town.run(9)
    assert ann.core.state is RoomState.CONNECTED
    ann.disconnect()
    assert ann.core.state is RoomState.DISCONNECTED
    # Terminal: nothing leads out of it.
    with pytest.raises(RtmError):
        ann.core.connect(town.now)
    attempts = len(ann.opened)
    town.run(120)
    assert ann.core.state is RoomState.DISCONNECTED
    assert (len(ann.opened), ann.core.idle) == (attempts, True)
    with pytest.raises(RtmError):
        ann.say(b"too late")


@pytest.mark.parametrize("how", ["refused", "black hole"])
def test_room_4_1_room_state_a_first_connect_is_not_tried_again(how: str) -> None:
    town = Town()
    ann = Guest(town, "ann")
    ann.away = how == "black hole"
    ann.refusing = ConnectionFailed("refused") if how == "refused" else None
    ticket = ann.core.connect(town.now)
    town.run(60)
    assert len(ann.opened) == 1
    assert ticket.done
    assert ticket.error is not None
    assert ticket.error.code is RoomErrorCode.SIGNALING_CONNECTION
    assert ann.codes == [], "there is no room to tell of"
    assert ann.core.idle


def test_room_4_1_participant_state_is_about_signaling_only() -> None:
    town, ann, bob = two_in_room()
    assert bob.core.participants == {"ann": ParticipantState.CONNECTED}
    # Media alone is not seen by the others.
    media_alone_fails(town, ann)
    town.run(10)
    assert ann.core.state is RoomState.RECONNECTING
    assert bob.core.participants == {"ann": ParticipantState.CONNECTED}
    assert bob.events == []
    ann.find_network()
    town.run(9)
    signaling_alone_fails(town, ann)
    town.run(7)
    assert bob.core.participants == {"ann": ParticipantState.RECONNECTING}
    ann.find_network()
    town.run(9)
    assert bob.core.participants == {"ann": ParticipantState.CONNECTED}
    ann.lose_network()
    town.run(31)
    assert bob.core.participants == {}
    assert [type(event) for event in bob.events] == [
        ParticipantReconnecting,
        ParticipantReconnected,
        ParticipantReconnecting,
        ParticipantDisconnected,
    ]


def test_room_4_1_participant_state_a_newcomer_finds_one_who_is_reconnecting() -> None:
    town, ann, _ = two_in_room()
    ann.lose_network()
    town.run(10)
    cy = Guest(town, "cy").connect()
    town.run(1)
    assert cy.core.participants == {
        "ann": ParticipantState.RECONNECTING,
        "bob": ParticipantState.CONNECTED,
    }
    cy.forget()
    ann.find_network()
    town.run(9)
    assert cy.core.participants["ann"] is ParticipantState.CONNECTED
    assert cy.events == [ParticipantReconnected("ann")]


def test_room_4_1_signaling_transport_connects_syncs_and_ends() -> None:
    town = Town()
    ann = Guest(town, "ann")
    seen = [ann.core.signaling_state.value]

    def look() -> None:
        if ann.core.signaling_state.value != seen[-1]:
            seen.append(ann.core.signaling_state.value)

    ann.core.connect(town.now)
    look()
    town.run(1)
    look()
    signaling_alone_fails(town, ann)
    town.run(5)
    look()
    assert ann.codes == [("reconnecting", 53001)]
    ann.find_network()
    town.run(9)
    look()
    ann.disconnect()
    look()
    assert seen == ["new", "connecting", "connected", "reconnecting", "connected", "disconnected"]


# --- 4.2: events -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("cause", "code"), [("signaling", 53001), ("media", 53405)])
def test_room_4_2_reconnecting_names_its_cause_and_comes_once(cause: str, code: int) -> None:
    town, ann, bob = two_in_room()
    fails, then = (
        (signaling_alone_fails, media_alone_fails)
        if cause == "signaling"
        else (media_alone_fails, signaling_alone_fails)
    )
    fails(town, ann)
    town.run(6)
    assert ann.codes == [("reconnecting", code)]
    assert isinstance(ann.of(RoomReconnecting)[0].error, RtmError)
    # A second cause changes nothing.
    then(town, ann)
    town.run(8)
    assert ann.codes == [("reconnecting", code)]
    assert bob.codes == []


def test_room_4_2_reconnected_comes_when_all_causes_are_over() -> None:
    town, ann, _ = two_in_room()
    assert ann.codes == [], "not at the first connection"
    ann.lose_network()
    town.run(6)
    ann.unreachable = {MEDIA}
    ann.away = False
    for line in ann.lines.values():
        line.hole(line.purpose == MEDIA)
    town.run(9)
    assert ann.core.signaling_state.value == "connected"
    assert [what for what, _ in ann.codes] == ["reconnecting"], "media is still down"
    ann.find_network()
    town.run(9)
    assert [what for what, _ in ann.codes] == ["reconnecting", "reconnected"]
    assert ann.core.state is RoomState.CONNECTED


def test_room_4_2_disconnected_comes_once_and_last() -> None:
    town, ann, bob = two_in_room()
    ann.disconnect()
    town.run(60)
    assert ann.codes == [("disconnected", None)]
    assert ann.of(RoomDisconnected) == [RoomDisconnected(None)]
    bob.lose_network()
    town.run(120)
    bob.find_network()
    town.run(60)
    assert [what for what, _ in bob.codes] == ["reconnecting", "disconnected"]
    assert isinstance(bob.events[-1], RoomDisconnected)


def test_room_4_2_the_state_is_the_new_one_when_an_event_is_told() -> None:
    town, ann, _ = two_in_room()
    ann.states_at_events.clear()
    ann.lose_network()
    town.run(6)
    ann.find_network()
    town.run(9)
    ann.disconnect()
    assert ann.states_at_events == [RoomState.RECONNECTING, RoomState.CONNECTED, RoomState.DISCONNECTED]


def test_room_4_2_participant_connected_and_disconnected() -> None:
    town, ann, bob = two_in_room()
    cy = Guest(town, "cy").connect()
    town.run(0.5)
    assert ann.events == bob.events == [ParticipantConnected("cy")]
    # Who is new is not told of those who were there; he finds them.
    assert others_of(cy) == []
    assert sorted(cy.core.participants) == ["ann", "bob"]
    left = town.now
    cy.disconnect()
    town.run(0.5)
    assert ann.events[1:] == bob.events[1:] == [ParticipantDisconnected("cy")]
    assert ann.when(ParticipantDisconnected) <= left + 2 * town.latency + 0.001


def test_room_4_2_participant_reconnecting_and_reconnected() -> None:
    town, ann, bob = two_in_room()
    for line in ann.lines.values():
        if line.purpose != MEDIA:
            line.hole()
    ann.unreachable |= set(SIGNALING)
    last = ann.line.heard_by_server
    town.run_to(last + 5.99)
    assert bob.events == []
    town.run(0.1)
    assert bob.events == [ParticipantReconnecting("ann")]
    assert bob.when(ParticipantReconnecting) == pytest.approx(last + 6.0 + town.latency, abs=0.001)
    ann.find_network()
    town.run(9)
    assert bob.events == [ParticipantReconnecting("ann"), ParticipantReconnected("ann")]
    assert bob.core.state is RoomState.CONNECTED


def test_room_4_2_participant_events_are_not_told_of_short_interruptions() -> None:
    town, ann, bob = two_in_room()
    for _ in range(5):
        ann.cut()
        town.run(5)
    assert ann.events == bob.events == []


# --- 4.3: aggregation ------------------------------------------------------------------------------------------


def test_room_4_3_row_1_both_connected_is_connected() -> None:
    town, ann, _ = two_in_room()
    town.run(600)
    assert ann.core.state is RoomState.CONNECTED
    assert ann.events == []


def test_room_4_3_row_2_media_that_was_never_up_and_is_being_connected_is_connected() -> None:
    town = Town()
    ann = Guest(town, "ann")
    ann.unreachable = {MEDIA}
    ann.connect()
    town.run(1)
    assert ann.core.media_state.value in ("new", "checking")
    assert ann.core.state is RoomState.CONNECTED
    assert ann.codes == []
    ann.find_network()
    town.run(3)
    assert ann.core.media_state.value == "connected"
    assert ann.codes == []


def test_room_4_3_row_3_media_that_is_being_connected_again_is_still_reconnecting() -> None:
    town, ann, _ = two_in_room()
    media_alone_fails(town, ann)
    checking = False
    for _ in range(80):
        town.run(0.25)
        if ann.codes and ann.core.media_state.value in ("new", "checking"):
            checking = True
            assert ann.core.state is RoomState.RECONNECTING
    assert checking, "no attempt was seen under way"
    assert ann.codes == [("reconnecting", 53405)]


def test_room_4_3_row_4_a_short_blip_of_media_is_connected() -> None:
    town, ann, bob = two_in_room()
    for _ in range(3):
        town.reset(ann.media)
        assert ann.core.media_state.value == "disconnected"
        assert ann.core.state is RoomState.CONNECTED
        town.run(1)
        last = ann.media.heard_by_client
        ann.media.hole()
        town.run_to(last + 2.8)
        ann.find_network()
        town.run(3)
    assert ann.events == bob.events == []
    assert ann.core.media_state.value == "connected"


def test_room_4_3_row_5_failed_media_is_reconnecting_53405() -> None:
    town, ann, _ = two_in_room()
    last = media_alone_fails(town, ann)
    town.run_to(last + 2.99)
    assert ann.codes == []
    town.run_to(last + 4.1)
    assert ann.codes == [("reconnecting", 53405)]
    assert ann.core.state is RoomState.RECONNECTING
    assert ann.core.signaling_state.value == "connected"
    ann.find_network()
    town.run(9)
    assert ann.codes == [("reconnecting", 53405), ("reconnected", None)]


@pytest.mark.parametrize("media", ["connected", "failed"])
def test_room_4_3_row_6_reconnecting_signaling_is_reconnecting_53001(media: str) -> None:
    town, ann, _ = two_in_room()
    last = signaling_alone_fails(town, ann)
    town.run_to(last + 3.99)
    assert ann.codes == []
    town.run(0.02)
    assert ann.codes == [("reconnecting", 53001)]
    if media == "failed":
        media_alone_fails(town, ann)
        town.run(5)
    assert ann.core.state is RoomState.RECONNECTING
    ann.find_network()
    town.run(9)
    assert ann.codes == [("reconnecting", 53001), ("reconnected", None)]


@pytest.mark.parametrize("media", ["connected", "failed"])
def test_room_4_3_row_7_disconnected_signaling_is_disconnected_for_good(media: str) -> None:
    town, ann, _ = two_in_room()
    if media == "failed":
        media_alone_fails(town, ann)
        town.run(5)
    signaling_alone_fails(town, ann)
    town.run(31)
    assert ann.core.state is RoomState.DISCONNECTED
    assert ann.codes[-1][0] == "disconnected"
    ann.find_network()
    before = list(ann.codes)
    town.run(60)
    assert ann.codes == before
    assert ann.core.idle, "the media connection outlived the room"


# --- 4.4: timing -----------------------------------------------------------------------------------------------


def test_room_4_4_session_timeout_signaling_of_thirty_seconds_is_53002() -> None:
    town, ann, bob = two_in_room()
    last = signaling_alone_fails(town, ann)
    heard = ann.line.heard_by_server
    town.run_to(last + 29.9)
    assert ann.codes == [("reconnecting", 53001)]
    town.run(0.2)
    assert ann.codes == [("reconnecting", 53001), ("disconnected", 53002)]
    assert ann.when(RoomDisconnected) == pytest.approx(last + 30.0, abs=0.01)
    assert bob.when(ParticipantDisconnected) == pytest.approx(heard + 30.0 + town.latency, abs=0.01)


def test_room_4_4_session_timeout_media_of_thirty_seconds_is_53405() -> None:
    town, ann, bob = two_in_room()
    last = media_alone_fails(town, ann)
    town.run_to(last + 29.9)
    assert ann.codes == [("reconnecting", 53405)]
    town.run_to(last + 31.1)
    assert ann.codes == [("reconnecting", 53405), ("disconnected", 53405)]
    town.run(1)
    assert bob.events == [ParticipantDisconnected("ann")], "it said goodbye"


def test_room_4_4_open_timeout_a_connect_has_fifteen_seconds() -> None:
    town = Town()
    ann = Guest(town, "ann")
    ann.away = True
    begun = town.now
    ticket = ann.core.connect(town.now)
    town.run_to(begun + 14.99)
    assert not ticket.done
    town.run(0.02)
    assert ticket.done
    assert ticket.error is not None
    assert ticket.error.code is RoomErrorCode.SIGNALING_CONNECTION
    late = Guest(town, "bob")
    late.away = True
    ticket = late.core.connect(town.now)
    town.run(14)
    late.find_network()
    town.run(0.5)
    assert ticket.done
    assert ticket.error is None


def test_room_4_4_media_inactivity_is_detected_after_three_seconds_without_bytes() -> None:
    town, ann, _ = two_in_room()
    for _ in range(3):
        ann.forget()
        last = media_alone_fails(town, ann)
        town.run(5)
        # The documented client looks each second: 3 s at the least, 4 s at the most.
        assert last + 3.0 <= ann.when(RoomReconnecting) <= last + 4.0
        ann.find_network()
        town.run(9)


def test_room_4_4_media_that_is_idle_is_no_media_that_has_stopped() -> None:
    town, ann, bob = two_in_room()
    town.run(3600)
    assert ann.events == bob.events == []


def test_room_4_4_token_is_checked_at_the_connect() -> None:
    town = Town(tokens=True)
    expired = town.token("ann", seconds=1)
    town.run(20)
    tokens = {
        None: RoomErrorCode.ACCESS_TOKEN_INVALID,
        "nonsense": RoomErrorCode.ACCESS_TOKEN_INVALID,
        expired: RoomErrorCode.ACCESS_TOKEN_EXPIRED,
        town.token("ann", scopes={"login": True, "room": ["elsewhere"]}): (
            RoomErrorCode.ACCESS_TOKEN_GRANTS_INVALID
        ),
    }
    for token, code in tokens.items():
        ann = Guest(town, "ann", token=token)
        ticket = ann.core.connect(town.now)
        town.run(1)
        assert ticket.error is not None
        assert ticket.error.code is code
        assert len(ann.opened) == 1
    Guest(town, "ann", token=town.token("ann", scopes={"login": True, "room": [CALL]})).connect()


def test_room_4_4_token_of_more_than_a_day_is_refused_when_made_and_when_used() -> None:
    import jwt

    town = Town(tokens=True)
    town.token("ann", seconds=limits.TOKEN_SECONDS_MAX)
    with pytest.raises(InvalidArgument):
        town.token("ann", seconds=limits.TOKEN_SECONDS_MAX + 1)
    assert isinstance(KEY, TokenKey)
    claims = {"aud": APP, "sub": "ann", "iat": int(town.wall), "exp": int(town.wall) + 90_000}
    ann = Guest(town, "ann", token=jwt.encode(claims, KEY.secret, algorithm="HS256"))
    ticket = ann.core.connect(town.now)
    town.run(1)
    assert ticket.error is not None
    assert "24 hours" in str(ticket.error)


def test_room_4_4_token_that_expires_does_not_end_a_room_that_stands() -> None:
    town = Town(tokens=True)
    ann = Guest(town, "ann", token=town.token("ann", seconds=60)).connect()
    town.run(600)
    assert ann.codes == []
    assert ann.core.state is RoomState.CONNECTED


def test_room_4_4_ghost_participant_is_kicked_by_the_same_identity() -> None:
    town, ann, bob = two_in_room()
    ann.lose_network()
    town.run(12)
    again = Guest(town, "ann").connect()
    town.run(1)
    assert list(bob.core.participants) == ["ann"]
    assert bob.core.participants["ann"] is ParticipantState.CONNECTED
    ann.find_network()
    town.run(9)
    assert ann.codes[-1] == ("disconnected", 53205)
    assert again.codes == []
    assert again.core.state is RoomState.CONNECTED


def test_room_4_4_messages_while_syncing_wait_and_are_sent_after_the_resume() -> None:
    town, ann, bob = two_in_room()
    ann.lose_network()
    town.run(5)
    tickets = [ann.say(b"%d" % n) for n in range(20)]
    said = [bob.say(b"bob %d" % n) for n in range(20)]
    town.run(5)
    assert not any(ticket.done for ticket in tickets)
    ann.find_network()
    town.run(9)
    assert all(ticket.done and ticket.error is None for ticket in tickets + said)
    assert bob.said == [b"%d" % n for n in range(20)]
    assert ann.said == [b"bob %d" % n for n in range(20)]
    assert ann.missed == bob.missed == 0


def test_room_4_4_media_survives_a_resume_of_the_signaling() -> None:
    town, ann, bob = two_in_room()
    media = ann.media
    signaling_alone_fails(town, ann)
    for n in range(10):
        ann.core.send_data("cursor", b"%d" % n, town.now)
        town.run(1)
    assert bob.frames == [b"%d" % n for n in range(10)]
    ann.find_network()
    town.run(9)
    assert ann.media is media
    ann.core.send_data("cursor", b"after", town.now)
    town.run(0.5)
    assert bob.frames[10:] == [b"after"]


# --- 4.5: how a room ends --------------------------------------------------------------------------------------


def test_room_4_5_none_after_ones_own_disconnect() -> None:
    for moment in ("connected", "reconnecting"):
        town, ann, _ = two_in_room()
        if moment == "reconnecting":
            ann.lose_network()
            town.run(6)
        ann.disconnect()
        assert ann.codes[-1] == ("disconnected", None)


def test_room_4_5_20104_the_token_expired_during_the_reconnect() -> None:
    town = Town(tokens=True)
    ann = Guest(town, "ann", token=town.token("ann", seconds=60)).connect()
    town.run(65)
    assert ann.codes == []
    ann.lose_network()
    town.run(10)
    # The old connections do not come back to life.
    ann.cut()
    ann.find_network()
    town.run(9)
    assert [what for what, _ in ann.codes] == ["reconnecting", "disconnected"]
    assert ann.codes[-1] == ("disconnected", 20104)


@pytest.mark.parametrize("refusal", ["ban", "token"])
def test_room_4_5_53000_a_final_refusal_of_the_reconnect(refusal: str) -> None:
    town = Town(tokens=True)
    ann = Guest(town, "ann", token=town.token("ann"))
    ann.connect()
    ann.lose_network()
    town.run(10)
    if refusal == "ban":
        town.ban("ann", kind="room", scope=CALL)
    else:
        # The key that had signed the token is not the app's any more.
        town.verifier = AppVerifier([AppKeys(APP, (TokenKey(b"n" * 32),))])
    ann.cut()
    ann.find_network()
    town.run(9)
    assert [what for what, _ in ann.codes] == ["reconnecting", "disconnected"]
    assert ann.codes[-1] == ("disconnected", 53000)
    attempts = len(ann.opened)
    town.run(60)
    assert len(ann.opened) == attempts


def test_room_4_5_53000_a_refused_renewal_is_not_final() -> None:
    town = Town(tokens=True)
    ann = Guest(town, "ann", token=town.token("ann")).connect()
    ann.lose_network()
    town.run(10)
    ticket = ann.core.renew_token("nonsense", timeout=30.0, now=town.now)
    ann.cut()
    ann.find_network()
    town.run(9)
    assert ticket.error is not None
    assert [what for what, _ in ann.codes] == ["reconnecting", "reconnected"]


def test_room_4_5_53002_the_reconnect_took_too_long() -> None:
    town, ann, _ = two_in_room()
    ann.refused = dict.fromkeys(SIGNALING, ConnectionFailed("refused"))
    town.reset(ann.line)
    town.run(40)
    assert ann.codes == [("reconnecting", 53001), ("disconnected", 53002)]


def test_room_4_5_53405_the_session_timer_ends_with_the_stored_cause() -> None:
    town, ann, _ = two_in_room()
    ann.refused = {MEDIA: ConnectionFailed("refused")}
    town.reset(ann.media)
    town.run(40)
    assert ann.codes == [("reconnecting", 53405), ("disconnected", 53405)]


def test_room_4_5_53006_the_server_is_busy() -> None:
    town = Town(rate_limits=True)
    errors = []
    for _ in range(8):
        ann = Guest(town, "ann")
        ticket = ann.core.connect(town.now)
        town.run(0.2)
        errors.append(None if ticket.error is None else ticket.error.code)
    assert errors[:4] == [None] * 4
    assert RoomErrorCode.SIGNALING_SERVER_BUSY in errors[4:]


def test_room_4_5_53205_duplicate_identity() -> None:
    town, ann, bob = two_in_room(nodes=("n1", "n2"))
    again = Guest(town, "ann", node="n2").connect()
    town.run(0.5)
    assert ann.codes == [("disconnected", 53205)]
    assert again.codes == []
    assert list(bob.core.participants) == ["ann"]
    town.run(120)
    assert again.core.state is RoomState.CONNECTED
    assert len(ann.of(RoomDisconnected)) == 1
    assert ann.core.idle


def test_room_4_5_53407_the_tls_of_media_fails() -> None:
    town = Town()
    ann = Guest(town, "ann", endpoints="wss://server.test:7430")
    ann.refused = {MEDIA: TlsError("The certificate is not trusted.")}
    ann.connect()
    town.run(5)
    assert ann.codes == [("disconnected", 53407)]
    assert ann.core.idle


def test_room_one_more_than_fifty_participants_is_refused() -> None:
    town = Town()
    guests = [Guest(town, f"guest-{n}").connect() for n in range(50)]
    late = Guest(town, "late")
    ticket = late.core.connect(town.now)
    town.run(1)
    assert ticket.error is not None
    assert ticket.error.code is RoomErrorCode.ROOM_MAX_PARTICIPANTS_EXCEEDED
    guests[0].disconnect()
    Guest(town, "late").connect()
