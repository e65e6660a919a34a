"""Short simulations in every test run; `make simulate` runs long ones."""

import pytest

from rtmcore.client.events import ChannelLost
from tests.simulation.scenario import Scenario
from tests.simulation.workload import TEXT, Director, Plan, Step, make_plan, simulate

SECONDS = 900.0


@pytest.mark.parametrize("seed", range(12))
def test_random_applications_on_a_bad_network(seed):
    print("seed", seed)
    world = simulate(make_plan(seed, 12, SECONDS))
    assert world.history.violations == []
    assert world.history.messages() > 100


def test_the_same_seed_is_the_same_run():
    plan = make_plan("again", 8, 600.0)
    first, second = ([life.events for life in simulate(plan).history.lives] for _ in range(2))
    assert str(first) == str(second)


def test_a_black_hole_of_five_seconds():
    world = Scenario()
    alice, bob = world.login("alice", "bob")
    world.join("room", alice, bob)
    seen = len(bob.life.events)
    start = world.time
    world.at(start + 1, alice.hole, 5.0)
    for number in range(5):
        world.at(start + 1.5 + number, bob.call, "send_peer", "alice", TEXT, b"%d" % number)
    world.run(start + 20)
    assert [state for _, state, _ in alice.life.states] == [
        "CONNECTING",
        "CONNECTED",
        "RECONNECTING",
        "CONNECTED",
    ]
    assert [message.body for message in alice.life.messages] == [b"%d" % number for number in range(5)]
    assert len(bob.life.events) == seen
    world.check()


def test_a_restart_is_an_interruption_like_any_other():
    world = Scenario()
    alice, bob = world.login("alice", "bob")
    world.join("room", alice, bob)
    seen = len(bob.life.events)
    call = alice.call("send_peer", "bob", TEXT, b"before", timeout=30.0)
    world.side.restart(down=6.0, step=-3600.0)
    world.run_for(20.0)
    assert call.ok
    again = alice.call("send_peer", "bob", TEXT, b"after")
    world.run_for(1.0)
    assert again.ok
    assert again.value.message_id > call.value.message_id
    assert [message.body for message in bob.life.messages] == [b"before", b"after"]
    # Its own interruption and the messages: nobody was said to have left or joined.
    others = {type(event).__name__ for _, event in bob.life.events[seen:]}
    assert others == {"StateChanged", "PeerMessage", "PeerConnectionStateChanged"}
    world.check()


def test_a_channel_that_could_not_be_restored_in_time_has_no_member_that_knows_nothing_of_it():
    world = Scenario(nodes=("n1", "n2"))
    alice, bob = world.login("alice", "bob")
    world.join("room", alice, bob)
    # Everything of the engine takes its time from now on; then the client has to come back.
    world.side.habits.engine_late, world.side.habits.engine_longest = 1.0, 12.0
    world.history.late_until = world.now + 100.0
    tries = 0
    while not alice.life.of(ChannelLost) and tries < 40:
        alice.reset()
        world.run_for(12.0)
        tries += 1
    assert alice.life.of(ChannelLost)
    world.side.habits.engine_late = 0.0
    world.run_for(60.0)
    call = bob.call("members", "room")
    world.run_for(5.0)
    assert call.ok
    assert "alice" not in call.value


def test_a_stuck_disk_goes_on_when_another_fault_of_the_disk_takes_its_place():
    director = Director(Plan("disks", 2, 60.0, ("n1",), True, {}, ()))
    world = director.world
    sessions = world.side.disk.image.sessions
    director.do_login(0)
    world.run_for(1.0)
    assert len(sessions) == 1
    director.do_bad_disk(0, 0.005, 0.0, stuck=True, seconds=15.0)
    director.do_logout(0)
    world.run_for(2.0)
    assert len(sessions) == 1
    director.do_bad_disk(0, 0.2, 0.0, stuck=False, seconds=30.0)
    world.run_for(2.0)
    assert not sessions


def test_no_token_expires_while_the_end_of_a_world_is_judged():
    steps = [Step(1.0, "login", actor) for actor in range(3)]
    steps += [Step(3.0, "token", 0, (300.0,)), Step(4.0, "logout", 0), Step(5.8, "login", 0)]
    world = simulate(Plan("tokens", 6, 120.0, ("n1",), True, {"token_policy": "abort"}, tuple(steps)))
    assert world.history.violations == []
    # It was given 300 s before the last ten, in which who is in the channels is asked for and judged.
    assert 185.0 < 5.8 + 300.0 - 120.0 < world.time - 120.0
    (life,) = (life for life in world.history.lives if life.tokens)
    assert life.states[-1][1:] == ("CONNECTED", "LOGIN_SUCCESS")
