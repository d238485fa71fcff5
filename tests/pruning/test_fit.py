"""From a dense model to a sparse one: the selected checkpoint, frozen weights, and the same bytes after a kill."""

import json
import subprocess
import sys

import pytest
import torch

from sparsecbm.api import SparseCBM
from sparsecbm.base.errors import ConfigError, ModelError
from sparsecbm.base.params import LabelNoise, parse_params, read_yaml
from sparsecbm.model.masks import MaskSet
from sparsecbm.model.units import find_units
from sparsecbm.pruning.fit import PruneOptions, fit_masks, mix_targets
from sparsecbm.pruning.training import MaskTraining
from sparsecbm.train import loop
from sparsecbm.train.examples import build_examples
from sparsecbm.train.loop import ignore_figures
from sparsecbm.train.modes import fit
from sparsecbm.train.oom import out_of_memory_hint
from tests.support.prune_settings import pruning
from tests.support.tiny_models import tiny_model
from tests.support.tiny_pipeline import ROOT
from tests.support.tiny_tables import annotated
from tests.support.training import copy_weights, equal_weights, finetuning, training_run


def prune(model, folder, params=None, finetune=None, rows=48, seed=5, on_step=ignore_figures, control_of=None):
    """Return a sparse model, trained on 48 texts with 6 updates per epoch."""
    options = PruneOptions(params or pruning(), finetune or finetuning(), control_of)
    run = training_run(folder / "c", seed, on_step)
    return fit_masks(model, annotated(rows, 1), annotated(24, 2), options, run)


def backbone_of(model):
    return {name: parameter.detach().clone() for name, parameter in model.backbone.named_parameters()}


@pytest.mark.parametrize("saliency", ["movement", "magnitude"])
def test_frozen_weights_keep_their_bytes(saliency, model, tmp_path):
    sparse = prune(model, tmp_path, pruning(saliency=saliency, concepts="all"), finetuning(ema_decay=0.5)).model
    assert equal_weights(backbone_of(model), backbone_of(sparse))
    assert not equal_weights(copy_weights(model.concept_heads), copy_weights(sparse.concept_heads))


@pytest.mark.parametrize("weights", ["frozen", "trained"])
@pytest.mark.parametrize("masked", [False, True])
def test_pruning_does_not_change_the_given_model(weights, masked, model, tmp_path):
    """Weights, masks, means, mode and `requires_grad` stay; the result shares no memory with the model."""
    if masked:
        model = prune(model, tmp_path / "first", pruning(sparsity=0.25, epochs=1)).model
        model.hard_head = None
    model.means = {"activations": {}}
    names = [name for name, _ in model.named_parameters()]
    model.requires_grad_(True).get_parameter(names[0]).requires_grad_(False)
    model.train()
    before, masks = copy_weights(model), model.masks
    result = prune(model, tmp_path, pruning(weights=weights, concepts="all", epochs=1))
    assert equal_weights(copy_weights(model), before)
    assert model.masks == masks and result.model.masks != masks
    assert model.means == {"activations": {}} and model.hard_head is None and model.training
    assert [name for name, p in model.named_parameters() if not p.requires_grad] == [names[0]]
    assert all(p.grad is None for p in model.parameters())
    assert type(result.model) is type(model) and not result.model.training
    with torch.no_grad():
        for parameter in result.model.parameters():
            parameter.zero_()
    assert equal_weights(copy_weights(model), before)


def test_trained_weights_change_and_word_embeddings_only_if_configured(backbone, tmp_path):
    for freeze in (True, False):
        model = tiny_model(backbone)
        before = backbone_of(model)
        params = pruning(weights="trained", saliency="magnitude", epochs=1)
        sparse = prune(model, tmp_path / str(freeze), params, finetuning(freeze_embeddings=freeze)).model
        changed = {name for name, weight in backbone_of(sparse).items() if not torch.equal(weight, before[name])}
        assert "encoder.layer.0.output.dense.weight" in changed
        assert ("embeddings.word_embeddings.weight" in changed) != freeze


def test_frozen_weights_can_be_trained_again_afterwards(model, tmp_path):
    sparse = prune(model, tmp_path, pruning(epochs=1)).model
    before, masks = backbone_of(sparse), sparse.masks
    fit(sparse, annotated(16, 1), annotated(8, 2), finetuning(epochs=1), training_run(tmp_path / "again"))
    assert not equal_weights(before, backbone_of(sparse)) and sparse.masks == masks


@pytest.mark.parametrize(
    ("granularity", "saliency", "sparsity"),
    [
        ("unstructured", "movement", 0.75),
        ("2:4", "movement", 0.5),
        ("2:4", "obert", 0.5),
        ("structured", "random", 0.25),
    ],
)
def test_final_density_is_exact_and_every_event_is_reported(granularity, saliency, sparsity, model, tmp_path):
    reported = {}
    result = prune(
        model, tmp_path, pruning(granularity=granularity, saliency=saliency, sparsity=sparsity),
        on_step=lambda step, figures: reported.update({step: figures}) if "prune.sparsity" in figures else None,
    )  # fmt: skip
    masks, history = result.model.masks, result.history
    assert masks.density() == {"food": 1 - sparsity, "noise": 1 - sparsity}
    expected = {0: 0, 3: sparsity / 2, 6: sparsity} | ({9: sparsity} if saliency == "movement" else {})
    assert {event["step"]: event["prune.sparsity"] for event in history.events} == expected
    for event in history.events:
        assert event["prune.density.food"] == event["prune.density.noise"] == 1 - expected[event["step"]]
    assert history.events == [{"step": step, **figures} for step, figures in reported.items()]
    assert masks.core().density < 1 - sparsity


def script_scores(monkeypatch, scores):
    """Make validation return these scores in order."""
    remaining = iter(scores)
    monkeypatch.setattr(loop, "validation_scores", lambda *arguments: {"score": next(remaining)})


def test_only_a_checkpoint_at_the_final_sparsity_is_selected(backbone, tmp_path, monkeypatch):
    """An epoch has 6 updates. The denser first epoch has the best score; the second is the best of the other two."""
    selected = {}
    for end in (0.5, 0.25):  # of 18 updates: the last event is before update 9, or update 4
        script_scores(monkeypatch, [0.9, 0.6, 0.5])
        result = prune(tiny_model(backbone), tmp_path / str(end), pruning(end=end, epochs=3))
        selected[end] = result.history.best_step, result.history.best_score
        assert result.model.masks.density() == {"food": 0.5, "noise": 0.5}
        assert len(list((tmp_path / str(end) / "c").glob("best-*"))) == 1
    assert selected == {0.5: (12, 0.6), 0.25: (6, 0.9)}


def test_the_selected_masks_belong_to_the_selected_weights(backbone, tmp_path, monkeypatch):
    """Learnt masks still change at the final sparsity, so each checkpoint has its own masks."""
    for best, scores in ((6, [0.0, 0.9, 0.5]), (9, [0.0, 0.5, 0.9])):
        script_scores(monkeypatch, scores)
        params = pruning(end=0.25, events=2, epochs=3)
        result = prune(tiny_model(backbone), tmp_path / str(best), params, rows=24)
        steps = [event["step"] for event in result.history.events]
        *_, last = (step for step in steps if step < best)
        assert result.history.best_step == best and result.events == tmp_path / f"{best}/c/events"
        saved = {step: MaskSet.load(result.events / f"{step}.safetensors") for step in steps}
        assert [step for step, masks in saved.items() if masks == result.model.masks] == [last]


def test_patience_starts_at_the_final_sparsity(backbone, tmp_path, monkeypatch):
    script_scores(monkeypatch, [0.9, 0.8, 0.7, 0.6, 0.5])
    params = pruning(end=0.5, epochs=5)
    history = prune(tiny_model(backbone), tmp_path, params, finetuning(patience=1), rows=24).history
    assert [epoch["epoch"] for epoch in history.epochs] == [1, 2, 3, 4]  # the last event is at 7 of 15
    assert history.best_step == 9


class KilledError(Exception):
    pass


def kill(monkeypatch, step, when):
    """Kill a training at a step: before its event, after the event with new masks, or one update later."""
    before_update = MaskTraining.before_update

    def killed(self, model, now):
        if now == step and when == "before":
            raise KilledError
        figures = before_update(self, model, now)
        if now == step + (when == "after") and when != "before":
            raise KilledError
        return figures

    monkeypatch.setattr(MaskTraining, "before_update", killed)


@pytest.fixture(scope="module")
def uninterrupted(backbone, tmp_path_factory):
    """Return the result of an uninterrupted training of each kind."""
    results = {}

    def train_once(kind):
        if kind not in results:
            results[kind] = prune(tiny_model(backbone), tmp_path_factory.mktemp(kind), *KINDS[kind])
        return results[kind]

    return train_once


EACH_UPDATE_SAVES = finetuning(checkpoint_seconds=0.0, ema_decay=0.9)
KINDS = {
    "movement": (pruning(weights="frozen", concepts="sampled", leakage_weight=0.3, distill=0.5), EACH_UPDATE_SAVES),
    "obert": (pruning(saliency="obert", weights="trained", concepts="all", core=0.3, gradients=3), EACH_UPDATE_SAVES),
    "each epoch": (pruning(saliency="obert", weights="trained", gradients=3), finetuning()),
}


def event_files(folder):
    return {file.name: file.read_bytes() for file in folder.iterdir()}


@pytest.mark.parametrize(
    ("kind", "step", "when"),
    [
        ("movement", 3, "before"), ("movement", 3, "event"), ("movement", 3, "after"), ("movement", 9, "event"),
        ("obert", 3, "before"), ("obert", 3, "event"), ("obert", 3, "after"),
        ("each epoch", 6, "after"),  # the last checkpoint is older than the event, so the event is repeated
    ],
)  # fmt: skip
def test_killed_and_resumed_equals_uninterrupted(kind, step, when, uninterrupted, backbone, tmp_path, monkeypatch):
    expected = uninterrupted(kind)
    with monkeypatch.context() as patch:
        kill(patch, step, when)
        with pytest.raises(KilledError):
            prune(tiny_model(backbone), tmp_path, *KINDS[kind])
    before, events = event_files(tmp_path / "c/events"), [event["step"] for event in expected.history.events]
    passed = [event for event in events if event < step or (event == step and when != "before")]
    assert before.keys() == {f"{event}.safetensors" for event in passed}
    steps = []
    resumed = prune(tiny_model(backbone), tmp_path, *KINDS[kind], on_step=lambda step, figures: steps.append(step))
    assert equal_weights(copy_weights(expected.model), copy_weights(resumed.model))
    assert resumed.model.masks == expected.model.masks and resumed.model.means == expected.model.means
    assert resumed.history == expected.history
    files = event_files(expected.events)
    assert event_files(resumed.events) == files and before.items() <= files.items()
    assert 0 not in steps, "it must resume, not start again"


def test_another_seed_gives_other_masks(uninterrupted, backbone, tmp_path):
    for kind in ("movement", "obert"):
        other = prune(tiny_model(backbone), tmp_path / kind, *KINDS[kind], seed=6)
        assert other.model.masks != uninterrupted(kind).model.masks


def test_a_control_is_trained_under_shuffled_masks(uninterrupted, backbone, tmp_path):
    chosen = uninterrupted("movement")
    result = prune(tiny_model(backbone), tmp_path, *KINDS["movement"], control_of=chosen.events)
    model, control = chosen.model, result.model
    assert [event["step"] for event in result.history.events] == [event["step"] for event in chosen.history.events]
    for mask in control.masks:
        assert mask.density_by_layer() == model.masks[mask.name].density_by_layer()
    assert control.masks.core().density_by_layer() == model.masks.core().density_by_layer()
    assert control.masks != model.masks and not result.events.exists()
    assert equal_weights(backbone_of(control), backbone_of(model))
    assert not equal_weights(copy_weights(control), copy_weights(model))


def test_a_control_whose_heads_are_all_fitted_anew_needs_no_training(uninterrupted, backbone, tmp_path):
    """Frozen weights learn nothing under random masks: the fitted concept heads are those after a training."""
    params, finetune = KINDS["movement"]
    chosen = uninterrupted("movement")
    trained = prune(tiny_model(backbone), tmp_path / "trained", params, finetune, control_of=chosen.events)
    refitting = finetune.model_copy(update={"refit_label_head": True})
    fitted = prune(tiny_model(backbone), tmp_path / "fitted", params, refitting, control_of=chosen.events)
    assert trained.history.curves and not fitted.history.curves
    assert fitted.model.masks == trained.model.masks
    for name, weight in copy_weights(trained.model.concept_heads).items():
        torch.testing.assert_close(fitted.model.concept_heads.state_dict()[name], weight)
    assert not equal_weights(copy_weights(chosen.model.concept_heads), copy_weights(fitted.model.concept_heads))


def test_a_control_shuffles_the_final_masks(model, tmp_path):
    """Concepts that have not earned weights of their own keep common ones; the control has the same overlaps."""
    params, finetune = pruning(core=0.5, epochs=1, contrast="earned"), finetuning(refit_label_head=True)
    chosen = prune(model, tmp_path / "chosen", params, finetune)
    assert not any(own.earned for own in chosen.own_weights.values())
    assert chosen.model.masks.exclusive("food").weights == 0
    assert MaskSet.load(chosen.events / "final.safetensors") == chosen.model.masks
    control = prune(model, tmp_path / "control", params, finetune, control_of=chosen.events)
    assert control.model.masks.exclusive("food").weights == 0 and control.model.masks != chosen.model.masks
    fixed = prune(model, tmp_path / "fixed", pruning(core=0.5, epochs=1, contrast="fixed"), finetune)
    assert fixed.own_weights == chosen.own_weights and fixed.model.masks.exclusive("food").weights > 0
    assert prune(model, tmp_path / "none", pruning(core=0.0, epochs=1), finetune).own_weights == {}


def test_a_control_of_whole_units_keeps_whole_units(model, tmp_path):
    params = pruning(granularity="structured", core=0.0, epochs=1, sparsity=0.5)
    chosen = prune(model, tmp_path / "chosen", params)
    control = prune(model, tmp_path / "control", params, control_of=chosen.events)
    kept = {}
    for name, result in (("chosen", chosen), ("control", control)):
        masks = result.model.masks
        kept[name] = {
            (mask.name, group.kind, group.block): group.kept(dict(mask.items()))
            for mask in masks
            for group in find_units(model.backbone)
        }
    assert {where: int(units.sum()) for where, units in kept["control"].items()} == {
        where: int(units.sum()) for where, units in kept["chosen"].items()
    }
    assert chosen.model.masks != control.model.masks


def test_weights_inside_common_units_are_trained_judged_and_controlled(model, tmp_path):
    """Of 2 heads and 32 neurons in a block, all concepts keep the same half, and half of the weights inside."""
    params = pruning(granularity="hierarchical", core=0.5, epochs=1, sparsity=0.75)
    chosen = prune(model, tmp_path / "chosen", params)
    control = prune(model, tmp_path / "control", params, control_of=chosen.events)
    assert chosen.own_weights.keys() == {"food", "noise"} and control.own_weights == {}
    for result in (chosen, control):
        masks = result.model.masks
        assert set(masks.density().values()) == {0.25}
        assert masks.exclusive("food").weights > 0
        for group in find_units(model.backbone):
            assert int(group.used(masks.union()).sum()) == group.count // 2
    assert chosen.model.masks != control.model.masks


def test_mixed_targets_by_hand(model):
    """The gold state of a text counts 1/4 and the prediction 3/4. Without a gold state the target is the prediction."""
    frame = annotated(2, seed=1).assign(**{"concept.noise": ["loud", None]})
    for name, shares in (("food", [0.2, 0.3, 0.5]), ("noise", [0.4, 0.6])):
        head = model.concept_heads.head(name)
        torch.nn.init.zeros_(head.weight)
        head.bias.data = torch.tensor(shares).log()
    unmixed = build_examples(frame, model)
    mixed = mix_targets(unmixed, model.logits(frame["text"].tolist()).concepts, 0.75)
    assert mixed.concept_targets["noise"].flatten().tolist() == pytest.approx([0.25 + 0.3, 0.45, 0.4, 0.6])
    state_index = ["Negative", "Positive", "unknown"].index(frame["concept.food"][0])
    expected = [0.15, 0.225, 0.375]
    expected[state_index] += 0.25
    assert mixed.concept_targets["food"][0].tolist() == pytest.approx(expected)
    assert unmixed.concept_targets["noise"].tolist() == [[1, 0], [0, 0]]  # unchanged
    assert torch.equal(mixed.concepts["noise"], unmixed.concepts["noise"]) and mixed.rows == unmixed.rows


def test_mixed_targets_keep_the_weight_of_their_labels(model):
    frame = annotated(3, seed=1).assign(**{"concept.food": ["Negative", None, "Positive"]})
    frame["source.food"] = ["llm", "blank", "human"]
    logits = model.logits(frame["text"].tolist()).concepts
    mixed = mix_targets(build_examples(frame, model, noise=LabelNoise(machine_weight=0.4)), logits, 0.75)
    whole = mix_targets(build_examples(frame, model), logits, 0.75)
    rows = torch.tensor([0.4, 1.0, 1.0])[:, None]  # a text without a state gets the prediction alone, at weight 1
    torch.testing.assert_close(mixed.concept_targets["food"], rows * whole.concept_targets["food"])


def test_masks_and_heads_do_not_learn_from_labels_of_weight_0(model, tmp_path):
    """Flipped labels of a machine change nothing at weight 0, not even the priors; at weight 1 they do."""
    flipped = {"Negative": "Positive", "Positive": "unknown", "unknown": "Negative"}
    frame = annotated(48, 1).assign(**{"source.food": ["human", "llm"] * 24})
    machine = frame["source.food"] == "llm"
    wrong = frame.assign(**{"concept.food": frame["concept.food"].mask(machine, frame["concept.food"].map(flipped))})
    weights = {}
    for weight in (0.0, 1.0):
        for name, table in (("right", frame), ("wrong", wrong)):
            finetune = finetuning(noise=LabelNoise(machine_weight=weight))
            options = PruneOptions(pruning(epochs=1, concepts="all", leakage_weight=0.2, head_distill=0.0), finetune)
            run = training_run(tmp_path / f"{weight}{name}", 5)
            weights[weight, name] = copy_weights(fit_masks(model, table, annotated(24, 2), options, run).model)
    assert equal_weights(weights[0.0, "right"], weights[0.0, "wrong"])
    assert not equal_weights(weights[1.0, "right"], weights[1.0, "wrong"])


def test_targets_are_mixed_with_the_predictions_of_the_dense_model(model, tmp_path, monkeypatch):
    """Targets are mixed before the first mask, and only if configured."""
    dense = model.logits(annotated(48, 1)["text"].tolist()).concepts["food"]
    targets = []
    init = MaskTraining.__init__
    monkeypatch.setattr(
        MaskTraining, "__init__", lambda self, *arguments: (targets.append(arguments[2]), init(self, *arguments))[1]
    )
    for number, share in enumerate((1.0, 0.0)):
        prune(model, tmp_path / str(number), pruning(distill=share, epochs=1))
    torch.testing.assert_close(targets[0]["food"], torch.from_numpy(dense).softmax(-1))
    assert set(targets[1]["food"].flatten().tolist()) == {0, 1}


def test_heads_have_a_separate_share_of_the_dense_predictions(model, tmp_path, monkeypatch):
    """The share for heads does not depend on the share for masks."""
    dense = torch.from_numpy(model.logits(annotated(48, 1)["text"].tolist()).concepts["food"]).softmax(-1)
    unmixed = build_examples(annotated(48, 1), model).concept_targets["food"]
    targets = []
    monkeypatch.setattr(
        "sparsecbm.pruning.fit.refit_concept_heads", lambda model, data, *rest: targets.append(data.concept_targets)
    )
    for masks, heads in ((0.0, 0.0), (0.0, 0.25), (0.5, 0.25)):
        prune(model, tmp_path / f"{masks}{heads}", pruning(distill=masks, head_distill=heads, epochs=1))
    torch.testing.assert_close(targets[0]["food"], unmixed)
    torch.testing.assert_close(targets[1]["food"], 0.75 * unmixed + 0.25 * dense)
    torch.testing.assert_close(targets[2]["food"], targets[1]["food"])
    assert not torch.allclose(targets[0]["food"], targets[1]["food"], atol=0.01)


def test_means_and_label_head_belong_to_the_sparse_model(backbone, tmp_path):
    frame, unchanged = annotated(48, 1), {}
    for mode, refit in (("joint", True), ("joint", False), ("sequential", False)):
        model = tiny_model(backbone, mode=mode)
        params, finetune = pruning(epochs=1), finetuning(refit_label_head=refit)
        sparse = prune(model, tmp_path / f"{mode}{refit}", params, finetune).model
        predictions = sparse.predict(frame["text"].tolist())
        by_hand = sum(p.concepts["food"].probabilities["Positive"] for p in predictions) / len(frame)
        assert sparse.means["activations"]["food"]["Positive"] == pytest.approx(by_hand, abs=1e-6)
        unchanged[mode, refit] = equal_weights(copy_weights(model.label_head), copy_weights(sparse.label_head))
    assert unchanged == {("joint", True): False, ("joint", False): True, ("sequential", False): False}


def test_a_saved_sparse_model_predicts_the_same_in_a_fresh_process(model, tmp_path):
    model = prune(model, tmp_path, pruning(sparsity=0.75, weights="trained")).model
    texts = annotated(10, 3)["text"].tolist()
    expected = [p.to_dict() for p in model.predict(texts)]
    model.save_pretrained(tmp_path / "sparse")
    code = (
        "import json, sys; from sparsecbm import SparseCBM; model = SparseCBM.from_pretrained(sys.argv[1]);"
        f"print(json.dumps([[p.to_dict() for p in model.predict({texts!r})], model.masks.content_hash()]))"
    )
    run = subprocess.run([sys.executable, "-c", code, tmp_path / "sparse"], capture_output=True, text=True, check=True)
    assert json.loads(run.stdout) == [expected, model.masks.content_hash()]
    model.masks = model.masks.replaced("food", dict(model.masks["noise"].items()))
    assert [p.to_dict() for p in model.predict(texts)] != expected
    assert SparseCBM.from_pretrained(tmp_path / "sparse").masks != model.masks


def test_a_model_without_a_bottleneck_raises_an_error(backbone, tmp_path):
    with pytest.raises(ModelError, match="mode `standard` has no concepts"):
        prune(tiny_model(backbone, mode="standard"), tmp_path)


def test_unknown_layers_raise_an_error(model, tmp_path):
    with pytest.raises(ConfigError, match=r"prune\.layers: unknown layer pattern '\*\.atention\.\*'"):
        prune(model, tmp_path, pruning(layers=["*.atention.*"]))
    with pytest.raises(ConfigError, match=r"prune\.masked_from: 7 is not among the blocks 0 to 1"):
        prune(model, tmp_path, pruning(masked_from=7))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"begin": 0.8, "end": 0.6}, r"prune: begin 0\.8 is after end 0\.6; both are shares of all updates$"),
        ({"events": 1}, r"prune: events 1 is a single event, and begin 0\.0 and end 0\.6 are two; set prune\.events=2"),
        ({"end": 1.0}, r"prune\.end: must be below 1, not 1\.0"),
        ({"sparsity": 1.0}, r"prune\.sparsity: must be below 1, not 1\.0"),
        ({"sparsity": -0.1}, r"prune\.sparsity: must be at least 0, not -0\.1"),
        ({"initial": 0.8}, r"prune: initial 0\.8 is above sparsity 0\.75"),
        ({"granularity": "2:4"}, r"prune: granularity 2:4 prunes 2 of 4 weights, so sparsity must be 0\.5, not 0\.75"),
        ({"granularity": "4:2"}, r"prune: granularity 4:2 prunes nothing"),
        ({"granularity": "1:4", "threshold": "global"}, r"prune: threshold global and granularity 1:4"),
        ({"granularity": "structured", "core": 0.1}, r"prune: core 0\.1 needs .* structured; set prune.core=0$"),
        ({"granularity": "2/4"}, r"prune\.granularity: must be .*N:M, such as 2:4, not '2/4'"),
        ({"saliency": "obrt"}, r"prune\.saliency: .*'obert'"),
        ({"block": 0}, r"prune\.block: must be at least 1, not 0"),
        ({"gradients": 0}, r"prune\.gradients: must be at least 1, not 0"),
        ({"sparsty": 0.5}, r"prune\.sparsty: unknown key 'sparsty'. Did you mean 'sparsity'"),
    ],
)  # fmt: skip
def test_the_error_names_a_bad_setting(changes, message):
    content = read_yaml(ROOT / "params.yaml")
    content["prune"] |= {"sparsity": 0.75, "granularity": "unstructured", "begin": 0.0, "end": 0.6, "initial": 0.0}
    parse_params(content)
    content["prune"] |= changes
    with pytest.raises(ConfigError, match=message):
        parse_params(content)


def out_of_memory(*arguments, **named):
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")


def test_a_gpu_out_of_memory_names_the_key_to_change(model, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("sparsecbm.pruning.gradients._backward", out_of_memory)
        with pytest.raises(ModelError, match=r"out of memory: lower prune\.gradient_batch, or lower prune\.memory_mb"):
            prune(model, tmp_path / "event", pruning(saliency="obert"))
        prune(model, tmp_path / "fine", pruning(epochs=1))  # needs no gradients for saliency
    monkeypatch.setattr(MaskTraining, "compute_losses", out_of_memory)
    with pytest.raises(ModelError, match=r"lower finetune\.batch_size .*, or set prune\.concepts to sampled") as raised:
        prune(model, tmp_path / "update")
    assert isinstance(raised.value.__cause__, torch.OutOfMemoryError)


def test_a_machine_out_of_memory_names_the_key_to_change_and_other_faults_stay_as_they_are():
    with pytest.raises(ModelError, match="this machine is out of memory: lower it"), out_of_memory_hint("lower it"):
        raise RuntimeError("[enforce fail at alloc_cpu.cpp:119] DefaultCPUAllocator: can't allocate memory: you tried")
    with pytest.raises(ModelError, match="this machine is out of memory"), out_of_memory_hint("lower it"):
        raise MemoryError
    with pytest.raises(RuntimeError, match="shapes differ"), out_of_memory_hint("lower it"):
        raise RuntimeError("shapes differ")


def test_dense_training_out_of_memory_also_names_the_key(model, tmp_path, monkeypatch):
    monkeypatch.setattr(model, "represent", out_of_memory)
    with pytest.raises(
        ModelError, match=r"the GPU is out of memory: lower finetune\.batch_size \([^()]*\), set finetune\.grad"
    ):
        fit(model, annotated(16, 1), annotated(8, 2), finetuning(), training_run(tmp_path / "c"))
