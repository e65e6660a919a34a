"""The listener: handlers in order and in their context, and how it ends."""

import contextlib
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

import rtmsync
from rtmcore.errors import InvalidArgument
from rtmsync.contrib.connections import Connections
from rtmsync.contrib.listening import Handlers, run_listener
from rtmsync.exits import ExitCode
from rtmsync.server.config import DEV_APP_ID
from rtmsync.testing import FaultProxy
from tests.contrib.conftest import KEY, PATIENCE, SECRET, Configure
from tests.contrib.test_connections import wait_for
from tests.system.processes import ServerProcess


class Listening:
    """A listener in a thread, which takes no signals there."""

    def __init__(self, connections: Connections, handlers: Handlers, **options) -> None:
        self.client = connections.listening_client()
        self.told: list[str] = []
        self.status: int | None = None
        self.ready = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(handlers, options))
        self._thread.start()

    def _run(self, handlers: Handlers, options) -> None:
        try:
            self.status = run_listener(self.client, handlers, tell=self._tell, **options)
        finally:
            self.ready.set()

    def _tell(self, text: str) -> None:
        self.told.append(text)
        if text.startswith("Listening"):
            self.ready.set()

    def __enter__(self) -> "Listening":
        assert self.ready.wait(PATIENCE)
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.client.close()
        self.ended()

    def ended(self) -> int | None:
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()
        return self.status


def test_handlers_run_in_order_each_in_its_context_and_a_failure_stops_nobody(
    connections: Configure, alice: rtmsync.Client, caplog
):
    handlers, seen, made = Handlers(), [], connections()

    @contextlib.contextmanager
    def around() -> Iterator[None]:
        seen.append("(")
        try:
            yield
        except ZeroDivisionError:
            seen.append("!")
            raise
        finally:
            seen.append(")")

    @handlers.on_channel("orders")
    def order(message: rtmsync.ChannelMessage) -> None:
        seen.append(message.text)
        if message.text == "2":
            raise ZeroDivisionError

    @handlers.on_channel("refunds")
    def refund(message: rtmsync.ChannelMessage) -> None:
        seen.append(f"refund {message.text}")

    @handlers.on_peer_message
    def answer(message: rtmsync.PeerMessage) -> None:
        seen.append(message.text)
        made.client.send_peer(message.sender, f"re: {message.text}")

    with Listening(made, handlers, around=around) as listening:
        assert "Listening to orders, refunds as orders." in listening.told
        with alice.channel("orders") as orders, alice.channel("refunds") as refunds:
            for text in ("1", "2", "3"):
                orders.send(text)
            refunds.send("4")
            wait_for(lambda: "refund 4" in seen)
        with alice.events(rtmsync.PeerMessage) as inbox:
            alice.send_peer("orders", "5")
            assert inbox.get(timeout=PATIENCE).text == "re: 5"
        wait_for(lambda: seen.count(")") == 5)
    assert "".join(seen) == "(1)(2!)(3)(refund 4)(5)"
    assert listening.status == ExitCode.OK
    assert any("order has raised an exception" in each for each in caplog.messages)


def test_all_handlers_of_a_channel_get_its_messages_and_other_events(
    connections: Configure, alice: rtmsync.Client
):
    handlers, seen = Handlers(), []
    handlers.on_channel("orders")(lambda message: seen.append(("one", message.text)))
    handlers.on_channel("orders")(lambda message: seen.append(("two", message.text)))
    handlers.on(rtmsync.MemberJoined, channel="orders")(lambda event: seen.append(event.user))
    handlers.on_state_changed(lambda event: seen.append(event.state.name))
    with Listening(connections(), handlers, channels=["orders", "more"]) as listening:
        assert "Listening to orders, more as orders." in listening.told
        with alice.channel("orders") as orders:
            orders.send("x")
            wait_for(lambda: ("two", "x") in seen)
    assert seen[:5] == ["CONNECTING", "CONNECTED", alice.user_id, ("one", "x"), ("two", "x")]
    assert len(handlers) == 4
    assert [each.channel for each in handlers] == ["orders", "orders", "orders", None]


def test_what_it_tells_is_told_one_sentence_at_a_time(connections: Configure):
    told, telling, most = [], [], []

    def tell(text: str) -> None:
        telling.append(text)
        with contextlib.suppress(AssertionError):
            wait_for(lambda: len(telling) > 1, 0.2)
        most.append(len(telling))
        telling.remove(text)
        told.append(text)

    client = connections().listening_client()
    thread = threading.Thread(target=run_listener, args=(client, Handlers()), kwargs={"tell": tell})
    thread.start()
    sentences = {"CONNECTING, LOGIN", "CONNECTED, LOGIN_SUCCESS", "Listening as orders."}
    wait_for(lambda: sentences <= set(told))
    client.close()
    thread.join(PATIENCE)
    assert set(most) == {1}


def test_a_second_listener_puts_out_the_first_which_says_so_and_ends(connections: Configure, caplog):
    with Listening(connections(), Handlers()) as first:
        with Listening(connections(), Handlers()):
            assert first.ended() == ExitCode.FAILURE
        assert any(each.startswith("ABORTED, REMOTE_LOGIN") for each in first.told)
    (sentence,) = [each for each in caplog.messages if "logged in as" in each]
    assert sentence.endswith(" run one listener at a time.")
    assert any(
        each.startswith("The listener has ended: The session was ended (REMOTE_LOGIN)")
        for each in caplog.messages
    )


def test_a_listener_that_is_taken_out_of_its_channel_ends(connections: Configure, caplog):
    made = connections()
    with Listening(made, Handlers(), channels=["orders"]) as listening:
        assert made.publisher.kick_member("orders", "orders", "tidying up")
        assert listening.ended() == ExitCode.FAILURE
    assert any("The channel orders was lost" in each for each in caplog.messages)


def test_a_login_that_is_refused_ends_it(connections: Configure, caplog):
    with Listening(connections(SECRET="another-secret-" * 4), Handlers()) as listening:
        assert listening.ended() == ExitCode.AUTH
    assert any("The listener has ended:" in each for each in caplog.messages)


def test_no_server_ends_it(connections: Configure):
    # Long enough for a first try, which is what tells a server that is not there from one that is slow.
    made = connections(URL="ws://127.0.0.1:9", OPTIONS={"timeouts": {"login": 2.0}})
    with Listening(made, Handlers()) as listening:
        assert listening.ended() == ExitCode.NOT_REACHABLE


def test_what_cannot_be_handled_is_refused_when_it_is_registered():
    handlers = Handlers()

    async def coroutine(message: object) -> None: ...

    with pytest.raises(InvalidArgument, match="coroutine is a coroutine function"):
        handlers.on_channel("orders")(coroutine)
    with pytest.raises(InvalidArgument, match="channel id"):
        handlers.on_channel("")
    assert handlers.channels == ()


PROGRAM = f"""
import sys
import rtmsync
from rtmsync.contrib.connections import Connections
from rtmsync.contrib.listening import Handlers, run_listener
from rtmsync.contrib.settings import Settings

values = {{"URL": sys.argv[1], "APP_ID": {DEV_APP_ID!r}, "SERVER_KEY": {KEY!r}, "SECRET": {SECRET!r},
          "LISTENER": "worker"}}
made, handlers = Connections(Settings.from_mapping(values)), Handlers()

def say(text):
    sys.stdout.write(text + "\\n")  # in one piece, as two threads say something
    sys.stdout.flush()

@handlers.on_channel("jobs")
def job(message):
    if message.text == "exit":
        sys.exit(7)
    say("begun " + message.text)
    sys.stdin.readline()
    made.publish("results", message.text)
    say("done " + message.text)

@handlers.on_peer_message
def asked(message):
    say("asked " + message.text)

sys.exit(run_listener(made.listening_client(), handlers, tell=say, drain=float(sys.argv[2])))
"""


class Running:
    """The program in a process of its own, whose lines are read as they come."""

    def __init__(self, url: str, drain: float) -> None:
        command = [sys.executable, "-c", PROGRAM, url, str(drain)]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._seen: list[str] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        with self.process.stdout as lines:
            for line in lines:
                self._lines.put(line.rstrip())
        self._lines.put(None)

    def until(self, text: str, *, begins: bool = False) -> None:
        """Wait for the next line that is, or begins with, a text."""
        due = time.monotonic() + PATIENCE
        while True:
            with contextlib.suppress(queue.Empty):
                line = self._lines.get(timeout=max(0.0, due - time.monotonic()))
                if line is not None:
                    self._seen.append(line)
                    if line == text or (begins and line.startswith(text)):
                        return
                    continue
            raise AssertionError(
                f"{text!r} did not come, but {self._seen}; its status: {self.process.poll()}"
            )

    def type(self, text: str) -> None:
        self.process.stdin.write(text)
        self.process.stdin.flush()

    def ended(self) -> int:
        return self.process.wait(PATIENCE)

    def clean_up(self) -> None:
        self.process.kill()
        self.process.wait()
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        self._reader.join()


@contextlib.contextmanager
def program(url: str, drain: float) -> Iterator[Running]:
    """The program, from when it listens."""
    running = Running(url, drain)
    try:
        running.until("Listening to jobs as worker.")
        yield running
    finally:
        running.clean_up()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_what_has_arrived_be_handled_first(
    server, connections: Configure, alice: rtmsync.Client, number: int
):
    made = connections()
    with (
        alice.channel("results") as results,
        results.events(rtmsync.ChannelMessage) as told,
        program(server.url, 120) as running,
    ):
        made.publish("jobs", "1")
        made.publish("jobs", "2")
        # Its client has acknowledged this, and so has read what came before it.
        assert alice.send_peer("worker", "3", timeout=PATIENCE).status is rtmsync.SendStatus.DELIVERED
        running.until("begun 1")
        running.process.send_signal(number)
        running.until("Ending: what has arrived is handled first.")
        running.type("\n\n")
        assert [told.get(timeout=PATIENCE).text for _ in range(2)] == ["1", "2"]
        running.until("done 2")
        running.until("asked 3")
        assert running.ended() == 0
        assert [each.state for each in alice.query_presence(["worker"])] == [rtmsync.PeerOnlineState.OFFLINE]


@pytest.mark.slow
def test_without_a_server_it_ends_at_once(tmp_path):
    key_file, secret_file = tmp_path / "key", tmp_path / "secret"
    key_file.write_text(KEY)
    secret_file.write_text(SECRET)
    options = ("--secret-file", str(secret_file), "--server-key-file", str(key_file))
    with ServerProcess(tmp_path / "data", *options) as server, program(server.url, 120) as running:
        server.kill()
        running.until("RECONNECTING", begins=True)
        running.process.send_signal(signal.SIGTERM)
        assert running.ended() == 0  # long before the 120 s that it would wait for an answer


def test_a_server_that_goes_at_the_same_time_is_not_waited_for(server):
    with (
        FaultProxy("127.0.0.1", server.port) as proxy,
        program(f"ws://127.0.0.1:{proxy.port}", 120) as running,
    ):
        proxy.blackhole()
        running.process.send_signal(signal.SIGTERM)
        assert running.ended() == 0  # as soon as it knows, long before the 120 s


def test_an_impatient_second_ctrl_c_ends_it_at_once(server, connections: Configure):
    with program(server.url, 120) as running:
        connections().publish("jobs", "1")
        running.until("begun 1")
        running.process.send_signal(signal.SIGTERM)
        running.until("Ending: what has arrived is handled first.")
        running.process.send_signal(signal.SIGINT)
        # The handler has not ended, and 120 s have not passed.
        assert running.ended() in (-signal.SIGINT, 1, 130)


def test_a_second_ctrl_c_cuts_nothing_short(connections: Configure):
    told: list[str] = []

    def tell(text: str) -> None:
        if text.startswith("Listening"):
            signal.raise_signal(signal.SIGTERM)
        if text.startswith("Ending"):
            signal.raise_signal(signal.SIGINT)
        told.append(text)

    client = connections().listening_client()
    with pytest.raises(KeyboardInterrupt):
        run_listener(client, Handlers(), channels=["orders"], tell=tell)
    assert "Ending: what has arrived is handled first." in told
    assert client.state is rtmsync.ConnectionState.DISCONNECTED


@pytest.mark.parametrize("channels", [(), ("orders", "more")])
def test_a_handler_may_close_the_client_from_the_beginning(connections: Configure, channels: tuple[str, ...]):
    handlers, client = Handlers(), connections().listening_client()

    @handlers.on_state_changed
    def close(event: rtmsync.StateChanged) -> None:
        if event.state is rtmsync.ConnectionState.CONNECTED:
            client.close()

    assert run_listener(client, handlers, channels=channels) == ExitCode.OK


def test_a_handler_that_exits_ends_the_program_with_its_status(server, connections: Configure):
    with program(server.url, 20) as running:
        connections().publish("jobs", "exit")
        assert running.ended() == 7
