"""The timelines that clients, RTC channels and rooms keep of themselves, on a real server."""

import xml.etree.ElementTree as ET

import pytest

import rtmsync
from rtmsync import ConnectionState, PeerMessage, PresenceChanged, RtcUserJoined
from rtmsync.testing import FaultProxy
from rtmsync.timeline.spans import Subject
from tests.sync.conftest import Connect, Enter, MakeRtc


def own(timeline: rtmsync.Timeline, subject: Subject = Subject.CONNECTION) -> list[tuple[str, str]]:
    return [(row.state, row.reason) for row in timeline.rows if row.lane.subject is subject]


@pytest.mark.slow
def test_a_client_keeps_the_states_of_an_outage(
    connect: Connect, proxy: FaultProxy, proxied: str, name: str
) -> None:
    client = connect(user=name, url=proxied)
    proxy.blackhole()
    client.wait_until(ConnectionState.RECONNECTING)
    proxy.heal()
    client.wait_until(ConnectionState.CONNECTED)
    client.logout()
    assert own(client.timeline) == [
        ("CONNECTING", "LOGIN 1"),
        ("CONNECTED", "LOGIN_SUCCESS 2"),
        ("RECONNECTING", "INTERRUPTED 5"),
        ("CONNECTED", "LOGIN_SUCCESS 2"),
        ("DISCONNECTED", "LOGOUT 6"),
    ]
    transports = [state for state, _ in own(client.timeline, Subject.TRANSPORTS)]
    assert transports[:3] == ["connecting", "connected", "disconnected"]
    interrupted = client.timeline.rows[[row.state for row in client.timeline.rows].index("RECONNECTING")]
    assert interrupted.lasted(client.timeline.until) < 30
    assert "RECONNECTING" in client.timeline.table()
    ET.fromstring(client.timeline.svg())


def test_a_client_keeps_what_it_was_told_of_others_and_nothing_that_they_said(
    connect: Connect, name: str
) -> None:
    token = "a-token-that-nobody-sees"
    alice, bob = connect(user=f"{name}-alice", token=token), connect(user=f"{name}-bob")
    with alice.events(PresenceChanged) as told:
        alice.subscribe_presence(bob.user_id)
        told.get()
    alice.set_attributes({"secret-key": "secret-value"})
    alice.on(PeerMessage, lambda message: None)
    bob.send_peer(alice.user_id, "secret-text")
    seen = [row for row in alice.timeline.rows if row.lane.subject is Subject.PEER]
    assert [(row.lane.peer, row.state) for row in seen] == [(bob.user_id, "ONLINE")]
    everything = alice.timeline.table() + alice.timeline.svg() + repr(alice.timeline)
    assert "secret" not in everything
    assert token not in everything


def test_the_times_are_those_of_the_client(connect: Connect, name: str) -> None:
    client = connect(user=name)
    connected = next(row for row in client.timeline.rows if row.state == "CONNECTED")
    assert connected.began == client.connection.since
    assert connected.ended is None
    assert client.timeline.until >= connected.began


def test_an_rtc_channel_and_a_room_keep_theirs(make_rtc: MakeRtc, enter: Enter, name: str) -> None:
    one, two = make_rtc(name, "1"), make_rtc(name, "2")
    one.join()
    with one.events(RtcUserJoined) as told:
        two.join()
        told.get()
    assert own(one.timeline) == [("CONNECTING", "CONNECTING 0"), ("CONNECTED", "JOIN_SUCCESS 1")]
    assert [row.lane.peer for row in one.timeline.rows if row.lane.peer] == ["2"]
    room = enter(name, "ann")
    room.disconnect()
    assert own(room.timeline) == [("connected", ""), ("disconnected", "")]
