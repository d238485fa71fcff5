"""Tells a webhook how a flow run ended, if the Prefect block `webhook/sparsecbm` says which.

The block holds the address, so that it is in no file, log or argument. `make up` makes it from SPARSECBM_WEBHOOK.
"""

import asyncio
import logging
import os

from prefect import Flow
from prefect.blocks.webhook import Webhook
from prefect.client.schemas.objects import FlowRun
from prefect.logging.loggers import flow_run_logger
from prefect.states import State

from sparsecbm.base.redaction import redacted

BLOCK = "sparsecbm"
VARIABLE = "SPARSECBM_WEBHOOK"
QUIET = ("Completed", "Unchanged")  # endings that nobody has to hear of


def notify(flow: Flow, flow_run: FlowRun, state: State) -> None:
    """A hook of flows: post name, state and message. A webhook that fails never fails the flow."""
    if state.name in QUIET:
        return
    logger = flow_run_logger(flow_run, flow)
    try:
        webhook = Webhook.load(BLOCK)
    except ValueError:
        return  # nobody asked to be told
    message = redacted(state.message or "")
    text = f"{flow.name} {flow_run.name}: {state.name}. {message}"
    payload = {"text": text, "flow": flow.name, "run": flow_run.name, "state": state.name, "message": message}
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it logs addresses
    try:
        response = asyncio.run(webhook.call(payload))
        if response.status_code >= 400:
            logger.warning("the webhook answered %s", response.status_code)
    except Exception as error:  # whatever the network says; its words may hold the address
        logger.warning("the webhook does not answer (%s)", type(error).__name__)


def save_block() -> bool:
    """Make the block from the environment; whether there was anything to make."""
    address = os.environ.get(VARIABLE)
    if not address:
        return False
    Webhook(url=address).save(BLOCK, overwrite=True)
    return True


if __name__ == "__main__":
    save_block()
