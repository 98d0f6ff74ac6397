"""The settings as a run sees them: the key may also lie in a Prefect Secret block."""

from prefect.blocks.system import Secret

from adreel.settings import Settings

BLOCK = "runware-api-key"


async def load_settings() -> Settings:
    """Read the settings, and the key from the block `runware-api-key` if the environment does not mention one.

    A RUNWARE_API_KEY that is set but empty means "no key": the local Runware, and no look at the block.
    """
    settings = Settings.load()
    if "runware_api_key" in settings.model_fields_set:
        return settings
    try:
        block: Secret[str] = await Secret.aload(BLOCK)
    except ValueError:
        return settings
    return settings.with_key(block.get(), f"the Secret block {BLOCK}")
