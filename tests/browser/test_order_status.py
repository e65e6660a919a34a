"""The Flask site in a real browser: a customer's page and that of the desk."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser.tabs import Browser, Page, wait_for
from tests.examples.order_status import OrderStatus

pytest.importorskip("flask")
pytestmark = pytest.mark.interop


@pytest.fixture
def shop(browser: Browser, tmp_path: Path) -> Iterator[OrderStatus]:
    with OrderStatus(tmp_path / "shop") as site:
        yield site
        browser.clear()


def order(page: Page, dish: str) -> None:
    """Order something, by the keyboard; the page is loaded anew then."""
    page.find("#place select").send_keys(dish)
    page.find("#place button").send_keys(" ")
    page.waits_for_text("#orders", dish)
    page.waits_for_text("#connection", "CONNECTED")


def statuses(page: Page) -> list[str]:
    script = "return [...document.querySelectorAll('#orders .status')].map((each) => each.textContent)"
    return list(page.run(script))


def waits_for_statuses(page: Page, *expected: str) -> None:
    wait_for(lambda: statuses(page) == list(expected), lambda: f"{statuses(page)} are not {expected}")


def press(page: Page, name: str) -> None:
    """Press the first button of this name, by the keyboard; it keeps the focus meanwhile."""
    wait_for(lambda: page.run(FOCUS, name), lambda: f"there is no button {name!r}")
    page.focus().switch_to.active_element.send_keys(" ")


FOCUS = """
    const button = [...document.querySelectorAll("#orders button:enabled")]
        .find((each) => each.textContent.startsWith(arguments[0]));
    button?.focus();
    return Boolean(button);
"""


@pytest.mark.slow
@pytest.mark.timeout(300)  # three processes to start, twice
def test_orders_from_one_page_to_the_other_and_over_a_restart(browser: Browser, shop: OrderStatus) -> None:
    browser.expect("WebSocket connection to .* failed: .*net::ERR_")
    desk = browser.open(f"{shop.origin}/desk", Page)
    desk.find("[name=password]").send_keys(shop.password, "\n")
    desk.waits_for_text("#connection", "CONNECTED")
    customer = browser.open(f"{shop.origin}/", Page)
    order(customer, "soup")
    order(customer, "salad")
    waits_for_statuses(desk, "received", "received")
    waits_for_statuses(customer, "received", "received")
    assert [page.tokens_before_the_first_login() for page in (desk, customer)] == [1, 1]

    press(desk, "Next")  # from the page to a view, and by the server to both pages
    waits_for_statuses(desk, "in preparation", "received")
    waits_for_statuses(customer, "received", "in preparation")
    press(customer, "Cancel")  # by the server to the listener, and back
    waits_for_statuses(customer, "cancelled", "in preparation")
    waits_for_statuses(desk, "in preparation")
    connected = [page.screenshot(f"order-{name}") for name, page in (("desk", desk), ("customer", customer))]

    shop.server.kill()
    for page in (desk, customer):
        page.waits_for_text("#connection", "RECONNECTING")
    press(desk, "Next")  # the change is stored, and cannot be announced
    waits_for_statuses(desk, "ready")
    customer.screenshot("order-reconnecting")
    shop.server.start()
    for page in (customer, desk):
        page.waits_for_text("#connection", "CONNECTED")
    waits_for_statuses(customer, "cancelled", "ready")
    press(desk, "Next")
    waits_for_statuses(customer, "cancelled", "collected")
    waits_for_statuses(desk)
    assert all(picture.stat().st_size > 5_000 for picture in connected)
