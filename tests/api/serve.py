"""A server process for tests that kill it: ``python -m tests.api.serve DATA_DIR``."""

import asyncio
import sys
from pathlib import Path

from tako.api.server import ApiServer
from tako.model.crd import custom_resource_definition
from tako.model.kinds import KINDS


async def main(data_dir: Path) -> None:
    server = await ApiServer.open(data_dir, crds=[custom_resource_definition(kind) for kind in KINDS])
    await server.serve_unix(data_dir / "api.sock")
    print("ready", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
