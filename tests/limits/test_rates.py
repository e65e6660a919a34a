"""Every rate at its boundary, in virtual time: the client's windows, the server's buckets, and both together."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtmcore import limits
from rtmcore.client.rates import SlidingWindow
from rtmcore.codes import ConnectionState, GetMembersError, JoinChannelError, LoginError
from rtmcore.errors import InvalidToken, RateLimited, RequestTimeout
from rtmcore.figures import RATES
from rtmcore.limits import OFFLINE_AFTER, SERVER_RATE_BURST, RateLimit
from rtmcore.service.admission import TokenBucket
from rtmcore.service.config import NodeConfig
from rtmcore.wire.packets import Done, Failed, Floor, Join, Joined, Leave, Packet, Refused
from tests.core.wires import Bench, Connection, Server
from tests.limits.rates import ALL, CHANNEL, IN_A_SESSION, Rate
from tests.service.wires import SETTLE, World
from tests.simulation.scenario import Scenario

BY_NAME = pytest.mark.parametrize("rate", IN_A_SESSION, ids=lambda rate: rate.name)
TICK = 0.001


class Porter(Server):
    """Lets everybody into channels and out of them, and answers nothing else."""

    def packet(self, connection: Connection, packet: Packet) -> None:
        super().packet(connection, packet)
        if isinstance(packet, Join):
            connection.send(Joined(packet.i, 0))
        elif isinstance(packet, Leave):
            connection.send(Done(packet.i))


def online(figures: dict[str, int] | None = None, **options: Any) -> Bench:
    """A client in the channel, whose server tells these figures."""
    server = Porter()
    if figures is not None:
        server.figures["limits"] = {"frame": 262144, **figures}
    bench = Bench(server, rate_limits=True, **options).online()
    bench.core.join(CHANNEL, now=bench.now)
    bench.run(60.0)
    return bench


def told(name: str, rate: RateLimit) -> dict[str, int]:
    return {f"rate_{name}": rate.count, f"rate_{name}_ms": round(rate.seconds * 1000)}


def use_up(bench: Bench, rate: Rate, times: int) -> None:
    for n in range(times):
        call, _ = rate.calls[n % len(rate.calls)]
        call(bench.core, bench.now)
        bench.turn()


def assert_refused(bench: Bench, rate: Rate, limit: RateLimit, wait: float) -> None:
    for call, code in rate.calls:
        with pytest.raises(RateLimited) as caught:
            call(bench.core, bench.now)
        assert caught.value.code is code
        assert caught.value.retry_after == pytest.approx(wait)
        assert str(limit) in str(caught.value)


def test_every_rate_has_a_row() -> None:
    assert {rate.name for rate in ALL} == set(RATES)
    assert all(getattr(limits, rate.figure) == RATES[rate.name] for rate in ALL)


# --- The client -----------------------------------------------------------------------------------------------------


@BY_NAME
@pytest.mark.parametrize("configured", [None, RateLimit(1, 0.5), RateLimit(3, 7.0)], ids=str)
def test_the_window_of_a_client_is_exact(rate: Rate, configured: RateLimit | None) -> None:
    limit = configured or RATES[rate.name]
    bench = online(None if configured is None else told(rate.name, limit))
    start = bench.now
    use_up(bench, rate, limit.count - 1)
    bench.run(limit.seconds / 2)
    use_up(bench, rate, 1)
    for _ in range(3):  # what is refused does not count
        assert_refused(bench, rate, limit, limit.seconds / 2 if limit.count > 1 else limit.seconds)
    if limit.count > 1:
        bench.run(start + limit.seconds - TICK - bench.now)
        assert_refused(bench, rate, limit, TICK)
        bench.run(start + limit.seconds - bench.now)
        use_up(bench, rate, limit.count - 1)
        assert_refused(bench, rate, limit, limit.seconds / 2)
    bench.run(limit.seconds)
    use_up(bench, rate, 1)


@BY_NAME
def test_a_rate_of_zero_is_none(rate: Rate) -> None:
    bench = online({f"rate_{rate.name}": 0, f"rate_{rate.name}_ms": 1000})
    use_up(bench, rate, 3 * RATES[rate.name].count)


@BY_NAME
def test_a_client_that_would_rather_wait_keeps_the_rate_that_is_told(rate: Rate) -> None:
    limit = RateLimit(2, 3.0)
    bench = online(told(rate.name, limit), on_rate_limit="wait")
    start = bench.now
    before = len(bench.server.last.packets)
    tickets = [rate.calls[n % len(rate.calls)][0](bench.core, bench.now) for n in range(4)]

    def written() -> int:
        sent = {ticket.request_id for ticket in tickets}
        came = [packet for packet in bench.server.last.packets[before:] if not isinstance(packet, Floor)]
        return sum(getattr(packet, "i", 0) in sent for packet in came)

    bench.run(0.01)
    assert written() == 2
    bench.run(start + limit.seconds - TICK - bench.now)
    assert written() == 2
    bench.run(0.01)
    assert written() == 4
    late = rate.calls[0][0](bench.core, bench.now)
    bench.run(0.01)
    assert not late.written


def test_joins_of_all_channels_and_of_one() -> None:
    bench = online()
    start = bench.now
    for number in range(limits.JOIN_RATE.count):
        bench.core.join(f"channel-{number}", now=bench.now)
        bench.turn()
        bench.core.leave(f"channel-{number}", now=bench.now)
        bench.turn()
    with pytest.raises(RateLimited) as caught:
        bench.core.join("more", now=bench.now)
    assert caught.value.code is JoinChannelError.TOO_OFTEN
    assert caught.value.retry_after == pytest.approx(limits.JOIN_RATE.seconds)
    bench.run(limits.JOIN_RATE.seconds)
    same = limits.JOIN_SAME_CHANNEL_RATE
    bench.core.join("channel-0", now=bench.now)
    bench.turn()
    bench.core.leave("channel-0", now=bench.now)
    bench.turn()
    with pytest.raises(RateLimited) as caught:
        bench.core.join("channel-0", now=bench.now)
    assert caught.value.code is JoinChannelError.JOIN_SAME_CHANNEL_TOO_OFTEN
    assert caught.value.retry_after == pytest.approx(start + same.seconds - bench.now)
    bench.core.join("channel-1", now=bench.now)
    bench.run(start + same.seconds - bench.now)
    bench.core.join("channel-0", now=bench.now)


def test_joins_at_the_rates_that_are_told() -> None:
    figures = {**told("join", RateLimit(5, 10.0)), **told("join_same", RateLimit(1, 20.0))}
    bench = online(figures)
    for number in range(5):
        bench.core.join(f"channel-{number}", now=bench.now)
        bench.turn()
        bench.core.leave(f"channel-{number}", now=bench.now)
        bench.turn()
    with pytest.raises(RateLimited) as caught:
        bench.core.join("channel-0", now=bench.now)
    assert caught.value.code is JoinChannelError.JOIN_SAME_CHANNEL_TOO_OFTEN
    assert caught.value.retry_after == pytest.approx(20.0)
    with pytest.raises(RateLimited) as caught:
        bench.core.join("more", now=bench.now)
    assert caught.value.code is JoinChannelError.TOO_OFTEN
    assert caught.value.retry_after == pytest.approx(10.0)


@pytest.mark.parametrize("configured", [None, RateLimit(3, 30.0)], ids=str)
def test_logins(configured: RateLimit | None) -> None:
    limit = configured or limits.LOGIN_RATE
    server = Server()
    if configured is not None:
        server.figures["limits"] = told("login", limit)
    bench = Bench(server, rate_limits=True)
    start = bench.now
    for _ in range(limit.count):
        bench.core.login(bench.now)
        bench.turn()
        assert bench.core.state is ConnectionState.CONNECTED
        bench.core.logout(bench.now)
        bench.turn()
    for _ in range(2):
        with pytest.raises(RateLimited) as caught:
            bench.core.login(bench.now)
        assert caught.value.code is LoginError.TOO_OFTEN
        assert caught.value.retry_after == pytest.approx(start + limit.seconds - bench.now)
        assert str(limit) in str(caught.value)
    bench.run(start + limit.seconds - bench.now)
    bench.core.login(bench.now)


def test_another_welcome_brings_other_rates_and_what_was_called_counts() -> None:
    bench = online(told("members", RateLimit(2, 10.0)))
    members = next(rate for rate in IN_A_SESSION if rate.name == "members")
    start = bench.now
    use_up(bench, members, 2)
    assert_refused(bench, members, RateLimit(2, 10.0), 10.0)

    def welcome_with(figures: dict[str, int]) -> None:
        bench.run(2.0)  # so that the next attempt is made at once
        bench.server.figures["limits"] = figures
        bench.reset()
        bench.turn()
        assert bench.core.session.stands

    welcome_with(told("members", RateLimit(3, 20.0)))
    use_up(bench, members, 1)
    assert_refused(bench, members, RateLimit(3, 20.0), start + 20.0 - bench.now)
    welcome_with(told("members", RateLimit(1, 3.0)))
    assert_refused(bench, members, RateLimit(1, 3.0), 1.0)
    welcome_with({})
    use_up(bench, members, limits.MEMBERS_RATE.count)
    assert_refused(bench, members, limits.MEMBERS_RATE, limits.MEMBERS_RATE.seconds)
    welcome_with({"rate_members": 0})
    use_up(bench, members, 50)


def test_what_the_client_does_by_itself_does_not_count() -> None:
    world = Scenario(rate_limits=True)
    alice, _ = world.login("alice", "bob", rate_limits=True)
    channels = [f"channel-{n}" for n in range(limits.CHANNELS_JOINED)]
    for channel in channels:
        alice.call("join", channel)
    alice.call("users.subscribe", ["bob"])
    alice.call("users.set_attributes", {"a": "b"})
    world.run_for(limits.JOIN_SAME_CHANNEL_RATE.seconds)
    alice.hole(OFFLINE_AFTER + 5)
    world.run_for(OFFLINE_AFTER + 8)
    assert alice.core.state is ConnectionState.CONNECTED
    assert set(alice.core.channels) == set(channels)
    # Channels were joined, users subscribed to and attributes set a moment ago: all of that is allowed as ever.
    calls = []
    for _ in range(limits.PRESENCE_SUBSCRIBE_RATE.count):
        calls += [alice.call("users.subscribe", ["bob"]), alice.call("users.set_attributes", {"a": "c"})]
    for _ in range(limits.JOIN_SAME_CHANNEL_RATE.count):
        calls += [alice.call("leave", channel) for channel in channels]
        world.run_for(0.2)
        calls += [alice.call("join", channel) for channel in channels]
        world.run_for(0.2)
    world.run_for(2.0)
    assert [call.error for call in calls if not call.ok] == []
    assert isinstance(alice.call("users.subscribe", ["bob"]).error, RateLimited)
    assert isinstance(alice.call("users.set_attributes", {}).error, RateLimited)


# --- The server -----------------------------------------------------------------------------------------------------


def test_joins_of_a_client_that_does_not_keep_the_rate() -> None:
    world = World()
    alice = world.login("alice")
    most = SERVER_RATE_BURST * limits.JOIN_RATE.count

    def join(channel: str) -> Packet:
        number = alice.next_request()
        alice.say(Join(number, channel))
        world.settle()
        return next(packet for packet in alice.heard if getattr(packet, "i", 0) == number)

    def leave(channel: str) -> None:
        alice.say(Leave(alice.next_request(), channel))
        alice.expect(Done)

    for number in range(most):
        assert isinstance(join(f"channel-{number}"), Joined)
        if number:
            leave(f"channel-{number}")
    refused = join("more")
    assert isinstance(refused, Failed)
    rate = limits.JOIN_RATE
    assert (refused.code, refused.retry) == (
        JoinChannelError.TOO_OFTEN,
        round(1000 * rate.seconds / rate.count),
    )
    world.pass_time(60)
    same = limits.JOIN_SAME_CHANNEL_RATE
    for _ in range(SERVER_RATE_BURST * same.count):
        assert isinstance(join("same"), Joined)
        leave("same")
    refused = join("same")
    assert isinstance(refused, Failed)
    assert refused.code == JoinChannelError.JOIN_SAME_CHANNEL_TOO_OFTEN
    assert refused.retry == round(1000 * same.seconds / same.count)
    assert isinstance(join("another"), Joined), "other channels are not concerned"
    leave("channel-0")  # nobody has put the client out of the channel that it was in


def test_logins_of_a_client_that_does_not_keep_the_rate() -> None:
    world = World()
    rate = limits.LOGIN_RATE
    for number in range(SERVER_RATE_BURST * rate.count):
        alice = world.login("alice", iid=f"instance-of-alice-{number}")
    wire = world.wire()
    wire.hello("alice", iid="another-instance-of-alice")
    refused = wire.expect(Refused, within=0.0)
    assert (refused.code, refused.retry) == (LoginError.TOO_OFTEN, round(1000 * rate.seconds / rate.count))
    assert not alice.gone, "the session that there is lives on"
    alice.join("room")
    world.login("bob")
    world.pass_time(refused.retry / 1000)
    world.login("alice", iid="another-instance-of-alice")


# --- Both together --------------------------------------------------------------------------------------------------


@settings(max_examples=300, deadline=None)
@given(data=st.data(), rate=st.sampled_from(sorted(set(RATES.values()), key=str)))
def test_a_client_inside_its_limits_is_never_refused_however_its_calls_bunch_up(
    data: st.DataObject, rate: RateLimit
) -> None:
    """Calls of the exact window, held up in order for as long as the rate's own time at most."""
    window, bucket = SlidingWindow(rate), TokenBucket(rate)
    now = arrival = 100.0
    gaps = st.one_of(st.just(0.0), st.floats(0, rate.seconds / rate.count), st.floats(0, 2 * rate.seconds))
    held_up = st.one_of(st.just(0.0), st.just(rate.seconds), st.floats(0, rate.seconds))
    for _ in range(data.draw(st.integers(1, 30))):
        now += data.draw(gaps)
        delay = data.draw(held_up)
        for _ in range(data.draw(st.sampled_from([1, 2, rate.count]))):
            free = window.free_at(now)
            if free is not None:
                if not data.draw(st.booleans()):
                    continue
                now = free
            window.count(now)
            arrival = max(arrival, now + delay)
            if arrival - now > rate.seconds:
                arrival = now + rate.seconds
            assert bucket.wait(arrival) == 0.0
            bucket.admit(arrival)


@given(rate=st.builds(RateLimit, st.integers(1, 300), st.floats(0.05, 100)))
def test_a_client_that_is_not_inside_is_told_when_there_is_room(rate: RateLimit) -> None:
    bucket = TokenBucket(rate)
    now = 1000.0
    for _ in range(SERVER_RATE_BURST * rate.count):
        assert bucket.wait(now) == 0.0
        bucket.admit(now)
    wait = bucket.wait(now)
    assert wait == pytest.approx(rate.seconds / rate.count)
    assert bucket.wait(now + wait * 0.9) > 0
    assert bucket.wait(now + wait) == 0.0


class Busy:
    """A client that calls as often as its window allows, always as early as it can."""

    def __init__(self, rate: Rate) -> None:
        self.rate = rate
        self.limit = RATES[rate.name]
        self.world = Scenario(rate_limits=True)
        self.ann, _ = self.world.login("ann", "bob", rate_limits=True)
        self.world.join(CHANNEL, self.ann)
        self.world.run_for(5.0)
        self.tickets: list[Any] = []
        self.refused = 0

    def call_for(self, seconds: float) -> None:
        end = self.world.now + seconds
        while self.world.now < end:
            for _ in range(self.limit.count + 1):
                call, _ = self.rate.calls[len(self.tickets) % len(self.rate.calls)]
                try:
                    self.tickets.append(call(self.ann.core, self.world.now))
                except RateLimited:
                    self.refused += 1
                    break
            self.ann.turn()
            self.world.run_for(min(0.25, self.limit.seconds / 4))

    def errors(self) -> list[Any]:
        self.world.run_for(15.0)
        assert all(ticket.done for ticket in self.tickets)
        assert self.refused, "the client's window was full all the time"
        found = [ticket.error for ticket in self.tickets if ticket.error is not None]
        # The world's tokens are others: a renewal is refused for that, and not for its rate.
        return [error for error in found if not isinstance(error, InvalidToken)]


@BY_NAME
@pytest.mark.parametrize("held_up", [0.0, 0.5, 0.95])
def test_calls_as_often_as_is_allowed_are_never_refused_where_the_network_stalls(
    rate: Rate, held_up: float
) -> None:
    busy = Busy(rate)
    for _ in range(3):
        busy.ann.hole(held_up * min(busy.limit.seconds, limits.SPARE_TRANSPORT_AFTER - 0.5))
        busy.call_for(busy.limit.seconds)
    assert busy.errors() == []


QUESTIONS = [
    rate
    for rate in IN_A_SESSION
    if rate.name in ("members", "counts", "query", "subscriptions", "attributes_read", "stored")
]


@pytest.mark.parametrize("rate", QUESTIONS, ids=lambda rate: rate.name)
@pytest.mark.parametrize("held_up", [2.5, 3.9, 6.0])
def test_questions_that_were_held_up_for_longer_are_asked_again_and_not_refused(
    rate: Rate, held_up: float
) -> None:
    busy = Busy(rate)
    busy.ann.hole(held_up)
    busy.call_for(held_up + 3 * busy.limit.seconds)
    errors = busy.errors()
    assert all(isinstance(error, RequestTimeout) for error in errors), errors
    assert not errors or held_up > 3.9


def test_what_a_server_refuses_for_longer_than_a_question_waits_is_told() -> None:
    bench = online()
    for retry, told_at_once in ((4_999, False), (5_000, True)):
        ticket = bench.core.members(CHANNEL, now=bench.now)
        bench.turn()
        bench.server.last.send(Failed(ticket.request_id, GetMembersError.TOO_OFTEN, "Too often.", retry))
        bench.turn()
        assert ticket.done is told_at_once
        bench.run(limits.OPERATION_TIMEOUT)
        assert isinstance(ticket.error, RateLimited if told_at_once else RequestTimeout)


def test_a_client_without_rates_is_told_of_every_refusal() -> None:
    bench = Bench(Porter()).online()
    bench.core.join(CHANNEL, now=bench.now)
    bench.turn()
    ticket = bench.core.members(CHANNEL, now=bench.now)
    bench.turn()
    bench.server.last.send(Failed(ticket.request_id, GetMembersError.TOO_OFTEN, "Too often.", 100))
    bench.turn()
    assert isinstance(ticket.error, RateLimited)
    assert ticket.error.retry_after == 0.1


@BY_NAME
@pytest.mark.parametrize("outage", [1.0, 3.9, 5.0, 8.0])
def test_nor_after_an_outage_in_which_what_was_written_is_lost(rate: Rate, outage: float) -> None:
    """What is repeated, what has waited and what is new come together, and the server takes it all."""
    busy = Busy(rate)
    busy.call_for(0.5)
    busy.ann.swallow(up=True, down=True)
    busy.ann.hole(outage)
    busy.call_for(outage + 2 * busy.limit.seconds)
    errors = busy.errors()
    assert not [error for error in errors if isinstance(error, RateLimited)]
    assert all(isinstance(error, RequestTimeout) for error in errors), "what found no room in its own time"


@pytest.mark.parametrize("rates", [{}, {"send": RateLimit(20, 1.0), "members": RateLimit(1, 4.0)}], ids=str)
def test_a_configured_server_and_its_clients_agree(rates: dict[str, RateLimit]) -> None:
    config = NodeConfig(node="n1", rates=rates)
    assert config.announced_limits["rate_send"] == config.all_rates["send"].count
    world = World(config=config)
    wire = world.login("alice")
    bench = online(wire.welcome.limits)
    for rate in IN_A_SESSION:
        use_up(bench, rate, config.all_rates[rate.name].count)
        with pytest.raises(RateLimited):
            rate.calls[0][0](bench.core, bench.now)
    world.pass_time(SETTLE)
