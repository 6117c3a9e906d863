"""The API's errors: JSON of the kind ``application/problem+json`` (RFC 9457)."""

from collections.abc import Mapping
from http import HTTPStatus

from django.http import JsonResponse


class Problem(Exception):
    """A request that cannot be served, with what its sender needs to know.

    Args:
        status: the HTTP status code.
        detail: one sentence for a person.
        errors: messages by the name of the field that they are about.
        headers: further headers of the answer.
    """

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        errors: Mapping[str, list[str]] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = HTTPStatus(status)
        self.detail = detail
        self.errors = errors
        self.headers = headers or {}
        if self.status is HTTPStatus.UNAUTHORIZED:
            # RFC 9110 section 11.6.1: a 401 names a way to authenticate.
            self.headers = {"WWW-Authenticate": "Bearer", **self.headers}

    def response(self) -> JsonResponse:
        """Return the answer that says so."""
        body: dict[str, object] = {
            "type": "about:blank",
            "title": self.status.phrase,
            "status": self.status.value,
            "detail": self.detail,
        }
        if self.errors:
            body["errors"] = dict(self.errors)
        return JsonResponse(
            body,
            status=self.status,
            content_type="application/problem+json",
            headers={"Cache-Control": "private, no-store", **self.headers},
        )
