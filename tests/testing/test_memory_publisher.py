"""Publishers of a memory system, and its outbox."""

import threading
import time

import pytest

import rtmsync
from rtmsync import PublishStatus
from rtmsync.testing.memory import MemorySystem

SECRET = "a secret of at least thirty-two bytes"


@pytest.fixture
def system():
    with MemorySystem() as system:
        yield system


def test_what_is_published_is_in_the_outbox(system):
    threads = set(threading.enumerate())
    with system.publisher() as publisher:
        assert isinstance(publisher, rtmsync.Publisher)
        assert publisher.send_peer("alice", "ready", sender="shop") is PublishStatus.PEER_UNREACHABLE
        assert (
            publisher.send_peer("alice", "kept", sender="shop", offline=True, ttl=60) is PublishStatus.CACHED
        )
        id = publisher.publish("orders", b"\0", sender="shop")
        publisher.publish("orders", "both", sender="shop", history=True)
    assert set(threading.enumerate()) <= threads
    assert [(sent.sender, sent.destination, sent.text, sent.raw) for sent in system.outbox] == [
        ("shop", "alice", "ready", None),
        ("shop", "alice", "kept", None),
        ("shop", "orders", None, b"\0"),
        ("shop", "orders", "both", None),
    ]
    lost, kept, raw, both = system.outbox
    assert (lost.peer, lost.channel, lost.status) == ("alice", None, rtmsync.SendStatus.PEER_UNREACHABLE)
    assert (kept.status, kept.offline, kept.ttl) == (rtmsync.SendStatus.CACHED, True, 60)
    assert (raw.peer, raw.channel, raw.id, raw.history) == (None, "orders", id, False)
    assert both.history
    assert both.id > id


def test_the_payload_is_not_in_the_repr(system):
    with system.publisher() as publisher:
        publisher.publish("orders", "secret words", sender="shop")
    assert "secret words" not in repr(system.outbox)


def test_a_repeat_is_in_the_outbox_once_and_a_refusal_not_at_all(system):
    with system.publisher() as publisher:
        for _ in range(2):
            publisher.publish("orders", "x", sender="shop", idempotency_key="one")
        with pytest.raises(rtmsync.InvalidArgument):
            publisher.publish("orders", "", sender="shop")
        with pytest.raises(rtmsync.InvalidArgument):
            publisher.publish("or\tders", "x", sender="shop")
    assert len(system.outbox) == 1
    system.outbox.clear()
    assert system.outbox == []


def test_all_calls_of_a_publisher_work(system):
    with system.publisher() as publisher:
        publisher.publish("orders", "kept", sender="shop", history=True)
        assert publisher.history(channel="orders").messages[0].text == "kept"
        assert publisher.history_count(channel="orders") == 1
        assert publisher.member_counts(["orders"]) == {"orders": 0}
        assert publisher.kick("alice") is False
        assert publisher.kick_member("orders", "alice") is False
        publisher.ban("alice", "spam")
        publisher.unban("alice")
        assert publisher.user_events().events == ()
        assert publisher.channel_events().events == ()


def test_rates_are_kept_where_they_are_wanted():
    with MemorySystem(rate_limits=True) as system, system.publisher() as publisher:
        with pytest.raises(rtmsync.RateLimited):  # noqa: PT012 - it is not the first that is refused
            for _ in range(3000):
                publisher.publish("orders", "x", sender="shop")
        system.clock.advance(1.1)
        publisher.publish("orders", "x", sender="shop")


def test_time_passes_in_no_time_and_for_all_systems_of_a_clock(system):
    begun = time.monotonic()
    with MemorySystem(clock=system.clock) as other, other.publisher() as publisher:
        publisher.publish("orders", "kept for a week", sender="shop", history=True)
        before = system.clock.now(), system.clock.time()
        system.clock.advance(8 * 24 * 3600)
        assert system.clock.now() - before[0] == pytest.approx(8 * 24 * 3600)
        assert system.clock.time() - before[1] == pytest.approx(8 * 24 * 3600, abs=60)
        assert publisher.history_count(channel="orders") == 0
    assert time.monotonic() - begun < 30
    for wrong in (-1, float("inf"), float("nan")):
        with pytest.raises(rtmsync.InvalidArgument):
            system.clock.advance(wrong)


def test_after_the_end_there_is_nothing(system):
    publisher = system.publisher()
    publisher.close()
    with pytest.raises(rtmsync.ClientClosed):
        publisher.publish("orders", "x", sender="shop")
    system.close()
    system.close()
    with pytest.raises(rtmsync.ClientClosed):
        system.publisher()
    assert "closed" in repr(system)


def test_tokens_are_made_where_there_is_a_secret(system):
    assert system.token_for("alice") is None
    with MemorySystem("x" * 32, secret=SECRET) as signed:
        assert signed.token_for("alice").count(".") == 2
        assert SECRET not in repr(signed)


def test_what_a_message_brings_about_has_happened_when_publishing_returns(system):
    publisher, desk = system.publisher(), system.client("desk")
    desk.login()
    desk.channel("orders").join()
    desk.on(rtmsync.ChannelMessage, lambda message: publisher.publish("kitchen", message.text, sender="desk"))
    publisher.publish("orders", "soup", sender="shop")
    assert [(sent.channel, sent.text) for sent in system.outbox] == [("orders", "soup"), ("kitchen", "soup")]
