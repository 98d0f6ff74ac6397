"""The settings of a run, whose key may be in a Prefect Secret block."""

from prefect.blocks.system import Secret

from adreel.settings import Settings

BLOCK = "runware-api-key"


async def load_settings() -> Settings:
    """Load the settings, with the key of the block `runware-api-key` if RUNWARE_API_KEY is not set.

    An empty RUNWARE_API_KEY means "no key": the emulator renders, and the block is not read.
    """
    settings = Settings.load()
    if "runware_api_key" in settings.model_fields_set:
        return settings
    try:
        block: Secret[str] = await Secret.aload(BLOCK)
    except ValueError:
        return settings
    return settings.with_key(block.get(), f"the Secret block {BLOCK}")
