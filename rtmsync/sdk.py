"""Settings of the library as a whole, as seed 004 has them: its version, parameters as JSON, and the region."""

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from rtmcore import __version__
from rtmcore.client.config import Endpoint
from rtmcore.codes import AreaCode, ServiceContextError
from rtmcore.errors import InvalidArgument, StateError, error_for
from rtmcore.limits import APP_ID_LENGTH
from rtmsync.config import ClientOptions, Config
from rtmsync.handle import handles_made

_PARAMETERS: Final[Mapping[str, tuple[type | tuple[type, ...], str]]] = {
    "tls": (bool, "true or false"),
    "proxy": ((str, type(None)), "a text or null"),
    "timeouts": (dict, "an object with a number of seconds by the name of a call"),
    "subprotocols": (list, "a list of texts"),
    "rate_limits": (bool, "true or false"),
    "on_rate_limit": (str, "a text"),
    "aggregate_rules": (str, "a text"),
    "auto_logout_on_abort": (bool, "true or false"),
    "inbox_window": (int, "a whole number"),
    "inbox_window_bytes": (int, "a whole number"),
    "replay_total": (bool, "true or false"),
}
_SOMEBODY: Final[Mapping[str, Any]] = {"app_id": "0" * APP_ID_LENGTH, "user_id": "somebody"}


def sdk_version() -> str:
    """The version of the library, such as ``0.1.0``."""
    return __version__


# --- Parameters -----------------------------------------------------------------------------------------------------


def parse_parameters(text: str | bytes) -> ClientOptions:
    """Read options of clients from JSON, each checked.

    ```python
    options = rtmsync.parse_parameters('{"inbox_window": 64, "timeouts": {"login": 20}}')
    client = rtmsync.Client(URL, app_id=APP, user_id="alice", **options)
    ```

    Args:
        text: A JSON object with options of `Config`: those that JSON can say.

    Returns:
        The options, for `Client` and `connect`.

    Raises:
        InvalidArgument: It is no JSON object, has a name that there is not (the name is said) or has one twice, or a
            value is not possible.
    """
    try:
        found = json.loads(text, object_pairs_hook=_object, parse_constant=_no_number)
    except InvalidArgument:
        raise
    except (ValueError, TypeError, RecursionError):
        raise _wrong("The parameters are not JSON.") from None
    if not isinstance(found, dict):
        raise _wrong("The parameters are not a JSON object.")
    unknown = [name for name in found if name not in _PARAMETERS]
    if unknown:
        names = ", ".join(repr(name[:64]) for name in unknown)
        raise _wrong(f"There is no parameter {names}; there are {', '.join(_PARAMETERS)}.")
    for name, value in found.items():
        kinds, words = _PARAMETERS[name]
        mixed = isinstance(value, list) and not all(isinstance(one, str) for one in value)
        if mixed or not isinstance(value, kinds) or (isinstance(value, bool) and kinds is not bool):
            raise _wrong(f"The parameter {name} is not {words}.")
    scheme = "wss" if found.get("tls") else "ws"
    Config.of(f"{scheme}://localhost", {**_SOMEBODY, **found})
    options: ClientOptions = {}
    options.update(found)  # type: ignore[typeddict-item]
    return options


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _wrong("The parameters have a name twice.")
    return found


def _no_number(name: str) -> float:
    raise _wrong(f"The parameters have {name}, which is no number of JSON.")


def _wrong(message: str) -> InvalidArgument:
    return InvalidArgument(message, operation="parse_parameters")


# --- Region ---------------------------------------------------------------------------------------------------------

_urls: list[tuple[str, ...]] = []
"""The endpoints of the service context; empty before there is one."""


def set_service_context(area: AreaCode, endpoints: Mapping[AreaCode, str | Iterable[str]]) -> None:
    """Say in which regions this process uses servers, before it makes its first client.

    ```python
    rtmsync.set_service_context(
        AreaCode.EU, {AreaCode.EU: "wss://eu.example.com", AreaCode.NA: "wss://na.example.com"}
    )
    client = rtmsync.connect(rtmsync.service_urls(), app_id=APP, user_id="alice", token=mint)
    ```

    Calling it again before the first client replaces what was said.

    Args:
        area: A region, several (``AreaCode.EU | AreaCode.AS``), or ``AreaCode.GLOB`` for all.
        endpoints: URLs of the servers of each region; those that are wanted most come first.

    Raises:
        InvalidArgument: A URL is not possible, or no region of `endpoints` is in `area`.
        StateError: With `ServiceContextError.FAILURE`: a client, RTC channel or room has been made in this process.
    """
    chosen: list[str] = []
    for region, urls in endpoints.items():
        if not isinstance(region, AreaCode) or not isinstance(area, AreaCode):
            raise InvalidArgument("A region is an AreaCode.", operation="set_service_context")
        if region & area:
            chosen += [urls] if isinstance(urls, str) else urls
    for url in chosen:
        Endpoint.parse(url)
    if not chosen:
        raise InvalidArgument("There is no server in this region.", operation="set_service_context")
    if handles_made():
        raise error_for(
            ServiceContextError.FAILURE,
            "The service context is set before the first client is made, and there has been one.",
            operation="set_service_context",
        )
    _urls[:] = [tuple(dict.fromkeys(chosen))]


def service_urls() -> tuple[str, ...]:
    """The URLs of the servers that `set_service_context` has chosen, for every client that is made.

    Raises:
        StateError: It has not been called.
    """
    if not _urls:
        raise StateError(
            "There is no service context.", operation="service_urls", hint="Call set_service_context() first."
        )
    return _urls[0]
