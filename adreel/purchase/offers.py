"""The models that can be ordered, as the API and the pages show them."""

from adreel.catalog import Catalog
from adreel.catalog.facts import Duration, VideoModel
from adreel.catalog.selection import Needs, aspects, select
from adreel.catalog.sizes import resolutions_of
from adreel.models.model_views import ModelList, ModelView


def list_models(catalog: Catalog, needs: Needs) -> ModelList:
    """Return the models that fit for the API, the cheapest first."""
    views = [model_view(model, needs.price(model)) for model in select(catalog, needs)]
    return ModelList(as_of=catalog.as_of, models=views)


def model_view(model: VideoModel, price: float | None) -> ModelView:
    """Return a model for the API, with a price in USD per second."""
    return ModelView(
        model=model.air,
        name=model.name,
        creator=model.creator,
        status=model.status,
        usd_per_second=price,
        priced_on=model.priced_on if price is not None else None,
        durations=str(model.duration) if isinstance(model.duration, Duration) else None,
        seconds=model.duration.seconds if isinstance(model.duration, Duration) else None,
        aspects=aspects(model) or None,
        resolutions=list(model.resolutions or resolutions_of(model.sizes or ())) or None,
        sound=model.has_sound,
        first_frame=model.has_frame("first"),
        last_frame=model.has_frame("last"),
        references=model.references,
        negative_prompt=model.negative_prompt,
        seed=model.seed,
    )
