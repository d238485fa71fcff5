"""Announces drift to the Prefect server: `python -m sparsecbm.orchestration.drift_event FIGURE...`.

The event triggers the deployment `on-drift` of `prefect.yaml`, which retrains.
"""

import asyncio
import sys

from sparsecbm.base.errors import SparseCBMError
from sparsecbm.base.workspace import Workspace
from sparsecbm.cli.printing.terminal import say
from sparsecbm.orchestration.settings import configure, require_server

EVENT = "sparsecbm.drift"


def announce(figures: list[str]) -> None:
    """Send the event; the call returns when the server has it.

    Args:
        figures: names of the figures that drifted, which the event carries

    Raises:
        NoServerError: no server is configured, or it does not answer.
        ConfigError: the workspace's state cannot be written.
    """
    configure(Workspace.find())
    require_server()
    from prefect.events import Event
    from prefect.events.clients import get_events_client  # Prefect reads its settings on import

    async def send() -> None:
        async with get_events_client() as client:
            await client.emit(Event(event=EVENT, resource={"prefect.resource.id": EVENT}, payload={"figures": figures}))

    asyncio.run(send())


def main(arguments: list[str]) -> int:
    """Announce drift of the named figures; print one message."""
    try:
        announce(arguments)
    except SparseCBMError as error:
        say(f"error: {error}", error=True)
        return 1
    say(f"announced as the event {EVENT}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
