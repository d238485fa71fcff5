"""Attributions without gradients, as references for those with gradients: deletion, attention, chance."""

from zlib import crc32

import numpy as np
import torch
from torch import Tensor

from sparsecbm.base.progress import progress
from sparsecbm.explain.subject import Subject, TokenScores
from sparsecbm.model.batches import pad
from sparsecbm.model.pooling import pool
from sparsecbm.model.routing import route_rows, routed


def leave_one_out(subject: Subject) -> TokenScores:
    """How much the value falls when the tokens of one word are deleted. Special tokens are never deleted.

    The first token of a word gets its score.
    """
    scores = subject.no_scores()
    pairs = [(i, word) for i, text in enumerate(subject.texts) for word in range(len(text.words))]
    texts, words = np.array(pairs, dtype=int).reshape(-1, 2).T
    for batch in progress(list(subject.batches(texts)), "leave words out", "batch"):
        numbers, rows, first = texts[batch], [], []
        for i, word in zip(numbers, words[batch], strict=True):
            deleted = subject.texts[i].word_indices == word
            rows.append(np.array(subject.texts[i].ids)[~deleted].tolist())
            first.append(int(deleted.argmax()))
        ids, mask = (t.to(subject.model.device) for t in pad(rows, subject.model.tokenizer.pad_token_id))
        with torch.no_grad():
            without = subject.compute_values(ids, mask, numbers)
        for concept, name in enumerate(subject.concepts):
            fall = subject.values[numbers, concept] - without[name].double().cpu().numpy()
            scores[numbers, concept, first] = fall
    return TokenScores(scores, subject.no_steps())


def attention_rollout(subject: Subject) -> TokenScores:
    """The product of the attentions of all layers of a concept's subnetwork, from the pooled text to its tokens.

    The attention of a layer is the mean over its heads. It counts half, and the residual stream counts half (Abnar and
    Zuidema, arXiv 2005.00928, section 3). Scores are positive and add up to 1. They do not depend on the state, so this
    is a weak reference.
    """
    scores = subject.no_scores()
    backbone = subject.model.backbone
    implementation = backbone.config._attn_implementation
    backbone.set_attn_implementation("eager")  # other implementations return no attention
    try:
        for numbers in subject.batches(np.arange(len(subject.texts))):
            ids, mask = pad([subject.texts[i].ids for i in numbers], subject.model.tokenizer.pad_token_id)
            ids, mask = ids.to(subject.model.device), mask.to(subject.model.device)
            for concept, name in enumerate(subject.concepts):
                rolled = _rollout(subject, ids, mask, name).double().cpu().numpy()
                scores[numbers, concept, : rolled.shape[1]] = rolled
    finally:
        backbone.set_attn_implementation(implementation)
    return TokenScores(scores, subject.no_steps())


@torch.no_grad()
def _rollout(subject: Subject, ids: Tensor, mask: Tensor, concept: str) -> Tensor:
    """How much of each token reaches the pooled text, [batch, tokens]."""
    model = subject.model
    rows = torch.arange(len(ids), device=ids.device)
    with routed(route_rows(len(ids), [rows], [model.concept_set.names.index(concept)])):
        attentions = model.backbone(input_ids=ids, attention_mask=mask, output_attentions=True).attentions
    residual = torch.eye(ids.shape[1], device=ids.device).expand(len(ids), -1, -1)
    flow = pool(residual, mask, model.settings.pooling).unsqueeze(1)  # share of each token in the pooled text
    for attention in reversed(attentions):  # [batch, heads, tokens, tokens]
        flow = flow @ ((attention.float().mean(1) + residual) / 2)
    return flow.squeeze(1)


def random_scores(subject: Subject, seed: int) -> TokenScores:
    """Random scores for each word, as a control. They depend on the text, the concept and the seed only.

    The first token of a word gets its score.
    """
    scores = subject.no_scores()
    for i, text in enumerate(subject.texts):
        _, first = np.unique(text.word_indices[text.word_indices >= 0], return_index=True)
        tokens = np.flatnonzero(text.word_indices >= 0)[first]
        for concept, name in enumerate(subject.concepts):
            draw = np.random.default_rng([seed, crc32(text.text.encode()), crc32(name.encode())])
            scores[i, concept, tokens] = draw.standard_normal(len(tokens))
    return TokenScores(scores, subject.no_steps())
