"""docs/protocol/openapi.json says what the server does: the same routes, and answers of a real server fit it."""

import base64
import json
from collections.abc import Iterator
from http.client import HTTPConnection
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from jsonschema import Draft202012Validator

import rtmsync
from rtmcore import codes
from rtmcore.limits import (
    APP_ID_LENGTH,
    BAN_REASON_LENGTH,
    EVENT_FEED_PER_CALL,
    EVENT_FEED_STORED,
    HISTORY_PAGE_SIZES,
    ID_CHARACTERS,
    IDEMPOTENCY_KEY_LENGTH,
    MEDIA_BYTES,
    MEDIA_NAME_BYTES,
    MEDIA_TICKET_LENGTH,
    MEMBER_COUNT_CHANNELS,
    MESSAGE_BYTES,
    OFFLINE_SECONDS,
    USER_ID_BYTES,
)
from rtmcore.service.blobs.commands import KINDS
from rtmcore.service.blobs.routes import BLOB_ROUTES
from rtmcore.service.web.routes import ROUTES, Route
from rtmsync.server.config import DEV_APP_ID, ServerConfig
from rtmsync.server.server import Server
from rtmsync.server.tokens import AppKeys
from tests.docs.pages import page, section, table
from tests.openapi import (
    Operation,
    check_answer,
    document,
    media_operations,
    operations,
    references,
    resolved,
    validator,
)

KEY = "server-key-0123456789"
BASE = "/rtm/v1/apps/{app}"
TYPES = {str: "string", bool: "boolean", float: "number", int: "integer"}
BY_NAME = {route.operation: route for route in ROUTES}
WITH_KEY = {
    "peer_messages",
    "channel_messages",
    "user_events",
    "channel_events",
    "ban",
    "unban",
    "kick",
    "expel",
}


# --- The description and the table of routes --------------------------------------------------------------------


def test_every_schema_is_one_and_every_reference_leads_somewhere() -> None:
    for schema in document()["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)
    for reference in set(references(document())):
        assert resolved({"$ref": reference}), reference
    used = set(references(document()))
    for kind, parts in document()["components"].items():
        if kind != "securitySchemes":
            assert {f"#/components/{kind}/{name}" for name in parts} <= used


def test_what_is_described_is_what_there_is() -> None:
    described = {(one.name, one.method.upper(), one.path) for one in operations()}
    assert described == {(route.operation, route.method, BASE + route.path) for route in ROUTES}
    described = {(one.name, one.method.upper(), one.path) for one in media_operations()}
    assert described == {(route.operation, route.method, BASE + route.path) for route in BLOB_ROUTES}


@pytest.mark.parametrize("operation", media_operations(), ids=lambda one: one.name)
def test_an_operation_of_files_is_described_as_it_is(operation: Operation) -> None:
    (route,) = [route for route in BLOB_ROUTES if route.operation == operation.name]
    assert set(operation.answers) == set(route.statuses)
    assert set(operation.parameters("path")) == {"app", *(["id"] if "{id}" in route.path else [])}
    assert not operation.parameters("query")
    assert operation.said["security"] == ([{"ticket": []}] if route.needs else [{"token": []}, {}])
    assert all(operation.said[name] for name in ("summary", "description"))
    assert bool(operation.body) is bool(route.fields)
    if operation.body is not None:
        schema = resolved(operation.body["schema"])
        assert schema["additionalProperties"] is False
        types = {name: resolved(one).get("type", "string") for name, one in schema["properties"].items()}
        assert types == {name: TYPES[kind] for name, kind in route.fields.items()}
        assert all(validator(schema).is_valid(body) for body in examples(operation).values())


@pytest.mark.parametrize("family", [codes.UploadMediaError, codes.DownloadMediaError])
def test_codes_of_files_are_described_with_their_numbers(family: Any) -> None:
    error = document()["components"]["schemas"][family.__name__]["properties"]["error"]["properties"]
    assert error["family"] == {"const": family.__name__}
    assert error["code"]["enum"] == [family[name] for name in error["name"]["enum"]]


def test_figures_of_files_are_those_of_the_code() -> None:
    schemas = document()["components"]["schemas"]
    announced = schemas["Announcement"]["properties"]
    assert announced["size"]["maximum"] == MEDIA_BYTES
    assert announced["name"]["maxLength"] == MEDIA_NAME_BYTES
    assert announced["kind"]["enum"] == list(KINDS)
    assert schemas["Ticket"]["properties"]["ticket"]["maxLength"] == MEDIA_TICKET_LENGTH


@pytest.mark.parametrize("operation", operations(), ids=lambda one: one.name)
def test_an_operation_is_described_as_it_is(operation: Operation) -> None:
    route = BY_NAME[operation.name]
    assert set(operation.parameters("path")) == {"app", *route.pattern.groupindex}
    assert all(one["required"] for one in operation.parameters("path").values())
    assert tuple(operation.parameters("query")) == route.query
    assert set(operation.parameters("header")) == (
        {"Idempotency-Key"} if route.operation in WITH_KEY else set()
    )
    assert set(operation.answers) == set(route.statuses)
    assert operation.said.get("x-error-family") == (None if route.codes is None else route.codes.__name__)
    assert all(operation.said[name] for name in ("summary", "description"))
    if not route.fields:
        assert operation.body is None
        return
    assert operation.body is not None
    schema = resolved(operation.body["schema"])
    assert schema["additionalProperties"] is False
    types = {name: resolved(one).get("type", "string") for name, one in schema["properties"].items()}
    assert types == {name: TYPES[kind] for name, kind in route.fields.items()}


@pytest.mark.parametrize("family", sorted({route.codes for route in ROUTES if route.codes}, key=repr))
def test_codes_are_described_with_their_numbers(family: Any) -> None:
    error = document()["components"]["schemas"][family.__name__]["properties"]["error"]["properties"]
    assert error["family"] == {"const": family.__name__}
    assert error["code"]["enum"] == [family[name] for name in error["name"]["enum"]]


def test_families_of_codes_are_described_where_they_are_used() -> None:
    families = {route.codes.__name__ for route in ROUTES if route.codes}
    schemas = set(document()["components"]["schemas"])
    assert {name for name in schemas if hasattr(codes, name)} == families | {
        "UploadMediaError",
        "DownloadMediaError",
    }
    for operation in operations():
        family = operation.said.get("x-error-family")
        named = {one.rpartition("/")[2] for one in references(operation.said)} & families
        assert named == ({family} if family else set())


def test_figures_are_those_of_the_code() -> None:
    parts, schemas = document()["components"]["parameters"], document()["components"]["schemas"]
    message, reason = schemas["PeerMessage"]["properties"], schemas["Reason"]["properties"]["reason"]
    counted = operations_by_name()["counts"].parameters("query")["channels"]["schema"]
    events = schemas["UserEvents"]["properties"]
    assert parts["App"]["schema"]["maxLength"] == parts["App"]["schema"]["minLength"] == APP_ID_LENGTH
    assert schemas["Id"]["maxLength"] == USER_ID_BYTES
    assert parts["IdempotencyKey"]["schema"]["maxLength"] == IDEMPOTENCY_KEY_LENGTH
    assert parts["Limit"]["schema"] == {"enum": list(HISTORY_PAGE_SIZES), "default": HISTORY_PAGE_SIZES[0]}
    assert message["payload"]["maxLength"] == MESSAGE_BYTES
    assert message["ttl"]["maximum"] == message["ttl"]["default"] == OFFLINE_SECONDS
    assert reason["maxLength"] == BAN_REASON_LENGTH
    assert counted["maxItems"] == MEMBER_COUNT_CHANNELS
    assert events["events"]["maxItems"] == EVENT_FEED_PER_CALL
    assert events["left"]["maximum"] == EVENT_FEED_STORED


def test_characters_of_ids_are_those_allowed() -> None:
    allowed = validator({"$ref": "#/components/schemas/Id"})
    assert {sign for sign in map(chr, range(0x100)) if allowed.is_valid(sign)} == ID_CHARACTERS


def test_the_page_lists_the_same_routes() -> None:
    def cell(names: tuple[str, ...]) -> str:
        return ", ".join(f"`{name}`" for name in names)

    rows = table(section(page("protocol/http.md"), "Routes").text)
    assert [(row["Request"], row["Fields of the body"], row["Names in the query"]) for row in rows] == [
        (f"`{route.method} {shown(route)}`", cell(tuple(route.fields)), cell(route.query)) for route in ROUTES
    ]


def shown(route: Route) -> str:
    return route.path.replace("{user}", "USER").replace("{channel}", "CHANNEL")


def operations_by_name() -> dict[str, Operation]:
    return {one.name: one for one in operations()}


# --- The description and a real server --------------------------------------------------------------------------


class Program:
    """Asks as the description says, and holds each answer to it."""

    def __init__(self, server: Server) -> None:
        self.http = HTTPConnection("127.0.0.1", server.port, timeout=60)

    def ask(
        self,
        operation: Operation,
        body: object = None,
        *,
        app: str = DEV_APP_ID,
        key: str = KEY,
        **fields: Any,
    ) -> tuple[int, dict[str, Any]]:
        """One request; `fields` are those of the path and of the query, and `idempotency` the key."""
        target = operation.path
        for name in operation.parameters("path"):
            value = app if name == "app" else fields.pop(name, example(operation, "path", name))
            target = target.replace(f"{{{name}}}", quote(str(value), safe=""))
        headers = {"Authorization": f"Bearer {key}"}
        if "idempotency" in fields:
            headers["Idempotency-Key"] = fields.pop("idempotency")
        if fields:
            target += f"?{urlencode(fields, doseq=True)}"
        data = None if body is None else json.dumps(body).encode()
        method = operation.method.upper()
        self.http.request(method, target, data, headers)
        response = self.http.getresponse()
        answer = json.loads(response.read())
        found = {name.lower(): value for name, value in response.getheaders()}
        check_answer(method, target, response.status, found, answer)
        return response.status, answer


def example(operation: Operation, place: str, name: str) -> Any:
    return operation.parameters(place)[name]["example"]


def examples(operation: Operation) -> dict[str, Any]:
    if operation.body is None:
        return {"none": None}
    return {name: one["value"] for name, one in operation.body["examples"].items()}


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    config = ServerConfig(
        apps=[AppKeys(DEV_APP_ID)],
        port=0,
        drain_seconds=0.0,
        rate_limits=False,
        server_keys={DEV_APP_ID: [KEY]},
    )
    with Server(config) as server:
        yield server


@pytest.fixture
def program(server: Server) -> Iterator[Program]:
    program = Program(server)
    yield program
    program.http.close()


OPERATIONS = pytest.mark.parametrize("operation", operations(), ids=lambda one: one.name)


@OPERATIONS
def test_what_is_described_works(server: Server, program: Program, operation: Operation) -> None:
    by_name = operations_by_name()
    query = {name: example(operation, "query", name) for name in operation.parameters("query")}
    program.ask(by_name["peer_messages"], examples(by_name["peer_messages"])["stored"])
    program.ask(by_name["channel_messages"], examples(by_name["channel_messages"])["text"])
    for body in examples(operation).values():
        program.ask(by_name["unban"])
        with rtmsync.connect(server.url, app_id=DEV_APP_ID, user_id="alice") as alice:
            alice.channel("room").join()
            for left_out in ("channel", "destination") if "destination" in query else ("",):
                fields = {name: value for name, value in query.items() if name != left_out}
                status, answer = program.ask(operation, body, **fields)
                assert status == 200, answer
                assert any(value for value in answer.values()), "an answer with something in it"
    program.ask(by_name["unban"])


@OPERATIONS
def test_what_is_required_is_and_what_is_optional_is_not(program: Program, operation: Operation) -> None:
    for name, parameter in operation.parameters("query").items():
        query = {
            one: example(operation, "query", one) for one in operation.parameters("query") if one != name
        }
        query.pop("channel" if name != "channel" else "", None)
        status, _ = program.ask(operation, **query)
        # Of source and the two destinations, any one will do.
        assert status == (400 if parameter.get("required") else 200), name
    if operation.body is None:
        return
    schema = resolved(operation.body["schema"])
    for body in examples(operation).values():
        for name in body:
            less = {one: value for one, value in body.items() if one != name}
            status, _ = program.ask(operation, less)
            valid = validator(schema).is_valid(less)
            assert (status == 200) is valid, f"{operation.name} without {name}: {status}"
    if operation.said["requestBody"]["required"]:
        assert program.ask(operation)[0] == 400
    else:
        assert program.ask(operation)[0] == 200


WRONG = ("", "x" * 65, 5, True, None, [], {}, "\ud800", -1, 10**9)


@OPERATIONS
def test_what_is_not_described_is_refused(program: Program, operation: Operation) -> None:
    assert program.ask(operation, key="another-key-0123456789")[0] == 401
    assert program.ask(operation, app="x" * APP_ID_LENGTH)[0] == 404
    if operation.name in WITH_KEY:
        assert program.ask(operation, idempotency="two words")[0] == 400
    if operation.parameters("query"):
        assert program.ask(operation, unknown="x")[0] == 400
    for name in operation.parameters("path"):
        if name != "app":
            assert program.ask(operation, {}, **{name: "x" * 65})[0] == 400
    if operation.body is None:
        return
    schema = validator(resolved(operation.body["schema"]))
    for body in examples(operation).values():
        assert schema.is_valid(body)
        assert program.ask(operation, {**body, "unknown": 1})[0] == 400
        for name, value in ((name, value) for name in body for value in WRONG):
            changed = {**body, name: value}
            status, _ = program.ask(operation, changed)
            if schema.is_valid(changed):
                assert status == 200 or name in ("raw", "reason", "payload"), (changed, status)
            else:
                assert status == 400, changed


def test_the_largest_answers_fit_their_schemas(server: Server, program: Program) -> None:
    by_name = operations_by_name()
    for _ in range(3):
        program.ask(
            by_name["channel_messages"], {"channel": "big", "payload": "\1" * MESSAGE_BYTES, "history": True}
        )
    _, answer = program.ask(by_name["history"], channel="big")
    assert (len(answer["messages"]), answer["count"]) == (1, 3)
    raw = base64.b64encode(bytes(MESSAGE_BYTES)).decode()
    assert program.ask(by_name["channel_messages"], {"channel": "big", "raw": raw})[0] == 200
