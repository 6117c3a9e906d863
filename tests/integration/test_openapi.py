"""The OpenAPI description against what is really answered."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any
from unittest import mock

import jsonschema
import pytest
from django.contrib.auth.models import User
from django.test import Client, override_settings
from openapi_spec_validator import validate

from backsoon import services
from backsoon.core.vocabulary import Mode
from backsoon.exceptions import ConflictError, StoreUnavailableError
from backsoon.gate import gate
from backsoon.http import publications

pytestmark = pytest.mark.django_db

FILE = Path(__file__).parents[2] / "docs" / "reference" / "openapi.json"
DESCRIPTION: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
DOCUMENTS = [path for path in DESCRIPTION["paths"] if path.startswith("/maintenance/")]
TOGGLE = "/admin/settings/toggle-maintenance/"
HOUR = dt.timedelta(hours=1)


def resolved(part: dict[str, Any]) -> dict[str, Any]:
    """*part*, or what it refers to."""
    if "$ref" not in part:
        return part
    found: Any = DESCRIPTION
    for step in part["$ref"].removeprefix("#/").split("/"):
        found = found[step]
    return resolved(found)


def fits(schema: dict[str, Any], value: object) -> None:
    whole = {**schema, "components": DESCRIPTION["components"]}
    jsonschema.Draft202012Validator(whole, format_checker=jsonschema.FormatChecker()).validate(
        value
    )


def is_described(method: str, path: str, response: Any) -> None:
    """Whether the description knows such an answer, its headers, its type and its form."""
    operation = DESCRIPTION["paths"][path][method.lower()]
    assert str(response.status_code) in operation["responses"], response.status_code
    answer = resolved(operation["responses"][str(response.status_code)])
    for name, header in answer.get("headers", {}).items():
        value: Any = response[name]
        schema = resolved(header)["schema"]
        fits(schema, int(value) if schema.get("type") == "integer" else value)
    content = answer.get("content")
    if content is None:
        assert response.content == b""
        return
    kind = response["Content-Type"].partition(";")[0]
    assert kind in content
    text = response.content.decode()
    fits(content[kind]["schema"], json.loads(text) if kind.endswith("json") else text)


def bring_about(situation: str) -> None:
    now = dt.datetime.now(dt.UTC)
    services.schedule(now + HOUR, now + 2 * HOUR)
    services.schedule(now + 3 * HOUR, None, mode=Mode.READ_ONLY)
    if situation == "read-only":
        services.close_site(mode=Mode.READ_ONLY)
    elif situation == "closed":
        services.close_site()
    elif situation == "planned":
        services.schedule(now, now + HOUR)
    gate.refresh()


def test_the_description_is_valid_openapi() -> None:
    validate(DESCRIPTION)


@pytest.mark.parametrize("situation", ["open", "read-only", "closed", "planned"])
@pytest.mark.parametrize("path", DOCUMENTS)
def test_documents_are_as_described(path: str, situation: str) -> None:
    bring_about(situation)
    for query in ("", "?lang=fr", "?language=xx"):
        first = Client().get(f"{path}{query}")
        assert first.status_code == 200
        is_described("GET", path, first)
        is_described("HEAD", path, Client().head(f"{path}{query}"))
        again = Client().get(f"{path}{query}", headers={"if-none-match": first["ETag"]})
        assert again.status_code == 304
        is_described("GET", path, again)
    is_described("OPTIONS", path, Client().options(path))


@pytest.mark.parametrize("path", DOCUMENTS[1:])
def test_an_answer_without_rows_is_as_described(path: str) -> None:
    with mock.patch("backsoon.almanac.read", side_effect=StoreUnavailableError("away")):
        response = Client().get(path)
    assert response.status_code == 503
    is_described("GET", path, response)


def test_every_field_of_the_state_is_described_and_no_other() -> None:
    said = publications.status(gate.view(), "en")
    assert list(DESCRIPTION["components"]["schemas"]["Status"]["properties"]) == list(said)
    assert list(DESCRIPTION["components"]["schemas"]["State"]["properties"]) == list(
        publications.describe(gate.view())
    )


def toggle(client: Client, body: object = None, **more: Any) -> Any:
    content = json.dumps(body) if body is not None else ""
    return client.post(TOGGLE, content, content_type="application/json", **more)


def test_the_switch_answers_as_described(root: User, bob: User) -> None:
    client = Client()
    client.force_login(root)
    found = {}
    for body in (None, {"enabled": True}, {"enabled": False}, {"enabled": "x"}, {"epoch": -1}):
        response = toggle(client, body)
        is_described("POST", TOGGLE, response)
        found[str(body)] = response.status_code
    assert set(found.values()) == {200, 400}
    for error, status in ((ConflictError("x"), 409), (StoreUnavailableError("x"), 503)):
        with mock.patch("backsoon.services.close_site", side_effect=error):
            response = toggle(client, {"enabled": True})
        assert response.status_code == status
        is_described("POST", TOGGLE, response)
    response = client.get(TOGGLE)
    assert response.status_code == 405
    is_described("POST", TOGGLE, response)
    ordinary = Client()
    ordinary.force_login(bob)
    for refused in (toggle(ordinary), toggle(Client(enforce_csrf_checks=True))):
        assert refused.status_code == 403
        is_described("POST", TOGGLE, refused)


@override_settings(BACKSOON={"API_PATHS": ["/admin/settings/"]})
def test_the_switch_of_a_closed_site_refuses_strangers_as_described() -> None:
    bring_about("closed")
    response = toggle(Client())
    assert response.status_code == 503
    is_described("POST", TOGGLE, response)
