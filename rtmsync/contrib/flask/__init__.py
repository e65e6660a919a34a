"""rtmsync in a Flask application: publish from views, hand out tokens to pages, and handle what users send.

```python
from flask import Flask
from rtmsync.contrib.flask import RTM

rtm = RTM()


def create_app():
    app = Flask(__name__)
    app.config.from_prefixed_env()
    rtm.init_app(app)
    return app


@rtm.on_channel("orders")
def order(message):  # in the one process of `flask rtm listen`, inside an application context
    ...
```
"""

from rtmsync.contrib.flask.extension import RTM
from rtmsync.contrib.flask.signals import message_received, state_changed

__all__ = ["RTM", "message_received", "state_changed"]
