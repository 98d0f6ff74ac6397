"""The OpenAPI document: problem details, examples and authentication."""

import re
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from adreel.web.field_descriptions import describe_fields
from adreel.web.problems import MEDIA_TYPE, BudgetProblemDetails, ProblemDetails

COSTS = (402, 409, 503)
"""Answers of the routes that buy."""
ALWAYS = (400, 401, 403, 413, 421, 422, 429)
MEANINGS = {
    400: "The body is incomplete: the request was not processed",
    401: "The key is missing or wrong",
    402: "A budget has too little money left; `next` says what to do",
    403: "The role of the key does not allow it; or another site made a browser send the request",
    404: "Not found",
    409: "A conflict with the present state: in flight, ended or taken",
    413: "The body is too large",
    415: "The body is of another type",
    416: "The file has no such range",
    421: "Without keys the server answers to localhost only",
    422: "The request is invalid; `errors` names the fields",
    429: "Too many requests with this key; `Retry-After` says when to retry",
    503: "Prefect or the storage can't be reached; `Retry-After` says when to retry",
}
TAGS = [
    {
        "name": "sessions",
        "x-title": "Ads",
        "description": "An ad is a session: the facts of a product and up to four scenes, with takes, finished ads,"
        " images and links for guests.",
    },
    {
        "name": "videos",
        "x-title": "Jobs",
        "description": "A job buys clips, or makes the finished ad. It runs on a worker: follow it by its `job_id`.",
    },
    {"name": "models", "x-title": "Models", "description": "The video models that scenes can name."},
    {"name": "campaigns", "x-title": "Campaigns", "description": "Many ads under one name."},
    {"name": "spend", "x-title": "Spend", "description": "What was spent, from the records of takes."},
    {"name": "outputs", "x-title": "Files", "description": "Clips, finished ads, posters and captions."},
    {"name": "operation", "x-title": "Operation", "description": "For monitoring."},
]
"""The groups of the operations, in the order of the page."""
EXAMPLE = {
    "type": "urn:adreel:problem:notFound",
    "title": "Not Found",
    "status": 404,
    "detail": "no session 'abc-123': POST /api/sessions creates one",
    "instance": "/api/videos/generate-scenes",
    "request_id": "5f0c1d2e3b4a49788695a4b3c2d1e0f9",
    "errors": [
        {"field": "session_id", "place": "body", "detail": "no session 'abc-123': POST /api/sessions creates one"}
    ],
}


def answers(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the problem responses of a route: the given statuses, and those that every route has."""
    found: dict[int | str, dict[str, Any]] = {}
    for status in sorted({*ALWAYS, *statuses}):
        details = BudgetProblemDetails if status == 402 else ProblemDetails
        content: dict[str, Any] = {"schema": {"$ref": f"#/components/schemas/{details.__name__}"}}
        if status == 404:
            content["example"] = EXAMPLE
        found[status] = {
            "description": MEANINGS.get(status, HTTPStatus(status).phrase),
            "content": {MEDIA_TYPE: content},
        }
    return found


def describe(app: FastAPI) -> dict[str, Any]:
    """Return the OpenAPI document of an app, built once."""
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title,
            version=app.version,
            description=app.description,
            routes=app.routes,
            tags=app.openapi_tags,
            servers=app.servers,
        )
        parts = document.setdefault("components", {})
        for details in (ProblemDetails, BudgetProblemDetails):
            problem = details.model_json_schema(ref_template="#/components/schemas/{model}")
            parts.setdefault("schemas", {}).update({**problem.pop("$defs"), details.__name__: problem})
        parts["securitySchemes"] = {
            "key": {"type": "http", "scheme": "bearer", "description": "A key of ADREEL_API_KEYS"},
            "cookie": {"type": "apiKey", "in": "cookie", "name": "adreel", "description": "Set by the sign-in form"},
        }
        document["security"] = [{"key": []}, {"cookie": []}]
        describe_fields(document)
        for calls in document["paths"].values():
            for call in calls.values():
                # The first sentence says more than the name of the function.
                found = re.fullmatch(r"(.+?)\.(?:\s+(.+))?", call["description"], re.DOTALL)
                call["summary"], call["description"] = (
                    (found[1], found[2] or "") if found else (call["description"], "")
                )
        app.openapi_schema = document
    return app.openapi_schema
