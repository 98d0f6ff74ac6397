"""Order clips from the emulator with Runware's newer Python SDK, `runware-sdk`, and print what came of it as JSON."""

import asyncio
import json
import math
import sys

from runware import Runware, RunwareError
from runware.registry import _CacheEntry


async def main(url: str, orders: list[dict[str, object]]) -> None:
    """Order one clip after the other."""
    async with Runware(api_key="a-key", ws_base_url=url) as client:
        # It would otherwise download a list of models from the internet.
        registry = client._registry
        registry._cache = _CacheEntry(registry._fallback, math.inf, None)
        registry._initial_fetch_attempted = True
        results = []
        for order in orders:
            try:
                [result] = await client.run({**order, "deliveryMethod": "async"})
                results.append({"url": result["videoURL"]})
            except RunwareError as error:
                results.append({"message": str(error)})
        sys.stdout.write(json.dumps(results))


asyncio.run(main(sys.argv[1], json.loads(sys.argv[2])))
