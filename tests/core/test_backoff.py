"""Waits between attempts."""

import pytest

from rtmcore.connection.backoff import Backoff, BackoffPolicy
from rtmcore.limits import BACKOFF_BASE, BACKOFF_CAP, RETRY_AFTER_MAX


def test_the_first_attempt_waits_for_nothing_and_the_others_exponentially_longer() -> None:
    backoff = Backoff(BackoffPolicy(), lambda: 1.0)
    assert [backoff.delay() for _ in range(8)] == [0, 0.25, 0.5, 1, 2, 4, 8, 8]


def test_jitter_is_full() -> None:
    for share in (0.0, 0.1, 0.5, 0.999):
        backoff = Backoff(BackoffPolicy(), lambda share=share: share)
        delays = [backoff.delay() for _ in range(10)]
        assert delays[1] == BACKOFF_BASE * share
        assert delays[-1] == BACKOFF_CAP * share


def test_the_server_wins_over_the_own_wait_and_counts_as_an_attempt() -> None:
    backoff = Backoff(BackoffPolicy(), lambda: 1.0)
    assert backoff.delay(retry_after=3.5) == 3.5
    assert backoff.delay() == 0.25
    assert backoff.delay(retry_after=0.5) == 0.5


def test_what_the_server_asks_for_is_bounded() -> None:
    assert Backoff(BackoffPolicy(), lambda: 1.0).delay(1e12) == RETRY_AFTER_MAX


@pytest.mark.parametrize("asked", [0.0, -5.0])
def test_a_server_that_asks_for_no_wait_is_not_hammered(asked: float) -> None:
    backoff = Backoff(BackoffPolicy(), lambda: 1.0)
    assert [backoff.delay(asked) for _ in range(4)] == [0, 0.25, 0.5, 1]


def test_a_reset_begins_anew() -> None:
    backoff = Backoff(BackoffPolicy(), lambda: 1.0)
    for _ in range(5):
        backoff.delay()
    backoff.reset()
    assert [backoff.delay(), backoff.delay()] == [0, 0.25]


def test_ten_thousand_attempts_do_not_overflow() -> None:
    backoff = Backoff(BackoffPolicy(), lambda: 1.0)
    assert max(backoff.delay() for _ in range(10_000)) == BACKOFF_CAP
