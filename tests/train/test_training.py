"""Training learns, keeps the best, and ends with the same bytes when it was killed on the way."""

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

from sparsecbm.base.errors import DataError
from sparsecbm.base.params import Finetune
from sparsecbm.train.checkpoint import Checkpoints
from sparsecbm.train.examples import build_examples
from sparsecbm.train.label_head import fit_temperature
from sparsecbm.train.loop import choose_precision, make_accelerator
from sparsecbm.train.modes import activations, fit, fit_hard_head
from tests.support.tiny_models import tiny_model
from tests.support.tiny_tables import annotated


def settings(**changes) -> Finetune:
    plain = {
        "epochs": 3, "batch_size": 8, "accumulate": 1, "learning_rate": 3e-3, "head_learning_rate": 3e-2,
        "label_head_learning_rate": 0.3, "weight_decay": 0.0, "warmup": 0.1, "max_grad_norm": 1.0, "gamma": 1.0,
        "ema_decay": 0.0, "refit_label_head": False, "targets": "majority", "label_smoothing": 0.0,
        "freeze_embeddings": False, "class_weights": "none",
        "patience": 3, "precision": "float32", "device": "cpu", "checkpoint_seconds": 1e9,
    }  # fmt: skip
    return Finetune(**(plain | changes))


def weights_of(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def same(first, second):
    return all(torch.equal(first[name], second[name]) for name in first)


def accuracies(model, frame):
    read = model.predict(frame["text"].tolist())
    label = sum(p.label.state == gold for p, gold in zip(read, frame["label"], strict=True)) / len(frame)
    food = [p.concepts["food"].state == gold for p, gold in zip(read, frame["concept.food"], strict=True) if p.concepts]
    return label, sum(food) / len(food) if food else None


@pytest.mark.parametrize("mode", ["standard", "joint", "sequential", "independent"])
def test_each_mode_learns_the_rule(mode, backbone, tmp_path):
    model = tiny_model(backbone, mode=mode, dropout=0.0)
    unseen = annotated(60, seed=3)
    before, _ = accuracies(model, unseen)
    fit(model, annotated(160, 1), annotated(40, 2), settings(epochs=8), 0, Checkpoints(tmp_path / "c"))
    label, food = accuracies(model, unseen)
    assert before < 0.6 and label > 0.9
    assert food is None if mode == "standard" else food > 0.9


def test_the_kept_weights_are_those_of_the_best_epoch(backbone, tmp_path):
    model = tiny_model(backbone)
    history = fit(model, annotated(64, 1), annotated(40, 2), settings(), 0, Checkpoints(tmp_path / "c"))
    scores = {epoch["step"]: epoch["validation.score"] for epoch in history.epochs}
    assert history.best_score == max(scores.values()) == scores[history.best_step]
    validation = annotated(40, 2)
    label, _ = accuracies(model, validation)
    kept = next(epoch for epoch in history.epochs if epoch["step"] == history.best_step)
    assert label == pytest.approx(kept["validation.label.accuracy"])


def test_refitting_moves_the_label_head_alone(backbone, tmp_path):
    models = {}
    for refit in (True, False):
        models[refit] = tiny_model(backbone)
        some = settings(epochs=1, refit_label_head=refit)
        fit(models[refit], annotated(60, 1), annotated(20, 2), some, 0, Checkpoints(tmp_path / f"c{refit}"))
    refitted, trained = weights_of(models[True]), weights_of(models[False])
    changed = {name for name in trained if not torch.equal(trained[name], refitted[name])}
    assert changed == {"label_head.linear.weight", "label_head.linear.bias"}


def test_fitted_label_heads_are_as_sure_as_suits_held_out_texts(backbone, tmp_path):
    """Their temperature on the validation split is 1 afterwards; a head that is kept as trained has none."""
    validation, found = annotated(60, 2), {}
    third = validation.index % 3 == 0
    validation.loc[third, "label"] = validation.loc[third, "label"].map({"1": "2", "2": "3", "3": "1"})  # slips
    gold = (validation["label"].astype(int) - 1).to_numpy()
    for refit in (True, False):
        model = tiny_model(backbone)
        fit(model, annotated(60, 1), validation, settings(epochs=1, refit_label_head=refit), 0, Checkpoints(tmp_path))
        Checkpoints(tmp_path).clear()
        read = model.logits(validation["text"].tolist())
        hard = activations(model, read, "hard") @ model.hard_head.linear.weight.numpy().T
        found[refit] = (
            fit_temperature(read.label, gold),
            fit_temperature(hard + model.hard_head.linear.bias.numpy(), gold),
        )
    assert found[True] == pytest.approx((1, 1), abs=0.02)
    assert found[False][1] == pytest.approx(1, abs=0.02) and abs(found[False][0] - 1) > 0.1


def test_a_class_that_training_lacks_says_nothing_of_the_temperature(backbone, tmp_path):
    training, found = annotated(60, 1), []
    training = training[training["label"] != "3"].reset_index(drop=True)
    for validation in (annotated(60, 2), annotated(60, 2).query("label != '3'").reset_index(drop=True)):
        model = tiny_model(backbone)
        both = [
            (build_examples(frame, model), model.logits(frame["text"].tolist())) for frame in (training, validation)
        ]
        fit_hard_head(model, *both[0], *both[1])
        found.append(weights_of(model.hard_head))
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])


def test_it_stops_when_validation_no_longer_improves(backbone, tmp_path):
    few = settings(epochs=30, patience=1, learning_rate=1e-9, head_learning_rate=1e-9, label_head_learning_rate=1e-9)
    history = fit(tiny_model(backbone), annotated(16, 1), annotated(16, 2), few, 0, Checkpoints(tmp_path / "c"))
    assert len(history.epochs) == 2 and history.best_step == history.epochs[0]["step"]


def test_accumulated_batches_make_one_update(backbone, tmp_path):
    """Without dropout, two batches of 8 give the update of one batch of 16 (every cell is labelled)."""
    results = []
    for size, accumulate in ((16, 1), (8, 2)):
        model = tiny_model(backbone, dropout=0.0)
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        some = settings(epochs=1, batch_size=size, accumulate=accumulate)
        fit(model, annotated(16, 1), annotated(8, 2), some, 0, Checkpoints(tmp_path / f"{size}"))
        results.append(weights_of(model))
    # Adam divides by tiny gradients, so compare what is far from its noise.
    assert torch.allclose(results[0]["label_head.linear.weight"], results[1]["label_head.linear.weight"], atol=1e-5)


def test_frozen_word_embeddings_stay_as_they_were(backbone, tmp_path):
    kept = {}
    for freeze in (True, False):
        model = tiny_model(backbone)
        before = model.backbone.get_input_embeddings().weight.clone()
        some = settings(epochs=1, freeze_embeddings=freeze)
        fit(model, annotated(16, 1), annotated(8, 2), some, 0, Checkpoints(tmp_path / f"{freeze}"))
        kept[freeze] = torch.equal(before, model.backbone.get_input_embeddings().weight)
    assert kept == {True: True, False: False}


class Killed(Exception):
    pass


@pytest.mark.parametrize("at", [3, 10, 20, 25])
def test_interrupted_and_resumed_equals_uninterrupted(at, backbone, tmp_path):
    """20 updates an epoch: killed early, in mid-epoch, at the end of an epoch, and in the second."""
    data = annotated(160, 1), annotated(40, 2), settings(epochs=2, checkpoint_seconds=0.0, ema_decay=0.9)
    whole = tiny_model(backbone)
    history = fit(whole, *data, 5, Checkpoints(tmp_path / "whole"))

    def kill(step, figures):
        if step >= at:
            raise Killed

    with pytest.raises(Killed):
        fit(tiny_model(backbone), *data, 5, Checkpoints(tmp_path / "cut"), kill)
    resumed = tiny_model(backbone)
    seen = []
    again = fit(resumed, *data, 5, Checkpoints(tmp_path / "cut"), lambda step, figures: seen.append(step))
    assert same(weights_of(whole), weights_of(resumed)) and again == history
    assert seen[0] > 9 or at < 10, "it must go on, not begin again"
    other = tiny_model(backbone)
    fit(other, *data, 6, Checkpoints(tmp_path / "other"))
    assert not same(weights_of(whole), weights_of(other)), "another seed must give other weights"


def test_kill_9_while_training_and_writing(backbone, tmp_path):
    """A process that is killed at any moment, a checkpoint half-written included, goes on to the same bytes."""
    script = tmp_path / "train.py"
    script.write_text(
        textwrap.dedent(
            f"""
            import sys, time
            sys.path.insert(0, {os.getcwd()!r})
            from pathlib import Path
            from safetensors.torch import save_file
            from sparsecbm.train.checkpoint import Checkpoints
            from sparsecbm.train.modes import fit
            from tests.support.tiny_models import tiny_model
            from tests.support.tiny_tables import annotated
            from tests.train.test_training import settings
            folder, out = Path(sys.argv[1]), sys.argv[2]
            print("start", flush=True)
            model = tiny_model(Path({str(backbone)!r}))
            some = settings(epochs=2, checkpoint_seconds=0.0, ema_decay=0.9)
            def tell(step, figures):
                print(step, flush=True)
            fit(model, annotated(160, 1), annotated(40, 2), some, 5, Checkpoints(folder), tell)
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
def test_the_hard_head_is_a_regression_from_the_states_that_the_model_reads(mode, backbone, tmp_path):
    model, frame = tiny_model(backbone, mode=mode), annotated(80, 1)
    frame.loc[::5, "label"] = None
    validation = annotated(20, 2)
    fit(model, frame, validation, settings(epochs=1), 0, Checkpoints(tmp_path / "c"))
    known = frame[frame["label"].notna()]
    states = [(concept.name, state) for concept in model.concept_set for state in concept.states]

    def one_hot(texts):
        read = model.predict(texts["text"].tolist())
        return np.array([[p.concepts[name].state == state for name, state in states] for p in read], dtype=float)

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
    fit(model, annotated(16, 1), annotated(8, 2), settings(epochs=1), 0, Checkpoints(tmp_path / "c"))
    assert model.hard_head is None


def test_data_without_labels_is_refused(backbone, tmp_path):
    frame = annotated(16, 1)
    with pytest.raises(DataError, match="'train': no text has a label"):
        fit(tiny_model(backbone), frame.assign(label=None), frame, settings(), 0, Checkpoints(tmp_path))
    with pytest.raises(DataError, match="'train': every label is '2'"):
        fit(tiny_model(backbone), frame.assign(label="2"), frame, settings(), 0, Checkpoints(tmp_path))
    with pytest.raises(DataError, match="no text has a state for concept 'noise'"):
        fit(tiny_model(backbone), frame.assign(**{"concept.noise": None}), frame, settings(), 0, Checkpoints(tmp_path))


def test_missing_cells_are_left_out_and_training_goes_on(backbone, tmp_path):
    frame = annotated(160, 1)
    frame.loc[::3, "label"] = None
    frame.loc[1::3, "concept.food"] = None
    model = tiny_model(backbone, dropout=0.0)
    fit(model, frame, annotated(40, 2), settings(epochs=8), 0, Checkpoints(tmp_path / "c"))
    label, food = accuracies(model, annotated(60, 3))
    assert label > 0.9 and food > 0.9


def test_training_means_are_those_of_the_training_set(backbone, tmp_path):
    model, frame = tiny_model(backbone), annotated(30, 1)
    fit(model, frame, annotated(8, 2), settings(epochs=1), 0, Checkpoints(tmp_path / "c"))
    read = model.predict(frame["text"].tolist())
    by_hand = sum(p.concepts["food"].probabilities["Positive"] for p in read) / 30
    assert model.means["activations"]["food"]["Positive"] == pytest.approx(by_hand, abs=1e-6)
    assert model.means["label_share"]["3"] == pytest.approx((frame["label"] == "3").mean())
    assert model.means["concept_shares"]["noise"]["loud"] == pytest.approx((frame["concept.noise"] == "loud").mean())


def test_precision_is_bf16_only_where_it_is_asked_for_or_fast(monkeypatch):
    cpu = torch.device("cpu")
    for capability, expected in ((True, "bf16"), (False, "no")):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda has=capability: {"avx512_bf16": has})
        assert choose_precision("auto", cpu) == expected
    assert choose_precision("bf16", cpu) == "bf16" and choose_precision("float32", cpu) == "no"


def test_trainings_of_different_precision_follow_each_other_in_one_process():
    for wanted, dtype in (("float32", torch.float32), ("bf16", torch.bfloat16), ("float32", torch.float32)):
        with make_accelerator(settings(precision=wanted)).autocast():
            product = torch.nn.functional.linear(torch.ones(2, 2), torch.ones(2, 2))
        assert product.dtype == dtype


def test_bf16_learns_the_rule(backbone, tmp_path):
    model = tiny_model(backbone, mode="joint", dropout=0.0)
    fit(model, annotated(160, 1), annotated(40, 2), settings(epochs=8, precision="bf16"), 0, Checkpoints(tmp_path))
    label, food = accuracies(model, annotated(60, seed=3))
    assert label > 0.9 and food > 0.9
    assert all(weight.dtype == torch.float32 for weight in model.parameters())
