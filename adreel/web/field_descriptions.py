"""Descriptions of fields that mean the same wherever the HTTP API has them, with an example of each."""

from typing import Any

TYPES = {
    str: {"string"},
    int: {"integer", "number"},
    float: {"number"},
    bool: {"boolean"},
    list: {"array"},
    type(None): {"null"},
}
URL = "/outputs/abc-123_hook_35f85e76.mp4"
FIELDS: dict[str, tuple[str, Any]] = {
    "ads": ("Number of ads", 12),
    "aspects": ("Offered shapes; null is unknown", ["16:9", "9:16"]),
    "billed": ("USD of the bills that are known", 0.63),
    "captions_url": ("URL of the SRT file; null without captions", "/outputs/abc-123_cut_1f3a9c04_16x9.srt"),
    "category": ("Kind of product", "camping gear"),
    "clips": ("Number of stored clips", 4),
    "code": ("What it is, for programs", "shorterThanAsked"),
    "corner": ("Corner of the picture", "top-right"),
    "cost": ("USD; null while a bill is missing", 0.63),
    "created_at": ("When it was made", "2026-11-23T12:00:00Z"),
    "creator": ("Who made the model", "klingai"),
    "cut_id": ("Id of the finished ad", "1f3a9c04"),
    "detail": ("What is wrong and what helps, for people", "Input should be greater than 0"),
    "duration": ("Seconds, as measured", 5.0),
    "error": ("Why there is no clip or file; null if there is one", None),
    "estimate": ("USD as expected before it was bought; null is unknown", 0.63),
    "expires_at": ("When the link ends", "2026-12-07T12:00:00Z"),
    "file": ("File name below `/outputs/`", "abc-123_hook_35f85e76.mp4"),
    "first_frame": ("Whether it starts from an image; null is unknown", True),
    "format": ("Shape of the picture", "16:9"),
    "frames": ("Number of frames", 600),
    "height": ("Pixels", 1080),
    "if-none-match": ("Answers 304 if the file still has this ETag", '"abc-123"'),
    "if-range": ("Sends the range only if the file still has this ETag", '"abc-123"'),
    "is_current": ("Whether the ad shows this take", True),
    "job_id": ("Id of a job", "3097ff71-41eb-4f32-87bb-83b77b4d2311"),
    "label": ("For whom the link is", "client, first round"),
    "last_frame": ("Whether it ends with an image; null is unknown", True),
    "limit": ("Most entries of the answer", 20),
    "main_benefit": ("What the product does for its buyer", "light wherever you are"),
    "message": ("What happened, for people", "Video generation started for 4 scenes"),
    "name": ("Name", "spring"),
    "negative_prompt": ("Whether it takes a negative prompt; null is unknown", False),
    "poster": ("File name of its poster; null if it has none", "abc-123_hook_35f85e76.jpg"),
    "poster_url": ("URL of a still picture of it; null if there is none", "/outputs/abc-123_hook_35f85e76.jpg"),
    "priced_on": ("Day on which its price was read", "2026-11-25"),
    "product_name": ("Name of the product", "GlowCap"),
    "progress": ("Percent", 100),
    "Range": ("A part of the file, as players ask for it", "bytes=0-99"),
    "resolutions": ("Offered resolutions; null is unknown", ["720p", "1080p"]),
    "review_id": ("Id of what a guest said", "8d2f6c1a90b3e457"),
    "revoked_at": ("When the link was ended; null if it was not", None),
    "seconds": ("Length in seconds", 2),
    "seed": ("Seed of the clip; null if the model has none", 7),
    "session_id": ("Id of the ad", "abc-123"),
    "sha256": ("SHA-256 digest of the file", "0" * 64),
    "share_id": ("Id of the link", "3f9a1c2b5d6e7f80"),
    "since": ("First day; null is the beginning", "2026-11-01"),
    "size": ("Bytes", 4100000),
    "sound": ("Whether its clips can have sound; null is unknown", True),
    "started_at": ("When its first ad was ordered", "2026-11-23T12:00:00Z"),
    "state": ("State", "open"),
    "status": ("State", "ok"),
    "success": ("Whether it was done or started", True),
    "takes": ("Number of takes", 5),
    "target_audience": ("Who should buy it", "campers"),
    "text": ("Words", "A lamp for every trip"),
    "title": ("Name of the status", "Unprocessable Content"),
    "type": ("Code of the problem, for programs", "urn:adreel:problem:input"),
    "until": ("Last day; null is today", "2026-11-30"),
    "unused_billed": ("USD of the bills for clips that no ad uses", 0.0),
    "updated_at": ("When it last changed; null if it never did", "2026-11-23T12:05:00Z"),
    "url": ("URL", URL),
    "video_url": ("URL of the clip; null if there is none", URL),
    "visual_description": ("What the viewer sees", "A lamp falls into a lake and keeps shining"),
    "website_url": ("Address of the product's page, said on the last scene", "https://glowcap.example"),
    "width": ("Pixels", 1920),
}
"""By name: the description, and an example."""
OWN: dict[tuple[str, str], tuple[str, Any]] = {
    ("EndCard", "url"): ("Address on the card", "glowcap.example"),
    ("ModelView", "name"): ("Name for people", "Kling VIDEO 3.0 Standard"),
    ("ModelView", "seed"): ("Whether it takes a seed; null is unknown", False),
    ("ProblemDetails", "status"): ("HTTP status", 422),
    ("BudgetProblemDetails", "status"): ("HTTP status", 402),
    ("ReviewView", "state"): ("Whether it is about the ad as it is now", "current"),
    ("ReviewedFile", "name"): ("Shape of a finished ad, or scene of a clip", "16:9"),
    ("ShareView", "state"): ("Whether the link works", "open"),
    ("Transition", "kind"): ("A hard cut, or a fade", "fade"),
}
"""Where a model means something else by a name."""


def describe_fields(document: dict[str, Any]) -> None:
    """Give each field and parameter of an OpenAPI document a description and an example, where it has none."""
    schemas = document["components"]["schemas"]
    for model, schema in schemas.items():
        for name, field in schema.get("properties", {}).items():
            text, example = OWN.get((model, name)) or FIELDS.get(name) or ("", ())
            if text and not description_of(field, schemas):
                field["description"] = text
            if _takes(field, example):
                field.setdefault("examples", [example])
    for calls in document["paths"].values():
        for call in calls.values():
            for parameter in call.get("parameters", ()):
                if not parameter.get("description"):
                    known = FIELDS.get(parameter["name"], ("", None))[0]
                    parameter["description"] = description_of(parameter["schema"], schemas) or known


def _takes(field: dict[str, Any], example: Any) -> bool:
    """Whether an example is of the type of a field. A field of another type has the name by chance."""
    kinds = {field.get("type"), *(each.get("type") for each in field.get("anyOf", ()))}
    return bool(kinds & TYPES.get(type(example), set())) and "enum" not in field and "const" not in field


def description_of(schema: dict[str, Any], schemas: dict[str, Any]) -> str:
    """Return the description of a field: its own, else that of the type that it has."""
    if found := schema.get("description"):
        return str(found)
    inner = [*schema.get("anyOf", ()), *schema.get("allOf", ())]
    if "items" in schema:
        inner.append(schema["items"])
    if "$ref" in schema:
        inner.append(schemas[schema["$ref"].rpartition("/")[2]])
    return next(filter(None, (description_of(each, schemas) for each in inner)), "")
