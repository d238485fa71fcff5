"""A scripted server that speaks the OpenAI protocol on loopback, in a process or thread of its own.

Each request gets the next entry of its script, or a right answer once the script is over. Every request is logged.

    {"kind": "right"}                                  states by `true_states` of the text
    {"kind": "content", "content": "..."}              this content, whatever it is; `logprobs` if the entry has some
    {"kind": "status", "status": 429, "headers": {}}   an error, with a body in the form of OpenAI
    {"kind": "hang"}                                   no reply at all
    {"kind": "cut"}                                    half of the body, then the connection ends
    {"kind": "drip", "seconds": 0.2}                   a byte now and then
    {"kind": "raw", "body": "..."}                     these bytes as the body, with status 200
"""

import argparse
import asyncio
import contextlib
import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

TEXT = re.compile(r"<text>(.*)</text>\Z", re.DOTALL)
_TOKEN = re.compile(r"\w{1,6}|[^\w\s]")


def count_tokens(text: str) -> int:
    """What this server takes for tokens: pieces of words of up to six letters, and signs."""
    return len(_TOKEN.findall(text))


def asked_text(body: dict[str, Any]) -> str:
    """The text that a request asks about, unquoted."""
    match = TEXT.search((body.get("messages") or body["input"])[-1]["content"])
    return json.loads(match[1]) if match else ""


def offered_states(body: dict[str, Any]) -> dict[str, list[str]]:
    """Concept -> states in the order that the schema or the typed questions give."""
    if "questions" in body:
        return {each["name"]: [choice["value"] for choice in each["choices"]] for each in body["questions"]}
    properties = body["response_format"]["json_schema"]["schema"]["properties"]
    return {name: entry["enum"] for name, entry in properties.items()}


def true_states(text: str, concepts: dict[str, list[str]]) -> dict[str, str]:
    """The state of each concept: the last in alphabetical order whose name stands in the text, else the first."""
    return {
        name: next((state for state in sorted(states, reverse=True) if f"{name} {state}" in text), sorted(states)[0])
        for name, states in concepts.items()
    }


@dataclass
class Script:
    """What the server does.

    Attributes:
        entries: used up one by one
        otherwise: what follows
        latency: seconds before a reply
        key: if set, requests without it get status 401
        model: what replies name
        tokenize: whether it counts tokens when asked
        log: one entry for each request: `text`, `path`, `body`, `at`, `authorization`, `idempotency`
        paid: idempotency key -> reply; a request that comes again gets its reply again, without being charged
        path: file of events (`asked`, `paid`, `repeated`), one line each, for a server in a process of its own
    """

    entries: list[dict[str, Any]] = field(default_factory=list)
    otherwise: dict[str, Any] = field(default_factory=lambda: {"kind": "right"})
    latency: float = 0.0
    key: str | None = None
    model: str = "scripted"
    tokenize: bool = True
    states: Callable[[str, dict[str, list[str]]], dict[str, str]] = true_states
    log: list[dict[str, Any]] = field(default_factory=list)
    paid: dict[str, bytes] = field(default_factory=dict)
    path: Path | None = None

    @property
    def texts(self) -> list[str]:
        """The texts of all requests, in order."""
        return [entry["text"] for entry in self.log]


class _Connection(asyncio.Protocol):
    def __init__(self, script: Script) -> None:
        self.script, self.buffer = script, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        head, separator, rest = self.buffer.partition(b"\r\n\r\n")
        if not separator:
            return
        length = re.search(rb"content-length: *(\d+)", head, re.IGNORECASE)
        size = int(length[1]) if length else 0
        if len(rest) < size:
            return
        self.buffer = b""
        self._answer(head.decode("latin-1"), rest[:size])

    def _answer(self, head: str, content: bytes) -> None:
        script = self.script
        path = head.split(" ", 2)[1]
        body = json.loads(content) if content else {}
        if path == "/tokenize" and script.tokenize:
            return self._reply(200, {"tokens": list(range(count_tokens(body["content"])))})
        text = asked_text(body) if "messages" in body or "input" in body else ""
        entry = {"text": text, "path": path, "body": body, "at": time.time()}
        entry["authorization"] = _header(head, "authorization")
        entry["idempotency"] = _header(head, "idempotency-key")
        script.log.append(entry)
        self._write_log("asked", entry)
        if path not in ("/v1/chat/completions", "/v1/decisions"):
            return self._reply(404, {"error": {"message": f"no route {path}"}})
        if script.key is not None and entry["authorization"] != f"Bearer {script.key}":
            return self._reply(401, {"error": {"message": f"wrong key {entry['authorization']}"}})
        step = script.entries.pop(0) if script.entries else script.otherwise
        asyncio.get_running_loop().call_later(script.latency, self._perform, step, entry)
        return None

    def _perform(self, step: dict[str, Any], entry: dict[str, Any]) -> None:
        kind = step["kind"]
        if kind == "hang":
            return
        if entry["idempotency"] in self.script.paid:  # the same request again: its reply is known, and free
            self._write_log("repeated", entry)
            self._send(200, self.script.paid[entry["idempotency"]])
            return
        if kind == "status":
            error = {"message": "as scripted", "code": None} | step.get("error", {})
            self._reply(step["status"], {"error": error}, step.get("headers", {}))
            return
        if kind == "raw":
            self._send(200, step["body"].encode())
            return
        states = {} if kind == "content" else self.script.states(entry["text"], offered_states(entry["body"]))
        if entry["path"] == "/v1/decisions":
            reply = self._decisions(entry["body"], states)
        else:
            content = step["content"] if kind == "content" else json.dumps(states, ensure_ascii=False)
            reply = self._completion(entry["body"], content, step)
        if kind == "cut":
            self._send(200, reply, cut=len(reply) // 2)
        elif kind == "drip":
            asyncio.get_running_loop().create_task(self._drip(reply, step["seconds"]))
        else:
            if entry["idempotency"]:
                self.script.paid[entry["idempotency"]] = reply
            self._write_log("paid", entry)
            self._send(200, reply)

    def _decisions(self, body: dict[str, Any], states: dict[str, str]) -> bytes:
        """Three quarters for the right state, and equal parts of the rest for the others."""
        answers = []
        for name, offered in offered_states(body).items():
            rest = 0.25 / (len(offered) - 1)
            options = [{"value": s, "probability": 0.75 if s == states[name] else rest} for s in offered]
            answers.append({"type": "choice", "probabilities": options})
        tokens = sum(count_tokens(turn["content"]) for turn in body["input"])
        usage = {"input_tokens": tokens, "output_tokens": len(answers)}
        return json.dumps({"model": self.script.model, "answers": answers, "usage": usage}).encode()

    def _completion(self, body: dict[str, Any], content: str, step: dict[str, Any]) -> bytes:
        tokens_in = sum(4 + count_tokens(message["content"]) for message in body["messages"])
        reply: dict[str, Any] = {
            "id": "1",
            "object": "chat.completion",
            "created": 1,
            "model": self.script.model,
            "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": content}}],
        }
        if "logprobs" in step:
            reply["choices"][0]["logprobs"] = {"content": step["logprobs"]}
        if step.get("usage", True):
            counts = {"prompt_tokens": tokens_in, "completion_tokens": count_tokens(content)}
            reply["usage"] = counts | {"total_tokens": sum(counts.values())}
        return json.dumps(reply).encode()

    async def _drip(self, content: bytes, seconds: float) -> None:
        self.transport.write(_head(200, len(content), {}))
        for byte in content:
            self.transport.write(bytes([byte]))
            await asyncio.sleep(seconds)

    def _reply(self, status: int, value: object, headers: dict[str, str] | None = None) -> None:
        self._send(status, json.dumps(value).encode(), headers=headers)

    def _send(self, status: int, content: bytes, cut: int | None = None, headers: dict[str, str] | None = None) -> None:
        self.transport.write(_head(status, len(content), headers or {}) + content[:cut])
        if cut is not None:
            self.transport.close()

    def _write_log(self, event: str, entry: dict[str, Any]) -> None:
        if self.script.path is not None:
            with open(self.script.path, "a") as file:
                file.write(json.dumps([event, entry["text"]]) + "\n")


def _header(head: str, name: str) -> str | None:
    match = re.search(rf"^{name}: *(.*?)\r?$", head, re.IGNORECASE | re.MULTILINE)
    return match[1] if match else None


def _head(status: int, length: int, headers: dict[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status} -", "content-type: application/json", f"content-length: {length}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


async def _serve(script: Script, port: int, started: Callable[[int], None], stop: asyncio.Event) -> None:
    server = await asyncio.get_running_loop().create_server(lambda: _Connection(script), "127.0.0.1", port)
    started(server.sockets[0].getsockname()[1])
    await stop.wait()
    server.close()


@contextmanager
def scripted_server(script: Script) -> Iterator[str]:
    """Serve in a thread while the block runs.

    Yields:
        the base address
    """
    loop, stop, ports, ready = asyncio.new_event_loop(), asyncio.Event(), [], threading.Event()

    def started(port: int) -> None:
        ports.append(port)
        ready.set()

    thread = threading.Thread(target=loop.run_until_complete, args=(_serve(script, 0, started, stop),), daemon=True)
    thread.start()
    ready.wait(10)
    try:
        yield f"http://127.0.0.1:{ports[0]}/v1"
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)
        with contextlib.suppress(RuntimeError):
            loop.close()


def main() -> None:
    """Serve right answers in this process until it is ended; print the port."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--latency", type=float, default=0.05)
    parser.add_argument("--log", type=Path)
    arguments = parser.parse_args()
    script = Script(latency=arguments.latency, path=arguments.log)
    asyncio.run(_serve(script, 0, lambda port: print(port, flush=True), asyncio.Event()))


if __name__ == "__main__":
    main()
