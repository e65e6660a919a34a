"""Documented call rates: sliding windows over admitted calls."""

import random

import pytest

from rtmcore.client.rates import Rates, SlidingWindow
from rtmcore.client.requests import JOIN, MEMBERS, PUBLISH, SEND_PEER
from rtmcore.codes import ConnectionState, GetMembersError, JoinChannelError, SendChannelMessageError
from rtmcore.errors import RateLimited
from rtmcore.limits import RateLimit

CONNECTED = ConnectionState.CONNECTED


def test_a_window_admits_its_count_in_any_stretch_of_its_length() -> None:
    seed = random.randrange(2**32)
    print("seed", seed)
    dice = random.Random(seed)
    window = SlidingWindow(RateLimit(5, 2.0))
    now, admitted = 50.0, []
    for _ in range(2000):
        now += dice.choice([0.0, 0.01, 0.3, 0.7])
        if window.wait(now) is None:
            window.count(now)
            admitted.append(now)
    for first, sixth in zip(admitted, admitted[5:], strict=False):
        assert sixth - first >= 2.0 - 1e-9


def test_refused_calls_do_not_count_and_the_wait_is_exact() -> None:
    window = SlidingWindow(RateLimit(2, 1.0))
    window.count(10.0)
    window.count(10.4)
    for _ in range(100):
        assert window.wait(10.5) == pytest.approx(0.5)
    assert window.wait(10.999) is not None
    assert window.wait(11.0) is None
    window.count(11.0)
    assert window.wait(11.0) == pytest.approx(0.4)


def test_peer_and_channel_messages_share_one_rate() -> None:
    rates = Rates(enabled=True)
    for n in range(90):
        rates.admit(SEND_PEER, 5.0 + n * 0.01, CONNECTED)
        rates.admit(PUBLISH, 5.0 + n * 0.01, CONNECTED)
    with pytest.raises(RateLimited) as caught:
        rates.admit(PUBLISH, 6.0, CONNECTED)
    error = caught.value
    assert error.code is SendChannelMessageError.TOO_OFTEN
    assert error.operation == "publish"
    assert error.state == "CONNECTED"
    assert error.retry_after == pytest.approx(2.0)
    assert "180 in 3 s" in str(error)
    rates.admit(PUBLISH, 8.0, CONNECTED)


def test_joins_are_limited_by_channel_and_in_all() -> None:
    rates = Rates(enabled=True)
    rates.admit(JOIN, 1.0, CONNECTED, "room")
    rates.admit(JOIN, 1.0, CONNECTED, "room")
    with pytest.raises(RateLimited) as caught:
        rates.admit(JOIN, 5.9, CONNECTED, "room")
    assert caught.value.code is JoinChannelError.JOIN_SAME_CHANNEL_TOO_OFTEN
    assert caught.value.retry_after == pytest.approx(0.1)
    for n in range(50):
        rates.admit(JOIN, 10.0, CONNECTED, f"room {n}")
    with pytest.raises(RateLimited) as caught:
        rates.admit(JOIN, 12.9, CONNECTED, "another")
    assert caught.value.code is JoinChannelError.TOO_OFTEN
    rates.admit(JOIN, 13.0, CONNECTED, "another")


def test_windows_of_channels_that_are_long_past_are_forgotten() -> None:
    rates = Rates(enabled=True)
    for n in range(5000):
        rates.admit(JOIN, n * 1.0, CONNECTED, f"room {n}")
    assert len(rates._windows._same) <= 60


def test_member_lists_and_logins() -> None:
    rates = Rates(enabled=True)
    for _ in range(5):
        rates.admit(MEMBERS, 1.0, CONNECTED)
    with pytest.raises(RateLimited) as caught:
        rates.admit(MEMBERS, 2.9, CONNECTED)
    assert caught.value.code is GetMembersError.TOO_OFTEN
    rates.count_login(1.0)
    assert rates.login_wait(1.0) is None
    rates.count_login(1.5)
    assert rates.login_wait(1.5) == pytest.approx(0.5)


def test_switched_off_everything_is_admitted() -> None:
    rates = Rates(enabled=False)
    for _ in range(1000):
        rates.admit(SEND_PEER, 1.0, CONNECTED)
        rates.admit(JOIN, 1.0, CONNECTED, "room")
        rates.admit(MEMBERS, 1.0, CONNECTED)
        rates.count_login(1.0)
    assert rates.login_wait(1.0) is None
