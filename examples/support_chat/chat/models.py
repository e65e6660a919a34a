"""What was said, and the one way in which something is said."""

from django.db import IntegrityError, models, transaction

from rtmsync.contrib.django import publish_on_commit

DESK = "desk"
"""The channel on which agents hear of every message."""


class Message(models.Model):
    """A message in the conversation with one customer."""

    customer = models.CharField(max_length=64, db_index=True)
    author = models.CharField(max_length=200)
    text = models.TextField(max_length=2000)
    time = models.DateTimeField(auto_now_add=True)
    # The message's number at the RTM server: one that comes a second time is known by it.
    rtm_id = models.BigIntegerField(null=True, unique=True)

    class Meta:
        """The oldest first."""

        ordering = ("id",)

    def as_data(self):
        """The message as pages get it."""
        names = ("id", "customer", "author", "text", "time")
        return {name: getattr(self, name) for name in names}


def say(customer, author, text, rtm_id=None):
    """Store a message, and tell the pages as soon as it is stored.

    The customer's channel has the customer's name: his pages are in it, and those of the agents who talk to him.
    """
    try:
        with transaction.atomic():
            message = Message.objects.create(customer=customer, author=author, text=text, rtm_id=rtm_id)
            for channel in (customer, DESK):
                publish_on_commit(channel, message.as_data())
    except IntegrityError:
        return  # the message with this number is stored already
