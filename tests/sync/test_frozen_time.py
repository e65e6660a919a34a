"""A user's frozen clock around blocking calls: they neither hang nor expire early."""

from collections.abc import Callable, Iterator

import freezegun
import pytest

import rtmsync
from rtmsync import ConnectionState, RoomState, RtcConnectionState
from rtmsync.driver.clock import Clock
from rtmsync.testing import FaultProxy
from tests.sync.conftest import Connect, Enter, MakeRtc


@pytest.fixture(params=["2001-01-01", "2100-01-01"])
def frozen(request: pytest.FixtureRequest) -> Iterator[None]:
    """A clock that stands, in the past or in the future; no call may notice."""
    with freezegun.freeze_time(request.param):
        yield


def takes(call: Callable[[], object]) -> None:
    """See that a call with 0.2 seconds times out, and that it takes its time for it, but not that of others."""
    begun = Clock.now()
    with pytest.raises(rtmsync.RequestTimeout):
        call()
    assert 0.2 <= Clock.now() - begun < 20


@pytest.mark.usefixtures("frozen")
def test_a_client(connect: Connect, proxy: FaultProxy, proxied: str, name: str) -> None:
    client = connect(url=proxied)
    channel = client.channel(name)
    assert channel.join().count == 1
    assert channel.send("x").message_id
    assert client.get_attributes(client.user_id) == {}
    client.subscribe_presence([name])
    takes(lambda: client.events(rtmsync.PeerMessage).get(timeout=0.2))
    proxy.blackhole()
    takes(lambda: channel.send("x", timeout=0.2))
    takes(lambda: client.set_attributes({"a": "b"}, timeout=0.2))
    takes(lambda: client.wait_until(ConnectionState.ABORTED, timeout=0.2))
    assert client.wait_until(ConnectionState.RECONNECTING, timeout=30)
    proxy.heal()
    assert client.wait_until(ConnectionState.CONNECTED, timeout=30)
    client.close()


@pytest.mark.usefixtures("frozen")
def test_an_rtc_channel(make_rtc: MakeRtc, proxy: FaultProxy, proxied: str, name: str) -> None:
    one, two = make_rtc(name, "1", proxied), make_rtc(name, "2")
    one.join()
    two.join()
    with two.events(rtmsync.StreamMessage) as frames:
        one.send_stream_message(b"x")
        assert frames.get(timeout=30)
        takes(lambda: frames.get(timeout=0.2))
    takes(lambda: one.wait_until(RtcConnectionState.FAILED, timeout=0.2))
    proxy.blackhole()
    assert one.wait_until(RtcConnectionState.RECONNECTING, timeout=30)
    takes(lambda: make_rtc(name, "3", proxied).join(timeout=0.2))
    proxy.heal()
    assert one.wait_until(RtcConnectionState.CONNECTED, timeout=30)
    one.leave()


@pytest.mark.usefixtures("frozen")
def test_a_room(enter: Enter, proxy: FaultProxy, proxied: str, name: str) -> None:
    alice, bob = enter(name, "alice", proxied), enter(name, "bob")
    with bob.events(rtmsync.RoomMessage) as heard:
        assert alice.send("x").message_id
        assert heard.get(timeout=30)
        takes(lambda: heard.get(timeout=0.2))
    proxy.blackhole()
    takes(lambda: alice.send("x", timeout=0.2))
    assert alice.wait_until(RoomState.RECONNECTING, timeout=30)
    takes(lambda: alice.wait_until(RoomState.CONNECTED, timeout=0.2))
    proxy.heal()
    assert alice.wait_until(RoomState.CONNECTED, timeout=30)
    alice.disconnect()
