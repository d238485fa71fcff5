"""Forward passes for the questions of several requests at once."""

from collections import defaultdict
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass

from sparsecbm.api import SparseCBM
from sparsecbm.base.errors import SparseCBMError
from sparsecbm.intervene.patches.stack import patched
from sparsecbm.model.batches import batch_by_tokens, encode
from sparsecbm.model.cbm import ConceptBottleneck, Logits
from sparsecbm.model.execution import using_copy
from sparsecbm.model.onednn import use_onednn
from sparsecbm.promote.request_options import select_patches
from sparsecbm.serve.questions import Question, Row
from sparsecbm.serve.snapshot import Snapshot

Result = list[Row] | Exception


@dataclass(frozen=True)
class QuestionPart:
    """Some texts of a question, answered at once."""

    question: Question
    texts: Sequence[str]


def answer_parts(snapshot: Snapshot, parts: Sequence[QuestionPart], max_tokens: int) -> list[Result]:
    """Answer parts of questions, or say for each why not. Parts under the same patches share forward passes.

    Args:
        max_tokens: of one pass, padding included
    """
    groups = defaultdict(list)
    for number, part in enumerate(parts):
        groups[part.question.patches].append(number)
    results: dict[int, Result] = {}
    for numbers in groups.values():
        answers = _answer_alike(snapshot, [parts[number] for number in numbers], max_tokens)
        results |= zip(numbers, answers, strict=True)
    return [results[number] for number in range(len(parts))]


def _answer_alike(snapshot: Snapshot, parts: Sequence[QuestionPart], max_tokens: int) -> list[Result]:
    """Answer parts that are under the same patches."""
    model = snapshot.model
    try:
        patches = select_patches(snapshot.patches, parts[0].question.patches)
        # Without patches, explanations use the copy that predicts, rather than multiply masks again.
        has_copy = not patches and snapshot.predictor is not model
        copied = using_copy(model, snapshot.predictor) if has_copy else nullcontext()
        with patched(model, *patches), copied:
            texts = [text for part in parts for text in part.texts]
            logits = _logits(model if patches else snapshot.predictor, texts, max_tokens)
            results, start = [], 0
            for part in parts:
                results.append(_answer(model, part, _rows(logits, start, start + len(part.texts))))
                start += len(part.texts)
            return results
    except SparseCBMError as error:
        return [error] * len(parts)
    except Exception as error:
        if len(parts) == 1:
            return [error]
        # One text may be at fault, so each part is answered by itself.
        return [result for part in parts for result in _answer_alike(snapshot, [part], max_tokens)]


def _answer(model: SparseCBM, part: QuestionPart, logits: Logits) -> Result:
    try:
        return part.question.answer(model, part.texts, logits)
    except Exception as error:
        return error


def _logits(model: ConceptBottleneck, texts: Sequence[str], max_tokens: int) -> Logits:
    token_ids = encode(model.tokenizer, texts, model.settings.max_length)
    with use_onednn(model.backbone):
        return model.logits_in_batches(token_ids, batch_by_tokens([len(ids) for ids in token_ids], max_tokens))


def _rows(logits: Logits, start: int, stop: int) -> Logits:
    return Logits({name: values[start:stop] for name, values in logits.concepts.items()}, logits.label[start:stop])
