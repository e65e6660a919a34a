"""What goes through the RTM server: changes to the pages, and what customers and the kitchen say to the shop."""

import json
import re
from typing import Any

from flask import current_app, request, session

import rtmsync
from order_status import orders
from rtmsync.contrib.flask import RTM

SHOP = "shop"
"""Who the listener is. Customers write to this user."""

DESK = "desk"
"""The channel of all changes, for the people at the desk; their user ids begin with it too."""

KITCHEN = "kitchen"
"""The channel in which the kitchen says what is ready."""

rtm = RTM()


# --- To the pages -----------------------------------------------------------------


def announce(order: orders.Order) -> None:
    """Tell the customer's pages and the desk how an order stands.

    The order is in the database already, so a server that is away only makes pages late: they look again when they
    are connected again.
    """
    try:
        for channel in (channel_of(order["customer"]), DESK):
            rtm.publish(channel, order, timeout=5)
    except rtmsync.RtmError as error:
        current_app.logger.warning("Order %d was not announced: %s", order["id"], error)


def channel_of(customer: str) -> str:
    """The channel of a customer's orders."""
    return f"orders-{customer}"


# --- From the pages ---------------------------------------------------------------


def page_user() -> str | None:
    """Who the page that asks for a token logs in as: its owner, and a name that the page has made up for itself.

    Two pages with one user id would put each other out.
    """
    page = request.args.get("page", "")
    if not re.fullmatch("[0-9a-f]{8}", page):
        return None
    if request.args.get("desk") == "1":
        return f"{DESK}.{page}" if session.get("desk") else None
    customer = session.get("customer")
    return f"{customer}.{page}" if customer else None


def allowed(user: str) -> dict[str, object]:
    """A page joins the channel of its owner, and sends to users; the listener looks at what it gets."""
    owner = user.split(".")[0]
    return {"login": True, "join": [DESK if owner == DESK else channel_of(owner)], "send": ["p2p"]}


token_view = rtm.token_view(page_user, scopes=allowed)


# --- The listener: `flask --app order_status rtm listen` --------------------------


@rtm.on_peer_message
def from_customer(message: rtmsync.PeerMessage) -> None:
    """A page asks to cancel an order: ``{"cancel": 7}``. The server vouches for the sender."""
    said = understood(message.text)
    order = orders.find(said["cancel"]) if isinstance(said.get("cancel"), int) else None
    if order is None or order["customer"] != message.sender.split(".")[0]:
        current_app.logger.warning("%s asked for what is not his", message.sender)
        return
    try:
        announce(orders.change(order["id"], "cancelled", only_from=("received",)))
    except orders.WrongStatus:
        rtm.send_peer(message.sender, {"refused": order["id"], "why": "it is being prepared already"})


@rtm.on_channel(KITCHEN)
def from_kitchen(message: rtmsync.ChannelMessage) -> None:
    """The kitchen says that an order is ready: ``{"ready": 7}``. No page's token lets it write here."""
    said = understood(message.text)
    if isinstance(said.get("ready"), int):
        announce(orders.change(said["ready"], "ready", only_from=("received", "in preparation")))


def understood(text: str) -> dict[str, Any]:
    """The JSON object in a text; an empty one where there is none."""
    try:
        said = json.loads(text)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}
