"""The annotator `local`: planted models whose right answer is known, and real loading of tiny ones."""

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSequenceClassification

from sparsecbm.annotate.concept_file import ConceptDefinition
from sparsecbm.annotate.labels import text_key
from sparsecbm.annotate.local import CausalScorer, LocalAnnotator, NliScorer, calibrate, load_scorer, write_prompt
from sparsecbm.base.errors import ModelError
from sparsecbm.base.params.annotate import Local
from tests.support.tiny_models import FAMILIES, tiny_tokenizer

FOOD = ConceptDefinition("food", "", {"bad": "the food was bad", "good": "the food was good"})
TEXTS = ["the food was good", "bad food", "the service was slow and the food was good but loud"]


class OverlapModel(torch.nn.Module):
    """Log entailment grows with the words that text and definition share, and by a bias for definitions with `bad`."""

    def __init__(self, bad: int, bias: float) -> None:
        super().__init__()
        self.bad, self.bias = bad, bias
        self.config = SimpleNamespace(
            id2label={0: "contradiction", 1: "entailment"}, max_position_embeddings=64, model_type="bert"
        )

    def forward(self, input_ids, attention_mask, **_):
        scores = []
        for row, mask in zip(input_ids, attention_mask, strict=True):
            ids = row[mask.bool()].tolist()
            end = ids.index(3)
            text, definition = set(ids[1:end]), set(ids[end + 1 : -1])
            scores.append(len(text & definition) + self.bias * (self.bad in definition))
        scores = torch.tensor(scores, dtype=torch.float)
        return SimpleNamespace(logits=torch.stack([torch.zeros_like(scores), scores - 12], 1))


def pair_tokenizer():
    """Return the word tokenizer with a template for pairs."""
    from tokenizers import processors

    tokenizer = tiny_tokenizer()
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return tokenizer


def table(texts) -> pd.DataFrame:
    frame = pd.DataFrame({"text": texts})
    return frame.assign(key=frame["text"].map(text_key), group="g", label=None, split="train")


def states(annotator, texts) -> dict[str, str | None]:
    labels = annotator.annotate(table(texts), [FOOD], pd.DataFrame()).set_index("key")
    found = labels.loc[[text_key(text) for text in texts], "state"]
    return {text: state if isinstance(state, str) else None for text, state in zip(texts, found, strict=True)}


def test_contextual_calibration_by_hand():
    scores, prior = np.log([[0.6, 0.3, 0.1]]), np.log([[0.5, 0.25, 0.25], [0.7, 0.15, 0.15]])
    # mean prior .6, .2, .2; quotients 1, 1.5, .5
    np.testing.assert_allclose(calibrate(scores, prior), [[1 / 3, 0.5, 1 / 6]])
    np.testing.assert_allclose(calibrate(prior[:1], prior[:1]), np.full((1, 3), 1 / 3))


@pytest.mark.parametrize("bias", [0.0, 3.0])
def test_a_planted_model_is_right_in_spite_of_its_bias(bias):
    tokenizer = pair_tokenizer()
    model = OverlapModel(tokenizer.convert_tokens_to_ids("bad"), bias)
    settings = Local(model="planted", batch_size=2)
    annotator = LocalAnnotator(settings, NliScorer(model, tokenizer, settings), "v")
    right = {TEXTS[0]: "good", TEXTS[1]: "bad", TEXTS[2]: "good"}
    assert states(annotator, TEXTS) == right
    raw = annotator.scorer(TEXTS, FOOD)
    plain = {text: list(FOOD.states)[row.argmax()] for text, row in zip(TEXTS, raw, strict=True)}
    assert (plain == right) == (bias == 0)  # without calibration the bias wins


def test_it_abstains_where_it_is_not_sure():
    tokenizer = pair_tokenizer()
    settings = Local(model="planted", min_confidence=0.6)
    model = OverlapModel(tokenizer.convert_tokens_to_ids("bad"), 0.0)
    annotator = LocalAnnotator(settings, NliScorer(model, tokenizer, settings), "v")
    assert states(annotator, ["a place", "good and bad"]) == {"a place": None, "good and bad": None}
    labels = annotator.annotate(table(["bad food"]), [FOOD], pd.DataFrame()).iloc[0]
    probabilities = json.loads(labels["probabilities"])
    assert labels["confidence"] == probabilities["bad"] > 0.6 and sum(probabilities.values()) == pytest.approx(1)
    assert labels["definition"] == FOOD.hash and labels["model"] == "planted" and labels["prompt"] == "v"


def save(folder, auto, family, decoder=False, **settings):
    torch.manual_seed(0)
    config = AutoConfig.for_model(family, **{**FAMILIES[family], **settings})
    auto.from_config(config).save_pretrained(folder)
    (tiny_tokenizer(True) if decoder else pair_tokenizer()).save_pretrained(folder)
    return str(folder)


def test_a_saved_nli_model_is_scored_as_one_pair_at_a_time(tmp_path):
    labels = {"id2label": {0: "CONTRADICTION", 1: "NEUTRAL", 2: "ENTAILMENT"}, "num_labels": 3}
    folder = save(tmp_path / "nli", AutoModelForSequenceClassification, "bert", **labels)
    scorer = load_scorer(Local(model=folder, batch_size=2))
    scores = scorer(TEXTS, FOOD)
    for i, text in enumerate(TEXTS):
        for j, definition in enumerate(FOOD.states.values()):
            inputs = scorer.tokenizer(text, definition, return_tensors="pt")
            expected = scorer.model(**inputs).logits.log_softmax(-1)[0, 2]
            assert scores[i, j] == pytest.approx(float(expected.detach()), abs=1e-5)


def test_a_saved_causal_model_is_scored_as_one_text_at_a_time(tmp_path):
    folder = save(tmp_path / "causal", AutoModelForCausalLM, "gpt2", decoder=True, n_positions=256)
    scorer = load_scorer(Local(model=folder, kind="causal", batch_size=2))
    assert isinstance(scorer, CausalScorer)
    scores = scorer(TEXTS, FOOD)
    for i, text in enumerate(TEXTS):
        prompt = scorer.tokenizer(write_prompt(text, FOOD))["input_ids"]
        log = scorer.model(torch.tensor([prompt])).logits.log_softmax(-1)[0, -1]
        expected = [float(log[scorer.tokenizer.convert_tokens_to_ids(state)].detach()) for state in FOOD.states]
        np.testing.assert_allclose(scores[i], expected, atol=1e-5)
    long = scorer([" ".join(["good"] * 900)], FOOD)
    assert np.isfinite(long).all()


def test_a_model_of_another_kind_is_refused(tmp_path):
    labels = {"id2label": {0: "NEGATIVE", 1: "POSITIVE"}, "num_labels": 2}
    folder = save(tmp_path / "sentiment", AutoModelForSequenceClassification, "bert", **labels)
    with pytest.raises(ModelError, match="predicts negative, positive, and none of these is `entailment`"):
        load_scorer(Local(model=folder))
    with pytest.raises(ModelError, match=r"annotate\.local\.model: there is no folder"):
        load_scorer(Local(model=str(tmp_path / "absent")))
    causal = save(tmp_path / "causal", AutoModelForCausalLM, "gpt2", decoder=True)
    with pytest.raises(ModelError, match="no model of the kind nli"):
        load_scorer(Local(model=causal))


def test_code_of_a_model_is_refused(tmp_path):
    folder = save(tmp_path / "nli", AutoModelForSequenceClassification, "bert")
    config = json.loads((tmp_path / "nli" / "config.json").read_text())
    (tmp_path / "nli" / "config.json").write_text(json.dumps(config | {"auto_map": {"AutoModel": "evil.Model"}}))
    with pytest.raises(ModelError, match="auto_map"):
        load_scorer(Local(model=folder))


def test_a_dry_run_times_a_few_texts_and_says_that_nothing_is_paid():
    scored = []

    def scorer(texts, concept):
        scored.append((concept.name, len(texts)))
        return np.zeros((len(texts), len(concept.states)))

    told = LocalAnnotator(Local(), scorer, "v").estimate(table([f"text {n}" for n in range(40)]), [FOOD], None)
    assert scored == [("food", 1), ("food", 16)]
    assert "min" in told[0] and told[0].endswith("for the model, measured on a few texts")
    assert told[1] == "no text leaves this machine, and nothing is paid"
