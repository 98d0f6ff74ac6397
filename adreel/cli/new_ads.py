"""The commands that start an ad: `new` writes a session file, `templates` and `schema` say what it can be made of."""

import re
from pathlib import Path
from typing import Annotated, Any

import typer

from adreel.cli.options import Json
from adreel.errors import InputError

PLACEHOLDER = "Your product"


def new(
    template: Annotated[str | None, typer.Option(help="Kind of product, as `adreel templates` lists them")] = None,
    source: Annotated[
        str | None, typer.Option("--from", metavar="FILE|SESSION_ID", help="Ad to copy for another product")
    ] = None,
    product: Annotated[str, typer.Option(help="Name of the product")] = "",
    benefit: Annotated[str, typer.Option(help="Main benefit, in a few words")] = "",
    audience: Annotated[str, typer.Option(help="Who should buy it")] = "",
    platform: Annotated[str, typer.Option(help="Where the ad will run, such as TikTok: it decides the shape")] = "",
    website: Annotated[str, typer.Option(help="Address of the product's page")] = "",
    session_id: Annotated[str, typer.Option("--id", help="Id of the ad, by default made from the product")] = "",
    out: Annotated[Path | None, typer.Option(help="File to write, by default named after the id; - prints it")] = None,
    as_json: Json = False,
) -> None:
    """Write a session file from a template, or from another ad. Buys nothing and overwrites no file."""
    from adreel.cli.display import print_json, print_line
    from adreel.cli.prompts import open_session
    from adreel.models.ad_templates import find_template, for_other_product
    from adreel.models.sessions import check_id, parse_session

    if (template is None) == (source is None):
        raise InputError("choose one start: --template NAME (`adreel templates` lists them), or --from FILE|SESSION_ID")
    facts = {
        "product_name": product,
        "main_benefit": benefit,
        "target_audience": audience,
        "target_platform": platform,
        "website_url": website,
    }
    left_out: list[str] = []
    if template is not None:
        facts["product_name"] = product or PLACEHOLDER
        made = find_template(template).session(facts)
        data, _ = for_other_product(made, {})
        name = product or template
    else:
        earlier = open_session(source or "")
        data, left_out = for_other_product(earlier, facts)
        name = product or f"{earlier.session_id}-copy"
    data = {"session_id": check_id(session_id or _id_of(name), "--id"), **data}
    # Local images of a copied file have absolute paths by now.
    parse_session(data, "the new ad", folder=Path.cwd())
    file = out or Path(f"{data['session_id']}.yaml")
    text = _as_yaml(data)
    if str(file) == "-":
        typer.echo(text, nl=False)
        return
    try:
        with file.open("x", encoding="utf-8") as stream:
            stream.write(text)
    except FileExistsError:
        raise InputError(f"{file} exists already: choose another file with --out, or another --id") from None
    except OSError as error:
        raise InputError(f"can't write {file}: {error.strerror}") from None
    if as_json:
        print_json({"session_id": data["session_id"], "file": str(file), "left_out": left_out})
        return
    print_line(f"{file}: an ad for {data['product_name']} with {len(data['scene_descriptions'])} scenes")
    for each in left_out:
        print_line(f"left out: {each}, which lies in the folder of the other ad: name the file again")
    print_line(f"Look at it:   adreel prompt {file}\nGenerate it:  adreel generate {file}")


def templates(as_json: Json = False) -> None:
    """List the kinds of product that `adreel new --template` knows."""
    from adreel.cli.display import print_json, print_table
    from adreel.models.ad_templates import ad_templates

    found = ad_templates().values()
    if as_json:
        print_json([{"template": each.name, "title": each.title, "for": each.about} for each in found])
    else:
        print_table(("template", "for"), [(each.name, each.about) for each in found])


def schema() -> None:
    """Print the JSON Schema of a session file."""
    import json

    from adreel.models.sessions import Session

    typer.echo(json.dumps(Session.model_json_schema(), indent=2))


def _id_of(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_]+", "-", name.lower()).strip("-")[:64] or "ad"


def _as_yaml(data: dict[str, Any]) -> str:
    import yaml

    head = {name: value for name, value in data.items() if name != "scene_descriptions"}
    options: dict[str, Any] = {"sort_keys": False, "allow_unicode": True, "width": 110}
    scenes = "\n".join(
        "  - " + yaml.safe_dump(scene, **options).rstrip().replace("\n", "\n    ") + "\n"
        for scene in data["scene_descriptions"]
    )
    return f"{yaml.safe_dump(head, **options)}\nscene_descriptions:\n{scenes}"
