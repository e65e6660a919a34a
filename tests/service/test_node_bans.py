"""What a node makes of bans: of the order, of sessions that end, and of claims that are refused."""

import pytest

from rtmcore.codes import CloseCode, ConnectionChangeReason, LoginError
from rtmcore.limits import OFFLINE_AFTER
from rtmcore.service.commands.results import Refusal, Settled, Trouble
from rtmcore.service.config import NodeConfig
from rtmcore.wire.packets import Kicked, MemberChanged, PeerSent, Ready, Refused
from tests.service.wires import APP, OTHER_APP, SETTLE

WHY = "The user is banned: spam"


class Orders:
    """Gives orders to a world's node, and remembers what was reported."""

    def __init__(self, world) -> None:
        self.world = world
        self.reports = []

    def ban(self, user="alice", text=WHY, app=APP):
        self.world.node.ban(app, user, text, self.world.now, self.reports.append)
        self.world.pass_time(SETTLE)

    def unban(self, user="alice", app=APP):
        self.world.node.unban(app, user, self.world.now, self.reports.append)
        self.world.pass_time(SETTLE)


@pytest.fixture
def world(make_world):
    return make_world(config=NodeConfig(node="n1", rate_limits=False))


@pytest.fixture
def orders(world):
    return Orders(world)


def expect_kicked(wire) -> None:
    kicked = wire.expect(Kicked)
    assert (kicked.reason, kicked.text) == (ConnectionChangeReason.BANNED_BY_SERVER, WHY)
    wire.expect_closed(CloseCode.BANNED)


def expect_refused(wire) -> None:
    refused = wire.expect(Refused)
    assert (refused.code, refused.text, refused.retry) == (LoginError.REJECTED, WHY, None)
    wire.expect_closed(CloseCode.BANNED)


def test_a_user_who_is_connected_is_put_out(world, orders):
    alice, bob = world.login("alice"), world.login("bob")
    for wire in (alice, bob):
        wire.join("room")
    world.pass_time(SETTLE)
    orders.ban()
    assert orders.reports == [Settled()]
    expect_kicked(alice)
    assert [(one.user, one.joined) for one in bob.all_of(MemberChanged)][-1] == ("alice", False)
    bob.send_peer("alice", b"hello")
    assert bob.expect(PeerSent).code == 3
    assert bob.closed is None
    assert world.node.stats()["sessions"] == 1


def test_a_banned_user_gets_in_neither_by_a_login_nor_by_a_return_until_he_may(world, orders):
    alice = world.login("alice")
    alice.cut()
    world.pass_time(SETTLE)
    orders.ban()
    expect_kicked(alice.back())
    for attempt in (3, 4):
        again = world.wire()
        again.hello("alice", attempt=attempt)
        expect_refused(again)
    orders.unban()
    assert orders.reports == [Settled(), Settled()]
    world.login("alice", attempt=5)


def test_a_ban_holds_when_the_session_would_have_ended_long_ago(world, orders):
    orders.ban()
    world.pass_time(2 * OFFLINE_AFTER)
    wire = world.wire()
    wire.hello("alice")
    expect_refused(wire)


def test_a_ban_is_for_one_app(world, orders):
    elsewhere = world.login("alice", app=OTHER_APP)
    orders.ban()
    assert elsewhere.closed is None
    world.login("alice", app=OTHER_APP, attempt=2)


def test_a_ban_meets_a_login_that_is_under_way(world, orders):
    wire = world.wire()
    wire.hello("alice")
    world.settle()
    orders.ban()
    wire.expect_closed(CloseCode.BANNED)
    assert world.node.stats()["sessions"] == 0


def test_each_of_several_equal_orders_is_reported(world, orders):
    for _ in range(3):
        world.node.ban(APP, "alice", WHY, world.now, orders.reports.append)
    world.pass_time(SETTLE)
    assert orders.reports == [Settled()] * 3
    assert not world.node._orders._reports


def test_what_the_engine_refuses_is_reported(make_world):
    refusal = Refusal(Trouble.FULL, "no more")
    world = make_world(around=lambda port: _Refusing(port, refusal))
    orders = Orders(world)
    orders.ban()
    assert orders.reports == [refusal]


class _Refusing:
    """A port that refuses everything."""

    def __init__(self, inner, refusal) -> None:
        self._inner = inner
        self._refusal = refusal

    def submit(self, command, now, wall) -> None:
        self._inner.answer(command, self._refusal)

    def __getattr__(self, name):
        return getattr(self._inner, name)


def test_a_ban_without_a_word_says_so_all_the_same(world, orders):
    alice = world.login("alice")
    world.node.ban(APP, "alice", "", world.now, orders.reports.append)
    assert alice.expect(Kicked).text == "The user is banned."


def test_after_a_ban_the_same_client_may_log_in_afresh(world, orders):
    alice = world.login("alice")
    orders.ban()
    expect_kicked(alice)
    orders.unban()
    back = alice.back(login=True, fence=None, secret=None)
    back.expect(Ready)
    assert back.all_of(Kicked) == []
