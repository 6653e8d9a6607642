"""GitLab's refusals, in its two shapes: {"message": …} and {"error": …} [lib/api/helpers.rb, lib/api/api_guard.rb]."""

from __future__ import annotations

from typing import Any


class ApiError(Exception):
    """An answer that ends the handling of a request."""

    def __init__(self, status: int, body: Any, headers: list[tuple[str, str]] | None = None):
        super().__init__(f"{status} {body}")
        self.status = status
        self.body = body
        self.headers = headers or []


def message(status: int, text: Any, headers: list[tuple[str, str]] | None = None) -> ApiError:
    return ApiError(status, {"message": text}, headers)


def parameter(*texts: str) -> ApiError:
    """Parameter validation uses "error", unlike nearly everything else."""
    return ApiError(400, {"error": ", ".join(texts)})


def unauthorized() -> ApiError:
    return message(401, "401 Unauthorized")


def invalid_token(description: str) -> ApiError:
    # [lib/api/api_guard.rb]; the challenge header is rack-oauth2's.
    return ApiError(401, {"error": "invalid_token", "error_description": description},
                    [("WWW-Authenticate", f'Bearer realm="Protected by OAuth 2.0", error="invalid_token", '
                                          f'error_description="{description}"')])


def insufficient_scope(accepted: list[str]) -> ApiError:
    return ApiError(403, {"error": "insufficient_scope",
                          "error_description": "The request requires higher privileges than provided by the access token.",
                          "scope": " ".join(accepted)})


def forbidden(reason: str | None = None) -> ApiError:
    return message(403, "403 Forbidden" + (f" - {reason}" if reason else ""))


def not_found(what: str) -> ApiError:
    return message(404, f"404 {what} Not Found")


def no_route() -> ApiError:
    return ApiError(404, {"error": "404 Not Found"})


def wrong_method(allowed: list[str]) -> ApiError:
    return ApiError(405, {"error": "405 Not Allowed"}, [("Allow", ", ".join(allowed))])


def gone(reason: str) -> ApiError:
    return message(410, f"410 Gone - {reason}")


def precondition_failed() -> ApiError:
    return message(412, "412 Precondition Failed")


def migrating() -> ApiError:
    # [lib/api/ci/helpers/runner.rb]
    return message(429, "Executing database migrations. Please retry later.", [("Retry-After", "60")])


def requested_too_often() -> ApiError:
    # An object in "message": the third shape a client meets [lib/gitlab/application_rate_limiter.rb].
    return message(429, {"error": "This endpoint has been requested too many times. Try again later."})
