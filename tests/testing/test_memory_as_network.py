"""What clients do over the network, they do in memory: the same tests, with other fixtures."""

import importlib
import secrets
from collections.abc import Callable, Iterator
from types import FunctionType
from typing import Any

import pytest

import rtmsync
from rtmsync.testing.memory import MemorySystem

MODULES = """
    test_attributes test_callbacks test_channel_info test_futures test_invitations test_kept test_messages test_presence
    test_room test_rtc test_transfers
""".split()
FIXTURES = {"connect", "make", "enter", "make_rtc", "name", "caplog", "recwarn", "tmp_path"}
"""What a test may ask for; those that need a proxy or a URL, or change something inside, stay where they are."""

WITH_THREADS = frozenset(
    """
    test_a_blocked_call_hears_of_the_stop
    test_a_blocked_callback_does_not_silence_the_connection
    test_callbacks_of_a_future_run_on_the_dispatcher
    test_callbacks_run_in_order_on_one_thread_of_their_own
    test_callbacks_that_are_behind_leave_the_rest_with_the_server
    test_closing_does_not_wait_for_a_callback_beyond_its_time
    test_iterating_ends_when_the_channel_is_left
    test_run_forever_ends_with_the_client
    test_several_threads_share_a_queue
    test_slow_callbacks_lose_channel_messages_and_are_told
    test_whoever_waits_for_the_end_hears_of_the_stop_first
    test_a_cancel_from_a_signal_handler_is_safe
    test_a_forked_child_has_no_part_in_transfers
    test_ctrl_c_ends_the_wait_and_not_the_transfer
    test_logout_and_close_interrupt_transfers
    test_nine_transfers_run_at_once
    test_progress_begins_at_nothing_ends_at_all_and_never_goes_back
    test_waiting_for_a_result_takes_as_long_as_was_said
    test_who_is_put_out_by_another_login_loses_transfers
    """.split()
)
"""Tests in which one thread waits for what another one does, or that look at the threads of a client."""

OF_A_SERVER = frozenset(
    """
    test_a_channel_that_was_too_large_for_a_while_is_told_of_again
    test_a_future_has_all_that_its_base_class_sets_up
    test_a_token_is_for_one_identity_and_room
    test_it_is_made_from_possible_settings
    """.split()
)
"""Tests of what is under way, while in memory it is done; with a server of their own; and of the names of classes."""


def _taken(test: object) -> bool:
    if not isinstance(test, FunctionType) or not test.__name__.startswith("test_"):
        return False
    marks = [mark.args[0] for mark in getattr(test, "pytestmark", []) if mark.name == "parametrize"]
    given = {
        name.strip() for names in marks for name in (names.split(",") if isinstance(names, str) else names)
    }
    wanted = set(test.__code__.co_varnames[: test.__code__.co_argcount]) - given
    return (
        wanted & {"connect", "enter", "make_rtc"} != set()
        and wanted <= FIXTURES
        and test.__name__ not in WITH_THREADS | OF_A_SERVER
    )


for _name in MODULES:
    _module = importlib.import_module(f"tests.sync.{_name}")
    for _test in list(vars(_module).values()):
        if _taken(_test):
            globals()[f"{_test.__name__}_as_in_{_name.removeprefix('test_')}"] = _test


@pytest.fixture
def name() -> str:
    """A user, channel or whatever name that nothing else has."""
    return f"n-{secrets.token_hex(6)}"


@pytest.fixture
def system() -> Iterator[MemorySystem]:
    """What stands for the server."""
    with MemorySystem() as system:
        yield system


@pytest.fixture
def make(system: MemorySystem) -> Callable[..., rtmsync.Client]:
    """Makes clients that have not logged in."""

    def build(user: str | None = None, **options: Any) -> rtmsync.Client:
        return system.client(user or f"u-{secrets.token_hex(6)}", **{"rate_limits": False, **options})

    return build


@pytest.fixture
def make_rtc(system: MemorySystem) -> Callable[..., rtmsync.RtcChannel]:
    """Makes RTC channels that were not joined."""
    return system.rtc


@pytest.fixture
def enter(system: MemorySystem) -> Callable[..., rtmsync.Room]:
    """Connects to rooms."""
    return system.room


@pytest.fixture
def connect(make: Callable[..., rtmsync.Client]) -> Callable[..., rtmsync.Client]:
    """Makes clients that have logged in."""

    def login(*arguments: Any, **options: Any) -> rtmsync.Client:
        client = make(*arguments, **options)
        client.login()
        return client

    return login
