"""Images in forms: people see file names, and requests name inputs of the session. Uploads become such inputs."""

from dataclasses import dataclass, field
from typing import Any

from fastapi import Request

from adreel.errors import InputError
from adreel.models.sessions import INPUT_PATTERN, ImageInputs
from adreel.orchestration.thread_pools import run_in_threadpool
from adreel.records.inputs import InputImage, display_name, parse_image
from adreel.records.views import input_url
from adreel.service import Service
from adreel.web.bodies import FileField, read_form_with_files

KNOWN = "images"
"""Hidden field with the images that a form shows by their names, one in each line."""

FILE = ".file"
"""Suffix of the names of fields for files."""

SINGLE_IMAGES = ("first_frame", "last_frame", "product_photo")


@dataclass(frozen=True)
class UploadForm:
    """A form with the files that were chosen, by the name of their image field, and the errors of the files."""

    fields: dict[str, str]
    files: list[FileField] = field(default_factory=list)
    errors: dict[str, str] = field(default_factory=dict)

    async def stored(self, service: Service, session_id: str) -> "UploadForm":
        """Store the files as inputs of a session, and name them in the fields. The names survive an error elsewhere."""
        fields, errors = dict(self.fields), dict[str, str]()
        for file in self.files:
            try:
                stored = await run_in_threadpool(service.add_input, session_id, file.content, file.filename)
            except InputError as error:
                errors[file.name] = str(error)
                continue
            known = fields.get(KNOWN, "").split("\n")
            fields[KNOWN] = "\n".join(dict.fromkeys([*filter(None, known), stored.input]))
            label = next(label for label, image in labels(fields).items() if image == stored.input)
            add_image(fields, file.name, label)
        return UploadForm(fields, errors=errors)

    async def decoded(self) -> "tuple[UploadForm, list[InputImage]]":
        """Decode the files for a session that does not exist yet, and name them in the fields by reference."""
        fields, errors, images = dict(self.fields), dict[str, str](), list[InputImage]()
        for file in self.files:
            try:
                shown = f"the file {file.filename!r}"
                image = await run_in_threadpool(parse_image, file.content, file.filename, shown, scales=False)
            except InputError as error:
                errors[file.name] = str(error)
                continue
            images.append(image)
            add_image(fields, file.name, image.reference)
        return UploadForm(fields, errors=errors), images


async def get_upload_form(request: Request) -> UploadForm:
    """Read a form that may have files. Browsers submit line ends as CRLF."""
    form = await read_form_with_files(request)
    fields = {name: value.replace("\r\n", "\n") for name, value in form.fields.items()}
    files = [FileField(each.name.removesuffix(FILE), each.filename, each.content) for each in form.files]
    return UploadForm(fields, [file for file in files if file.name in fields])


def add_image(fields: dict[str, str], name: str, image: str) -> None:
    """Put an image into its field: behind the other references, in place of another frame."""
    is_list = name.rpartition(".")[2] == "references"
    earlier = fields[name].strip().split("\n") if is_list else []
    fields[name] = "\n".join([*filter(None, earlier), image])


def image_fields(options: ImageInputs, known: str | None = None) -> dict[str, str]:
    """Return the fields of the images of a scene or session, as a form shows them first.

    `known` are the images of a form of several descriptions.
    """
    fields = {KNOWN: known_images(options) if known is None else known}
    shown = {image: label for label, image in labels(fields).items()}
    for name in SINGLE_IMAGES:
        if hasattr(options, name):
            image = getattr(options, name) or ""
            fields[name] = shown.get(image, image)
    fields["references"] = "\n".join(shown.get(image, image) for image in options.references or ())
    return fields


def known_images(*described: ImageInputs) -> str:
    """Return the images that a form shows by their names."""
    images = [image for options in described for _, image in options.named_images()]
    return "\n".join(dict.fromkeys(image for image in images if not image.startswith("https://")))


def labels(fields: dict[str, str]) -> dict[str, str]:
    """Return the images that a form knows, by the names that it shows. Equal names are numbered."""
    found: dict[str, str] = {}
    for image in filter(None, fields.get(KNOWN, "").split("\n")):
        name = label = display_name(image) or "image"
        number = 1
        while label in found:
            number += 1
            label = f"{name} ({number})"
        found[label] = image
    return found


def image_values(fields: dict[str, str], prefix: str = "") -> dict[str, Any]:
    """Return the images of a form for a request."""
    known = labels(fields)
    values: dict[str, Any] = {}
    for name in SINGLE_IMAGES:
        if (text := fields.get(prefix + name)) is not None:
            values[name] = known.get(text.strip(), text.strip()) or None
    if (text := fields.get(f"{prefix}references")) is not None:
        lines = [line.strip() for line in text.split("\n") if line.strip()]
        values["references"] = [known.get(line, line) for line in lines] or None
    return values


def previews(fields: dict[str, str], name: str, session_id: str) -> list[tuple[str, str]]:
    """Return the URLs and names of the stored images in a field."""
    known = labels(fields)
    lines = [line.strip() for line in fields.get(name, "").split("\n")]
    return [
        (input_url(session_id, known[line]), line)
        for line in lines
        if line in known and INPUT_PATTERN.fullmatch(known[line])
    ]
