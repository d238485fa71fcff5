"""Training learns, keeps the best weights, and gives the same bytes after a kill and a resumption."""

import os
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import torch
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression

from sparsecbm.base.errors import DataError, ModelError
from sparsecbm.base.params import LabelNoise
from sparsecbm.model.heads import concatenated_activations
from sparsecbm.train.examples import build_examples
from sparsecbm.train.label_head import fit_temperature
from sparsecbm.train.loop import choose_precision, make_accelerator
from sparsecbm.train.modes import fit, fit_hard_head
from tests.support.tiny_models import tiny_model
from tests.support.tiny_tables import annotated
from tests.support.training import copy_weights, equal_weights, finetuning, training_run


def accuracies(model, frame):
    """Return the accuracy of the label and of the concept food; None for a model without concepts."""
    predictions = model.predict(frame["text"].tolist())
    label = [p.label.state == gold for p, gold in zip(predictions, frame["label"], strict=True)]
    food = [
        p.concepts and p.concepts["food"].state == g for p, g in zip(predictions, frame["concept.food"], strict=True)
    ]
    return np.mean(label), np.mean(food) if model.has_bottleneck else None


@pytest.mark.parametrize("mode", ["standard", "joint", "sequential", "independent"])
def test_each_mode_learns_the_rule(mode, backbone, tmp_path):
    model = tiny_model(backbone, mode=mode, dropout=0.0)
    unseen = annotated(60, seed=3)
    before, _ = accuracies(model, unseen)
    fit(model, annotated(160, 1), annotated(40, 2), finetuning(epochs=8), training_run(tmp_path / "c"))
    label, food = accuracies(model, unseen)
    assert before < 0.6 and label > 0.9
    assert food is None if mode == "standard" else food > 0.9


def test_the_selected_weights_are_those_of_the_best_epoch(backbone, tmp_path):
    model = tiny_model(backbone)
    history = fit(model, annotated(64, 1), annotated(40, 2), finetuning(), training_run(tmp_path / "c"))
    scores = {epoch["step"]: epoch["validation.score"] for epoch in history.epochs}
    assert history.best_score == max(scores.values()) == scores[history.best_step]
    validation = annotated(40, 2)
    label, _ = accuracies(model, validation)
    best = next(epoch for epoch in history.epochs if epoch["step"] == history.best_step)
    assert label == pytest.approx(best["validation.label.accuracy"])


def test_by_default_training_has_the_bytes_of_the_plain_cross_entropy(backbone, tmp_path, monkeypatch):
    """Weights, MixUp and the robust loss are off; votes that add up to nearly 1 count as 1."""

    def plain(logits, target, weight=None, settings=None):
        smoothing = settings.smoothing if settings else 0.0
        known = target.sum(-1, keepdim=True) > 0
        smooth = torch.where(known, (1 - smoothing) * target + smoothing / target.shape[-1], 0.0)
        return -(smooth * logits.log_softmax(-1)).sum() / smooth.sum().clamp(min=1e-12)

    votes = {f"share.food.{state}": n / 7 for state, n in (("Negative", 2), ("Positive", 4), ("unknown", 1))}
    frame = annotated(32, 1).assign(**votes, **{"confidence.food": 4 / 7})
    weights = []
    for number, noise in enumerate((LabelNoise(), LabelNoise(), LabelNoise(confidence_weights=True))):
        if number:
            monkeypatch.setattr("sparsecbm.train.loss.cross_entropy", plain)
        model = tiny_model(backbone)
        params = finetuning(epochs=1, targets="votes", label_smoothing=0.1, noise=noise)
        fit(model, frame, annotated(12, 2), params, training_run(tmp_path / str(number)))
        weights.append(copy_weights(model))
    assert equal_weights(weights[0], weights[1]) and not equal_weights(weights[0], weights[2])


def test_refitting_changes_only_the_label_head(backbone, tmp_path):
    models = {}
    for refit in (True, False):
        models[refit] = tiny_model(backbone)
        params = finetuning(epochs=1, refit_label_head=refit)
        fit(models[refit], annotated(60, 1), annotated(20, 2), params, training_run(tmp_path / f"c{refit}"))
    refitted, trained = copy_weights(models[True]), copy_weights(models[False])
    changed = {name for name in trained if not torch.equal(trained[name], refitted[name])}
    assert changed == {"label_head.linear.weight", "label_head.linear.bias"}


def test_fitted_label_heads_are_calibrated_on_held_out_texts(backbone, tmp_path):
    """The best temperature of fitted heads on the validation split is 1; that of the trained head is not."""
    validation, temperatures = annotated(60, 2), {}
    third = validation.index % 3 == 0
    validation.loc[third, "label"] = validation.loc[third, "label"].map({"1": "2", "2": "3", "3": "1"})  # wrong labels
    gold = (validation["label"].astype(int) - 1).to_numpy()
    for refit in (True, False):
        model = tiny_model(backbone)
        fit(
            model,
            annotated(60, 1),
            validation,
            finetuning(epochs=1, refit_label_head=refit),
            training_run(tmp_path / f"{refit}"),
        )
        logits = model.logits(validation["text"].tolist())
        hard = concatenated_activations(logits.concepts, "hard") @ model.hard_head.linear.weight.numpy().T
        temperatures[refit] = (
            fit_temperature(logits.label, gold),
            fit_temperature(hard + model.hard_head.linear.bias.numpy(), gold),
        )
    assert temperatures[True] == pytest.approx((1, 1), abs=0.02)
    assert temperatures[False][1] == pytest.approx(1, abs=0.02) and abs(temperatures[False][0] - 1) > 0.1


def test_a_class_without_training_texts_does_not_change_the_temperature(backbone, tmp_path):
    training, heads = annotated(60, 1), []
    training = training[training["label"] != "3"].reset_index(drop=True)
    for validation in (annotated(60, 2), annotated(60, 2).query("label != '3'").reset_index(drop=True)):
        model = tiny_model(backbone)
        inputs = [
            (build_examples(frame, model), model.logits(frame["text"].tolist())) for frame in (training, validation)
        ]
        fit_hard_head(model, *inputs[0], *inputs[1])
        heads.append(copy_weights(model.hard_head))
    assert equal_weights(*heads)


def test_training_stops_if_validation_no_longer_improves(backbone, tmp_path):
    rates = {"learning_rate": 1e-9, "head_learning_rate": 1e-9, "label_head_learning_rate": 1e-9}
    params = finetuning(epochs=30, patience=1, **rates)
    history = fit(tiny_model(backbone), annotated(16, 1), annotated(16, 2), params, training_run(tmp_path / "c"))
    assert len(history.epochs) == 2 and history.best_step == history.epochs[0]["step"]


@pytest.mark.parametrize(("rate", "update"), [(1e30, 2), (3e-3, None)])
def test_a_training_that_diverges_is_an_error_that_names_the_update_and_the_key(rate, update, backbone, tmp_path):
    """The first update is made from a finite loss, and its weights near 1e30 give a loss that is none."""
    model, tables = tiny_model(backbone), (annotated(48, 1), annotated(24, 2))
    params = finetuning(learning_rate=rate, epochs=1)
    if update is None:
        assert fit(model, *tables, params, training_run(tmp_path)).best_step == 6
        return
    with pytest.raises(ModelError, match=rf"finetune: the loss of update {update} of 6 is nan.*lower finetune\.learn"):
        fit(model, *tables, params, training_run(tmp_path))
    assert not list(tmp_path.iterdir())  # nothing of it is kept


def test_accumulated_batches_make_one_update(backbone, tmp_path):
    """Without dropout, two batches of 8 give the update of one batch of 16, since every cell is labelled."""
    results = []
    for size, accumulate in ((16, 1), (8, 2)):
        model = tiny_model(backbone, dropout=0.0)
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        params = finetuning(epochs=1, batch_size=size, accumulate=accumulate)
        fit(model, annotated(16, 1), annotated(8, 2), params, training_run(tmp_path / f"{size}"))
        results.append(copy_weights(model))
    # Adam divides by tiny gradients, so the comparison uses weights with large gradients.
    assert torch.allclose(results[0]["label_head.linear.weight"], results[1]["label_head.linear.weight"], atol=1e-5)


def test_frozen_word_embeddings_do_not_change(backbone, tmp_path):
    unchanged = {}
    for freeze in (True, False):
        model = tiny_model(backbone)
        before = model.backbone.get_input_embeddings().weight.clone()
        params = finetuning(epochs=1, freeze_embeddings=freeze)
        fit(model, annotated(16, 1), annotated(8, 2), params, training_run(tmp_path / f"{freeze}"))
        unchanged[freeze] = torch.equal(before, model.backbone.get_input_embeddings().weight)
    assert unchanged == {True: True, False: False}


class KilledError(Exception):
    pass


@pytest.mark.parametrize("at", [3, 10, 20, 25])
def test_interrupted_and_resumed_equals_uninterrupted(at, backbone, tmp_path):
    """An epoch has 20 updates. The kill comes early, in the middle, at the end of an epoch, or in the second epoch."""
    data = annotated(160, 1), annotated(40, 2), finetuning(epochs=2, checkpoint_seconds=0.0, ema_decay=0.9)
    uninterrupted = tiny_model(backbone)
    history = fit(uninterrupted, *data, training_run(tmp_path / "whole", seed=5))

    def kill(step, figures):
        if step >= at:
            raise KilledError

    with pytest.raises(KilledError):
        fit(tiny_model(backbone), *data, training_run(tmp_path / "cut", 5, kill))
    resumed = tiny_model(backbone)
    steps = []
    again = fit(resumed, *data, training_run(tmp_path / "cut", 5, lambda step, figures: steps.append(step)))
    assert equal_weights(copy_weights(uninterrupted), copy_weights(resumed)) and again == history
    assert steps[0] > 9 or at < 10, "it must resume, not start again"
    other = tiny_model(backbone)
    fit(other, *data, training_run(tmp_path / "other", seed=6))
    assert not equal_weights(copy_weights(uninterrupted), copy_weights(other)), "another seed must give other weights"


def test_a_killed_process_resumes_to_the_same_bytes(backbone, tmp_path):
    """The kill comes at any moment, even while the process writes a checkpoint."""
    script = tmp_path / "train.py"
    script.write_text(
        textwrap.dedent(
            f"""
            import sys, time
            sys.path.insert(0, {os.getcwd()!r})
            from pathlib import Path
            from safetensors.torch import save_file
            from sparsecbm.train.modes import fit
            from tests.support.tiny_models import tiny_model
            from tests.support.tiny_tables import annotated
            from tests.support.training import finetuning, training_run
            folder, out = Path(sys.argv[1]), sys.argv[2]
            print("start", flush=True)
            model = tiny_model(Path({str(backbone)!r}))
            params = finetuning(epochs=2, checkpoint_seconds=0.0, ema_decay=0.9)
            def print_step(step, figures):
                print(step, flush=True)
            fit(model, annotated(160, 1), annotated(40, 2), params, training_run(folder, 5, print_step))
            save_file(model.state_dict(), out)
            """
        )
    )

    def start(folder, out):
        return subprocess.Popen([sys.executable, script, folder, out], stdout=subprocess.PIPE, text=True)

    victim = start(tmp_path / "cut", tmp_path / "cut.safetensors")
    while not (line := victim.stdout.readline()).startswith("20"):
        assert line, "it ended before it could be killed"
    victim.send_signal(signal.SIGKILL)
    victim.wait()
    assert not (tmp_path / "cut.safetensors").exists()
    for name in ("cut", "whole"):
        assert start(tmp_path / name, tmp_path / f"{name}.safetensors").wait() == 0
    assert (tmp_path / "cut.safetensors").read_bytes() == (tmp_path / "whole.safetensors").read_bytes()


@pytest.mark.parametrize("mode", ["joint", "sequential", "independent"])
def test_the_hard_head_is_a_regression_from_the_predicted_states(mode, backbone, tmp_path):
    model, frame = tiny_model(backbone, mode=mode), annotated(80, 1)
    frame.loc[::5, "label"] = None
    validation = annotated(20, 2)
    fit(model, frame, validation, finetuning(epochs=1), training_run(tmp_path / "c"))
    known = frame[frame["label"].notna()]
    states = [(concept.name, state) for concept in model.concept_set for state in concept.states]

    def one_hot(texts):
        predictions = model.predict(texts["text"].tolist())
        return np.array([[p.concepts[name].state == state for name, state in states] for p in predictions], dtype=float)

    hard = one_hot(known)
    oracle = LogisticRegression(C=10.0, max_iter=2000).fit(hard, known["label"])
    T = fit_temperature(oracle.decision_function(one_hot(validation)), validation["label"].astype(int).to_numpy() - 1)
    expected = softmax(oracle.decision_function(hard) / T, axis=1)
    inputs = torch.tensor(hard, dtype=torch.float32)
    by_head = {head: head.linear(inputs).softmax(-1).detach().numpy() for head in (model.hard_head, model.label_head)}
    np.testing.assert_allclose(by_head[model.hard_head], expected, atol=0.01)
    assert np.abs(by_head[model.label_head] - expected).max() > 0.05
    assert not model.hard_head.linear.weight.requires_grad


def test_a_black_box_has_no_hard_head(backbone, tmp_path):
    model = tiny_model(backbone, mode="standard")
    fit(model, annotated(16, 1), annotated(8, 2), finetuning(epochs=1), training_run(tmp_path / "c"))
    assert model.hard_head is None


def test_data_without_labels_raises_an_error(backbone, tmp_path):
    frame = annotated(16, 1)
    with pytest.raises(DataError, match="'train': no text has a label"):
        fit(tiny_model(backbone), frame.assign(label=None), frame, finetuning(), training_run(tmp_path))
    with pytest.raises(DataError, match="'train': every label is '2'"):
        fit(tiny_model(backbone), frame.assign(label="2"), frame, finetuning(), training_run(tmp_path))
    with pytest.raises(DataError, match="no text has a state for concept 'noise'"):
        fit(tiny_model(backbone), frame.assign(**{"concept.noise": None}), frame, finetuning(), training_run(tmp_path))


def test_missing_cells_have_no_effect_on_training(backbone, tmp_path):
    frame = annotated(160, 1)
    frame.loc[::3, "label"] = None
    frame.loc[1::3, "concept.food"] = None
    model = tiny_model(backbone, dropout=0.0)
    fit(model, frame, annotated(40, 2), finetuning(epochs=8), training_run(tmp_path / "c"))
    label, food = accuracies(model, annotated(60, 3))
    assert label > 0.9 and food > 0.9


def test_training_means_are_the_means_over_the_training_set(backbone, tmp_path):
    model, frame = tiny_model(backbone), annotated(30, 1)
    fit(model, frame, annotated(8, 2), finetuning(epochs=1), training_run(tmp_path / "c"))
    predictions = model.predict(frame["text"].tolist())
    by_hand = sum(p.concepts["food"].probabilities["Positive"] for p in predictions) / 30
    assert model.means["activations"]["food"]["Positive"] == pytest.approx(by_hand, abs=1e-6)
    assert model.means["label_share"]["3"] == pytest.approx((frame["label"] == "3").mean())
    assert model.means["concept_shares"]["noise"]["loud"] == pytest.approx((frame["concept.noise"] == "loud").mean())


def test_precision_is_bf16_only_if_configured_or_fast(monkeypatch):
    cpu = torch.device("cpu")
    for capability, expected in ((True, "bf16"), (False, "no")):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda has=capability: {"avx512_bf16": has})
        assert choose_precision("auto", cpu) == expected
    assert choose_precision("bf16", cpu) == "bf16" and choose_precision("float32", cpu) == "no"


def test_bf16_without_instructions_for_it_is_said(monkeypatch, capsys):
    for has in (True, False):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda has=has: {"avx512_bf16": has})
        make_accelerator(finetuning(precision="bf16"))
        assert ("finetune.precision: bf16 is imitated" in capsys.readouterr().err) is not has


def test_one_process_can_train_in_different_precisions():
    for setting, dtype in (("float32", torch.float32), ("bf16", torch.bfloat16), ("float32", torch.float32)):
        with make_accelerator(finetuning(precision=setting)).autocast():
            product = torch.nn.functional.linear(torch.ones(2, 2), torch.ones(2, 2))
        assert product.dtype == dtype


def test_bf16_learns_the_rule(backbone, tmp_path):
    model = tiny_model(backbone, mode="joint", dropout=0.0)
    fit(model, annotated(160, 1), annotated(40, 2), finetuning(epochs=8, precision="bf16"), training_run(tmp_path))
    label, food = accuracies(model, annotated(60, seed=3))
    assert label > 0.9 and food > 0.9
    assert all(weight.dtype == torch.float32 for weight in model.parameters())


def test_texts_of_which_no_word_is_known_are_an_error(backbone, tmp_path):
    """A tokenizer of another language makes all texts alike; one known word in ten is enough to go on."""
    known, model = annotated(16, seed=1), tiny_model(backbone)
    foreign = known.assign(text="l'auberge n'est pas chère " * 30)
    with pytest.raises(ModelError, match="split 'train': the tokenizer of the backbone knows no word of the texts"):
        fit(model, foreign, known, finetuning(epochs=1), training_run(tmp_path / "foreign"))
    mixed = known.assign(text=["was " + "inconnu " * 8] * 16)
    fit(model, mixed, known, finetuning(epochs=1), training_run(tmp_path / "mixed"))
