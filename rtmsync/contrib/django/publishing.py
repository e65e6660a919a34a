"""Publishing what a transaction has changed: after it was committed, and never where it was rolled back."""

from django.db import transaction

from rtmsync.contrib.connections import as_body
from rtmsync.contrib.django.clients import DEFAULT_ALIAS, clients, to_json


def publish_on_commit(
    channel: str,
    message: object,
    *,
    sender: str | None = None,
    history: bool = False,
    using: str = DEFAULT_ALIAS,
    database: str | None = None,
) -> None:
    """Send a message to a channel when the transaction is committed; at once where there is none.

    The message is made into text here and now. It is sent before the request is answered, and tried once: where that
    fails, Django logs the error, and nobody sends the message later. The caller, whose data are stored by then, does
    not hear of it. A server that says nothing holds him for up to 11 s (`limits.PUBLISH_TIMEOUT`), or for as long as
    ``OPTIONS`` says: ``{"timeouts": {"send": 2, "send_peer": 2}}``.

    ```python
    with transaction.atomic():
        order.save()
        publish_on_commit("orders", {"id": order.pk, "state": order.state})
    ```

    Args:
        channel: The channel id.
        message: A text, bytes, or what becomes a text of JSON; at most 32 KiB.
        sender: Who it comes from, SENDER by default.
        history: Keep a text in the history for 7 days.
        using: The alias in the setting ``RTM``.
        database: The alias of the database, ``"default"`` by default.
    """
    body = as_body(message, to_json)

    # Django names the function where it fails, so it is none without a name, such as a partial.
    def publish_after_commit() -> None:
        clients[using].publish(channel, body, sender=sender, history=history)

    transaction.on_commit(publish_after_commit, using=database, robust=True)


def send_peer_on_commit(
    user: str,
    message: object,
    *,
    sender: str | None = None,
    offline: bool = False,
    history: bool = False,
    using: str = DEFAULT_ALIAS,
    database: str | None = None,
) -> None:
    """Send a message to a user when the transaction is committed. For what is not said here see `publish_on_commit`.

    Args:
        user: The receiver.
        message: A text, bytes, or what becomes a text of JSON.
        sender: Who it comes from.
        offline: Store the message where the receiver is offline, for up to 7 days.
        history: Keep a text in the history for 7 days.
        using: The alias in the setting ``RTM``.
        database: The alias of the database.
    """
    body = as_body(message, to_json)

    def send_peer_after_commit() -> None:
        clients[using].send_peer(user, body, sender=sender, offline=offline, history=history)

    transaction.on_commit(send_peer_after_commit, using=database, robust=True)
