"""Joins that a leave ends, and renewals that a logout ends."""

import pytest

from rtmcore.codes import JoinChannelError, RenewTokenError
from rtmcore.errors import AlreadyJoined, ServerFailure, StateError
from rtmcore.models import JoinResult
from rtmcore.wire.packets import Done, Failed, Join, Joined, Leave, Roster
from tests.core.wires import Bench, HonestServer, never


def test_a_leave_ends_a_join_that_is_under_way() -> None:
    bench = Bench().online()
    joining = bench.core.join("room", now=bench.now)
    bench.turn()
    leaving = bench.core.leave("room", now=bench.now)
    due = bench.core.next_deadline()
    assert due is not None
    assert due <= bench.now, "the driver looks at once, and tells of the end"
    assert isinstance(joining.error, StateError)
    assert joining.error.code is JoinChannelError.ABORTED_BY_LEAVE
    with pytest.raises(AlreadyJoined):
        bench.core.join("room", now=bench.now)
    bench.turn()
    server = bench.server.last
    server.send(Roster("room", 5, 1, ["ann"]), Joined(joining.request_id or 0, 10))
    bench.turn()
    assert bench.core.channels == ()
    assert not leaving.done
    server.send(Done(leaving.request_id or 0))
    bench.turn()
    assert leaving.done
    assert leaving.error is None
    again = bench.core.join("room", now=bench.now)
    bench.turn()
    server.send(Roster("room", 6, 1, ["ann"]), Joined(again.request_id or 0, 11))
    bench.turn()
    assert isinstance(again.value, JoinResult)
    assert bench.core.channels == ("room",)
    assert (len(server.got(Join)), len(server.got(Leave))) == (2, 1)


def test_a_leave_ends_a_join_that_was_not_sent() -> None:
    server = HonestServer()
    bench = Bench(server).online()
    bench.dial = never
    bench.reset()
    bench.turn()
    joining = bench.core.join("room", now=bench.now)
    leaving = bench.core.leave("room", now=bench.now)
    assert isinstance(joining.error, StateError)
    bench.connect(bench.opened[-1].id)
    bench.run(1)
    assert leaving.done
    assert leaving.error is None
    assert server.members == set()


def test_a_leave_that_fails_lets_the_channel_be_joined() -> None:
    bench = Bench().online()
    bench.core.join("room", now=bench.now)
    leaving = bench.core.leave("room", now=bench.now)
    bench.turn()
    bench.server.last.send(Failed(leaving.request_id or 0, 1, "no"))
    bench.turn()
    assert isinstance(leaving.error, ServerFailure)
    bench.core.join("room", now=bench.now)


def test_a_logout_ends_a_join_and_its_leave() -> None:
    bench = Bench().online()
    bench.core.join("room", now=bench.now)
    leaving = bench.core.leave("room", now=bench.now)
    renewal = bench.core.renew_token("new", now=bench.now)
    bench.turn()
    bench.core.logout(bench.now)
    bench.run(2)
    assert leaving.done
    assert renewal.error is not None
    assert renewal.error.code is RenewTokenError.ABORTED_BY_LOGOUT
    bench.core.login(bench.now)
    bench.run(1)
    bench.core.join("room", now=bench.now)
