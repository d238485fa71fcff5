"""What requests ask of a model. Each question computes its answer from the logits of its texts.

So plain, edited and explained requests share forward passes. Edits change copies of the logits, never the model.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sparsecbm.api import SparseCBM
from sparsecbm.explain.contributions import contributions_from_logits
from sparsecbm.explain.explainer import ExplainOptions, explain
from sparsecbm.intervene.edits import Setting, edits_from_logits, set_in_logits
from sparsecbm.model.cbm import Logits
from sparsecbm.promote.answer_row import answer_row
from sparsecbm.promote.request_options import Options

Row = dict[str, Any]
Answer = Callable[[SparseCBM, Sequence[str], Logits], list[Row]]


@dataclass(frozen=True)
class Question:
    """Texts, and how to answer each of them.

    Attributes:
        patches: ids, or their first characters, of the patches in force
        answer: gives a row for each text from a model, texts and their logits
        explains: whether `answer` takes passes of its own, so that the texts are answered one at a time
    """

    texts: tuple[str, ...]
    patches: tuple[str, ...]
    answer: Answer
    explains: bool = False


def ask_predictions(texts: Sequence[str], options: Options) -> Question:
    """Predictions under options."""

    def answer(model: SparseCBM, part: Sequence[str], logits: Logits) -> list[Row]:
        if options.edits:
            logits = set_in_logits(model, logits, options.edits)
        explanations: list[Row | None] = [None] * len(part)
        if options.explain == "short":
            explanations = [each.to_dict() for each in contributions_from_logits(model, logits)]
        elif options.explain == "full":
            explanations = [each.to_dict() for each in explain(model, part)]
        predictions = model.predictions(part, logits)
        return [answer_row(*pair, options.top_k) for pair in zip(predictions, explanations, strict=True)]

    return Question(tuple(texts), options.patches, answer, options.explain == "full")


def ask_explanations(texts: Sequence[str], options: ExplainOptions, patches: tuple[str, ...]) -> Question:
    """Whole explanations."""

    def answer(model: SparseCBM, part: Sequence[str], logits: Logits) -> list[Row]:
        return [each.to_dict() for each in explain(model, part, options)]

    return Question(tuple(texts), patches, answer, explains=True)


def ask_interventions(
    texts: Sequence[str], settings: Mapping[str, Setting], head: str, patches: tuple[str, ...]
) -> Question:
    """Predictions before and after concepts are set."""

    def answer(model: SparseCBM, part: Sequence[str], logits: Logits) -> list[Row]:
        return [edit.to_dict() for edit in edits_from_logits(model, part, logits, settings, head)]

    return Question(tuple(texts), patches, answer)
