"""The description of the HTTP routes in docs/protocol/openapi.json, and whether an answer is as it says."""

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import attrs
from jsonschema import Draft202012Validator

PATH = Path(__file__).parents[1] / "docs" / "protocol" / "openapi.json"
METHODS = ("get", "head", "post", "put", "patch", "delete")


@cache
def document() -> dict[str, Any]:
    """The whole description."""
    loaded: dict[str, Any] = json.loads(PATH.read_text(encoding="utf-8"))
    return loaded


def resolved(value: dict[str, Any]) -> dict[str, Any]:
    """What a reference refers to; anything else as it is."""
    while "$ref" in value:
        found: Any = document()
        for name in value["$ref"].removeprefix("#/").split("/"):
            found = found[name]
        value = found
    return value


@attrs.frozen
class Operation:
    """One method of one path."""

    path: str
    method: str
    item: dict[str, Any] = attrs.field(repr=False)
    """What the description says of the path."""
    said: dict[str, Any] = attrs.field(repr=False)
    """What it says of the method."""

    @property
    def name(self) -> str:
        return str(self.said["operationId"])

    def parameters(self, place: str) -> dict[str, dict[str, Any]]:
        """The parameters in a place (path, query, header), by name."""
        every = [
            resolved(one) for one in (*self.item.get("parameters", ()), *self.said.get("parameters", ()))
        ]
        return {one["name"]: one for one in every if one["in"] == place}

    @property
    def body(self) -> dict[str, Any] | None:
        """The media type of the body; None where there is none."""
        content = self.said.get("requestBody", {}).get("content")
        return None if content is None else content.get("application/json")

    @property
    def answers(self) -> dict[int, dict[str, Any]]:
        """What it can be answered, by status."""
        return {int(status): resolved(one) for status, one in self.said["responses"].items()}

    def matches(self, method: str, target: str) -> bool:
        pattern = re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(self.path))
        return method.lower() == self.method and re.fullmatch(pattern, target.partition("?")[0]) is not None


@cache
def every_operation() -> tuple[Operation, ...]:
    """All that is described."""
    return tuple(
        Operation(path, method, item, item[method])
        for path, item in document()["paths"].items()
        for method in METHODS
        if method in item
    )


def operations() -> tuple[Operation, ...]:
    """What is done with a server key."""
    return tuple(one for one in every_operation() if "security" not in one.said)


def media_operations() -> tuple[Operation, ...]:
    """What is done about files and images."""
    return tuple(one for one in every_operation() if "security" in one.said)


def validator(schema: dict[str, Any]) -> Draft202012Validator:
    """A validator of a schema that may refer to others of the description."""
    return Draft202012Validator({**schema, "components": document()["components"]})


def references(value: Any) -> Iterator[str]:
    """All references in a part of the description."""
    if isinstance(value, dict):
        if "$ref" in value:
            yield value["$ref"]
        for one in value.values():
            yield from references(one)
    elif isinstance(value, list):
        for one in value:
            yield from references(one)


def check_answer(
    method: str, target: str, status: int, headers: Mapping[str, str], body: dict[str, Any] | None
) -> None:
    """Hold an answer to the description.

    Args:
        method: Of the request.
        target: Its path and query.
        status: Of the answer.
        headers: Its header fields, with names in lower case.
        body: Its document; None where it has none, but bytes or nothing.

    Raises:
        AssertionError: It is not as the description says.
    """
    found = [one for one in every_operation() if one.matches(method, target)]
    assert len(found) <= 1, found
    if body is not None:
        assert headers["content-type"] == "application/json"
    problem = {"$ref": "#/components/schemas/Problem"}
    if not found:
        assert status in (401, 404, 405, 503), (
            f"{method} {target} is not described, and answered with {status}"
        )
        validator(problem).validate(body)
        return
    operation = found[0]
    assert status in operation.answers, (
        f"{operation.name} is answered with {status}, and that is not described"
    )
    answer = operation.answers[status]
    described = answer.get("content", {}).get("application/json")
    if method != "HEAD":
        assert (described is None) is (body is None), f"{operation.name}, {status}"
    if described is not None and body is not None:
        validator(described["schema"]).validate(body)
    for name, header in answer.get("headers", {}).items():
        value = headers.get(name.lower())
        assert value is not None or status == 503, f"{operation.name}, {status}: {name} is missing"
        if value is not None:
            schema = resolved(header)["schema"]
            validator(schema).validate(int(value) if schema.get("type") == "integer" else value)
