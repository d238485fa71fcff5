"""The forms of a request: a chat with a JSON schema, a chat without one, and typed decisions."""

from dataclasses import dataclass, replace
from typing import Any, Protocol

from sparsecbm.annotate.llm.answers import parse_answer
from sparsecbm.annotate.llm.prompt import PromptWriter, correction
from sparsecbm.annotate.llm.question import Answer, Cell, Question
from sparsecbm.annotate.llm.quoting import enclosed
from sparsecbm.annotate.llm.token_probabilities import ALTERNATIVES, read_tokens, state_probabilities
from sparsecbm.base.params.annotate import Llm


class MalformedReplyError(Exception):
    """A reply has not the form that the endpoint promises. The message is for people and holds no text of users."""


@dataclass(frozen=True)
class Request:
    """A body for a path of the endpoint.

    Attributes:
        size: bytes of the words in it, which tokens are estimated from
        key: the same for the same request in every run, so that an endpoint may recognise one that comes again
    """

    path: str
    body: dict[str, Any]
    size: int
    key: str | None = None


@dataclass(frozen=True)
class Usage:
    """Tokens of one reply; None where the endpoint does not count them."""

    tokens_in: int | None
    tokens_out: int | None


class Wire(Protocol):
    """One form of requests and replies."""

    def request(self, question: Question) -> Request:
        """What is sent for a question."""
        ...

    def repair(self, question: Question, reply: dict[str, Any], faults: tuple[str, ...]) -> Request | None:
        """What is sent after an answer that is not valid; None where asking again is of no use."""
        ...

    def simpler(self, request: Request, refusal: str) -> Request | None:
        """The same request without what the endpoint refuses, if it can do without; later requests lack it, too.

        Args:
            refusal: what the endpoint says
        """
        ...

    def answer(self, question: Question, reply: dict[str, Any]) -> Answer:
        """What a reply says.

        Raises:
            MalformedReplyError: it has another form.
        """
        ...

    def usage(self, reply: dict[str, Any]) -> Usage:
        """The tokens of a reply."""
        ...


def make_wire(settings: Llm, model: str, writer: PromptWriter) -> Wire:
    """The form that the settings name."""
    if settings.wire == "decisions":
        return DecisionsWire(model, writer)
    if settings.wire == "systemone":
        return SystemOneWire(model, writer)
    return ChatWire(settings, model, writer)


class ChatWire:
    """`/chat/completions`, with a JSON schema (`schema`) or by the words of the prompt alone (`prompted`).

    The prompt asks for JSON in both cases, and every answer is checked, since some servers ignore the schema silently.
    Probabilities of tokens are asked for, too; where the endpoint gives them, each state has its probability.
    """

    def __init__(self, settings: Llm, model: str, writer: PromptWriter) -> None:
        self._with_schema = settings.wire == "schema"
        self._writer = writer
        self._fixed: dict[str, Any] = {"model": model, "max_completion_tokens": settings.answer_tokens}
        if settings.temperature is not None:
            self._fixed["temperature"] = settings.temperature
        self._probabilities: dict[str, Any] = {"logprobs": True, "top_logprobs": ALTERNATIVES}
        self._schemas: dict[tuple[tuple[str, ...], int], dict[str, Any]] = {}

    def request(self, question: Question) -> Request:
        return self._request(question, self._writer.chat(question))

    def repair(self, question: Question, reply: dict[str, Any], faults: tuple[str, ...]) -> Request | None:
        turns = self._writer.chat(question)
        turns.append({"role": "assistant", "content": _content(reply)[:2000]})
        turns.append({"role": "user", "content": correction(faults, question.concepts)})
        return self._request(question, turns)

    def simpler(self, request: Request, refusal: str) -> Request | None:
        """Without probabilities of tokens, where the endpoint refuses them by name."""
        if "logprobs" not in request.body or "logprob" not in refusal.lower():
            return None
        self._probabilities = {}
        body = {name: value for name, value in request.body.items() if "logprobs" not in name}
        return replace(request, body=body)

    def answer(self, question: Question, reply: dict[str, Any]) -> Answer:
        content = _content(reply)
        answer = parse_answer(content, question.concepts)
        tokens = read_tokens(reply["choices"][0])
        if not tokens:
            return answer
        states = {concept.name: tuple(concept.states) for concept in question.concepts}
        cells = {
            name: replace(cell, probabilities=state_probabilities(content, tokens, name, states[name]))
            for name, cell in answer.cells.items()
        }
        return replace(answer, cells=cells)

    def usage(self, reply: dict[str, Any]) -> Usage:
        return _usage(reply, "prompt_tokens", "completion_tokens")

    def _request(self, question: Question, turns: list[dict[str, str]]) -> Request:
        body = self._fixed | self._probabilities | {"messages": turns}
        if self._with_schema:
            body["response_format"] = self._response_format(question)
        return Request("/chat/completions", body, sum(_size(turn["content"]) for turn in turns))

    def _response_format(self, question: Question) -> dict[str, Any]:
        key = tuple(concept.name for concept in question.concepts), question.order
        if key not in self._schemas:
            properties = {
                concept.name: {"type": "string", "enum": list(question.states(concept))}
                for concept in question.concepts
            }
            schema = {
                "type": "object",
                "properties": properties,
                "required": list(properties),
                "additionalProperties": False,
            }
            self._schemas[key] = {
                "type": "json_schema",
                "json_schema": {"name": "labels", "strict": True, "schema": schema},
            }
        return self._schemas[key]


class DecisionsWire:
    """`/decisions` of OpenAI: a question of the type `choice` for each concept, with a probability for each state."""

    def __init__(self, model: str, writer: PromptWriter) -> None:
        self._model, self._writer = model, writer

    def request(self, question: Question) -> Request:
        """The request for one text: a choice for each concept, with the states in the question's order."""
        questions = [
            {
                "type": "choice",
                "name": concept.name,
                "instructions": instructions(concept.name, concept.description),
                "choices": [
                    {"value": state, "description": concept.states[state]} for state in question.states(concept)
                ],
            }
            for concept in question.concepts
        ]
        turns = [
            {"role": "system", "content": self._writer.rules},
            {"role": "user", "content": enclosed(question.text)},
        ]
        body = {"model": self._model, "input": turns, "questions": questions}
        return Request("/decisions", body, _size(self._writer.rules, question.text) + _size_of_concepts(question))

    def repair(self, question: Question, reply: dict[str, Any], faults: tuple[str, ...]) -> Request | None:
        return None

    def simpler(self, request: Request, refusal: str) -> Request | None:
        return None

    def answer(self, question: Question, reply: dict[str, Any]) -> Answer:
        answers = reply.get("answers")
        if not isinstance(answers, list) or len(answers) != len(question.concepts):
            raise MalformedReplyError("the reply has not one answer for each question")
        given: dict[str, object] = {}
        for concept, answer in zip(question.concepts, answers, strict=True):
            if isinstance(answer, dict) and answer.get("type") == "choice":
                options = answer.get("probabilities")
                if not isinstance(options, list) or not all(isinstance(option, dict) for option in options):
                    raise MalformedReplyError("an answer has no probabilities")
                given[concept.name] = {option.get("value"): option.get("probability") for option in options}
        return _by_probability(question, given)

    def usage(self, reply: dict[str, Any]) -> Usage:
        return _usage(reply, "input_tokens", "output_tokens")


class SystemOneWire:
    """`/systemone` of `transformers serve`: a question for each concept, with a probability for each state."""

    def __init__(self, model: str, writer: PromptWriter) -> None:
        self._model, self._writer = model, writer

    def request(self, question: Question) -> Request:
        questions = {
            concept.name: {
                "type": "choice",
                "instructions": instructions(concept.name, concept.description),
                "criteria": {state: concept.states[state] for state in question.states(concept)},
            }
            for concept in question.concepts
        }
        state = f"{self._writer.rules}\n\n{enclosed(question.text)}"
        body = {"model": self._model, "state": state, "questions": questions}
        # Each question is a prompt of its own, which begins with the text.
        return Request("/systemone", body, _size(state) * len(questions) + _size_of_concepts(question))

    def repair(self, question: Question, reply: dict[str, Any], faults: tuple[str, ...]) -> Request | None:
        return None

    def simpler(self, request: Request, refusal: str) -> Request | None:
        return None

    def answer(self, question: Question, reply: dict[str, Any]) -> Answer:
        answers = reply.get("answers")
        if not isinstance(answers, dict):
            raise MalformedReplyError("the reply has no answers")
        given = {name: answer.get("probabilities") for name, answer in answers.items() if isinstance(answer, dict)}
        return _by_probability(question, given)

    def usage(self, reply: dict[str, Any]) -> Usage:
        return _usage(reply, "input_tokens", "output_tokens")


def instructions(name: str, description: str) -> str:
    """The words of a typed question about one concept."""
    return f"Which state fits the text for the concept {name}? {description}".rstrip()


def _by_probability(question: Question, given: dict[str, object]) -> Answer:
    """The most probable state of each concept; of equal ones, none."""
    cells, faults = {}, []
    for concept in question.concepts:
        options = given.get(concept.name)
        if options is None:
            faults.append(f"there is no answer for {concept.name}")
            continue
        values = [options.get(state) for state in concept.states] if isinstance(options, dict) else []
        if not values or not all(type(value) in (int, float) and 0 <= value <= 1 for value in values):
            raise MalformedReplyError(f"the probabilities of {concept.name} are not those of its states")
        total = sum(values)
        if not 0.99 < total < 1.01:
            raise MalformedReplyError(f"the probabilities of {concept.name} do not add up to 1")
        probabilities = {state: value / total for state, value in zip(concept.states, values, strict=True)}
        cells[concept.name] = Cell(most_probable(probabilities), probabilities)
    return Answer(cells, tuple(faults))


def most_probable(probabilities: dict[str, float]) -> str | None:
    """The state with the highest probability; None if two share it."""
    highest = max(probabilities.values())
    states = [state for state, value in probabilities.items() if value == highest]
    return states[0] if len(states) == 1 else None


def _content(reply: dict[str, Any]) -> str:
    try:
        choice = reply["choices"][0]
        content = choice["message"]["content"]
    except (KeyError, IndexError, TypeError):
        raise MalformedReplyError("the reply has no choices with a message") from None
    if content is None:  # a refusal, or an answer that was cut off before it began
        return ""
    if not isinstance(content, str):
        raise MalformedReplyError("the message of the reply is no text")
    return content


def _size(*texts: str) -> int:
    return sum(len(text.encode("utf-8", "replace")) for text in texts)


def _size_of_concepts(question: Question) -> int:
    return sum(
        _size(instructions(concept.name, concept.description), *concept.states, *concept.states.values())
        for concept in question.concepts
    )


def _usage(reply: dict[str, Any], name_in: str, name_out: str) -> Usage:
    counts = reply.get("usage")
    counts = counts if isinstance(counts, dict) else {}
    found = [counts.get(name) for name in (name_in, name_out)]
    tokens_in, tokens_out = (count if type(count) is int and count >= 0 else None for count in found)
    return Usage(tokens_in, tokens_out)
