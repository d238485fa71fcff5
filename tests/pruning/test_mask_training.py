"""Updates and events under masks: losses and gradients equal those of plain autograd; events by hand."""

import copy

import pytest
import torch
from torch.func import functional_call
from torch.nn.functional import cross_entropy, kl_div

from sparsecbm.base.errors import ModelError
from sparsecbm.base.params import LabelNoise
from sparsecbm.model.masked import prunable_layers
from sparsecbm.model.masks import MaskSet
from sparsecbm.model.overlap import compute_overlap
from sparsecbm.pruning.event import score_weights
from sparsecbm.pruning.gradients import draw_gradient_batches
from sparsecbm.pruning.mask_sources import ShuffledMasks, make_mask_source
from sparsecbm.pruning.schedule import PruningEvents
from sparsecbm.pruning.training import MaskTraining
from sparsecbm.train.examples import build_batch, build_examples
from tests.support.prune_settings import pruning
from tests.support.tiny_models import random_masks, tiny_model
from tests.support.tiny_tables import annotated
from tests.support.training import finetuning

NAMES = ("food", "noise")


def dense_masks(model):
    shapes = {layer: tuple(m.weight.shape) for layer, m in prunable_layers(model.backbone).items()}
    return MaskSet.dense(model.concept_set.names, shapes)


def training_texts(model):
    return build_examples(annotated(24, seed=0), model)


def method_for(model, folder, params, finetune=None, updates=20, source=None):
    """Return a method and its optimizer; a model without masks gets dense ones."""
    model.masks = model.masks or dense_masks(model)
    data = training_texts(model)
    events = PruningEvents.plan(params, updates)
    source = source or make_mask_source(params, data, 0, folder / "events")
    method = MaskTraining(params, finetune or finetuning(), data.concept_targets, events, source)
    return method, method.make_optimizer(model)


def batch_for(model, rows=7):
    data = build_examples(annotated(rows, seed=1), model)
    return build_batch(data, range(rows), model.tokenizer.pad_token_id, model.device)


def learnt(method):
    """Return the learnt scores of all weights, by layer and concept."""
    return {key: form.parameters["score"] for key, form in method.scores.layers.items()}


def routes(concepts, step, rows):
    """Return the rows of each mask, by the definition of each setting."""
    if concepts == "all":
        return {name: list(range(rows)) for name in NAMES}
    if concepts == "sampled":
        return {NAMES[step % 2]: list(range(rows))}
    return {name: [i for i in range(rows) if (i + step) % 2 == index] for index, name in enumerate(NAMES)}


def by_plain_autograd(dense, masks, b, rows, priors, label, leakage_weight):
    """Return the loss and dL/d(w m_k). The dense model runs once for each concept, with weights W * m_k."""
    weights = {layer: module.weight.detach() for layer, module in prunable_layers(dense.backbone).items()}
    leaves, logits, leakage = {}, {}, []
    for index, name in enumerate(NAMES):
        if name in rows:
            for layer, weight in weights.items():
                leaves[layer, index] = (weight * masks[name][layer]).requires_grad_()
            masked = {f"backbone.{layer}.weight": leaves[layer, index] for layer in weights}
            under_mask = functional_call(dense, masked, (b.ids[rows[name]], b.mask[rows[name]])).concept_logits
            logits[name] = under_mask[name]
            for other in set(NAMES) - {name}:
                prior = priors[other].expand_as(under_mask[other])
                leakage.append(kl_div(under_mask[other].log_softmax(-1), prior, reduction="batchmean"))
    concept = torch.stack([cross_entropy(logits[n], b.concepts[n][rows[n]], label_smoothing=0.1) for n in rows]).mean()
    total = 0.7 * concept + leakage_weight * torch.stack(leakage).mean()
    if label:
        total = total + cross_entropy(dense.output(logits).label_logits, b.label)
    total.backward()
    return total.item(), {key: leaf.grad for key, leaf in leaves.items()}


@pytest.mark.parametrize("weights", ["frozen", "trained"])
@pytest.mark.parametrize(("concepts", "step"), [("all", 0), ("sampled", 0), ("sampled", 1), ("split", 0), ("split", 1)])
def test_the_gradient_of_a_score_is_the_masked_gradient_times_the_weight(concepts, step, weights, model, tmp_path):
    """This includes dropped weights. Trained weights learn only through their masks."""
    dense, b = copy.deepcopy(model), batch_for(model)
    model.masks = random_masks(model)
    params = pruning(concepts=concepts, weights=weights, leakage_weight=0.3)
    method, _ = method_for(model, tmp_path, params, finetuning(gamma=0.7, label_smoothing=0.1))
    rows = routes(concepts, step, len(b.ids))
    total, expected = by_plain_autograd(dense, model.masks, b, rows, method.priors, concepts == "all", 0.3)

    losses = method.compute_losses(model, b, step)
    assert losses.total.item() == pytest.approx(total, rel=1e-5)
    losses.total.backward()
    method.after_backward(model)
    for layer, module in prunable_layers(model.backbone).items():
        sums = torch.zeros_like(module.weight)
        for index, name in enumerate(NAMES):
            computed = learnt(method)[layer, index].grad
            if name not in rows:
                assert computed is None
                continue
            gradient, kept = expected[layer, index], model.masks[name][layer]
            torch.testing.assert_close(computed, gradient * module.weight, atol=1e-7, rtol=1e-3)
            assert (computed[~kept] != 0).any()
            sums += gradient * kept
        if weights == "trained":
            torch.testing.assert_close(module.weight.grad, sums, atol=1e-7, rtol=1e-3)
        else:
            assert module.weight.grad is None


def test_gradients_of_accumulated_batches_add_up(model, tmp_path):
    method, optimizer = method_for(model, tmp_path, pruning(weights="trained", concepts="all"))

    def gradients(parts):
        optimizer.zero_grad()
        for part in parts:
            method.compute_losses(model, part, 0).total.backward()
            method.after_backward(model)
        layer = "encoder.layer.0.intermediate.dense"
        weight = dict(model.backbone.named_modules())[layer].weight
        return learnt(method)[layer, 0].grad.clone(), weight.grad.clone()

    first, second = batch_for(model, 4), batch_for(model, 9)
    both = gradients([first, second])
    for sums, one, other in zip(both, gradients([first]), gradients([second]), strict=True):
        torch.testing.assert_close(sums, one + other)


def test_weights_also_learn_through_masks_with_other_saliencies(model, tmp_path):
    dense, b = copy.deepcopy(model), batch_for(model)
    model.masks = random_masks(model)
    method, _ = method_for(
        model,
        tmp_path,
        pruning(weights="trained", saliency="obert"),
        finetuning(gamma=0.7, label_smoothing=0.1),
    )
    rows = routes("sampled", 0, len(b.ids))
    _, expected = by_plain_autograd(dense, model.masks, b, rows, method.priors, False, 0.0)
    method.compute_losses(model, b, 0).total.backward()
    method.after_backward(model)
    assert method.scores is None
    for layer, module in prunable_layers(model.backbone).items():
        masked = expected[layer, 0] * model.masks["food"][layer]
        torch.testing.assert_close(module.weight.grad, masked, atol=1e-7, rtol=1e-3)


def test_a_mask_without_rows_of_a_small_batch_is_skipped(model, tmp_path):
    method, _ = method_for(model, tmp_path, pruning(concepts="split", leakage_weight=0.5))
    losses = method.compute_losses(model, batch_for(model, 1), 1)
    losses.total.backward()
    method.after_backward(model)
    assert torch.isfinite(losses.total)
    assert {index for (_, index), score in learnt(method).items() if score.grad is not None} == {1}


@torch.no_grad()
def test_concepts_have_the_configured_loss_under_masks(model, tmp_path):
    """(1 - p^q) / q of the gold state, as in dense training; the label keeps its cross-entropy."""
    model.masks = random_masks(model)
    b, losses = batch_for(model), {}
    for q in (0.0, 0.7):
        finetune = finetuning(noise=LabelNoise(generalised_cross_entropy=q))
        method, _ = method_for(model, tmp_path, pruning(concepts="all"), finetune)
        losses[q] = method.compute_losses(model, b, 0)
    logits = model(b.ids, b.mask).concept_logits
    gold = {name: (values.softmax(-1) * b.concepts[name]).sum(-1) for name, values in logits.items()}
    expected = sum(((1 - p**0.7) / 0.7).mean() for p in gold.values()) / len(gold)
    assert losses[0.7].concept.item() == pytest.approx(expected.item(), rel=1e-5)
    assert losses[0.7].concept < losses[0.0].concept - 0.1 and losses[0.7].label == losses[0.0].label


@torch.no_grad()
def test_the_label_is_trained_only_if_every_text_goes_through_all_masks(model, tmp_path):
    model.masks = random_masks(model)
    b = batch_for(model)
    losses = {}
    for concepts in ("all", "sampled", "split"):
        method, _ = method_for(model, tmp_path, pruning(concepts=concepts), finetuning(gamma=0.7))
        losses[concepts] = method.compute_losses(model, b, 0)
        assert model.label_head.linear.weight.requires_grad == (concepts == "all")
    label = cross_entropy(model(b.ids, b.mask).label_logits, b.label).item()
    assert losses["all"].label.item() == pytest.approx(label) and label > 0.1
    assert losses["all"].total.item() == pytest.approx(0.7 * losses["all"].concept.item() + label)
    for concepts in ("sampled", "split"):
        assert losses[concepts].label == 0
        assert losses[concepts].total.item() == pytest.approx(0.7 * losses[concepts].concept.item())


@torch.no_grad()
@pytest.mark.parametrize("mode", ["sequential", "independent"])
def test_other_modes_do_not_train_the_label(mode, backbone, tmp_path):
    model = tiny_model(backbone, mode=mode)
    method, _ = method_for(model, tmp_path, pruning(concepts="all"))
    losses = method.compute_losses(model, batch_for(model), 0)
    assert losses.label == 0 and losses.total == losses.concept
    assert not model.label_head.linear.weight.requires_grad


def test_the_leakage_penalty_moves_scores_and_no_head(model, tmp_path):
    model.masks = random_masks(model)
    b, heads, scores = batch_for(model), [], []
    for weight in (0.0, 1.0):
        model.zero_grad()
        method, _ = method_for(model, tmp_path, pruning(leakage_weight=weight))
        method.compute_losses(model, b, 0).total.backward()
        method.after_backward(model)
        heads.append([None if p.grad is None else p.grad.clone() for p in model.concept_heads.parameters()])
        scores.append(learnt(method)["encoder.layer.0.intermediate.dense", 0].grad)
    assert heads[0][0].any() and heads[0][2] is None  # in this step food's head learns, noise's does not
    for without, with_penalty in zip(*heads, strict=True):
        assert without is with_penalty is None or torch.equal(without, with_penalty)
    assert not torch.allclose(scores[0], scores[1], rtol=0.1)


def run_events(method, model, updates=20):
    """Call the method before each update; return figures and masks of each event, by step."""
    events = {}
    for step in range(updates):
        figures = method.before_update(model, step)
        if figures:
            events[step] = figures, model.masks
    return events


def test_events_follow_the_schedule(model, tmp_path):
    """.1 and .5 of 20 updates are 2 and 10. Four linear events from .1 to .7 rise by .2, at 2, 4.67, 7.33 and 10."""
    params = pruning(begin=0.1, end=0.5, events=4, initial=0.1, sparsity=0.7, saliency="random")
    method, _ = method_for(model, tmp_path, params)
    events = run_events(method, model)
    expected = {2: 0.1, 5: 0.1 + 0.6 * 3 / 8, 7: 0.1 + 0.6 * 5 / 8, 10: 0.7}
    assert list(events) == list(expected)
    for step, (figures, masks) in events.items():
        assert figures["prune.sparsity"] == pytest.approx(expected[step])
        for mask in masks:
            assert figures[f"prune.density.{mask.name}"] == mask.density
            for layer, density in mask.density_by_layer().items():
                size = masks.shapes[layer][0] * masks.shapes[layer][1]
                assert density == 1 - int(expected[step] * size + 0.5) / size
        assert MaskSet.load(tmp_path / "events" / f"{step}.safetensors") == masks
    assert len(list((tmp_path / "events").iterdir())) == 4
    assert [method.may_keep(updates) for updates in (5, 10, 11, 20)] == [False, False, True, True]


def test_learnt_masks_still_change_at_the_final_sparsity(model, tmp_path):
    """Four events from 2 to 10 are at least 2 updates apart, and so are those after them."""
    params = pruning(begin=0.1, end=0.5, events=4, sparsity=0.7)
    method, _ = method_for(model, tmp_path, params)
    events = run_events(method, model)
    assert list(events) == [2, 5, 7, 10, 12, 14, 16, 18]
    assert [figures["prune.sparsity"] for figures, _ in list(events.values())[3:]] == [0.7] * 5
    assert [method.may_keep(updates) for updates in (10, 11)] == [False, True]


def test_learnt_scores_start_from_magnitude_and_determine_the_masks(model, tmp_path):
    """An event keeps the weights with the highest scores, including weights dropped before."""
    changes = {"begin": 0.0, "end": 0.5, "events": 2, "schedule": "constant", "sparsity": 0.75}
    method, _ = method_for(model, tmp_path, pruning(**changes))
    method.before_update(model, 0)
    weights = dict(model.backbone.named_modules())
    for mask in model.masks:
        for layer, kept in mask.items():
            size = weights[layer].weight.abs()
            assert size[kept].min() >= size[~kept].max()
    layer = "encoder.layer.1.output.dense"
    first = model.masks["food"][layer]
    with torch.no_grad():
        learnt(method)[layer, 0].neg_()
    method.before_update(model, 10)
    assert not (model.masks["food"][layer] & first).any()
    assert torch.equal(model.masks["noise"][layer], first)


@pytest.mark.parametrize("saliency", ["obert", "random"])
def test_with_other_saliencies_no_weight_comes_back(saliency, model, tmp_path):
    method, _ = method_for(model, tmp_path, pruning(saliency=saliency, sparsity=0.75))
    events = run_events(method, model)
    assert list(events) == [0, 5, 10]
    for before, after in ((0, 5), (5, 10)):
        for mask in events[after][1]:
            assert not any((kept & ~events[before][1][mask.name][layer]).any() for layer, kept in mask.items())
    expected = ("density", "magnitude_correlation") if saliency == "obert" else ("density",)
    assert set(events[10][0]) == {"prune.sparsity"} | {
        f"prune.{figure}.{name}" for figure in expected for name in NAMES
    }
    assert events[10][1]["food"].bits["encoder.layer.0.output.dense"].tolist() != (
        events[10][1]["noise"].bits["encoder.layer.0.output.dense"].tolist()
    )


def test_the_texts_of_an_event_depend_on_step_and_seed(model):
    data = training_texts(model)

    def texts(seed, step, gradients=3):
        return [b.ids.tolist() for b in draw_gradient_batches(model, data, pruning(gradients=gradients), seed, step)]

    assert [len(ids) for ids in texts(0, 0)] == [2, 2, 2]
    assert texts(0, 0) == texts(0, 0)
    assert texts(0, 0) != texts(0, 5) and texts(0, 0) != texts(1, 0)
    assert len(texts(0, 0, gradients=100)) == 12  # all 24 texts, two by two


@pytest.mark.parametrize("saliency", ["obert", "movement"])
@pytest.mark.parametrize("cleared", [True, False])
def test_a_weight_outside_every_mask_keeps_its_bytes(saliency, cleared, model, tmp_path, monkeypatch):
    """Control: if its moments are not cleared, AdamW still moves the weight."""
    if not cleared:
        monkeypatch.setattr("sparsecbm.pruning.training.clear_moments_outside_masks", lambda *arguments: None)
    params = pruning(saliency=saliency, weights="trained", concepts="all", sparsity=0.75, begin=0.2)
    method, optimizer = method_for(model, tmp_path, params, finetuning(weight_decay=0.1), updates=12)
    layers = prunable_layers(model.backbone)
    b, moved_outside, outside, moved_inside = batch_for(model), 0, 0, 0
    for step in range(12):
        method.before_update(model, step)
        union = model.masks.union()
        before = {layer: module.weight.detach().clone() for layer, module in layers.items()}
        method.compute_losses(model, b, step).total.backward()
        method.after_backward(model)
        optimizer.step()
        optimizer.zero_grad()
        for layer, module in layers.items():
            changed = before[layer] != module.weight
            moved_outside += int((changed & ~union[layer]).sum())
            outside += int((~union[layer]).sum())
            moved_inside += int((changed & union[layer]).sum())
    assert outside > 1000 and moved_inside > 1000
    assert moved_outside == 0 if cleared else moved_outside > 1000


def test_control_masks_have_the_same_counts_and_other_weights(model, tmp_path):
    params = pruning(sparsity=0.75, core=0.3, saliency="random")
    chosen, _ = method_for(model, tmp_path / "chosen", params)
    events = run_events(chosen, model)
    weights = {}
    for seed in (0, 1):
        model.masks = dense_masks(model)
        source = ShuffledMasks(tmp_path / "chosen/events", "unstructured", seed)
        control, _ = method_for(model, tmp_path / "control", params, source=source)
        assert control.scores is None and control.name == "control"
        again = run_events(control, model)
        assert list(again) == list(events)
        for step, (figures, masks) in again.items():
            expected = events[step][1]
            assert figures == {"control.sparsity": events[step][0]["prune.sparsity"]}
            assert compute_overlap(masks) == compute_overlap(expected)
            for mask in masks:
                assert mask.density_by_layer() == expected[mask.name].density_by_layer()
            assert masks != expected or step == 0
        steps = list(again)
        for mask in again[steps[-1]][1]:  # dropped weights stay dropped, as with the chosen masks
            assert not any((kept & ~again[steps[1]][1][mask.name][layer]).any() for layer, kept in mask.items())
        weights[seed] = again[steps[-1]][1]
    assert weights[0] != weights[1]


def test_a_control_without_the_chosen_masks_raises_an_error(model, tmp_path):
    control, _ = method_for(
        model, tmp_path, pruning(), source=ShuffledMasks(tmp_path / "nowhere", "unstructured", seed=0)
    )
    with pytest.raises(ModelError, match=r"nowhere/0\.safetensors does not exist"):
        control.before_update(model, 0)


@pytest.mark.parametrize("scores", ["full", "low_rank", "blocks"])
def test_state_is_restored_exactly(scores, model, backbone, tmp_path):
    params = pruning(scores=scores, score_rank=2)
    method, _ = method_for(model, tmp_path, params)
    model.masks = random_masks(model)
    with torch.no_grad():
        for number, parameter in enumerate(method.scores.parameters()):
            parameter.add_(number)
    state = {name: tensor.detach().clone() for name, tensor in method.state(model).items()}
    fresh = tiny_model(backbone)
    again, _ = method_for(fresh, tmp_path, params)
    assert fresh.masks != model.masks
    again.restore(fresh, state)
    assert fresh.masks == model.masks
    assert all(
        torch.equal(again.scores.layers[key].values(), form.values()) for key, form in method.scores.layers.items()
    )


def test_learnt_scores_start_as_ranks_of_a_saliency_of_each_concept(model, tmp_path):
    params = pruning(first_scores="fisher_diagonal")
    method, _ = method_for(model, tmp_path, params)
    batches = draw_gradient_batches(model, training_texts(model), params, seed=0, step=0)
    expected = score_weights(model, pruning(saliency="fisher_diagonal"), batches, seed=0).scores
    for (layer, index), score in learnt(method).items():
        by_score, by_saliency = score.detach().flatten(), expected[NAMES[index]][layer].flatten()
        assert by_score.sort().values.tolist() == torch.linspace(0, 1, len(by_score)).tolist()
        assert torch.equal(by_score.argsort(), by_saliency.argsort(stable=True))
    layer = next(iter(model.masks.shapes))
    scores = learnt(method)
    assert not torch.equal(scores[layer, 0], scores[layer, 1])  # of two concepts
    by_magnitude, _ = method_for(model, tmp_path, pruning(first_scores="magnitude"))
    assert torch.equal(learnt(by_magnitude)[layer, 0], learnt(by_magnitude)[layer, 1])
