"""The pages."""

import hmac
import secrets

from flask import (
    Blueprint,
    abort,
    current_app,
    jsonify,
    redirect,
    render_template,
    request,
    session,
    url_for,
)
from flask.typing import ResponseReturnValue

from order_status import orders
from order_status.messages import DESK, SHOP, announce, channel_of

DISHES = ("soup", "salad", "pancakes", "coffee")

site = Blueprint("site", __name__)


# --- For customers ----------------------------------------------------------------


@site.get("/")
def customer_page() -> ResponseReturnValue:
    if "customer" not in session:
        session["customer"] = f"customer-{secrets.token_hex(6)}"
    return render_template(
        "customer.html", dishes=DISHES, shop=SHOP, channel=channel_of(session["customer"]), mine=mine()
    )


@site.post("/orders")
def place() -> ResponseReturnValue:
    dish = request.form.get("dish")
    if dish not in DISHES or "customer" not in session:
        abort(400)
    announce(orders.place(session["customer"], dish))
    return redirect(url_for("site.customer_page"))


@site.get("/orders")
def my_orders() -> ResponseReturnValue:
    """How the orders stand, for a page that has just joined its channel."""
    return jsonify(mine())


def mine() -> list[orders.Order]:
    return orders.of_customer(session["customer"]) if "customer" in session else []


# --- For the desk -----------------------------------------------------------------


@site.get("/desk")
def desk_page() -> ResponseReturnValue:
    if not session.get("desk"):
        return render_template("login.html")
    return render_template("desk.html", channel=DESK, orders=orders.open_orders())


@site.post("/desk/login")
def desk_login() -> ResponseReturnValue:
    password = current_app.config["DESK_PASSWORD"]
    given = request.form.get("password", "")
    if not password or not hmac.compare_digest(given.encode(), str(password).encode()):
        return render_template("login.html", wrong=True), 403
    session["desk"] = True
    return redirect(url_for("site.desk_page"))


@site.get("/desk/orders")
def all_orders() -> ResponseReturnValue:
    if not session.get("desk"):
        abort(403)
    return jsonify(orders.open_orders())


@site.post("/orders/<int:number>/next")
def next_status(number: int) -> ResponseReturnValue:
    """Move an order on, and tell the pages."""
    if not session.get("desk"):
        abort(403)
    order = orders.find(number)
    if order is None:
        abort(404)
    after = orders.NEXT.get(order["status"])
    if after is None:
        abort(409)
    try:
        changed = orders.change(number, after, only_from=(order["status"],))
    except orders.WrongStatus:
        abort(409)  # somebody was quicker
    announce(changed)
    return jsonify(changed)
