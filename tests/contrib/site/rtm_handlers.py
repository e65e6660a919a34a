"""What the site's listener calls; the listener finds this module by its name."""

from rtmsync.contrib.django import clients, on_channel, on_peer_message, publish_on_commit
from tests.contrib.site.models import Order


@on_channel("orders")
def ordered(message):
    Order.objects.create(text=message.text)


@on_peer_message
def asked(message):
    if message.text == "fail":
        raise LookupError(message.text)
    publish_on_commit("answers", {"to": message.sender, "orders": Order.objects.count()})


@on_peer_message(using="second")
def asked_elsewhere(message):
    clients["second"].send_peer(message.sender, "second")
