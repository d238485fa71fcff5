"""Probabilities of states from the probabilities of the tokens that a chat model wrote.

Servers give each token of an answer with its log-probability and with some alternatives (`logprobs` of the chat
endpoint). The state of a concept is a JSON string in the answer. Where the words of the states part, the alternatives
say how probable the other states were. What leads to no state is left out, and the rest is scaled to add up to 1.
"""

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

ALTERNATIVES = 10  # that are asked for; most servers give up to 20, some fewer


@dataclass(frozen=True)
class Token:
    """A token that the model wrote.

    Attributes:
        text: its bytes
        probability: of this token after the ones before it
        others: bytes -> probability of its most probable alternatives
    """

    text: bytes
    probability: float
    others: dict[bytes, float]


def read_tokens(choice: dict[str, Any]) -> tuple[Token, ...]:
    """The tokens of a choice of `/chat/completions`; none where the server does not give all of them."""
    try:
        return tuple(_token(entry) for entry in choice["logprobs"]["content"])
    except (KeyError, TypeError, ValueError, OverflowError):
        return ()


def state_probabilities(
    answer: str, tokens: Sequence[Token], concept: str, states: Sequence[str]
) -> dict[str, float] | None:
    """State -> probability by the model, restricted to the states and scaled to add up to 1.

    A state that is among no alternatives has the probability 0. An alternative that begins several states counts for
    them in equal parts, since what would follow it is unknown.

    Args:
        answer: the text of the answer, a JSON object
        tokens: of the answer

    Returns:
        None where the tokens do not make up the answer, or it gives no state word by word
    """
    whole = b"".join(token.text for token in tokens)
    start, key = whole.find(answer.encode()), _last_key(answer, concept)
    if start < 0 or key is None:
        return None
    start += len(answer[:key].encode())
    words = {state: json.dumps(state, ensure_ascii=False)[1:].encode() for state in states}  # with the closing quote
    mass, possible, reached = dict.fromkeys(states, 0.0), list(states), 1.0
    position = 0
    for token in tokens:
        end = position + len(token.text)
        if end > start and len(possible) > 1:
            before, written = whole[position:start], whole[start:position]  # the one or the other is empty
            for text, probability in token.others.items():
                if text != token.text and text.startswith(before) and len(text) > len(before):
                    matching = _compatible(possible, words, written + text[len(before) :])
                    for state in matching:
                        mass[state] += reached * probability / len(matching)
            reached *= token.probability
            possible = _compatible(possible, words, whole[start:end])
        position = end
    if len(possible) != 1 or not whole.startswith(words[possible[0]], start):
        return None
    mass[possible[0]] += reached
    total = sum(mass.values())
    return {state: value / total for state, value in mass.items()} if total > 0 else None


def _token(entry: dict[str, Any]) -> Token:
    others = {_bytes(other): math.exp(other["logprob"]) for other in entry["top_logprobs"]}
    return Token(_bytes(entry), math.exp(entry["logprob"]), others)


def _bytes(entry: dict[str, Any]) -> bytes:
    """A token may be a part of a character, so its bytes count where the server gives them."""
    given = entry.get("bytes")
    return entry["token"].encode() if given is None else bytes(given)


def _last_key(answer: str, concept: str) -> int | None:
    """Where the string begins that the last key of this name has."""
    pattern = re.escape(json.dumps(concept, ensure_ascii=False)) + r'\s*:\s*"'
    ends = [match.end() for match in re.finditer(pattern, answer)]
    return ends[-1] if ends else None


def _compatible(states: Sequence[str], words: dict[str, bytes], written: bytes) -> list[str]:
    """The states that begin with what is written, or that it holds whole."""
    return [s for s in states if words[s].startswith(written) or written.startswith(words[s])]
