"""What a process has open: nothing before its first use, and nothing of its parent's."""

import contextlib
import json
import logging
import os
import secrets
import threading

import pytest

import rtmsync
from rtmcore.errors import InvalidArgument
from rtmsync.contrib.connections import Connections, as_body
from rtmsync.contrib.settings import Settings
from rtmsync.driver.rivals import Remedy
from tests.contrib.conftest import PATIENCE, Configure


def received(queue: "rtmsync.Subscription", timeout: float = PATIENCE):
    return queue.get(timeout=timeout)


def test_nothing_is_open_before_the_first_use(connections: Configure):
    threads = set(threading.enumerate())
    made = connections(URL="ws://127.0.0.1:9")
    assert made.settings.token_function() is None
    assert made.token_for("bob")
    assert set(threading.enumerate()) <= threads
    assert "127.0.0.1:9" in repr(made)


def test_a_server_key_publishes_without_a_session(connections: Configure, alice: rtmsync.Client):
    made, threads = connections(), set(threading.enumerate())
    with alice.channel("news") as news, news.events(rtmsync.ChannelMessage) as queue:
        number = made.publish("news", "hello")
        message = received(queue)
        assert (message.text, message.sender, message.id) == ("hello", "app", number)
        made.publish("news", {"id": 7}, sender="desk")
        message = received(queue)
        assert (json.loads(message.text), message.sender) == ({"id": 7}, "desk")
        made.publish("news", b"\x00\xff")
        assert received(queue).raw == b"\x00\xff"
    with alice.events(rtmsync.PeerMessage) as inbox:
        status = made.send_peer(alice.user_id, ["ready"], offline=True)
        assert status in (rtmsync.PublishStatus.SENT, rtmsync.PublishStatus.DELIVERED)
        assert received(inbox).text == '["ready"]'
    assert made.publisher is made.publisher
    assert len(set(threading.enumerate()) - threads) <= 1  # her dispatcher


def test_without_a_key_a_session_of_its_own_publishes(connections: Configure, alice: rtmsync.Client):
    made = connections(SERVER_KEY=None, LISTENER=None)
    with alice.channel("news") as news, news.events(rtmsync.ChannelMessage) as queue:
        for text in ("one", "two"):
            made.publish("news", text)
            message = received(queue)
            assert (message.text, message.sender) == (text, made.client.user_id)
    with alice.events(rtmsync.PeerMessage) as inbox:
        assert made.send_peer(alice.user_id, "hi") is rtmsync.PublishStatus.DELIVERED
        assert received(inbox).sender == made.client.user_id
    assert f"-{os.getpid()}-" in made.client.user_id
    with pytest.raises(InvalidArgument, match="comes from the session's user"):
        made.publish("news", "x", sender="somebody")
    with pytest.raises(InvalidArgument, match="needs SERVER_KEY"):
        made.publish("news", "x", idempotency_key="1")
    with pytest.raises(InvalidArgument, match="SERVER_KEY is not set, so there is no publisher"):
        _ = made.publisher


def test_many_threads_log_in_once(connections: Configure):
    made, found = connections(SERVER_KEY=None), []
    threads = [threading.Thread(target=lambda: found.append(made.client)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert len(found) == 8
    assert len(set(map(id, found))) == 1


def test_a_login_that_failed_is_tried_again_at_the_next_use(connections: Configure):
    made = connections(SECRET="another-secret-" * 4)
    for _ in range(2):
        with pytest.raises(rtmsync.AuthError):
            _ = made.client


def test_after_close_the_next_use_opens_anew(connections: Configure):
    made = connections()
    first = made.client
    made.close()
    assert first.state is rtmsync.ConnectionState.DISCONNECTED
    assert made.client is not first
    made.client.close()
    assert made.client.state is rtmsync.ConnectionState.CONNECTED


def line_of_one_put_out(
    made: Connections, client: rtmsync.Client, caplog: pytest.LogCaptureFixture
) -> logging.LogRecord:
    """What the log says of a client that another one puts out: one line in all."""

    def lines() -> list[logging.LogRecord]:
        return [record for record in caplog.records if "logged in as" in record.getMessage()]

    client.wait_until(rtmsync.ConnectionState.ABORTED, timeout=PATIENCE)
    wait_for(lines)
    made.close()  # when its threads have ended, they have logged what there was to be logged
    (record,) = lines()
    assert record.levelname == "WARNING"
    return record


@pytest.fixture
def web() -> str:
    """The one user id of all workers; of each test its own, since a third time within a minute is told otherwise."""
    return f"web-{secrets.token_hex(4)}"


def test_a_sibling_of_the_same_name_is_told_in_the_log_in_one_sentence(
    connections: Configure, web: str, caplog
):
    one, two = connections(USER_ID=web), connections(USER_ID=web)
    first = one.client
    assert two.client.user_id == web
    first.wait_until(rtmsync.ConnectionState.ABORTED, timeout=PATIENCE)
    with pytest.raises(rtmsync.Aborted):
        one.client.send_peer("bob", "hi")
    line = line_of_one_put_out(one, first, caplog)
    assert line.name == "rtmsync.contrib"
    assert line.getMessage() == (
        f"Another client has logged in as {web}, so this one in process {os.getpid()} was put out: all workers of this "
        "application have this user id, so set SERVER_KEY to publish over HTTP, or a USER_ID with {pid}."
    )


def test_a_worker_with_a_name_of_its_own_is_told_otherwise(connections: Configure, caplog):
    one = connections(USER_ID="web-{pid}-{rand}")
    first = one.client
    second = connections(USER_ID=first.user_id).client
    assert second.user_id == first.user_id
    sentence = line_of_one_put_out(one, first, caplog).getMessage()
    assert sentence.startswith(f"Another client has logged in as {first.user_id}, so this one in process ")
    assert sentence.endswith(
        "let nobody else log in with this user id; a USER_ID with {rand} is one that nobody else has."
    )


def test_a_remedy_of_ones_own_among_the_options_counts(connections: Configure, web: str, caplog):
    remedy = Remedy("ask the shop's operators", logging.getLogger("shop.rtm"))
    one = connections(USER_ID=web, OPTIONS={"remedy": remedy})
    first = one.client
    assert connections(USER_ID=web).client.user_id == web
    line = line_of_one_put_out(one, first, caplog)
    assert line.name == "shop.rtm"
    assert line.getMessage().endswith("was put out: ask the shop's operators.")


def wait_for(condition, seconds: float = PATIENCE):
    event = threading.Event()
    for _ in range(int(seconds / 0.02)):
        if condition():
            return
        event.wait(0.02)
    raise AssertionError("it did not happen in time")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
@pytest.mark.parametrize("key", [True, False])
def test_a_forked_child_has_connections_of_its_own(connections: Configure, alice: rtmsync.Client, key: bool):
    made = connections() if key else connections(SERVER_KEY=None)
    with alice.channel("news") as news, news.events(rtmsync.ChannelMessage) as queue:
        made.publish("news", "parent")
        mine = made.client
        assert received(queue).text == "parent"
        child = os.fork()
        if child == 0:
            status = 1
            try:
                made.publish("news", "child")
                status = 0 if made.client is not mine and made.client.user_id != mine.user_id else 2
                made.close()
            finally:
                os._exit(status)
        assert received(queue).text == "child"
        assert os.waitpid(child, 0)[1] == 0
        assert made.client is mine
        assert mine.state is rtmsync.ConnectionState.CONNECTED
        made.publish("news", "parent again")
        assert received(queue).text == "parent again"


def test_the_listener_has_one_fixed_name(connections: Configure):
    made = connections()
    listener = made.listening_client()
    assert listener.user_id == "orders"
    assert made.client is listener
    assert listener.state is rtmsync.ConnectionState.DISCONNECTED
    with pytest.raises(InvalidArgument, match="LISTENER is not set"):
        connections(LISTENER=None).listening_client()


def test_a_token_function_makes_the_tokens_of_sessions(connections: Configure, values):
    asked = []
    minting = connections()

    def mint(user: str) -> str:
        asked.append(user)
        return minting.token_for(user)

    made = connections(TOKEN=mint, SECRET=None)
    assert made.client.state is rtmsync.ConnectionState.CONNECTED
    assert asked == [made.client.user_id]


def test_a_token_function_that_cannot_be_imported_is_told_at_once(connections: Configure):
    with pytest.raises(InvalidArgument, match=r"TOKEN names shop\.nowhere\.mint, which cannot be imported"):
        _ = connections(TOKEN="shop.nowhere.mint", SECRET=None).client


def test_options_reach_the_client_and_their_times_the_publisher_too(connections: Configure):
    made = connections(OPTIONS={"timeouts": {"send": 3.0}})
    assert made.client.config.timeouts["send"] == 3.0


def test_messages_become_text_bytes_or_json():
    assert as_body("text") == "text"
    assert as_body(b"raw") == b"raw"
    assert as_body(bytearray(b"raw")) == as_body(memoryview(b"raw")) == b"raw"
    assert as_body({"id": 7, "paid": True}) == '{"id": 7, "paid": true}'
    with pytest.raises(TypeError):
        as_body(object())


def test_there_is_an_outbox_with_the_memory_transport_only(connections: Configure):
    with pytest.raises(InvalidArgument, match="TRANSPORT='memory'"):
        _ = connections().outbox


def test_tokens_for_sessions_are_made_in_the_applications_surroundings_and_those_of_views_as_they_are(values):
    entered: list[str] = []

    @contextlib.contextmanager
    def around():
        entered.append(threading.current_thread().name)
        yield

    made = Connections(Settings.from_mapping(values), around=around)
    try:
        made.token_for("alice")
        assert entered == []
        assert made.client.state is rtmsync.ConnectionState.CONNECTED
        assert len(entered) == 1
        assert entered[0] != threading.current_thread().name
    finally:
        made.close()
