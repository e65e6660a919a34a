"""The order status site: with the memory transport as its own tests would, and as three processes."""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import rtmsync
from tests.examples.flask_sites import Visitor, environment, run, running
from tests.examples.order_status import OrderStatus
from tests.examples.programs import EXAMPLES, PATIENCE
from tests.system.processes import free_port

pytest.importorskip("flask")

pytestmark = pytest.mark.timeout(300)  # several programs start, one after another


# --- In memory --------------------------------------------------------------------


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(EXAMPLES))
    monkeypatch.setenv("ORDER_STATUS_INSTANCE", str(tmp_path))
    from order_status import create_app, orders

    made = create_app(
        {"TESTING": True, "SECRET_KEY": "test", "DESK_PASSWORD": "sesame", "RTM_TRANSPORT": "memory"}
    )
    with made.app_context():
        orders.create_tables()
    yield made
    made.extensions["rtm"].close()
    for name in [name for name in sys.modules if name.split(".")[0] == "order_status"]:
        del sys.modules[name]


def outbox(app) -> list[tuple[str, dict]]:
    return [(sent.destination, json.loads(sent.text)) for sent in app.extensions["rtm"].outbox]


def test_an_order_is_announced_to_its_customer_and_to_the_desk(app):
    customer, desk = app.test_client(), app.test_client()
    assert "Your orders" in customer.get("/").text
    assert customer.post("/orders", data={"dish": "soup"}).status_code == 302
    (order,) = customer.get("/orders").json
    assert desk.get("/desk").text.count("Password") == 1
    assert desk.post(f"/orders/{order['id']}/next").status_code == 403
    assert desk.post("/desk/login", data={"password": "wrong"}).status_code == 403
    assert desk.post("/desk/login", data={"password": "sesame"}).status_code == 302
    assert [each["id"] for each in desk.get("/desk/orders").json] == [order["id"]]
    for status in ("in preparation", "ready", "collected"):
        assert desk.post(f"/orders/{order['id']}/next").json["status"] == status
    assert desk.post(f"/orders/{order['id']}/next").status_code == 409
    assert desk.post("/orders/99/next").status_code == 404
    told = [(to, said["status"], said["version"]) for to, said in outbox(app)]
    channel = f"orders-{order['customer']}"
    statuses = ["received", "in preparation", "ready", "collected"]
    assert told == [
        (to, status, version) for version, status in enumerate(statuses, 1) for to in (channel, "desk")
    ]


def test_what_nobody_may_do(app):
    stranger = app.test_client()
    assert stranger.post("/orders", data={"dish": "soup"}).status_code == 400
    assert stranger.get("/orders").json == []
    assert stranger.get("/desk/orders").status_code == 403
    assert stranger.post("/rtm/token?page=0123abcd").status_code == 401
    assert stranger.post("/rtm/token?page=0123abcd&desk=1").status_code == 401
    stranger.get("/")
    assert stranger.post("/orders", data={"dish": "dragon"}).status_code == 400
    assert stranger.post("/rtm/token").status_code == 401
    assert stranger.post("/rtm/token?page=0123abcd").status_code == 200


def test_the_listener_cancels_for_customers_and_believes_the_kitchen(app):
    customer = app.test_client()
    customer.get("/")
    for dish in ("soup", "salad"):
        customer.post("/orders", data={"dish": dish})
    salad, soup = customer.get("/orders").json
    state = app.extensions["rtm"]
    with (
        state.listening(),
        state.system.connect(f"{soup['customer']}.0123abcd") as page,
        state.system.connect("customer-other.4567abcd") as other,
        state.system.connect("cook") as cook,
        page.events(rtmsync.PeerMessage) as inbox,
    ):
        other.send_peer("shop", json.dumps({"cancel": soup["id"]}))
        other.send_peer("shop", "what?")
        other.send_peer("shop", "[]")
        assert customer.get("/orders").json == [salad, soup]
        page.send_peer("shop", json.dumps({"cancel": soup["id"]}))
        with cook.channel("kitchen") as kitchen:
            kitchen.send(json.dumps({"ready": salad["id"]}))
            kitchen.send(json.dumps({"ready": soup["id"]}))
        page.send_peer("shop", json.dumps({"cancel": salad["id"]}))
        assert json.loads(inbox.get(timeout=PATIENCE).text)["refused"] == salad["id"]
    assert [each["status"] for each in customer.get("/orders").json] == ["ready", "cancelled"]


def test_pages_load_from_this_site_only(app):
    answer = app.test_client().get("/")
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'self'; connect-src 'self' ws://")
    assert not re.search(r"https?://", re.sub(r"http://www\.w3\.org/\S*", "", answer.text))
    with app.test_client().get("/rtm.js") as script:
        assert "export class RtmClient" in script.text


# --- As people run it -------------------------------------------------------------


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OrderStatus]:
    with OrderStatus(tmp_path_factory.mktemp("order_status")) as running:
        yield running


class Page:
    """What a customer's page does, without a browser: it gets a token, logs in, joins, and follows."""

    def __init__(self, visitor: Visitor, page: str, desk: bool = False) -> None:
        answer = visitor.post(f"/rtm/token?page={page}{'&desk=1' if desk else ''}")
        assert answer.status == 200
        given = json.loads(answer.text)
        self.client = rtmsync.connect(
            given["url"], app_id=given["app_id"], user_id=given["user"], token=given["token"]
        )
        self.changes = self.client.events(rtmsync.ChannelMessage)
        self.channel = "desk" if desk else f"orders-{given['user'].split('.')[0]}"
        self.client.channel(self.channel).join()

    def next_status(self) -> str:
        return str(json.loads(self.changes.get(timeout=PATIENCE).text)["status"])

    def __enter__(self) -> "Page":
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.client.close()


def test_init_says_what_to_start(shop: OrderStatus):
    lines = [line.strip() for line in shop.advice.splitlines()]
    assert [line for line in lines if line.startswith("flask ")] == [
        "flask --app order_status rtm serve",
        "flask --app order_status rtm listen",
        "flask --app order_status run",
    ]
    assert shop.flask("init") == shop.advice
    assert (shop.instance / "settings.py").stat().st_mode & 0o077 == 0


def test_the_command_serves_what_the_settings_say(tmp_path: Path):
    url = f"ws://127.0.0.1:{free_port()}"
    variables = environment(
        tmp_path,
        ORDER_STATUS_INSTANCE=str(tmp_path / "instance"),
        ORDER_STATUS_RTM_URL=url,
        FLASK_APP=str(EXAMPLES / "order_status"),
    )
    run("init", variables=variables)
    with (
        running("rtm", "serve", ready=f"The RTM server listens on {url}", variables=variables),
        running("rtm", "listen", ready="Listening to", variables=variables),
    ):
        assert "shop is online" in run("rtm", "check", variables=variables)


def test_a_change_goes_from_a_view_to_the_page_and_back(shop: OrderStatus):
    customer, desk = Visitor(shop.origin), Visitor(shop.origin)
    customer.get("/")
    desk.post("/desk/login", password=shop.password)
    with Page(customer, "00000001") as page, Page(desk, "00000002", desk=True) as board:
        customer.post("/orders", dish="soup")
        assert page.next_status() == board.next_status() == "received"
        (order,) = json.loads(customer.get("/orders").text)
        page.client.send_peer("shop", json.dumps({"cancel": order["id"]}))
        assert page.next_status() == board.next_status() == "cancelled"

        customer.post("/orders", dish="salad")
        assert page.next_status() == "received"
        order = json.loads(customer.get("/orders").text)[0]
        desk.post(f"/orders/{order['id']}/next")
        assert page.next_status() == "in preparation"
        shop.flask("rtm", "send", "kitchen", json.dumps({"ready": order["id"]}))
        assert page.next_status() == "ready"


def test_a_page_sees_its_own_orders_only(shop: OrderStatus):
    customer = Visitor(shop.origin)
    customer.get("/")
    with Page(customer, "00000003") as page:
        for channel in ("desk", "orders-customer-somebody", "kitchen"):
            with pytest.raises(rtmsync.Rejected):
                page.client.channel(channel).join()


def test_check_finds_everything_in_order(shop: OrderStatus):
    said = shop.flask("rtm", "check")
    assert said.count("ok  ") == 4
    assert "shop is online" in said


@pytest.fixture
def own_shop(tmp_path: Path) -> Iterator[OrderStatus]:
    with OrderStatus(tmp_path) as running:
        yield running


@pytest.mark.slow
def test_pages_and_the_listener_outlive_the_server(own_shop: OrderStatus):
    shop = own_shop
    customer = Visitor(shop.origin)
    customer.get("/")
    with Page(customer, "00000004") as page:
        shop.server.kill()
        customer.post("/orders", dish="coffee")  # taken, though nobody can be told
        page.client.wait_until(rtmsync.ConnectionState.RECONNECTING, timeout=PATIENCE)
        # Each counts from what it heard last: the listener may notice later, or not at all if the server was back.
        shop.listener.wait_for("RECONNECTING, INTERRUPTED")
        shop.server.start()
        page.client.wait_until(rtmsync.ConnectionState.CONNECTED, timeout=PATIENCE)
        shop.listener.wait_for("CONNECTED, LOGIN_SUCCESS")
        (order,) = json.loads(customer.get("/orders").text)
        page.client.send_peer("shop", json.dumps({"cancel": order["id"]}), offline=True, timeout=20)
        assert page.next_status() == "cancelled"
