"""One question to the endpoint, outside the labelling of texts."""

import asyncio
import json
import re
from typing import Any

from sparsecbm.annotate.llm.client import Client, EndpointError, LongWaitError, NoAnswerError, RejectedError
from sparsecbm.annotate.llm.endpoint import Endpoint
from sparsecbm.annotate.llm.pace import Pace
from sparsecbm.annotate.llm.wire import MalformedReplyError, Request
from sparsecbm.base.params.annotate import Llm

ANSWER_TOKENS = 4096
_OBJECT = re.compile(r"\{.*\}", re.DOTALL)


def ask_once(endpoint: Endpoint, settings: Llm, prompt: str, schema: dict[str, Any]) -> object:
    """Ask for JSON of a schema; nothing is cached.

    Raises:
        EndpointError: the endpoint refuses, cannot be reached, or gave no JSON in any attempt.
    """
    body: dict[str, Any] = {
        "model": endpoint.model,
        "messages": [{"role": "user", "content": prompt}],
        "max_completion_tokens": ANSWER_TOKENS,
    }
    if settings.temperature is not None:
        body["temperature"] = settings.temperature
    if settings.wire == "schema":
        body["response_format"] = {"type": "json_schema", "json_schema": {"name": "concepts", "schema": schema}}
    size = len(prompt.encode("utf-8", "replace"))

    async def send() -> object:
        client = Client(endpoint, settings, Pace(None, None))
        try:
            reply = await client.send(Request("/chat/completions", body, size), size // 3, _read)
            return reply.value
        finally:
            await client.close()

    try:
        return asyncio.run(send())
    except (NoAnswerError, LongWaitError, RejectedError) as error:
        raise EndpointError(f"no usable answer from {endpoint.url}: {error}") from None


def _read(reply: dict[str, Any]) -> object:
    """The JSON object in the message of a reply."""
    try:
        content = reply["choices"][0]["message"]["content"]
        return json.loads(_OBJECT.search(content)[0])
    except (KeyError, IndexError, TypeError, ValueError, RecursionError):
        raise MalformedReplyError("the answer holds no JSON object") from None
