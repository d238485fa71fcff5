"""Requests to the endpoint: time-outs, attempts, and which failures more attempts cannot heal."""

import asyncio
import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sparsecbm.annotate.llm.endpoint import KEY, MODEL, URL, Endpoint
from sparsecbm.annotate.llm.pace import Pace
from sparsecbm.annotate.llm.retry_after import retry_after
from sparsecbm.annotate.llm.wire import MalformedReplyError, Request
from sparsecbm.base.errors import ConfigError
from sparsecbm.base.extras import require
from sparsecbm.base.params.annotate import Llm

FIRST_WAIT, LONGEST_WAIT = 0.5, 60.0  # seconds between attempts, where the server does not say; they double
_TEMPORARY = frozenset({408, 409, 425, 429})  # and those from 500 on
_NO_CREDIT = frozenset({"insufficient_quota", "billing_hard_limit_reached"})
_SHOWN = 300  # characters of a server's message
_HINTS = {
    "response_format": "set annotate.llm.wire to prompted",
    "json_schema": "set annotate.llm.wire to prompted",
    "temperature": "set annotate.llm.temperature to null",
    "model": f"check {MODEL}",
}
_TOO_LONG = ("context", "too long", "too many tokens", "maximum length", "exceed")

Value = TypeVar("Value")


class EndpointError(ConfigError):
    """The endpoint refuses or cannot be reached; more requests would fail, too."""


class RejectedError(Exception):
    """The endpoint refuses this one request.

    Attributes:
        too_long: whether the text seems to be too long for the model
    """

    def __init__(self, message: str, too_long: bool) -> None:
        super().__init__(message)
        self.too_long = too_long


class NoAnswerError(Exception):
    """All attempts failed; a later run may succeed. The message says what the last one met."""


class LongWaitError(Exception):
    """The endpoint asks to wait longer than `annotate.llm.max_wait`."""


class _TemporaryError(Exception):
    """One attempt failed; another may succeed.

    Attributes:
        wait: seconds that the server asks to wait, if it does
    """

    def __init__(self, message: str, wait: float | None = None) -> None:
        super().__init__(message)
        self.wait = wait


@dataclass(frozen=True)
class Reply(Generic[Value]):
    """A reply, what was made of it, and the seconds it took."""

    body: dict[str, Any]
    value: Value
    seconds: float


class Client:
    """Sends requests to one endpoint. It belongs to one event loop."""

    def __init__(self, endpoint: Endpoint, settings: Llm, pace: Pace) -> None:
        require("openai", "stamina")
        from openai import AsyncOpenAI, DefaultAioHttpClient, Omit

        logging.getLogger("stamina").setLevel(logging.ERROR)  # it logs every attempt as a warning
        self._endpoint, self._settings, self._pace = endpoint, settings, pace
        self._reached = False
        key = endpoint.key.get_secret_value() if endpoint.key is not None else ""
        self._client = AsyncOpenAI(
            base_url=endpoint.url,
            api_key=key or "none",
            max_retries=0,
            timeout=None,  # `_send_once` keeps the time: the client's time-out counts anew with every byte
            http_client=DefaultAioHttpClient(timeout=None),
        )
        self._headers: dict[str, Any] = {} if key else {"Authorization": Omit()}

    async def close(self) -> None:
        await self._client.close()

    async def send(self, request: Request, tokens: int, read: Callable[[dict[str, Any]], Value]) -> Reply[Value]:
        """Send a request, again if need be.

        Args:
            tokens: about how many the request takes, for the limit
            read: makes something of the reply; a `MalformedReplyError` counts as a failed attempt

        Raises:
            EndpointError: the endpoint refuses the key, the model or the path, or nothing answers there.
            RejectedError: it refuses this request.
            NoAnswerError: all attempts failed.
            LongWaitError: it asks for too long a pause.
        """
        import stamina

        attempts = stamina.retry_context(
            on=_wait_of,
            attempts=self._settings.attempts,
            timeout=None,
            wait_initial=FIRST_WAIT,
            wait_max=LONGEST_WAIT,
            wait_jitter=FIRST_WAIT,
        )
        try:
            async for attempt in attempts:
                with attempt:
                    await self._pace.wait(tokens)
                    return await self._send_once(request, read)
        except _TemporaryError as error:
            raise NoAnswerError(str(error)) from None
        raise AssertionError("stamina raises the last error")

    async def count_tokens(self, request: Request) -> int:
        """Tokens of a chat, as the server counts them; no model runs. llama.cpp and vLLM offer it.

        Raises:
            EndpointError: the server does not count tokens, or cannot be reached.
        """
        import openai

        turns = request.body.get("messages")
        if turns is None:
            raise EndpointError("tokens of typed decisions cannot be counted beforehand; count by a pilot")
        root = self._endpoint.url.removesuffix("/v1")
        chat = {"model": self._endpoint.model, "messages": turns}
        try:
            try:
                templated = await self._post(f"{root}/apply-template", chat)
                words = templated["prompt"]
            except (openai.APIStatusError, KeyError):
                words = "\n".join(turn["content"] for turn in turns)
            return _counted(await self._post(f"{root}/tokenize", chat | {"content": words}))
        except (TimeoutError, openai.OpenAIError, KeyError, TypeError, ValueError):
            raise EndpointError(
                f"{root}/tokenize does not count tokens; count by a pilot, or take the estimate"
            ) from None

    async def count_answer_tokens(self, answer: str) -> int:
        """Tokens of an answer, as the server counts them.

        Raises:
            EndpointError: as `count_tokens`.
        """
        turns = [{"role": "assistant", "content": answer}]
        empty = [{"role": "assistant", "content": ""}]
        whole, frame = [await self.count_tokens(Request("", {"messages": messages}, 0)) for messages in (turns, empty)]
        return whole - frame

    async def _post(self, path: str, body: dict[str, Any], key: str | None = None) -> Any:
        headers = self._headers if key is None else self._headers | {"Idempotency-Key": key}
        options: Any = {"headers": headers}
        async with asyncio.timeout(self._settings.timeout):
            return await self._client.post(path, body=body, cast_to=object, options=options)

    async def _send_once(self, request: Request, read: Callable[[dict[str, Any]], Value]) -> Reply[Value]:
        import openai

        start = time.perf_counter()
        try:
            body = await self._post(f"{self._endpoint.url}{request.path}", request.body, request.key)
            self._reached = True
            if not isinstance(body, dict):
                raise _TemporaryError("the reply is no JSON object")
            return Reply(body, read(body), time.perf_counter() - start)
        except TimeoutError:
            raise _TemporaryError(f"no reply within {self._settings.timeout:g} s") from None
        except openai.APIStatusError as error:
            self._reached = True
            raise self._failure(error, request.path) from None
        except openai.APIConnectionError as error:
            if _is_unconnected(error) and not self._reached:
                raise EndpointError(
                    f"nothing answers at {self._endpoint.url}; check {URL} and that the server runs"
                ) from None
            raise _TemporaryError("the connection broke") from None
        except (ValueError, openai.OpenAIError):  # no JSON, or cut off
            raise _TemporaryError("the reply is no whole JSON") from None
        except MalformedReplyError as error:
            raise _TemporaryError(str(error)) from None

    def _failure(self, error: Any, path: str) -> Exception:
        """What a status means."""
        status, url = error.status_code, self._endpoint.url
        words = self._words(error)
        if status == 429 and error.code in _NO_CREDIT:
            return EndpointError(f"the account at {url} has no credit left: {words}")
        if status in _TEMPORARY or (status >= 500 and status != 501):
            wait = retry_after(error.response.headers)
            if wait is not None and wait > self._settings.max_wait:
                return LongWaitError(
                    f"{url} asks to wait {wait:,.0f} s (status {status}), longer than annotate.llm.max_wait"
                )
            if wait:
                self._pace.pause(wait)
            return _TemporaryError(f"status {status}: {words}", wait)
        if status in (401, 403):
            ask = "refuses the key" if self._endpoint.key is not None else "asks for a key"
            return EndpointError(f"{url} {ask} (status {status}: {words}); set {KEY}")
        if status == 404:
            return EndpointError(
                f"{url}{path} does not exist, or there is no model {self._endpoint.model!r} (status 404: {words}); "
                f"check {URL}, which usually ends with /v1, {MODEL} and annotate.llm.wire"
            )
        if status in (400, 413, 422):
            return RejectedError(
                f"status {status}: {words}", status == 413 or any(mark in words.lower() for mark in _TOO_LONG)
            )
        return EndpointError(f"{url}{path} answers with status {status}: {words}; check {URL} and annotate.llm.wire")

    def _words(self, error: Any) -> str:
        """What the server says, without secrets and not too long."""
        body = error.body
        text = body.get("message") or body.get("detail") or body if isinstance(body, dict) else body or error.message
        return self._endpoint.hide_secrets(" ".join(str(text).split()))[:_SHOWN]


def _counted(reply: Any) -> int:
    """The count in a reply of `/tokenize`."""
    return int(reply["count"] if "count" in reply else len(reply["tokens"]))


def hint(message: str) -> str:
    """What may heal a refusal, by the words of the server."""
    hints = [remedy for word, remedy in _HINTS.items() if word in message.lower()]
    return f"; {hints[0]}" if hints else ""


def _is_unconnected(error: BaseException | None) -> bool:
    """Whether no connection was made; the client itself takes most failures of connections for time-outs."""
    import aiohttp

    while error is not None and not isinstance(error, aiohttp.ClientConnectorError):
        error = error.__cause__
    return error is not None


def _wait_of(error: Exception) -> bool | float:
    """Whether another attempt may succeed, or after how many seconds."""
    if not isinstance(error, _TemporaryError):
        return False
    return True if not error.wait else error.wait * random.uniform(1, 1.1)
