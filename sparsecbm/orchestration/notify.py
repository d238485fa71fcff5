"""Notifies a webhook when a flow run ends, if the Prefect block `webhook/sparsecbm` exists.

The block holds the address, so no file, log or argument shows it. `sparsecbm up` creates it from SPARSECBM_WEBHOOK.
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
from sparsecbm.orchestration.calls import run_logger

BLOCK = "sparsecbm"
VARIABLE = "SPARSECBM_WEBHOOK"
QUIET = ("Completed", "Unchanged")  # final states without a notification


def notify(flow: Flow, flow_run: FlowRun, state: State) -> None:
    """A flow hook: post name, state and message. A failing webhook never fails the flow."""
    if state.name in QUIET:
        return
    try:
        webhook = Webhook.load(BLOCK)
    except ValueError:
        return  # no webhook is configured
    _post(webhook, flow.name, flow_run.name, state, flow_run_logger(flow_run, flow))


def notify_without_server(flow: Flow, state: State) -> None:
    """The same for a run that Prefect's server does not know: the address is that of SPARSECBM_WEBHOOK."""
    address = os.environ.get(VARIABLE)
    if address and state.name not in QUIET:
        try:
            webhook = Webhook(url=address)
        except ValueError:  # its message may contain the address
            run_logger().warning("%s is no address", VARIABLE)
        else:
            _post(webhook, flow.name, "without Prefect", state, run_logger())


def _post(webhook: Webhook, flow: str, run: str, state: State, logger: logging.Logger | logging.LoggerAdapter) -> None:
    message = redacted(state.message or "")
    payload = {
        "text": f"{flow} {run}: {state.name}. {message}", "flow": flow, "run": run, "state": state.name,
        "message": message,
    }  # fmt: skip
    logging.getLogger("httpx").setLevel(logging.WARNING)  # below this level it logs addresses
    try:
        response = asyncio.run(webhook.call(payload))
        if response.status_code >= 400:
            logger.warning("the webhook answered %s", response.status_code)
    except Exception as error:  # any network error; its message may contain the address
        logger.warning("the webhook does not answer (%s)", type(error).__name__)


def save_block() -> bool:
    """Save the block with the address from the environment; return whether there is one."""
    address = os.environ.get(VARIABLE)
    if not address:
        return False
    Webhook(url=address).save(BLOCK, overwrite=True)
    return True


if __name__ == "__main__":
    save_block()
