"""The dry run of a backbone: what it refuses before training, and that it leaves no trace."""

import numpy as np
import pytest
import torch
from torch import nn

from sparsecbm.base.errors import ConfigError, ModelError
from sparsecbm.model import architecture, positions
from sparsecbm.model.backbone import embedding_rows
from sparsecbm.model.branches import ConceptBlock
from sparsecbm.model.cbm import ConceptBottleneck
from sparsecbm.model.dry_run import PlannedMasks, dry_run
from tests.support.tiny_models import DEEP, tiny_model, tiny_tokenizer, write_backbone


def test_the_model_and_all_random_numbers_stay_as_they_are(model):
    model.train()
    weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    modules = list(model.modules())
    before = torch.get_rng_state(), np.random.get_state()[1].tolist()
    dry_run(model)
    assert torch.equal(torch.get_rng_state(), before[0]) and np.random.get_state()[1].tolist() == before[1]
    assert all(torch.equal(tensor, weights[name]) for name, tensor in model.state_dict().items())
    assert list(model.modules()) == modules and not model.masked and model.training
    assert all(weight.requires_grad and weight.grad is None for weight in model.parameters())


def test_the_backbone_of_a_black_box_is_checked_without_masks(backbone):
    dry_run(tiny_model(backbone, mode="standard"))


class Shifted(nn.Module):
    """A block that adds its row's number in the batch: what a row gives depends on where it lies."""

    def __init__(self, block):
        super().__init__()
        self.block = block

    def forward(self, hidden, *args, **kwargs):
        states = self.block(hidden, *args, **kwargs)
        return states + 0.1 * torch.arange(len(states))[:, None, None]


def test_rows_that_depend_on_their_neighbours_are_refused(model):
    model.backbone.encoder.layer[1] = Shifted(model.backbone.encoder.layer[1])
    with pytest.raises(
        ModelError, match=r"a bert cannot be a backbone: a text is read differently beside a longer one"
    ):
        dry_run(model)


def test_blocks_that_run_many_times_are_refused(tmp_path, monkeypatch):
    """ALBERT's one block runs for each layer, and at the second time the rows would be copied again."""
    monkeypatch.delitem(architecture.REFUSED, "albert")
    model = tiny_model(write_backbone(tmp_path / "albert", "albert", **DEEP, embedding_size=8))
    with pytest.raises(ModelError, match=r"a albert cannot be a backbone: under masks it differs"):
        dry_run(model)


@pytest.mark.parametrize("family", ["modernbert", "gemma3_text"])
def test_blocks_that_get_the_arguments_of_another_block_are_refused(family, tmp_path, monkeypatch):
    """Local and global blocks alternate, so the attention mask of the first masked block is wrong for the second."""
    model = tiny_model(write_backbone(tmp_path / family, family))
    with torch.no_grad():
        for parameter in model.parameters():  # with fresh weights, attention hardly matters
            parameter.normal_(std=0.3)
    dry_run(model)
    right, first = ConceptBlock.forward, {}

    def wrong(block, hidden, *args, **kwargs):
        first.update(kwargs if block.first else {})
        return right(block, hidden, *args, **{**kwargs, "attention_mask": first["attention_mask"]})

    monkeypatch.setattr(ConceptBlock, "forward", wrong)
    with pytest.raises(ModelError, match="its blocks differ when each concept has its own"):
        dry_run(model)


def test_a_layer_that_no_text_passes_cannot_have_masks(model):
    model.backbone.encoder.layer[1].unused = nn.Linear(4, 4)
    with pytest.raises(ConfigError, match=r"prune\.layers: encoder\.layer\.1\.unused takes no part in reading a text"):
        dry_run(model)
    with pytest.raises(ModelError, match="step `save` fails"):  # all steps before are fine
        dry_run(model, PlannedMasks(layers=("*.attention.*",)))


def test_masks_that_do_not_fit_are_refused_before_training(model, tmp_path):
    with pytest.raises(ConfigError, match=r"prune\.masked_from: 2 is not among the blocks 0 to 1"):
        dry_run(model, PlannedMasks(masked_from=2))
    with pytest.raises(ConfigError, match=r"prune\.layers: unknown layer pattern '\*\.nothing\.\*'"):
        dry_run(model, PlannedMasks(layers=("*.nothing.*",)))
    deberta = tiny_model(write_backbone(tmp_path / "deberta", "deberta-v2"))
    with pytest.raises(ModelError, match="heads and neurons of 'deberta-v2' are not known"):
        dry_run(deberta, PlannedMasks(whole_units=True))
    dry_run(deberta)


@pytest.mark.parametrize(
    ("planned", "message"),
    [
        (
            {"pattern": (1, 3)},
            r"prune\.granularity: 1:3 needs inputs in groups of 3, and .* has 16; take",
        ),
        ({"score_rank": 17}, r"prune\.score_rank: 17 is larger than .* allows; take 1 to 16, or leave such layers out"),
    ],
)
@pytest.mark.parametrize("family", ["bert", "gpt2"])
def test_widths_that_masks_do_not_fit_are_refused_before_training(family, planned, message, tmp_path):
    """Their maps have 16 inputs and 16 outputs or more; the second map of gpt2, [in, out], has 16 inputs, too."""
    model = tiny_model(write_backbone(tmp_path / family, family))
    with pytest.raises(ConfigError, match=message):
        dry_run(model, PlannedMasks(**planned))
    dry_run(model, PlannedMasks(pattern=(2, 4), score_rank=16))


def test_a_tokenizer_without_positions_in_the_text_is_refused(model, monkeypatch):
    monkeypatch.setattr(type(model.tokenizer), "is_fast", False)
    with pytest.raises(ModelError, match="does not give the positions of tokens"):
        dry_run(model)


def test_positions_that_no_key_tells_are_found_by_trying(tmp_path, monkeypatch):
    folder = write_backbone(tmp_path / "short", **{**DEEP, "num_hidden_layers": 1, "max_position_embeddings": 21})
    monkeypatch.setattr("sparsecbm.model.cbm.check_max_length", lambda *_: None)
    model = tiny_model(folder, max_length=50)
    with pytest.raises(ConfigError, match=r"model\.max_length: 50 is above the positions.*set it to 21 at most"):
        dry_run(model)
    assert positions.most_tokens(model.backbone) == 21


def test_a_configuration_that_forgets_something_is_refused(model):
    """The saved configuration has another activation than the network that runs."""
    model.backbone.config.hidden_act = "relu"
    with pytest.raises(ModelError, match="after it is saved and loaded it differs"):
        dry_run(model)


def test_a_tokenizer_that_forgets_something_is_refused(backbone):
    tokenizer = tiny_tokenizer()
    model = tiny_model(backbone)
    model = ConceptBottleneck(model.backbone, tokenizer, model.concept_set, model.settings)

    def save(folder):
        tokenizer.backend_tokenizer.normalizer = None
        other = tiny_tokenizer(decoder=True)  # which adds no [CLS] and no [SEP]
        other.pad_token = "[PAD]"
        return other.save_pretrained(folder)

    tokenizer.save_pretrained = save
    with pytest.raises(ModelError, match="splits a text differently after it was saved"):
        dry_run(model)


def test_a_family_that_fails_in_bf16_is_refused_with_the_precision_to_set(tmp_path):
    """DeBERTa v1 fills its attention with a number that bf16 does not hold, at the first update."""
    model = tiny_model(write_backbone(tmp_path / "deberta", "deberta", **DEEP))
    dry_run(model)
    with pytest.raises(ConfigError, match=r"finetune.precision: set it to float32, .* Its step `bf16` fails"):
        dry_run(model, bf16=True)


def test_a_family_that_fails_for_a_single_text_is_refused(tmp_path):
    """XGLM insists on one mask for each row, and a single text has one mask for the rows of all concepts."""
    sizes = {"d_model": 32, "attention_heads": 2, "ffn_dim": 64, "num_layers": 3, "vocab_size": 40}
    model = tiny_model(write_backbone(tmp_path / "xglm", "xglm", **sizes))
    with pytest.raises(ModelError, match=r"a xglm cannot be a backbone; .* Its step `one text` fails"):
        dry_run(model)


def test_a_backbone_without_embeddings_of_tokens_is_refused(model, monkeypatch):
    def no_embeddings():
        raise NotImplementedError("not handled")

    monkeypatch.setattr(model.backbone, "get_input_embeddings", no_embeddings)
    with pytest.raises(ModelError, match="a bert has no embeddings of tokens, so it cannot be a backbone"):
        embedding_rows(model.backbone)
