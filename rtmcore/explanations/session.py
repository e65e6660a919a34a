"""Codes of making a client, of logging in and out, and of tokens."""

from collections.abc import Mapping
from enum import IntEnum
from typing import Final

from rtmcore.codes import InitError, LoginError, LogoutError, RenewTokenError, ServiceContextError
from rtmcore.explanations.model import (
    Explanation,
    amount,
    closed,
    not_logged_in,
    reserved,
    server_failed,
    succeeded,
    too_often,
)
from rtmcore.limits import APP_ID_LENGTH, LOGIN_RATE, LOGIN_TIMEOUT, RENEW_TOKEN_RATE, USER_ID_BYTES

_SERVICE_CONTEXT: Final = {
    "OK": succeeded("The region is set for every client that is made from now on."),
    "FAILURE": Explanation(
        "The region was not changed.",
        "`set_service_context` was called after the first client, RTC channel or room of the process had been made.",
        "Call it once at the start of the program, before anything that connects is made.",
    ),
}

_INIT: Final = {
    "OK": succeeded("The client was made; it has done nothing yet."),
    "FAILURE": Explanation(
        "The client could not be made.",
        "The process could not give it what it needs, a thread or a descriptor; that is asked for at the login only.",
        "Look at the error's cause: most often the limit of open files or of threads is reached.",
    ),
    "ALREADY_INITIALIZED": Explanation(
        "The client is initialized already.",
        "`__init__` was called on a client that is made. In C++ an instance is made first and initialized later, and "
        "that is done once, too.",
        "Make another client; a process may have several.",
    ),
    "INVALID_APP_ID": Explanation(
        "The app id is malformed.",
        "It is no string. Whether a string is an app id is judged at the login, with a code of the login.",
        f"Give the {APP_ID_LENGTH} characters from the settings of the server.",
    ),
    "INVALID_ARGUMENT": Explanation(
        "A value that the client is made with is not possible.",
        "The user id, the URL, a time-out or another option is of the wrong type or out of its range; the message "
        "says which.",
        "Correct that value; the same call never succeeds.",
    ),
}

_LOGIN: Final = {
    "OK": succeeded("The client is logged in."),
    "UNKNOWN": Explanation(
        "The login failed for a reason that has no code of its own.",
        "The server could not do it now, TLS or HTTP refused the connection, or what answers is not such a server.",
        "Read the cause of the error, or try each step with `rtm doctor`.",
    ),
    "REJECTED": Explanation(
        "The server does not let this user in.",
        "He is banned (then the error is `Banned` and says why), or another client of the same name came in "
        "between.",
        "Ask whoever runs the server. Logging in again by itself makes two clients of one name kick each other.",
    ),
    "INVALID_ARGUMENT": Explanation(
        "The user id is not possible.",
        f"It is empty, longer than {USER_ID_BYTES} bytes, has characters outside the 89 that are allowed, or is the "
        'word "null".',
        "Choose a user id of letters, digits and the documented punctuation.",
    ),
    "INVALID_APP_ID": Explanation(
        "The server does not serve this app.",
        f"The app id is not {APP_ID_LENGTH} visible ASCII characters, or no app of that id is in the server's "
        "settings.",
        "Compare the app id with the server's; it is part of its settings and of each token.",
    ),
    "INVALID_TOKEN": Explanation(
        "The token is no good.",
        "It is missing, malformed, signed with another key, not valid yet, or made for another user or app.",
        "Make one for this user and app with a key that the server has; `rtm token inspect` shows what is in yours.",
    ),
    "TOKEN_EXPIRED": Explanation(
        "The token's time is over.",
        "It was made too long ago, or the clocks of its maker and of the server differ.",
        "Get a new token. A function as `token` is asked for one at each attempt.",
    ),
    "NOT_AUTHORIZED": Explanation(
        "The token is good, but not for logging in.",
        "Its scopes do not allow it: it was made for a room, an RTC channel or another purpose only.",
        "Have a token made with the scope `login`, or without scopes.",
    ),
    "ALREADY_LOGIN": Explanation(
        "The client is logged in already, or is at it.",
        "`login()` was called while CONNECTING, CONNECTED or RECONNECTING, or in ABORTED without a logout.",
        "When ABORTED, call `logout()` first. Otherwise there is nothing to do: a reconnect is not a login.",
    ),
    "TIMEOUT": Explanation(
        f"There was no login within its time, {LOGIN_TIMEOUT:g} s where nothing else was said.",
        "No attempt reached the server, or none was answered; the message says what the last one failed of.",
        "Check URL, network and proxy with `rtm doctor`, then log in again.",
    ),
    "TOO_OFTEN": Explanation(
        f"`login` was called more than {amount(LOGIN_RATE)}.",
        "The program logs in in a loop, or other clients log in by the same user id.",
        "Wait for `error.retry_after` seconds. Do not log in after an outage: the client comes back by itself.",
    ),
    "NOT_INITIALIZED": closed("`login`"),
    "ABORTED_BY_LOGOUT": Explanation(
        "The login was given up.",
        "`logout()` or `close()` was called while it was under way, most often by another thread.",
        "Call `login()` again if you still want it.",
    ),
}

_LOGOUT: Final = {
    "OK": succeeded("The user is logged out; others see it at once."),
    "REJECTED": reserved("a logout that the server refuses"),
    "NOT_INITIALIZED": closed("`logout`"),
    "NOT_LOGGED_IN": Explanation(
        "There is nothing to log out from.",
        "The client is DISCONNECTED: it was never logged in, its login failed, or it is logged out already.",
        "Nothing, if being logged out is what you want.",
    ),
}

_RENEW_TOKEN: Final = {
    "OK": succeeded("The server has taken the new token."),
    "FAILURE": server_failed("`renew_token`", " A time-out has this code too, as none is documented for it."),
    "INVALID_ARGUMENT": Explanation(
        "The new token is not a token at all.",
        "It is empty, not a string, or longer than tokens may be.",
        "Hand over the text that your token server returned, and only that.",
    ),
    "REJECTED": reserved("a token that the server refuses by its own decision"),
    "TOO_OFTEN": too_often("`renew_token`", RENEW_TOKEN_RATE),
    "TOKEN_EXPIRED": Explanation(
        "The time of the new token is over already; the old one stays in force.",
        "A cached token was handed over, or the clocks of its maker and of the server differ.",
        "Have a fresh one made, and call `renew_token` again before the old one expires.",
    ),
    "INVALID_TOKEN": Explanation(
        "The new token is no good; the old one stays in force.",
        "It is malformed, signed with another key, made for another user or app, or does not allow the login.",
        "Make one for this user and app with a key that the server has; `rtm token inspect` shows what is in yours.",
    ),
    "NOT_INITIALIZED": closed("`renew_token`"),
    "NOT_LOGGED_IN": not_logged_in("`renew_token`"),
    "ABORTED_BY_LOGOUT": Explanation(
        "The renewal was given up.",
        "`logout()` or `close()` was called while it was under way.",
        "Nothing: the next login has its own token.",
    ),
}

EXPLANATIONS: Final[Mapping[type[IntEnum], Mapping[str, Explanation]]] = {
    ServiceContextError: _SERVICE_CONTEXT,
    InitError: _INIT,
    LoginError: _LOGIN,
    LogoutError: _LOGOUT,
    RenewTokenError: _RENEW_TOKEN,
}
"""By family and name of the code."""
