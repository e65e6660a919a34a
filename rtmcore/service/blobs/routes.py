"""The routes of files and images: a table of what can be asked for, and by whom."""

import re
from http import HTTPStatus
from typing import Final
from urllib.parse import unquote

import attrs

from rtmcore.service.connections import SERVICE_PREFIX
from rtmcore.service.grants import DOWN, UP

TICKETS: Final = "tickets"
CREATE: Final = "create"
APPEND: Final = "append"
LOOK: Final = "look"
DOWNLOAD: Final = "download"
REMOVE: Final = "remove"

_USUAL: Final = frozenset(
    {
        HTTPStatus.UNAUTHORIZED,
        HTTPStatus.FORBIDDEN,
        HTTPStatus.NOT_FOUND,
        HTTPStatus.SERVICE_UNAVAILABLE,
    }
)
_ENTERED: Final = frozenset({HTTPStatus.BAD_REQUEST, HTTPStatus.REQUEST_ENTITY_TOO_LARGE})
_STORED: Final = frozenset({HTTPStatus.INSUFFICIENT_STORAGE})
_COUNTED: Final = frozenset({HTTPStatus.TOO_MANY_REQUESTS})


@attrs.frozen
class BlobRoute:
    """One thing that can be asked for.

    Attributes:
        operation: Its name.
        method: The method.
        path: Below that of the app.
        needs: What a ticket has to permit, one of these; empty where none is needed.
        fields: Those that the JSON body may have, and their types.
        statuses: Those of its answers; besides, a message that breaks the rules of HTTP is answered in plain text.
    """

    operation: str
    method: str
    path: str
    needs: tuple[str, ...]
    fields: dict[str, type] = attrs.field(factory=dict)
    statuses: frozenset[int] = frozenset()


BLOB_ROUTES: Final = (
    BlobRoute(
        TICKETS,
        "POST",
        "/tickets",
        (),
        {"user": str},
        _USUAL | _ENTERED | _COUNTED | {HTTPStatus.CREATED, HTTPStatus.REQUEST_TIMEOUT},
    ),
    BlobRoute(
        CREATE,
        "POST",
        "/media",
        (UP,),
        {"size": int, "kind": str, "sha256": str, "name": str, "type": str},
        _USUAL | _ENTERED | _STORED | _COUNTED | {HTTPStatus.CREATED, HTTPStatus.REQUEST_TIMEOUT},
    ),
    BlobRoute(
        APPEND,
        "PATCH",
        "/media/{id}",
        (UP,),
        statuses=_USUAL
        | _ENTERED
        | _STORED
        | _COUNTED
        | {
            HTTPStatus.CREATED,
            HTTPStatus.NO_CONTENT,
            HTTPStatus.REQUEST_TIMEOUT,
            HTTPStatus.CONFLICT,
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            HTTPStatus.UNPROCESSABLE_ENTITY,
        },
    ),
    BlobRoute(
        LOOK, "HEAD", "/media/{id}", (UP, DOWN), statuses=_USUAL | {HTTPStatus.OK, HTTPStatus.NO_CONTENT}
    ),
    BlobRoute(
        DOWNLOAD,
        "GET",
        "/media/{id}",
        (DOWN,),
        statuses=_USUAL
        | _COUNTED
        | {
            HTTPStatus.OK,
            HTTPStatus.PARTIAL_CONTENT,
            HTTPStatus.NOT_MODIFIED,
            HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
        },
    ),
    BlobRoute(REMOVE, "DELETE", "/media/{id}", (UP,), statuses=_USUAL | {HTTPStatus.NO_CONTENT}),
)
"""All of them; whoever asks for one that needs something has the header `Authorization` with a ticket."""

_TARGET: Final = re.compile(
    re.escape(SERVICE_PREFIX)
    + r"(?P<app>[^/?]+)(?P<path>/tickets|/media(?:/(?P<id>[A-Za-z0-9_-]{1,64}))?)(?:\?.*)?"
)


@attrs.frozen
class BlobTarget:
    """What a request is about.

    Attributes:
        app: The app id.
        id: Of the blob; empty where the path names none.
        routes: What can be done there, by method.
    """

    app: str
    id: str
    routes: dict[str, BlobRoute]

    @property
    def methods(self) -> str:
        """The methods that there are, for people and for the header Allow."""
        return ", ".join(self.routes)


def blob_target(target: str) -> BlobTarget | None:
    """What the target of a request names; None where it is none of these routes."""
    found = _TARGET.fullmatch(target)
    if found is None:
        return None
    path = "/media/{id}" if found["id"] else found["path"]
    routes = {route.method: route for route in BLOB_ROUTES if route.path == path}
    return BlobTarget(unquote(found["app"], errors="replace"), found["id"] or "", routes)
