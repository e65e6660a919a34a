"""Who may upload and download, and how tickets are come by."""

import pytest

from rtmcore.codes import UploadMediaError
from rtmcore.limits import (
    MEDIA_TICKET_RATE,
    MEDIA_TICKET_SECONDS,
    SERVER_RATE_BURST,
    TOKEN_BYTES,
)
from rtmcore.wire.packets import Failed, TicketRequest, TransferTicket
from tests.service.files import BASE, DATA, MEDIA, Files, Place
from tests.service.wires import APP, OTHER_APP, SERVER_KEY, WALL, World


@pytest.fixture
def place():
    return Place()


# --- Tickets ------------------------------------------------------------------------------------------------------


def test_a_session_gets_a_ticket(place):
    alice = place.world.login("alice")
    number = alice.next_request()
    alice.say(TicketRequest(number))
    ticket = alice.expect(TransferTicket)
    assert (ticket.i, ticket.may) == (number, ["up", "down"])
    assert ticket.expires == ticket.now + MEDIA_TICKET_SECONDS * 1000
    assert place.office.verify(ticket.ticket, APP, ticket.now).user == "alice"
    assert Files(place.world, ticket.ticket).do("POST", MEDIA, {"size": 1, "kind": "file"})[0] == 201


def test_a_ticket_permits_what_the_token_permits(place):
    bob = place.world.login("bob", token="only-down")
    bob.say(TicketRequest(bob.next_request()))
    ticket = bob.expect(TransferTicket)
    assert ticket.may == ["down"]
    path = place.upload()
    assert Files(place.world, ticket.ticket).do("POST", MEDIA, {"size": 1, "kind": "file"})[0] == 403
    assert Files(place.world, ticket.ticket).do("DELETE", path)[0] == 403
    one = Files(place.world, ticket.ticket)
    one.download(path)
    assert (one.status, bytes(one.received)) == (200, DATA)
    carol = place.world.login("carol", token="no-files")
    carol.say(TicketRequest(carol.next_request()))
    assert carol.expect(Failed).code == UploadMediaError.FAILURE
    assert Files(place.world, "no-files").do("POST", f"{BASE}/tickets", {"user": "carol"})[0] == 403


def test_a_ticket_ends_with_its_token(place):
    one = Files(place.world, "short")
    _, document = one.do("POST", f"{BASE}/tickets", {"user": "alice"})
    assert document["expires"] == WALL // 1000 + 20_000
    asking = Files(place.world, document["ticket"])
    assert asking.do("HEAD", f"{MEDIA}/none")[0] == 404
    place.world.pass_time(20)
    assert asking.do("HEAD", f"{MEDIA}/none")[0] == 401


@pytest.mark.parametrize(
    ("token", "body", "status"),
    [
        ("good", {"user": "alice"}, 201),
        (None, {"user": "alice"}, 201),  # `wires.verify` lets in whoever has none
        ("wrong", {"user": "alice"}, 401),
        ("expired", {"user": "alice"}, 401),
        ("two words", {"user": "alice"}, 401),
        ("no-login", {"user": "alice"}, 401),
        ("x" * (TOKEN_BYTES + 1), {"user": "alice"}, 401),
        ("good", {}, 400),
        ("good", {"user": ""}, 400),
        ("good", {"user": "a\u00e9"}, 400),
        ("good", {"user": 7}, 400),
        ("good", {"user": "alice", "more": "x"}, 400),
        ("good", [], 400),
    ],
)
def test_tickets_for_a_token(place, token, body, status):
    one = Files(place.world, token)
    assert one.do("POST", f"{BASE}/tickets", body)[0] == status


def test_tickets_of_apps_that_are_not_held_here(place):
    one = Files(place.world, "good")
    assert one.do("POST", f"/rtm/v1/apps/{'z' * 32}/tickets", {"user": "alice"})[0] == 404
    assert one.do("POST", "/rtm/v1/apps/short/tickets", {"user": "alice"})[0] == 404


@pytest.mark.parametrize("ticket", [None, "good", SERVER_KEY, "t1.e30.c2ln", "other app"])
def test_without_a_good_ticket_there_is_nothing(place, ticket):
    path = place.upload()
    if ticket == "other app":
        ticket = place.ticket(app=OTHER_APP)
    for method in ("GET", "HEAD", "DELETE", "PATCH"):
        one = Files(place.world, ticket)
        assert one.do(method, path)[0] == 401, method
        assert one.fields["www-authenticate"] == "Bearer"
    assert Files(place.world, ticket).do("POST", MEDIA, {"size": 1, "kind": "file"})[0] == 401


def test_a_changed_ticket_is_worth_nothing(place):
    ticket = place.ticket()
    for at in range(3, len(ticket) - 1, 7):
        changed = ticket[:at] + ("A" if ticket[at] != "A" else "B") + ticket[at + 1 :]
        assert Files(place.world, changed).do("HEAD", f"{MEDIA}/x")[0] == 401


def test_a_blob_of_another_app_is_not_there(place):
    path = place.upload()
    one = Files(place.world, place.ticket(app=OTHER_APP))
    other = path.replace(APP, OTHER_APP)
    for method in ("GET", "HEAD", "DELETE"):
        assert one.do(method, other)[0] == 404


def test_pages_of_other_origins_are_not_served(place):
    one = place.files()
    assert one.do("POST", MEDIA, {"size": 1, "kind": "file"}, ("Origin", "https://evil.example"))[0] == 403
    dev = Place(dev=True)
    assert Files(dev.world).do("POST", f"{BASE}/tickets", {"user": "alice"})[0] == 403, "by another name"


# --- How often ------------------------------------------------------------------------------------------------------


def test_a_user_gets_so_many_tickets_and_a_burst(place):
    one = Files(place.world, "good")
    ask = ("POST", f"{BASE}/tickets", {"user": "alice"})
    for _ in range(MEDIA_TICKET_RATE.count * SERVER_RATE_BURST):
        assert one.do(*ask)[0] == 201
    status, document = one.do(*ask)
    assert status == 429
    assert document["error"]["retry_after"] == pytest.approx(
        MEDIA_TICKET_RATE.seconds / MEDIA_TICKET_RATE.count
    )
    assert one.fields["retry-after"] == "1"
    assert place.node.statistics.rate_limited == 1
    assert one.do("POST", f"{BASE}/tickets", {"user": "bob"})[0] == 201
    one.ticket = "wrong"
    assert one.do(*ask)[0] == 401, "who has no token learns nothing of others, and takes nothing from them"
    one.ticket = "good"
    place.world.pass_time(1)
    assert one.do(*ask)[0] == 201


def test_tickets_are_not_counted_where_rates_are_off():
    place = Place(rate_limits=False)
    one = Files(place.world, "good")
    for _ in range(MEDIA_TICKET_RATE.count * SERVER_RATE_BURST + 1):
        assert one.do("POST", f"{BASE}/tickets", {"user": "alice"})[0] == 201


# --- Users who are put out ------------------------------------------------------------------------------------------


def ban(place, user="alice", app=APP):
    place.node.ban(app, user, "The user is banned: spam", place.world.now, lambda outcome: None)
    place.world.settle()


def unban(place, user="alice"):
    place.node.unban(APP, user, place.world.now, lambda outcome: None)
    place.world.settle()


def kick(place, user="alice"):
    one = Files(place.world, SERVER_KEY)
    assert one.do("POST", f"{BASE}/users/{user}/kick", {"reason": "enough"})[0] == 200


PUT_OUT = pytest.mark.parametrize(("put_out", "status"), [(ban, 403), (kick, 401)], ids=["ban", "kick"])


@PUT_OUT
def test_the_tickets_of_a_user_who_is_put_out_are_worth_nothing(place, put_out, status):
    path, other = place.upload(), place.create()
    alice, bob = place.files(), place.files("bob")
    put_out(place)
    before = len(place.store.submitted)
    for method, what in (("GET", path), ("HEAD", path), ("HEAD", other), ("DELETE", path)):
        assert alice.do(method, what)[0] == status, method
    assert alice.do("POST", MEDIA, {"size": 1, "kind": "file"})[0] == status
    alice.append(other, 0, DATA)
    assert alice.final()[0] == status
    assert len(place.store.submitted) == before, "the store is not even asked"
    bob.download(path)
    assert bytes(bob.received) == DATA, "nothing was removed, and others go on"


def test_a_banned_user_gets_no_ticket_until_the_ban_is_lifted(place):
    alice = place.files()
    ban(place)
    one = Files(place.world, "good")
    assert one.do("POST", f"{BASE}/tickets", {"user": "alice"}) == (
        403,
        {"error": {"message": "The user is banned: spam"}},
    )
    one.ticket = "wrong"
    assert one.do("POST", f"{BASE}/tickets", {"user": "alice"})[0] == 401, "strangers do not learn of a ban"
    unban(place)
    one.ticket = "good"
    assert one.do("POST", f"{BASE}/tickets", {"user": "alice"})[0] == 201
    assert alice.do("POST", MEDIA, {"size": 1, "kind": "file"})[0] == 201


def test_who_was_kicked_gets_another_ticket(place):
    before = place.ticket()
    kick(place)
    place.world.pass_time(0.001)
    assert place.files().do("POST", MEDIA, {"size": 1, "kind": "file"})[0] == 201
    assert Files(place.world, before).do("POST", MEDIA, {"size": 1, "kind": "file"})[0] == 401


def test_a_ban_in_another_app_is_none_here(place):
    alice = place.files()
    ban(place, app=OTHER_APP)
    ban(place, "alicia")
    assert alice.do("POST", MEDIA, {"size": 1, "kind": "file"})[0] == 201


@PUT_OUT
def test_what_is_under_way_ends_when_its_user_is_put_out(place, put_out, status):
    path, other = place.upload(), place.create()
    up, down, asking, bob = place.files(), place.files(), place.files(), place.files("bob")
    up.append(other, 0, DATA[:100_000], length=len(DATA))
    for one in (down, bob):
        one.room = 1000
        one.download(path)
    place.store.held = True
    asking.http.request("HEAD", path, asking.headers())
    place.world.settle()
    assert place.node.stats()["transfers"] == 3
    put_out(place)
    assert place.node.stats()["transfers"] == 1
    assert up.final()[0] == 403
    down.read_on()
    assert not down.whole
    assert down.http.closed or down.ended
    assert asking.end()[0] == 403
    place.let_go()
    bob.read_on()
    while not bob.whole:
        bob.read_on()
    assert bytes(bob.received) == DATA


def test_an_engine_that_does_not_answer_is_an_answer_too(place, monkeypatch):
    one = place.files()
    monkeypatch.setattr(place.node._context, "submit", lambda command: None)
    one.http.request("HEAD", f"{MEDIA}/none", one.headers())
    place.world.pass_time(6)
    assert one.end()[0] == 503


# --- Paths ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        f"{MEDIA}/",
        f"{MEDIA}/../tickets",
        f"{MEDIA}/..%2f..%2fetc%2fpasswd",
        f"{MEDIA}/%2e%2e",
        f"{MEDIA}/a/b",
        f"{MEDIA}/a.part",
        f"{MEDIA}/{'a' * 65}",
        f"{MEDIA}/ticket.key",
        f"{BASE}//media/x",
        f"{BASE}/tickets/x",
    ],
)
def test_paths_that_name_nothing(place, path):
    one = place.files()
    assert one.do("GET", path)[0] in (401, 404), "they are no routes of files"
    assert place.store.submitted == [each for each in place.store.submitted if not hasattr(each, "key")]


def test_methods_that_a_path_does_not_have(place):
    for path, methods in (
        (MEDIA, "POST"),
        (f"{MEDIA}/x", "PATCH, HEAD, GET, DELETE"),
        (f"{BASE}/tickets", "POST"),
    ):
        one = place.files()
        assert one.do("PUT", path)[0] == 405
        assert one.fields["allow"] == methods


def test_a_node_without_a_store_has_none_of_it():
    world = World()
    assert Files(world, "good").do("POST", f"{BASE}/tickets", {"user": "alice"})[0] in (401, 404)
    alice = world.login("alice")
    alice.say(TicketRequest(alice.next_request()))
    assert alice.expect(Failed).code == UploadMediaError.FAILURE


def test_requests_with_a_server_key_share_a_connection_with_those_about_files(place):
    one = place.files()
    assert one.do("POST", MEDIA, {"size": 1, "kind": "file"})[0] == 201
    ticket, one.ticket = one.ticket, SERVER_KEY
    assert one.do("GET", f"{BASE}/counts?channels=x") == (200, {"counts": {"x": 0}})
    one.ticket = ticket
    assert one.do("HEAD", f"{MEDIA}/none")[0] == 404
