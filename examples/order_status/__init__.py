"""A shop whose customers see their orders change: a Flask site on rtmsync, to begin one's own from.

Three programs run side by side, from the directory above this one:

    flask --app order_status rtm serve        the RTM server, with the keys that `init` has made
    flask --app order_status rtm listen       the one listener: what customers and the kitchen say
    flask --app order_status run              the site

Nothing here opens a connection when it is imported or when an application is made.
"""

import os
from pathlib import Path

from flask import Flask, Response

from order_status import commands, messages, orders, views
from rtmsync.server.config import DEV_APP_ID

HERE = Path(__file__).parent


def create_app(config: dict[str, object] | None = None) -> Flask:
    """Make the application.

    Args:
        config: Settings for tests. Otherwise they come from ``settings.py`` in the instance directory, which
            `flask --app order_status init` makes, and from variables such as ``ORDER_STATUS_RTM_URL``.
    """
    instance = Path(os.environ.get("ORDER_STATUS_INSTANCE", HERE / "instance")).absolute()
    app = Flask(__name__, instance_path=str(instance), instance_relative_config=True)
    app.config.from_mapping(
        DATABASE=str(instance / "orders.sqlite"),
        DESK_PASSWORD=None,
        RTM_URL="ws://127.0.0.1:7430",
        RTM_APP_ID=DEV_APP_ID,
        RTM_LISTENER=messages.SHOP,
        SESSION_COOKIE_SAMESITE="Lax",
    )
    app.config.from_pyfile("settings.py", silent=True)
    app.config.from_prefixed_env("ORDER_STATUS")
    app.config.update(config or {})

    messages.rtm.init_app(app)
    orders.init_app(app)
    commands.init_app(app)
    app.register_blueprint(views.site)
    app.add_url_rule("/rtm/token", view_func=messages.token_view)
    app.add_url_rule("/rtm.js", "rtm_js", messages.rtm.script_view)

    @app.after_request
    def only_this_site(response: Response) -> Response:
        server = messages.rtm.state.settings.public_url
        response.headers["Content-Security-Policy"] = f"default-src 'self'; connect-src 'self' {server}"
        return response

    return app
