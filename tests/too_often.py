"""One call more than a rate allows, against a real server and on a machine of any speed."""

import time
from collections.abc import Callable

from rtmcore.errors import RateLimited, RtmError
from rtmcore.limits import SERVER_RATE_BURST, RateLimit

TRIES = 10


def refused_by_the_client(rate: RateLimit, call: Callable[[], object]) -> RateLimited:
    """The error of the call after the last that a client allows.

    Where all of these calls together take longer than the rate's time, the last is allowed too: then they begin again.

    Args:
        rate: What is counted.
        call: One call; those that are allowed raise nothing.

    Returns:
        The error of the first that is refused.
    """
    for _ in range(TRIES):
        begun = time.monotonic()
        for _ in range(rate.count):
            call()
        try:
            call()
        except RateLimited as error:
            return error
        took = time.monotonic() - begun
        assert took >= rate.seconds, f"{rate.count + 1} calls in {took:.3f} s"
        time.sleep(rate.seconds)
    raise AssertionError("this machine is too slow to call too often")


def refused_by_the_server(rate: RateLimit, call: Callable[[], object]) -> RtmError:
    """The error of the first call that a server refuses, which gives room for another one all the time.

    Args:
        rate: What is counted.
        call: One call; those that are allowed raise nothing.

    Returns:
        The error of the first that is refused, which comes no earlier than after the burst that is allowed.
    """
    burst = SERVER_RATE_BURST * rate.count
    for done in range(TRIES * burst):
        try:
            call()
        except RtmError as error:
            assert done >= burst, f"{done} calls, of {burst} that are allowed at once"
            return error
    raise AssertionError("this machine is too slow to call too often")
