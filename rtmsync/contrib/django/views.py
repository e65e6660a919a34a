"""Tokens for pages: a browser logs in to the RTM server itself, and this site says who it is."""

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from django.http import JsonResponse
from django.views.decorators.http import require_POST

from rtmcore.limits import TOKEN_SECONDS_DEFAULT
from rtmsync.contrib.django.clients import DEFAULT_ALIAS, clients

Scopes: TypeAlias = Mapping[str, object]

_UNCACHED: Final = {"Cache-Control": "no-store"}


def token_response(
    user: str,
    *,
    scopes: Scopes | None = None,
    seconds: float = TOKEN_SECONDS_DEFAULT,
    using: str = DEFAULT_ALIAS,
) -> Any:
    """A JSON response with what a page needs to log in: ``url``, ``app_id``, ``user``, ``token``.

    ``token`` is null where the settings do not say how tokens are made: a server without keys needs none. No cache
    keeps the response.

    Args:
        user: The user id that the token is for.
        scopes: What the user may do, as in the documentation of tokens; None for all that an ordinary user may.
        seconds: How long the token is valid, up to 24 hours.
        using: The alias in the setting ``RTM``.

    Raises:
        InvalidArgument: The user id is not possible.
    """
    connections = clients[using]
    settings = connections.settings
    token = connections.token_for(user, seconds=seconds, scopes=scopes) if settings.makes_tokens else None
    document = {"url": settings.public_url, "app_id": settings.app_id, "user": user, "token": token}
    return JsonResponse(document, headers=_UNCACHED)


def token_view(
    user: Callable[[Any], str | None],
    *,
    scopes: Callable[[Any, str], Scopes | None] | None = None,
    seconds: float = TOKEN_SECONDS_DEFAULT,
    using: str = DEFAULT_ALIAS,
) -> Callable[[Any], Any]:
    """Make a view that answers with `token_response`, or with 401 to whoever is not logged in.

    It takes POST only, since tokens do not belong into caches: the page sends Django's CSRF token with it.

    ```python
    def rtm_user(request):
        return f"user-{request.user.pk}" if request.user.is_authenticated else None


    urlpatterns = [path("rtm/token/", token_view(rtm_user))]
    ```

    Args:
        user: Gets the request; returns the user id, or None for whoever gets no token.
        scopes: Gets the request and the user id; returns what the user may do.
        seconds: See `token_response`.
        using: See `token_response`.
    """

    def view(request: Any) -> Any:
        name = user(request)
        if name is None:
            return JsonResponse({"error": "not_logged_in"}, status=401, headers=_UNCACHED)
        allowed = None if scopes is None else scopes(request, name)
        return token_response(name, scopes=allowed, seconds=seconds, using=using)

    return require_POST(view)  # type: ignore[no-any-return]
