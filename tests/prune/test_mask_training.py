"""Updates and events under masks: losses and gradients against plain autograd, events by hand."""

import copy
from math import log

import pytest
import torch
from torch.func import functional_call
from torch.nn.functional import cross_entropy, kl_div

from sparsecbm.base.errors import ConfigError, ModelError
from sparsecbm.model.masked import prunable_layers
from sparsecbm.model.masks import MaskSet
from sparsecbm.model.overlap import compute_overlap
from sparsecbm.prune.event import score_weights
from sparsecbm.prune.training import ControlTraining, MaskTraining
from sparsecbm.train.examples import batch, examples
from tests.support.prune_settings import pruning
from tests.support.tiny_models import random_masks, tiny_model
from tests.support.tiny_tables import annotated
from tests.train.test_training import settings

NAMES = ("food", "noise")


def dense_masks(model):
    shapes = {layer: tuple(m.weight.shape) for layer, m in prunable_layers(model.backbone).items()}
    return MaskSet.dense(model.concept_set.names, shapes)


def method_for(model, folder, params, finetune=None, updates=20, rows=24, cls=MaskTraining, seed=0, **more):
    """A method whose optimizer is made, for a model that gets dense masks if it has none."""
    model.masks = model.masks or dense_masks(model)
    data = examples(annotated(rows, seed=0), model)
    method = cls(params, finetune or settings(), data, updates, seed, folder / "events", **more)
    return method, method.optimizer(model)


def batch_for(model, rows=7):
    data = examples(annotated(rows, seed=1), model)
    return batch(data, range(rows), model.tokenizer.pad_token_id, model.device)


def routes(concepts, step, rows):
    """Which rows go through which mask, by the meaning of each setting."""
    if concepts == "all":
        return {name: list(range(rows)) for name in NAMES}
    if concepts == "sampled":
        return {NAMES[step % 2]: list(range(rows))}
    return {name: [i for i in range(rows) if (i + step) % 2 == place] for place, name in enumerate(NAMES)}


def by_plain_autograd(dense, masks, b, rows, priors, label, others):
    """The loss, and dL/d(w m_k): the dense model runs once a concept, with W * m_k as weights of its own."""
    weights = {layer: module.weight.detach() for layer, module in prunable_layers(dense.backbone).items()}
    leaves, read, strangers = {}, {}, []
    for place, name in enumerate(NAMES):
        if name in rows:
            for layer, weight in weights.items():
                leaves[layer, place] = (weight * masks[name][layer]).requires_grad_()
            own = {f"backbone.{layer}.weight": leaves[layer, place] for layer in weights}
            logits = functional_call(dense, own, (b.ids[rows[name]], b.mask[rows[name]])).concept_logits
            read[name] = logits[name]
            for other in set(NAMES) - {name}:
                expected = priors[other].expand_as(logits[other])
                strangers.append(kl_div(logits[other].log_softmax(-1), expected, reduction="batchmean"))
    concept = torch.stack([cross_entropy(read[n], b.concepts[n][rows[n]], label_smoothing=0.1) for n in rows]).mean()
    total = 0.7 * concept + others * torch.stack(strangers).mean()
    if label:
        total = total + cross_entropy(dense.output(read).label_logits, b.label)
    total.backward()
    return total.item(), {key: leaf.grad for key, leaf in leaves.items()}


@pytest.mark.parametrize("weights", ["frozen", "trained"])
@pytest.mark.parametrize(("concepts", "step"), [("all", 0), ("sampled", 0), ("sampled", 1), ("split", 0), ("split", 1)])
def test_a_score_learns_by_the_gradient_of_its_masked_weight_times_the_weight(concepts, step, weights, model, tmp_path):
    """Pruned weights included; trained weights learn through their masks alone."""
    dense, b = copy.deepcopy(model), batch_for(model)
    model.masks = random_masks(model)
    params = pruning(concepts=concepts, weights=weights, others=0.3)
    method, _ = method_for(model, tmp_path, params, settings(gamma=0.7, label_smoothing=0.1))
    rows = routes(concepts, step, len(b.ids))
    total, expected = by_plain_autograd(dense, model.masks, b, rows, method.priors, concepts == "all", 0.3)

    losses = method.losses(model, b, step)
    assert losses.total.item() == pytest.approx(total, rel=1e-5)
    losses.total.backward()
    method.after_backward(model)
    for layer, module in prunable_layers(model.backbone).items():
        sums = torch.zeros_like(module.weight)
        for place, name in enumerate(NAMES):
            found = method.scores[layer, place].grad
            if name not in rows:
                assert found is None
                continue
            gradient, kept = expected[layer, place], model.masks[name][layer]
            torch.testing.assert_close(found, gradient * module.weight, atol=1e-7, rtol=1e-3)
            assert (found[~kept] != 0).any()
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
            method.losses(model, part, 0).total.backward()
            method.after_backward(model)
        layer = "encoder.layer.0.intermediate.dense"
        weight = dict(model.backbone.named_modules())[layer].weight
        return method.scores[layer, 0].grad.clone(), weight.grad.clone()

    first, second = batch_for(model, 4), batch_for(model, 9)
    both = gradients([first, second])
    for sums, one, other in zip(both, gradients([first]), gradients([second]), strict=True):
        torch.testing.assert_close(sums, one + other)


def test_weights_learn_through_masks_by_other_saliencies_too(model, tmp_path):
    dense, b = copy.deepcopy(model), batch_for(model)
    model.masks = random_masks(model)
    method, _ = method_for(model, tmp_path, pruning(weights="trained", saliency="obert"), settings(gamma=0.7))
    rows = routes("sampled", 0, len(b.ids))
    _, expected = by_plain_autograd(dense, model.masks, b, rows, method.priors, False, 0.0)
    method.finetune = settings(gamma=0.7, label_smoothing=0.1)
    method.losses(model, b, 0).total.backward()
    method.after_backward(model)
    assert not method.scores
    for layer, module in prunable_layers(model.backbone).items():
        masked = expected[layer, 0] * model.masks["food"][layer]
        torch.testing.assert_close(module.weight.grad, masked, atol=1e-7, rtol=1e-3)


@pytest.mark.parametrize("concepts", ["all", "sampled", "split"])
def test_who_reads_what(concepts, model, tmp_path, monkeypatch):
    """Sampled: one concept in turn; split: each row through exactly one mask, and each mask in turn."""
    method, _ = method_for(model, tmp_path, pruning(concepts=concepts))
    b, seen, plain = batch_for(model, 5), [], model.represent

    def represent(ids, mask, rows):
        seen.append({name: members.tolist() for name, members in rows.items()})
        return plain(ids, mask, rows)

    monkeypatch.setattr(model, "represent", represent)
    for step in range(4):
        method.losses(model, b, step)
    every = [0, 1, 2, 3, 4]
    expected = {
        "all": [{"food": every, "noise": every}] * 4,
        "sampled": [{"food": every}, {"noise": every}] * 2,
        "split": [{"food": [0, 2, 4], "noise": [1, 3]}, {"food": [1, 3], "noise": [0, 2, 4]}] * 2,
    }
    assert seen == expected[concepts]


def test_a_mask_that_gets_no_row_of_a_small_batch_is_left_out(model, tmp_path):
    method, _ = method_for(model, tmp_path, pruning(concepts="split", others=0.5))
    losses = method.losses(model, batch_for(model, 1), 1)
    losses.total.backward()
    method.after_backward(model)
    assert torch.isfinite(losses.total)
    assert {place for (_, place), score in method.scores.items() if score.grad is not None} == {1}


@torch.no_grad()
def test_the_label_takes_part_where_all_concepts_read(model, tmp_path):
    model.masks = random_masks(model)
    b = batch_for(model)
    found = {}
    for concepts in ("all", "sampled", "split"):
        method, _ = method_for(model, tmp_path, pruning(concepts=concepts), settings(gamma=0.7))
        found[concepts] = method.losses(model, b, 0)
        assert model.label_head.linear.weight.requires_grad == (concepts == "all")
    label = cross_entropy(model(b.ids, b.mask).label_logits, b.label).item()
    assert found["all"].label.item() == pytest.approx(label) and label > 0.1
    assert found["all"].total.item() == pytest.approx(0.7 * found["all"].concept.item() + label)
    for concepts in ("sampled", "split"):
        assert found[concepts].label == 0
        assert found[concepts].total.item() == pytest.approx(0.7 * found[concepts].concept.item())


@torch.no_grad()
@pytest.mark.parametrize("mode", ["sequential", "independent"])
def test_in_a_mode_that_keeps_the_label_apart_it_shapes_no_concept(mode, backbone, tmp_path):
    model = tiny_model(backbone, mode=mode)
    method, _ = method_for(model, tmp_path, pruning(concepts="all"))
    losses = method.losses(model, batch_for(model), 0)
    assert losses.label == 0 and losses.total == losses.concept
    assert not model.label_head.linear.weight.requires_grad


def read_alike(model, states):
    """Let the heads read the same probabilities in every text."""
    for name, shares in states.items():
        head = model.concept_heads.head(name)
        torch.nn.init.zeros_(head.weight)
        head.bias.data = torch.tensor(shares).log()


def others_term(model, folder, b, step=0):
    """What the term adds to the loss at weight 1."""
    totals = []
    for weight in (1.0, 0.0):
        method, _ = method_for(model, folder, pruning(concepts="all", others=weight))
        method.priors = {"food": torch.tensor([0.25, 0.5, 0.25]), "noise": torch.tensor([0.5, 0.5])}
        totals.append(method.losses(model, b, step).total.item())
    return totals[0] - totals[1]


def test_heads_that_read_the_prior_cost_nothing_and_others_do(model, tmp_path):
    b = batch_for(model)
    read_alike(model, {"food": [0.25, 0.5, 0.25], "noise": [0.5, 0.5]})
    assert others_term(model, tmp_path, b) == pytest.approx(0, abs=1e-6)
    # Food's head under the mask of noise: KL((1/4, 1/2, 1/4) || (1/3, 1/3, 1/3)) = log 3 - 1.5 log 2; noise's: 0.
    read_alike(model, {"food": [1 / 3, 1 / 3, 1 / 3], "noise": [0.5, 0.5]})
    assert others_term(model, tmp_path, b) == pytest.approx((log(3) - 1.5 * log(2)) / 2, abs=1e-6)
    # And KL((1/2, 1/2) || (1/5, 4/5)) = log 5 - 2 log 2, of the other pair.
    read_alike(model, {"food": [0.25, 0.5, 0.25], "noise": [0.2, 0.8]})
    assert others_term(model, tmp_path, b) == pytest.approx((log(5) - 2 * log(2)) / 2, abs=1e-6)


def test_the_priors_are_the_shares_of_the_known_states(model, tmp_path):
    method, _ = method_for(model, tmp_path, pruning(), rows=40)
    frame = annotated(40, seed=0)
    for name, states in (("food", ("Negative", "Positive", "unknown")), ("noise", ("loud", "quiet"))):
        shares = [(frame[f"concept.{name}"] == state).mean() for state in states]
        assert method.priors[name].tolist() == pytest.approx(shares, abs=1e-6)


def test_what_keeps_masks_apart_moves_scores_and_no_head(model, tmp_path):
    model.masks = random_masks(model)
    b, heads, scores = batch_for(model), [], []
    for weight in (0.0, 1.0):
        model.zero_grad()
        method, _ = method_for(model, tmp_path, pruning(others=weight))
        method.losses(model, b, 0).total.backward()
        method.after_backward(model)
        heads.append([None if p.grad is None else p.grad.clone() for p in model.concept_heads.parameters()])
        scores.append(method.scores["encoder.layer.0.intermediate.dense", 0].grad)
    assert heads[0][0].any() and heads[0][2] is None  # food's head learns in this turn, noise's does not
    for without, with_term in zip(*heads, strict=True):
        assert without is with_term is None or torch.equal(without, with_term)
    assert not torch.allclose(scores[0], scores[1], rtol=0.1)


def run_events(method, model, updates=20):
    """Calls the method before each update; figures and masks by step where an event was."""
    found = {}
    for step in range(updates):
        figures = method.before(model, step)
        if figures:
            found[step] = figures, model.masks
    return found


def test_events_are_those_of_the_schedule(model, tmp_path):
    """.1 and .5 of 20 updates are 2 and 10; four linear events from .1 to .7 go up by .2, at 2, 4.67, 7.33 and 10."""
    params = pruning(begin=0.1, end=0.5, events=4, initial=0.1, sparsity=0.7, saliency="random")
    method, _ = method_for(model, tmp_path, params)
    found = run_events(method, model)
    expected = {2: 0.1, 5: 0.1 + 0.6 * 3 / 8, 7: 0.1 + 0.6 * 5 / 8, 10: 0.7}
    assert list(found) == list(expected)
    for step, (figures, masks) in found.items():
        assert figures["prune.sparsity"] == pytest.approx(expected[step])
        for mask in masks:
            assert figures[f"prune.density.{mask.name}"] == mask.density
            for layer, density in mask.density_by_layer().items():
                size = masks.shapes[layer][0] * masks.shapes[layer][1]
                assert density == 1 - int(expected[step] * size + 0.5) / size
        assert MaskSet.load(tmp_path / "events" / f"{step}.safetensors") == masks
    assert len(list((tmp_path / "events").iterdir())) == 4
    assert [method.keeps(updates) for updates in (5, 10, 11, 20)] == [False, False, True, True]


def test_learnt_masks_go_on_at_the_final_sparsity(model, tmp_path):
    """Four events from 2 to 10 are 2 updates apart at least, and so are those after the last."""
    params = pruning(begin=0.1, end=0.5, events=4, sparsity=0.7)
    method, _ = method_for(model, tmp_path, params)
    found = run_events(method, model)
    assert list(found) == [2, 5, 7, 10, 12, 14, 16, 18]
    assert [figures["prune.sparsity"] for figures, _ in list(found.values())[3:]] == [0.7] * 5
    assert [method.keeps(updates) for updates in (10, 11)] == [False, True]


def test_begin_and_end_in_one_event(model, tmp_path):
    method, _ = method_for(model, tmp_path, pruning(begin=0.25, end=0.25, sparsity=0.75, saliency="magnitude"))
    found = run_events(method, model)
    assert list(found) == [5] and {mask.density for mask in model.masks} == {0.25}
    assert found[5][0]["prune.sparsity"] == 0.75


def test_with_fewer_updates_than_events_there_is_one_at_each(model, tmp_path):
    params = pruning(begin=0.0, end=0.5, events=12, saliency="random")
    method, _ = method_for(model, tmp_path, params, updates=10)
    assert sorted(method.events) == [0, 1, 2, 3, 4, 5]


def test_a_single_event_between_two_steps_is_refused(model, tmp_path):
    with pytest.raises(ConfigError, match="1 events do not fit from step 0 to 5"):
        method_for(model, tmp_path, pruning(begin=0.0, end=0.5, events=1), updates=10)


def test_learnt_scores_start_from_magnitude_and_decide(model, tmp_path):
    """An event keeps the best by score, of weights that were pruned before as well."""
    some = {"begin": 0.0, "end": 0.5, "events": 2, "schedule": "constant", "sparsity": 0.75}
    method, _ = method_for(model, tmp_path, pruning(**some))
    method.before(model, 0)
    weights = dict(model.backbone.named_modules())
    for mask in model.masks:
        for layer, kept in mask.items():
            size = weights[layer].weight.abs()
            assert size[kept].min() >= size[~kept].max()
    layer = "encoder.layer.1.output.dense"
    first = model.masks["food"][layer]
    with torch.no_grad():
        method.scores[layer, 0].neg_()
    method.before(model, 10)
    assert not (model.masks["food"][layer] & first).any()
    assert torch.equal(model.masks["noise"][layer], first)


@pytest.mark.parametrize("saliency", ["obert", "random"])
def test_other_saliencies_never_take_a_weight_back(saliency, model, tmp_path):
    method, _ = method_for(model, tmp_path, pruning(saliency=saliency, sparsity=0.75))
    found = run_events(method, model)
    steps = list(found)
    assert steps == [0, 5, 10]
    for before, after in ((0, 5), (5, 10)):
        for mask in found[after][1]:
            assert not any((kept & ~found[before][1][mask.name][layer]).any() for layer, kept in mask.items())
    told = ("density", "magnitude_correlation") if saliency == "obert" else ("density",)
    assert set(found[10][0]) == {"prune.sparsity"} | {f"prune.{figure}.{name}" for figure in told for name in NAMES}
    assert found[10][1]["food"].bits["encoder.layer.0.output.dense"].tolist() != (
        found[10][1]["noise"].bits["encoder.layer.0.output.dense"].tolist()
    )


def test_the_texts_of_an_event_are_drawn_anew_and_by_the_seed(model, tmp_path):
    method, _ = method_for(model, tmp_path, pruning(gradients=3))
    twin, _ = method_for(model, tmp_path, pruning(gradients=3))
    other, _ = method_for(model, tmp_path, pruning(gradients=3), seed=1)

    def texts(method, step):
        return [b.ids.tolist() for b in method._batches(model, step)]

    assert [len(b.ids) for b in method._batches(model, 0)] == [2, 2, 2]
    assert texts(method, 0) == texts(twin, 0)
    assert texts(method, 0) != texts(method, 5) and texts(method, 0) != texts(other, 0)
    few, _ = method_for(model, tmp_path, pruning(gradients=100))
    assert len(few._batches(model, 0)) == 12  # all 24 texts, two by two


@pytest.mark.parametrize("saliency", ["obert", "movement"])
@pytest.mark.parametrize("halted", [True, False])
def test_a_weight_that_left_every_mask_keeps_its_bytes(saliency, halted, model, tmp_path, monkeypatch):
    """AdamW would move it on by its momentum: without the halt, it does."""
    if not halted:
        monkeypatch.setattr(MaskTraining, "_halt", lambda self, model: None)
    params = pruning(saliency=saliency, weights="trained", concepts="all", sparsity=0.75, begin=0.2)
    method, optimizer = method_for(model, tmp_path, params, settings(weight_decay=0.1), updates=12)
    layers = prunable_layers(model.backbone)
    b, moved, resting, kept_moving = batch_for(model), 0, 0, 0
    for step in range(12):
        method.before(model, step)
        union = model.masks.union()
        before = {layer: module.weight.detach().clone() for layer, module in layers.items()}
        method.losses(model, b, step).total.backward()
        method.after_backward(model)
        optimizer.step()
        optimizer.zero_grad()
        for layer, module in layers.items():
            changed = before[layer] != module.weight
            moved += int((changed & ~union[layer]).sum())
            resting += int((~union[layer]).sum())
            kept_moving += int((changed & union[layer]).sum())
    assert resting > 1000 and kept_moving > 1000
    assert moved == 0 if halted else moved > 1000


def test_control_masks_match_in_every_number_and_are_of_other_weights(model, tmp_path):
    params = pruning(sparsity=0.75, core=0.3, saliency="random")
    chosen, _ = method_for(model, tmp_path / "chosen", params)
    found = run_events(chosen, model)
    weights = {}
    for seed in (0, 1):
        model.masks = dense_masks(model)
        control, _ = method_for(
            model, tmp_path / "control", params, cls=ControlTraining, seed=seed, chosen=tmp_path / "chosen/events"
        )
        assert not control.scores
        again = run_events(control, model)
        assert list(again) == list(found)
        for step, (figures, masks) in again.items():
            expected = found[step][1]
            assert figures == {"control.sparsity": found[step][0]["prune.sparsity"]}
            assert compute_overlap(masks) == compute_overlap(expected)
            for mask in masks:
                assert mask.density_by_layer() == expected[mask.name].density_by_layer()
            assert masks != expected or step == 0
        steps = list(again)
        for mask in again[steps[-1]][1]:  # what is dropped stays dropped, as it did under the chosen masks
            assert not any((kept & ~again[steps[1]][1][mask.name][layer]).any() for layer, kept in mask.items())
        weights[seed] = again[steps[-1]][1]
    assert weights[0] != weights[1]


def test_a_control_of_masks_that_are_not_there_is_told(model, tmp_path):
    control, _ = method_for(model, tmp_path, pruning(), cls=ControlTraining, chosen=tmp_path / "nowhere")
    with pytest.raises(ModelError, match=r"nowhere/0\.safetensors does not exist"):
        control.before(model, 0)


def test_state_is_put_back_exactly(model, backbone, tmp_path):
    method, _ = method_for(model, tmp_path, pruning())
    model.masks = random_masks(model)
    with torch.no_grad():
        for number, score in enumerate(method.scores.values()):
            score.add_(number)
    state = {name: tensor.detach().clone() for name, tensor in method.state(model).items()}
    fresh = tiny_model(backbone)
    again, _ = method_for(fresh, tmp_path, pruning())
    assert fresh.masks != model.masks
    again.restore(fresh, state)
    assert fresh.masks == model.masks
    assert all(torch.equal(again.scores[key], score) for key, score in method.scores.items())


def test_learnt_scores_start_as_ranks_by_another_saliency_of_each_concept_s_own_loss(model, tmp_path):
    params = pruning(first_scores="fisher_diagonal")
    method, _ = method_for(model, tmp_path, params)
    expected = score_weights(model, pruning(saliency="fisher_diagonal"), method._batches(model, 0), seed=0).scores
    for (layer, place), score in method.scores.items():
        by_score, by_saliency = score.detach().flatten(), expected[NAMES[place]][layer].flatten()
        assert by_score.sort().values.tolist() == torch.linspace(0, 1, len(by_score)).tolist()
        assert torch.equal(by_score.argsort(), by_saliency.argsort(stable=True))
    layer = next(iter(model.masks.shapes))
    assert not torch.equal(method.scores[layer, 0], method.scores[layer, 1])  # of two concepts
    plain, _ = method_for(model, tmp_path, pruning(first_scores="magnitude"))
    assert torch.equal(plain.scores[layer, 0], plain.scores[layer, 1])
