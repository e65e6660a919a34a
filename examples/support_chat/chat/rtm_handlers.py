"""What the listener does with what customers send to it."""

from chat.models import Message, say
from rtmsync.contrib.django import on_peer_message


@on_peer_message
def customer_wrote(message):
    """Store a customer's message. Who the sender is, the RTM server has checked."""
    customer, _, _ = message.sender.partition(".")
    text = message.text.strip()
    longest = Message._meta.get_field("text").max_length
    if customer.startswith("customer-") and 0 < len(text) <= longest:
        say(customer, "customer", text, rtm_id=message.id)
