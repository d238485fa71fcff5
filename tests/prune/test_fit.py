"""From a dense model to a sparse one: what is kept, what is frozen, and the same bytes after a kill."""

import copy
import json
import subprocess
import sys

import pytest
import torch

from sparsecbm.api import SparseCBM
from sparsecbm.base.errors import ConfigError, ModelError
from sparsecbm.base.params import parse_params, read_yaml
from sparsecbm.model.masks import MaskSet
from sparsecbm.prune.fit import fit_masks, mix_targets
from sparsecbm.prune.training import MaskTraining
from sparsecbm.train import loop
from sparsecbm.train.checkpoint import Checkpoints
from sparsecbm.train.examples import build_examples
from sparsecbm.train.modes import fit
from tests.support.prune_settings import pruning
from tests.support.tiny_models import tiny_model
from tests.support.tiny_pipeline import ROOT
from tests.support.tiny_tables import annotated
from tests.train.test_training import same, settings, weights_of


def fitted(model, folder, params=None, finetune=None, rows=48, seed=5, **more):
    """History of a training on 48 texts, which are 6 updates an epoch."""
    data = annotated(rows, 1), annotated(24, 2)
    return fit_masks(model, *data, params or pruning(), finetune or settings(), seed, Checkpoints(folder / "c"), **more)


def backbone_of(model):
    return {name: parameter.detach().clone() for name, parameter in model.backbone.named_parameters()}


@pytest.mark.parametrize("saliency", ["movement", "magnitude"])
def test_frozen_weights_keep_their_bytes(saliency, model, tmp_path):
    before, heads = backbone_of(model), weights_of(model.concept_heads)
    fitted(model, tmp_path, pruning(saliency=saliency, concepts="all"), settings(ema_decay=0.5))
    assert same(before, backbone_of(model))
    assert not same(heads, weights_of(model.concept_heads))


def test_trained_weights_change_and_word_embeddings_by_their_own_setting(backbone, tmp_path):
    for freeze in (True, False):
        model = tiny_model(backbone)
        before = backbone_of(model)
        params = pruning(weights="trained", saliency="magnitude", epochs=1)
        fitted(model, tmp_path / str(freeze), params, settings(freeze_embeddings=freeze))
        changed = {name for name, weight in backbone_of(model).items() if not torch.equal(weight, before[name])}
        assert "encoder.layer.0.output.dense.weight" in changed
        assert ("embeddings.word_embeddings.weight" in changed) != freeze


def test_what_was_frozen_for_masks_is_trained_again_afterwards(model, tmp_path):
    fitted(model, tmp_path, pruning(epochs=1))
    before, masks = backbone_of(model), model.masks
    fit(model, annotated(16, 1), annotated(8, 2), settings(epochs=1), 0, Checkpoints(tmp_path / "again"))
    assert not same(before, backbone_of(model)) and model.masks == masks


@pytest.mark.parametrize(
    ("granularity", "saliency", "sparsity"),
    [
        ("unstructured", "movement", 0.75),
        ("2:4", "movement", 0.5),
        ("2:4", "obert", 0.5),
        ("structured", "random", 0.25),
    ],
)
def test_final_density_is_exact_and_every_event_is_told(granularity, saliency, sparsity, model, tmp_path):
    seen = {}
    history = fitted(
        model, tmp_path, pruning(granularity=granularity, saliency=saliency, sparsity=sparsity), settings(),
        on_step=lambda step, figures: seen.update({step: figures}) if "prune.sparsity" in figures else None,
    )  # fmt: skip
    assert model.masks.density() == {"food": 1 - sparsity, "noise": 1 - sparsity}
    expected = {0: 0, 3: sparsity / 2, 6: sparsity} | ({9: sparsity} if saliency == "movement" else {})
    assert {event["step"]: event["prune.sparsity"] for event in history.events} == expected
    for event in history.events:
        assert event["prune.density.food"] == event["prune.density.noise"] == 1 - expected[event["step"]]
    assert history.events == [{"step": step, **figures} for step, figures in seen.items()]
    assert model.masks.core().density < 1 - sparsity


def scripted(monkeypatch, scores):
    """Let validation score these, in order."""
    left = iter(scores)
    monkeypatch.setattr(loop, "validation_scores", lambda *arguments: {"score": next(left)})


def test_only_a_checkpoint_at_the_final_sparsity_is_kept(backbone, tmp_path, monkeypatch):
    """6 updates an epoch. The denser first epoch scored best by far; of the others the second is the better one."""
    kept = {}
    for end in (0.5, 0.25):  # of 18 updates: the last event is before update 9, or update 4
        scripted(monkeypatch, [0.9, 0.6, 0.5])
        model = tiny_model(backbone)
        history = fitted(model, tmp_path / str(end), pruning(end=end, epochs=3))
        kept[end] = history.best_step, history.best_score
        assert model.masks.density() == {"food": 0.5, "noise": 0.5}
        assert len(list((tmp_path / str(end) / "c").glob("best-*"))) == 1
    assert kept == {0.5: (12, 0.6), 0.25: (6, 0.9)}


def test_the_masks_kept_are_those_of_the_weights_kept(backbone, tmp_path, monkeypatch):
    """Learnt masks go on changing at the final sparsity: each checkpoint has its own."""
    for best, scores in ((6, [0.0, 0.9, 0.5]), (9, [0.0, 0.5, 0.9])):
        scripted(monkeypatch, scores)
        model = tiny_model(backbone)
        history = fitted(model, tmp_path / str(best), pruning(end=0.25, events=2, epochs=3), rows=24)
        events = {event["step"]: tmp_path / f"{best}/c/events/{event['step']}.safetensors" for event in history.events}
        *_, last = (step for step in events if step < best)
        assert history.best_step == best and model.masks == MaskSet.load(events[last])
        assert [step for step, file in events.items() if MaskSet.load(file) == model.masks] == [last]


def test_patience_does_not_run_before_the_final_sparsity(backbone, tmp_path, monkeypatch):
    scripted(monkeypatch, [0.9, 0.8, 0.7, 0.6, 0.5])
    history = fitted(tiny_model(backbone), tmp_path, pruning(end=0.5, epochs=5), settings(patience=1), rows=24)
    assert [epoch["epoch"] for epoch in history.epochs] == [1, 2, 3, 4]  # the last event is at 7 of 15
    assert history.best_step == 9


class Killed(Exception):
    pass


def kill(monkeypatch, step, when):
    """Kill a training at a step: before the event that is due, when it has given new masks, or an update later."""
    plain = MaskTraining.before

    def before(self, model, now):
        if now == step and when == "before":
            raise Killed
        figures = plain(self, model, now)
        if now == step + (when == "after") and when != "before":
            raise Killed
        return figures

    monkeypatch.setattr(MaskTraining, "before", before)


@pytest.fixture(scope="module")
def whole(backbone, tmp_path_factory):
    """An uninterrupted training of each kind, with its folder."""
    made = {}

    def make(kind):
        if kind not in made:
            folder, model = tmp_path_factory.mktemp(kind), tiny_model(backbone)
            made[kind] = model, fitted(model, folder, *KINDS[kind]), folder
        return made[kind]

    return make


EACH_UPDATE = settings(checkpoint_seconds=0.0, ema_decay=0.9)
KINDS = {
    "movement": (pruning(weights="frozen", concepts="sampled", leakage_weight=0.3, distill=0.5), EACH_UPDATE),
    "obert": (pruning(saliency="obert", weights="trained", concepts="all", core=0.3, gradients=3), EACH_UPDATE),
    "each epoch": (pruning(saliency="obert", weights="trained", gradients=3), settings()),
}


def event_files(folder):
    return {file.name: file.read_bytes() for file in (folder / "c/events").iterdir()}


@pytest.mark.parametrize(
    ("kind", "step", "when"),
    [
        ("movement", 3, "before"), ("movement", 3, "event"), ("movement", 3, "after"), ("movement", 9, "event"),
        ("obert", 3, "before"), ("obert", 3, "event"), ("obert", 3, "after"),
        ("each epoch", 6, "after"),  # the last checkpoint is from before the event, so it is gone through once more
    ],
)  # fmt: skip
def test_killed_and_resumed_equals_uninterrupted(kind, step, when, whole, backbone, tmp_path, monkeypatch):
    model, history, folder = whole(kind)
    with monkeypatch.context() as patch:
        kill(patch, step, when)
        with pytest.raises(Killed):
            fitted(tiny_model(backbone), tmp_path, *KINDS[kind])
    before = event_files(tmp_path)
    passed = [e["step"] for e in history.events if e["step"] < step or (e["step"] == step and when != "before")]
    assert before.keys() == {f"{event}.safetensors" for event in passed}
    resumed, seen = tiny_model(backbone), []
    again = fitted(resumed, tmp_path, *KINDS[kind], on_step=lambda step, figures: seen.append(step))
    assert same(weights_of(model), weights_of(resumed)) and resumed.masks == model.masks
    assert again == history and resumed.means == model.means
    assert event_files(tmp_path) == event_files(folder) and before.items() <= event_files(folder).items()
    assert 0 not in seen or step == 0, "it must go on, not begin again"


def test_another_seed_gives_other_masks(whole, backbone, tmp_path):
    for kind in ("movement", "obert"):
        other = tiny_model(backbone)
        fitted(other, tmp_path / kind, *KINDS[kind], seed=6)
        assert other.masks != whole(kind)[0].masks


def test_a_control_is_trained_under_shuffled_masks(whole, backbone, tmp_path):
    model, history, folder = whole("movement")
    control = tiny_model(backbone)
    again = fitted(control, tmp_path, *KINDS["movement"], control_of=folder / "c/events")
    assert [event["step"] for event in again.events] == [event["step"] for event in history.events]
    for mask in control.masks:
        assert mask.density_by_layer() == model.masks[mask.name].density_by_layer()
    assert control.masks.core().density_by_layer() == model.masks.core().density_by_layer()
    assert control.masks != model.masks
    assert same(backbone_of(control), backbone_of(model))
    assert not same(weights_of(control), weights_of(model))


def test_distilled_targets_by_hand(model):
    """A text's own state counts 1/4, the model's reading 3/4; without a state the reading is all there is."""
    frame = annotated(2, seed=1).assign(**{"concept.noise": ["loud", None]})
    for name, shares in (("food", [0.2, 0.3, 0.5]), ("noise", [0.4, 0.6])):
        head = model.concept_heads.head(name)
        torch.nn.init.zeros_(head.weight)
        head.bias.data = torch.tensor(shares).log()
    plain = build_examples(frame, model)
    mixed = mix_targets(plain, model.logits(frame["text"].tolist()).concepts, 0.75)
    assert mixed.concept_targets["noise"].flatten().tolist() == pytest.approx([0.25 + 0.3, 0.45, 0.4, 0.6])
    place = ["Negative", "Positive", "unknown"].index(frame["concept.food"][0])
    expected = [0.15, 0.225, 0.375]
    expected[place] += 0.25
    assert mixed.concept_targets["food"][0].tolist() == pytest.approx(expected)
    assert plain.concept_targets["noise"].tolist() == [[1, 0], [0, 0]]  # left as they were
    assert torch.equal(mixed.concepts["noise"], plain.concepts["noise"]) and mixed.rows == plain.rows


def test_it_is_the_dense_model_that_is_distilled(model, tmp_path, monkeypatch):
    """Targets are mixed before the first mask, and not at all unless that is asked for."""
    dense = model.logits(annotated(48, 1)["text"].tolist()).concepts["food"]
    found = []
    plain = MaskTraining.__init__
    monkeypatch.setattr(
        MaskTraining, "__init__", lambda self, *given: (found.append(given[2].concept_targets), plain(self, *given))[1]
    )
    for number, share in enumerate((1.0, 0.0)):
        fitted(copy.deepcopy(model), tmp_path / str(number), pruning(distill=share, epochs=1))
    torch.testing.assert_close(found[0]["food"], torch.from_numpy(dense).softmax(-1))
    assert set(found[1]["food"].flatten().tolist()) == {0, 1}


def test_heads_aim_at_their_own_share_of_the_dense_reading_of_the_annotation(model, tmp_path, monkeypatch):
    """Whatever share the masks aimed at."""
    dense = torch.from_numpy(model.logits(annotated(48, 1)["text"].tolist()).concepts["food"]).softmax(-1)
    plain = build_examples(annotated(48, 1), model).concept_targets["food"]
    found = []
    monkeypatch.setattr(
        "sparsecbm.prune.fit.refit_concept_heads", lambda model, data, *rest: found.append(data.concept_targets)
    )
    for masks, heads in ((0.0, 0.0), (0.0, 0.25), (0.5, 0.25)):
        fitted(copy.deepcopy(model), tmp_path / f"{masks}{heads}", pruning(distill=masks, head_distill=heads, epochs=1))
    torch.testing.assert_close(found[0]["food"], plain)
    torch.testing.assert_close(found[1]["food"], 0.75 * plain + 0.25 * dense)
    torch.testing.assert_close(found[2]["food"], found[1]["food"])
    assert not torch.allclose(found[0]["food"], found[1]["food"], atol=0.01)


def test_means_and_label_head_are_those_of_the_sparse_model(backbone, tmp_path):
    frame, found = annotated(48, 1), {}
    for mode, refit in (("joint", True), ("joint", False), ("sequential", False)):
        model = tiny_model(backbone, mode=mode)
        before = weights_of(model.label_head)
        fitted(model, tmp_path / f"{mode}{refit}", pruning(epochs=1), settings(refit_label_head=refit))
        read = model.predict(frame["text"].tolist())
        by_hand = sum(p.concepts["food"].probabilities["Positive"] for p in read) / len(frame)
        assert model.means["activations"]["food"]["Positive"] == pytest.approx(by_hand, abs=1e-6)
        found[mode, refit] = same(before, weights_of(model.label_head))
    assert found == {("joint", True): False, ("joint", False): True, ("sequential", False): False}


def test_a_saved_sparse_model_predicts_the_same_in_a_fresh_process(model, tmp_path):
    fitted(model, tmp_path, pruning(sparsity=0.75, weights="trained"))
    texts = annotated(10, 3)["text"].tolist()
    here = [p.to_dict() for p in model.predict(texts)]
    model.save_pretrained(tmp_path / "sparse")
    code = (
        "import json, sys; from sparsecbm import SparseCBM; model = SparseCBM.from_pretrained(sys.argv[1]);"
        f"print(json.dumps([[p.to_dict() for p in model.predict({texts!r})], model.masks.content_hash()]))"
    )
    run = subprocess.run([sys.executable, "-c", code, tmp_path / "sparse"], capture_output=True, text=True, check=True)
    assert json.loads(run.stdout) == [here, model.masks.content_hash()]
    model.masks = model.masks.replaced("food", dict(model.masks["noise"].items()))
    assert [p.to_dict() for p in model.predict(texts)] != here
    assert SparseCBM.from_pretrained(tmp_path / "sparse").masks != model.masks


def test_a_model_without_a_bottleneck_is_refused(backbone, tmp_path):
    with pytest.raises(ModelError, match="mode `standard` has no concepts"):
        fitted(tiny_model(backbone, mode="standard"), tmp_path)


def test_layers_that_are_not_there_are_refused(model, tmp_path):
    with pytest.raises(ConfigError, match=r"prune\.layers: unknown layer pattern '\*\.atention\.\*'"):
        fitted(model, tmp_path, pruning(layers=["*.atention.*"]))
    with pytest.raises(ConfigError, match=r"prune\.masked_from: 7 is not among the blocks 0 to 1"):
        fitted(model, tmp_path, pruning(masked_from=7))
    assert model.masks is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"begin": 0.8, "end": 0.6}, r"prune: begin 0\.8 is after end 0\.6; both are shares of all updates$"),
        ({"end": 1.0}, r"prune\.end: .*less than 1 \(got 1\.0\)"),
        ({"sparsity": 1.0}, r"prune\.sparsity: .*less than 1 \(got 1\.0\)"),
        ({"sparsity": -0.1}, r"prune\.sparsity: .*greater than or equal to 0 \(got -0\.1\)"),
        ({"initial": 0.8}, r"prune: initial 0\.8 is above sparsity 0\.75"),
        ({"granularity": "2:4"}, r"prune: granularity 2:4 prunes 2 of 4 weights, so sparsity must be 0\.5, not 0\.75"),
        ({"granularity": "4:2"}, r"prune: granularity 4:2 prunes nothing"),
        ({"granularity": "1:4", "threshold": "global"}, r"prune: threshold global and granularity 1:4"),
        ({"granularity": "structured", "core": 0.1}, r"prune: core 0\.1 needs .* structured; set prune.core=0$"),
        ({"granularity": "1:4", "control": True, "core": 0.0}, r"prune: control True .* set prune.control=false$"),
        ({"granularity": "2/4"}, r"prune\.granularity: .*\(got '2/4'\)"),
        ({"saliency": "obrt"}, r"prune\.saliency: .*'obert'"),
        ({"block": 0}, r"prune\.block: .*\(got 0\)"),
        ({"gradients": 0}, r"prune\.gradients: .*\(got 0\)"),
        ({"sparsty": 0.5}, r"prune\.sparsty: unknown key 'sparsty'. Did you mean 'sparsity'"),
    ],
)  # fmt: skip
def test_a_bad_setting_is_named(changes, message):
    plain = read_yaml(ROOT / "params.yaml")
    plain["prune"] |= {"sparsity": 0.75, "granularity": "unstructured", "begin": 0.0, "end": 0.6, "initial": 0.0}
    parse_params(plain)
    plain["prune"] |= changes
    with pytest.raises(ConfigError, match=message):
        parse_params(plain)


def out_of_memory(*arguments, **named):
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")


def test_a_gpu_out_of_memory_says_which_knob(model, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("sparsecbm.prune.gradients._backward", out_of_memory)
        with pytest.raises(ModelError, match=r"out of memory: lower prune\.gradient_batch, or lower prune\.memory_mb"):
            fitted(copy.deepcopy(model), tmp_path / "event", pruning(saliency="obert"))
        fitted(copy.deepcopy(model), tmp_path / "fine", pruning(epochs=1))  # takes no such gradients
    monkeypatch.setattr(MaskTraining, "losses", out_of_memory)
    with pytest.raises(ModelError, match=r"lower finetune\.batch_size .*, or set prune\.concepts to sampled") as told:
        fitted(model, tmp_path / "update")
    assert isinstance(told.value.__cause__, torch.OutOfMemoryError)


def test_so_does_dense_training(model, tmp_path, monkeypatch):
    monkeypatch.setattr(model, "represent", out_of_memory)
    with pytest.raises(ModelError, match=r"the GPU is out of memory: lower finetune\.batch_size \([^()]*\)$"):
        fit(model, annotated(16, 1), annotated(8, 2), settings(), 0, Checkpoints(tmp_path / "c"))
