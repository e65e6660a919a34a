"""What a request says: its body, its query and its names, judged by its route."""

import json
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import parse_qs

from rtmcore.codes import SendPeerMessageError
from rtmcore.identifiers import explain_invalid_id
from rtmcore.service.web.problems import Problem, invalid
from rtmcore.service.web.routes import Job

_FIELDS: Final = 16
"""Fields that any query may have, were they known or not."""


def read_fields(job: Job, body: bytes) -> dict[str, Any]:
    """The fields of a JSON body.

    Raises:
        Problem: It is not JSON, or has fields that are unknown or of another type.
    """
    known = job.route.fields
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        raise invalid(job, "The body is not JSON.") from None
    if not isinstance(document, dict):
        raise invalid(job, "The body is not a JSON object.")
    for name, value in document.items():
        kind = known.get(name)
        if kind is None:
            raise invalid(job, f"The body may have the fields {', '.join(known)}, and no other.")
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not (number if kind is float else isinstance(value, kind)):
            raise invalid(job, f"The field {name} is not of the type {kind.__name__}.")
    return document


def read_query(job: Job, most: int) -> dict[str, list[str]]:
    """The values of the query by name.

    Args:
        job: The request.
        most: How often a name may make sense that may be repeated.

    Raises:
        Problem: A name is unknown, or stands there too often.
    """
    known = job.route.query
    try:
        query = parse_qs(job.query, keep_blank_values=True, max_num_fields=_FIELDS + 2 * most)
    except ValueError:
        raise invalid(job, "The query has far too many fields.") from None
    for name, values in query.items():
        if name not in known:
            text = f"the names {', '.join(known)}, and no other" if known else "no names"
            raise invalid(job, f"The query may have {text}.")
        if len(values) > 1 and not job.route.repeated:
            raise invalid(job, f"The query has {name} more than once.")
    return query


def check_id(job: Job, value: str, what: str) -> None:
    """Judge a user id or a channel id.

    Raises:
        Problem: There can be no such id.
    """
    wrong = explain_invalid_id(value, what)
    if wrong is None:
        return
    if job.codes is SendPeerMessageError:
        raise Problem(HTTPStatus.BAD_REQUEST, wrong, SendPeerMessageError.INVALID_USER_ID)
    raise invalid(job, wrong)
