"""Documents that Runware publishes about its models: the index, a schema and prices per model, and the listing.

They are made from the emulator's facts. As on Runware's site, an unknown page answers 200 with HTML.
"""

import re
from collections.abc import Callable
from typing import Any

from aiohttp import web

from adreel.emulator.facts import Facts

Json = dict[str, Any]

PAGE = "<!doctype html><html><head><title>Runware Docs</title></head><body>Page not found</body></html>"
UNITS = {"second": "durationSecond", "input image": "inputImage"}
CAPABILITIES = {"edit": ["video-to-video"], "talking": ["audio-to-video"], "agent": ["text-to-video"]}
OTHER_MODELS: list[Json] = [
    {"id": "bfl-flux-1-dev", "air": "runware:101@1", "name": "FLUX.1 [dev]", "capabilities": ["text-to-image"]},
    {"id": "bytedance-video-upscaler", "air": "bytedance:50@1", "name": "Upscaler", "capabilities": ["video-to-video"]},
    {"id": "inworld-tts-2", "air": "inworld:tts@2", "name": "Realtime TTS-2", "capabilities": ["text-to-audio"]},
]
"""Some of the models that render no videos. They are in the same documents."""
COMMON: Json = {
    "taskUUID": {"type": "string", "format": "uuid"},
    "deliveryMethod": {"type": "string", "enum": ["async"], "default": "async"},
    "outputType": {"type": "string", "enum": ["URL"], "default": "URL"},
    "outputFormat": {"type": "string", "enum": ["MP4", "WEBM", "MOV"], "default": "MP4"},
    "outputQuality": {"type": "integer", "minimum": 20, "maximum": 99, "default": 95},
    "numberResults": {"type": "integer", "minimum": 1, "maximum": 4, "default": 1},
    "includeCost": {"type": "boolean"},
    "ttl": {"type": "integer", "minimum": 60},
    "webhookURL": {"type": "string", "format": "uri"},
    "uploadEndpoint": {"type": "string", "format": "uri"},
    "safety": {"type": "object"},
    "routing": {"type": "object"},
}
HAS_FRAMES: Json = {"properties": {"inputs": {"required": ["frameImages"]}}, "required": ["inputs"]}


class Documents:
    """Serves the documents of the facts as they are at the moment of a request."""

    def __init__(self, facts: Facts) -> None:
        self._facts = facts

    def add_routes(self, router: web.UrlDispatcher) -> None:
        """Add the addresses of the documents to a server."""
        router.add_get("/docs/models/index.json", self._serve(lambda _: self.index()))
        router.add_get("/docs/models/{name}/schema.json", self._serve(self.schema))
        router.add_get("/models", self._serve(lambda _: self.listing()))
        router.add_get("/models/{name}/pricing", self._serve(self.pricing))

    def index(self) -> list[Json]:
        """Return the index of the documentation: identifiers and status of all models."""
        entries = [
            {"id": model["slug"], "air": air, "name": model["name"], "capabilities": _capabilities(model)}
            | _present(status=model.get("status"))
            for air, model in self._facts.models.items()
        ]
        return [*entries, *OTHER_MODELS]

    def listing(self) -> list[Json]:
        """Return the models of the content API, with dates and replacements."""
        entries = [
            {"model": model["slug"], "air": air, "name": model["name"], "creator": _creator_id(model)}
            | {"category": "video", "capabilities": [f"io:{each}" for each in _capabilities(model)]}
            | _present(status=model.get("status"), replacedBy=model.get("replaced_by"))
            | _present(deactivatesAt=model.get("deactivates_on"), releasedAt=model.get("released"))
            for air, model in self._facts.models.items()
        ]
        retired = [
            {"model": model["slug"], "air": air, "status": "deprecated", "replacedBy": model["replaced_by"]}
            for air, model in self._facts.gone.items()
            if model.get("replaced_by")
        ]
        return [*entries, *retired, *({**other, "model": other["id"]} for other in OTHER_MODELS)]

    def pricing(self, name: str) -> Json | None:
        """Return the prices of a model, by AIR or slug."""
        for air, model in self._facts.models.items():
            if name in {air, model["slug"]}:
                rates = [
                    {"amount": rate["amount"], "unit": UNITS.get(rate["per"], rate["per"])}
                    | _present(label=rate.get("label", "").replace(", ", " · ") or None)
                    for rate in model.get("prices", [])
                ]
                identity = {"model": model["slug"], "air": air, "name": model["name"]}
                return identity | _present(status=model.get("status"), pricingRates=rates or None, pricingExamples=[])
        return None

    def schema(self, slug: str) -> Json | None:
        """Return the request of a model as OpenAPI."""
        for air, model in self._facts.models.items():
            if model["slug"] == slug:
                return _open_api(air, model, _request(air, model))
        for other in OTHER_MODELS:
            if other["id"] == slug:
                task = {"type": "object", "properties": {"taskType": {"const": "upscale"}}}
                return _open_api(other["air"], {**other, "slug": slug, "creator": ""}, task)
        return None

    def _serve(self, document: Callable[[str], object]) -> Callable[[web.Request], Any]:
        async def serve(request: web.Request) -> web.Response:
            found = document(request.match_info.get("name", ""))
            if found is not None:
                return web.json_response(found)
            if request.path.startswith("/docs/"):
                return web.Response(text=PAGE, content_type="text/html")
            return web.json_response({"error": "Model not found"}, status=404)

        return serve


def _present(**members: Any) -> Json:
    return {name: value for name, value in members.items() if value is not None}


def _creator_id(model: Json) -> str:
    return re.sub(r"\W+", "-", str(model["creator"]).lower())


def _capabilities(model: Json) -> list[str]:
    if other := model.get("capabilities") or CAPABILITIES.get(model["kind"]):
        return list(other)
    return ["text-to-video", "image-to-video"] if model["text_to_video"] else ["image-to-video"]


def _open_api(air: str, model: Json, task: Json) -> Json:
    info = {"title": f"Runware API - {model['name']}", "x-air-id": air, "x-model-id": model["slug"]}
    info |= {"x-creator": {"id": _creator_id(model), "name": model["creator"]}}
    info |= {"x-capabilities": _capabilities(model)} | _present(**{"x-status": model.get("status")})
    examples = [
        {"configuration": rate.get("label", ""), "price": f"${rate['amount']:g}"} for rate in model.get("prices", [])
    ]
    info |= {"x-pricing": {"examples": examples}}
    body = {"RequestBody": {"type": "array", "items": task}}
    return {"openapi": "3.1.0", "info": info, "components": {"schemas": body}}


def _request(air: str, model: Json) -> Json:
    if "prompt" not in model:
        # The request of a model whose parameters are not known: variants that the schema does not spell out.
        return {"type": "object", "oneOf": [{"title": mode} for mode in model.get("modes", ["text"])]}
    properties = {"taskType": {"const": "videoInference"}, "model": {"const": air}, **COMMON}
    required = {"taskType", "taskUUID", "model"}
    if model["prompt"] != "absent":
        least, most = model.get("prompt_length", (None, None))
        properties["positivePrompt"] = {"type": "string"} | _present(minLength=least, maxLength=most)
        required |= {"positivePrompt"} if model["prompt"] == "required" else set()
    if model["negative_prompt"]:
        properties["negativePrompt"] = {"type": "string"}
    if model["seed"]:
        properties["seed"] = {"type": "integer", "minimum": 0}
    if isinstance(duration := model["duration"], dict):
        limits = _present(
            enum=duration.get("values"),
            minimum=duration.get("min"),
            maximum=duration.get("max"),
            default=duration.get("default"),
        )
        properties["duration"] = {"type": "integer" if duration["whole"] else "number"} | limits
        required |= {"duration"} if duration.get("required") else set()
    if model["width_height"] != "absent":
        properties |= {"width": {"type": "integer"}, "height": {"type": "integer"}}
        required |= {"width", "height"} if model["width_height"] == "required" else set()
    if "resolutions" in model:
        properties["resolution"] = {"type": "string", "enum": list(model["resolutions"])}
    properties |= {name: {} for name in model.get("parameters", [])}
    properties["inputs"] = _inputs(model)
    required |= {"inputs"} if model["inputs"] == "required" else set()
    properties |= _containers(air, model)
    return {
        "type": "object",
        "properties": properties,
        "required": sorted(required),
        "additionalProperties": False,
        "allOf": _rules(model, properties),
    }


def _inputs(model: Json) -> Json:
    media: Json = {}
    frames, references = model.get("frames"), model.get("references")
    if frames and frames["max"]:
        frame = {"properties": {"image": {"type": "string"}, "frame": {"enum": list(frames["positions"])}}}
        media["frameImages"] = {"type": "array", "items": {"type": "object", **frame}, "maxItems": frames["max"]}
    elif frames is None and model.get("size_with_frames"):
        media["frameImages"] = {"type": "array"}
    if references:
        media["referenceImages"] = {"type": "array", "maxItems": references}
    inputs: Json = {"type": "object"} | ({"properties": media} if media else {})
    if frames is not None and references is not None:
        inputs["additionalProperties"] = False
    if model.get("frames_with_references") is False:
        inputs["not"] = {"required": ["frameImages", "referenceImages"]}
    return inputs


def _containers(air: str, model: Json) -> Json:
    """Return the objects that hold the model's own settings, with the switch of its sound."""
    sound = model.get("sound") if isinstance(model.get("sound"), dict) else None
    container, *names = ((sound and sound.get("parameter")) or "").split(".")
    if sound is None or not names:
        container = model.get("settings") or ""
        return {container: {"type": "object"}} if container else {}
    found: Json = {"type": "boolean"} | _present(default=sound.get("default"))
    for name in reversed(names):
        found = {"type": "object", "properties": {name: found}}
    return {container: found}


def _rules(model: Json, properties: Json) -> list[Json]:
    rules: list[Json] = []
    if "width" in properties:
        rules.append({"dependentRequired": {"width": ["height"], "height": ["width"]}})
        if "resolution" in properties:
            rules.append({"not": {"required": ["resolution", "width"]}})
            rules.append({"not": {"required": ["resolution", "height"]}})
        if model.get("size_with_frames") == "excluded":
            rules.append({"not": {**HAS_FRAMES, "required": ["inputs", "width"]}})
    if "sizes" in model:
        pairs = [{"title": size, "properties": _sides(size)} for size in model["sizes"]]
        has_size = {"anyOf": [{"required": ["width"]}, {"required": ["height"]}]}
        rules.append({"if": has_size, "then": {"oneOf": pairs}})
    for size, durations in model.get("size_durations", {}).items():
        is_size = {"properties": _sides(size), "required": ["width", "height"]}
        rules.append({"if": is_size, "then": {"properties": {"duration": {"enum": list(durations)}}}})
    if durations := model.get("frame_durations"):
        rules.append({"if": HAS_FRAMES, "then": {"properties": {"duration": {"enum": list(durations)}}}})
    return rules


def _sides(size: str) -> Json:
    width, height = size.split("x")
    return {"width": {"const": int(width)}, "height": {"const": int(height)}}
