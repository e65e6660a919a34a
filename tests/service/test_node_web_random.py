"""Whatever a program with a server key asks for, the answer is one that is described."""

import json

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rtmcore.service.web.routes import ROUTES
from tests.service.test_node_web import BASE, Web
from tests.service.wires import SERVER_KEY, World

TEXTS = st.text(max_size=20) | st.sampled_from(
    ["alice", "room", "a b", "%", "\x00", "\ud800", "20", "1e3", "-1"]
)
PIECES = st.text("abc%/?&=#+ \x7f", max_size=12).map(lambda text: text.replace(" ", "%20"))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda one: st.lists(one, max_size=3),
    max_leaves=4,
)
KEYS = sorted({name for route in ROUTES for name in (*route.fields, *route.query)})


@st.composite
def requests(draw):
    """Method, target and body, most of them nearly right."""
    route = draw(st.sampled_from(ROUTES))
    path = route.path
    for name in route.pattern.groupindex:
        path = path.replace(f"{{{name}}}", draw(st.sampled_from(["alice", "room"]) | PIECES.filter(bool)))
    if draw(st.integers(0, 9)) == 0:
        path += draw(PIECES)
    names = draw(st.lists(st.sampled_from(route.query or tuple(KEYS)), max_size=4))
    query = "&".join(
        f"{name}={draw(PIECES | st.sampled_from(['alice', '20', '5.5', 'asc']))}" for name in names
    )
    method = draw(st.sampled_from([route.method] * 5 + ["GET", "PUT"]))
    body = None
    if draw(st.booleans()):
        fields = draw(
            st.dictionaries(st.sampled_from(tuple(route.fields) or tuple(KEYS)), VALUES, max_size=4)
        )
        if "destination" in route.fields and draw(st.booleans()):
            fields.update(destination="alice", payload=draw(TEXTS))
        body = draw(st.just(json.dumps(fields).encode()) | st.binary(max_size=20))
    target = BASE + path + (f"?{query}" if query else "")
    return method, "".join(sign for sign in target if "!" <= sign <= "~"), body


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(requests(), min_size=1, max_size=6))
def test_every_answer_is_described(asked):
    world = World()
    web = Web(world)
    world.login("alice").join("room")
    for method, target, body in asked:
        if web.ended:
            web = Web(world)
        web.send(method, target, [("Authorization", f"Bearer {SERVER_KEY}")], body)
        world.pass_time(11)
        assert web.end() is not None, (method, target)
