"""An explanation, and those that differ between operations in their names and figures only."""

import attrs

from rtmcore.limits import KIB, MIB, RateLimit


@attrs.frozen
class Explanation:
    """What is to be said about a code.

    Attributes:
        means: What it says.
        why: How it comes about.
        advice: What to do.
    """

    means: str
    why: str
    advice: str


def amount(limit: RateLimit) -> str:
    """A rate in words, such as ``180 times in 3 s``."""
    times = "once" if limit.count == 1 else f"{limit.count:,} times"
    return f"{times} in {limit.seconds:g} s"


def size(count: int) -> str:
    """A number of bytes in words, such as ``32 KiB``."""
    if count % MIB == 0:
        return f"{count // MIB} MiB"
    return f"{count // KIB} KiB" if count % KIB == 0 else f"{count} bytes"


def succeeded(what: str) -> Explanation:
    """0, where nothing else is to be said."""
    return Explanation(what, "The call was carried out; nothing is raised.", "Nothing.")


def closed(calls: str, *, instead: str = "Make a new client") -> Explanation:
    """101.

    Args:
        calls: Which calls have it, as the subject of a sentence.
        instead: What to do.
    """
    return Explanation(
        f"{calls} found the client closed, and did nothing.",
        "`close()` was called before, or the `with` block of the client has ended; here this stands for what the "
        "documents call not initialized.",
        f"{instead}: a closed one is never opened again.",
    )


def not_logged_in(calls: str) -> Explanation:
    """102.

    Args:
        calls: Which calls have it, as the subject of a sentence.
    """
    return Explanation(
        f"{calls} needs a login, and there is none; nothing was sent.",
        "`login()` was not called or has not succeeded yet, `logout()` was called, or the session was ended for good "
        "(ABORTED). While RECONNECTING calls wait instead.",
        "Wait until `connect()` or `login()` has returned. When ABORTED, call `logout()` and then `login()`.",
    )


def too_often(calls: str, limit: RateLimit, *, together: str = "") -> Explanation:
    """A call above its rate.

    Args:
        calls: Which calls have it, as the subject of a sentence.
        limit: The documented rate.
        together: What else is counted with them.
    """
    return Explanation(
        f"{calls} was called more than {amount(limit)}{together}; the call was refused at once.",
        "The documented rate of one client is used up. Refused calls and what the client sends by itself after a "
        "reconnect do not count. A server may have smaller rates of its own, which it tells at the login.",
        'Wait for `error.retry_after` seconds, or make the client with `on_rate_limit="wait"`, which waits instead.',
    )


def timed_out(calls: str, seconds: float, advice: str) -> Explanation:
    """No answer in time.

    Args:
        calls: Which calls have it, as the subject of a sentence.
        seconds: By default.
        advice: How to find out what happened.
    """
    return Explanation(
        f"{calls} had no answer within its time, {seconds:g} s where nothing else was said.",
        "The client was RECONNECTING for all that time, the network is slow, or the server is overloaded. "
        "`error.outcome_unknown` says whether the request may have been carried out.",
        advice,
    )


def server_failed(calls: str, why: str = "") -> Explanation:
    """The server could not.

    Args:
        calls: Which calls have it, as the subject of a sentence.
        why: What else may be the reason.
    """
    return Explanation(
        f"{calls} reached the server, which could not do it.",
        f"Its disk or its engine refuses, or too much waits for it already.{why}",
        "Try again after a while, with growing pauses. If it stays, read the log of the server.",
    )


def reserved(what: str) -> Explanation:
    """A code that nobody sends.

    Args:
        what: What it is kept for.
    """
    return Explanation(
        f"Kept for {what}.",
        "Never: the documents reserve the number, and nothing here sends it.",
        "Nothing. Whoever meets it talks to another server.",
    )
