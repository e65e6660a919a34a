"""Real-time messaging for Django: put ``"rtmsync.contrib.django"`` into INSTALLED_APPS, and set ``RTM``.

```python
RTM = {"default": {"URL": "wss://rtm.example.com", "APP_ID": "…", "SERVER_KEY": "…", "SECRET": "…"}}
```

Views publish, best after their transaction; `manage.py rtm_listen` calls the handlers in each app's
``rtm_handlers.py``.
"""

from rtmsync.contrib.django.clients import Clients, RtmConnections, clients
from rtmsync.contrib.django.handlers import on, on_channel, on_peer_message, on_state_changed
from rtmsync.contrib.django.publishing import publish_on_commit, send_peer_on_commit
from rtmsync.contrib.django.signals import message_received, sent, state_changed

__all__ = [
    "Clients",
    "RtmConnections",
    "clients",
    "message_received",
    "on",
    "on_channel",
    "on_peer_message",
    "on_state_changed",
    "publish_on_commit",
    "send_peer_on_commit",
    "sent",
    "state_changed",
]
