"""A data frame is all that training needs: `fit`, `prune`, then scores, explanations and patches."""

import numpy as np
import pandas as pd
import pytest

from sparsecbm import ConfigError, DataError, FitOptions, PatchSettings, Settings, SparseCBM, TrainOptions, fit, prune
from sparsecbm.plots.frames import plot_history, plot_matrix, plot_scores
from tests.support.user_frames import reviews

FAST = {"epochs": 2, "batch_size": 8, "learning_rate": 3e-3, "freeze_embeddings": False}
SPARSE = {"sparsity": 0.5, "events": 3, "gradients": 4, "batch_size": 8, "core": 0.5}


@pytest.fixture(scope="module")
def frame():
    return reviews(120, seed=1)


@pytest.fixture(scope="module")
def dense(backbone, frame):
    return fit(
        frame, ["food", "noise"], label="stars", text="review",
        options=FitOptions(backbone=str(backbone), settings=Settings(max_length=32)), **FAST,
    )  # fmt: skip


@pytest.fixture(scope="module")
def sparse(dense, frame):
    return prune(dense, frame, text="review", **SPARSE)


def test_processes_that_train_together_need_a_folder_that_all_see(frame, backbone, monkeypatch):
    monkeypatch.setattr("sparsecbm.api.training.count", lambda: 2)
    with pytest.raises(ConfigError, match=r"options.checkpoints: processes that train together need a folder"):
        fit(frame, ["food"], label="stars", text="review", options=FitOptions(backbone=str(backbone)), **FAST)


def test_fit_learns_the_task_of_a_frame(dense, frame):
    assert isinstance(dense, SparseCBM) and dense.masks is None and not dense.training
    assert dense.concept_set.label.states == ("1", "2", "3") and dense.concept_set.names == ("food", "noise")
    assert dense.history.best_step in [epoch["step"] for epoch in dense.history.epochs]
    predicted = dense.predict_frame(frame["review"])
    assert predicted.columns.tolist() == [
        "text", "stars", "stars_probability", "food", "food_probability", "noise", "noise_probability",
    ]  # fmt: skip
    accuracy = (predicted["noise"].to_numpy() == frame["noise"].to_numpy()).mean()
    assert accuracy > frame["noise"].value_counts(normalize=True).max(), "better than the majority"


def test_fit_repeats_to_the_bit(backbone, dense, frame):
    again = fit(
        frame, ["food", "noise"], label="stars", text="review",
        options=FitOptions(backbone=str(backbone), settings=Settings(max_length=32)), **FAST,
    )  # fmt: skip
    np.testing.assert_array_equal(again.logits(["good food"]).label, dense.logits(["good food"]).label)


@pytest.mark.parametrize("change", ["rows", "seed", "learning rate", "tokens"])
def test_checkpoints_of_another_training_are_refused(backbone, frame, tmp_path, change):
    """Without a check the earlier model would be returned, as if it had been trained on this data."""

    def train(data=frame, seed=1, max_length=32, **changes):
        options = FitOptions(
            backbone=str(backbone), settings=Settings(max_length=max_length), seed=seed, checkpoints=tmp_path / "states"
        )
        return fit(data, ["food"], label="stars", text="review", options=options, **{**FAST, "epochs": 1, **changes})

    first = train()
    np.testing.assert_array_equal(train().logits(["good food"]).label, first.logits(["good food"]).label)
    other = {
        "rows": {"data": frame[:-1]}, "seed": {"seed": 2}, "learning rate": {"learning_rate": 1e-3},
        "tokens": {"max_length": 16},
    }[change]  # fmt: skip
    with pytest.raises(DataError, match=r"states holds the state of another training, with .* name another folder"):
        train(**other)
    np.testing.assert_array_equal(train().logits(["good food"]).label, first.logits(["good food"]).label)


def test_checkpoints_of_other_masks_are_refused(dense, frame, tmp_path):
    options = TrainOptions(checkpoints=tmp_path)
    masks = prune(dense, frame, text="review", options=options, **SPARSE).masks
    assert prune(dense, frame, text="review", options=options, **SPARSE).masks == masks
    with pytest.raises(DataError, match="another training"):
        prune(dense, frame, text="review", options=options, **{**SPARSE, "sparsity": 0.25})


def test_prune_returns_a_sparse_model_and_leaves_the_dense_one(dense, sparse):
    assert dense.masks is None
    assert sparse.density() == {"food": pytest.approx(0.5, abs=0.01), "noise": pytest.approx(0.5, abs=0.01)}


def test_scores_are_those_of_the_predictions(sparse, frame):
    scores = sparse.score(frame, text="review")
    assert scores.index.tolist() == ["label", "label from plain states", "food", "noise", "mean"]
    predicted = sparse.predict_frame(frame["review"])
    for row, column in {"label": "stars", "food": "food", "noise": "noise"}.items():
        right = predicted[column].to_numpy() == frame[column].astype(str).to_numpy()
        assert scores.loc[row, "accuracy"] == pytest.approx(right.mean(), abs=1e-6)
    assert scores.loc["noise", "majority"] == pytest.approx(frame["noise"].value_counts(normalize=True).max(), abs=1e-6)
    assert (scores["low"] <= scores["accuracy"]).all() and (scores["accuracy"] <= scores["high"]).all()


def test_the_diagonal_of_the_swap_matrix_is_the_accuracy(sparse, frame):
    matrix, scores = sparse.swap_matrix(frame, text="review"), sparse.score(frame, text="review")
    assert matrix.index.tolist() == matrix.columns.tolist() == ["food", "noise"]
    for name in matrix.index:
        assert matrix.loc[name, name] == pytest.approx(scores.loc[name, "accuracy"], abs=1e-6)


def test_attributions_have_a_row_for_each_word(sparse):
    text = "the food was good"
    table = sparse.attributions([text], concepts=["food"])
    assert table["word"].tolist() == text.split() and set(table["concept"]) == {"food"}
    explanation = sparse.explain(text, concepts=["food"])
    np.testing.assert_allclose(table["attribution"], explanation.concepts["food"].words.scores, atol=1e-6)


def test_a_patch_changes_the_state_of_its_text_only_while_it_is_in_force(sparse, frame):
    unsure = sparse.predict_frame(frame["review"]).sort_values("noise_probability").iloc[0]
    text, before = unsure["text"], unsure["noise"]
    other = next(state for state in ("loud", "quiet") if state != before)
    patch = sparse.make_patch(
        text, "noise", other, frame, text="review", options=PatchSettings(max_flipped_share=0.5, max_harm=1.0)
    )
    with sparse.patched(patch):
        assert sparse.predict(text).concepts["noise"].state == other
    assert sparse.predict(text).concepts["noise"].state == before
    assert patch.side_effects.texts > 0


def test_drawings_show_the_numbers_of_the_frames(dense, sparse, frame):
    scores, matrix = sparse.score(frame, text="review"), sparse.swap_matrix(frame, text="review")
    points = plot_scores(scores).axes[0].lines[0]
    assert points.get_xdata().tolist() == scores["accuracy"].tolist()
    texts = [text.get_text() for text in plot_matrix(matrix).axes[0].texts]
    assert texts == [f"{value:.3f}" for value in matrix.to_numpy().ravel()]
    (kept,) = [line for line in plot_history(dense.history).axes[1].lines if line.get_label() == "kept"]
    assert kept.get_xdata()[0] == dense.history.best_step


def test_a_saved_model_predicts_the_same(sparse, tmp_path):
    sparse.save_pretrained(tmp_path / "model")
    loaded = SparseCBM.from_pretrained(tmp_path / "model")
    assert loaded.predict("good food but loud") == sparse.predict("good food but loud")
    assert loaded.history is None and (tmp_path / "model" / "README.md").is_file()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epoch": 3}, "unknown option 'epoch'. Did you mean 'epochs'"),
        ({"epochs": 0}, "epochs: must be at least 1, not 0"),
        ({"targets": "mean"}, "targets: must be 'majority' or 'votes', not 'mean'"),
    ],
)
def test_options_that_do_not_fit_are_refused_before_anything_is_loaded(frame, options, message):
    with pytest.raises(ConfigError, match=message):
        fit(frame, "food", label="stars", text="review", options=FitOptions(backbone="no/such/backbone"), **options)


def test_prune_names_unknown_options(dense, frame):
    with pytest.raises(ConfigError, match=r"unknown option 'sparse'\. Did you mean 'sparsity'"):
        prune(dense, frame, text="review", sparse=0.5)


def test_a_held_out_frame_takes_the_place_of_a_share(backbone, frame):
    model = fit(
        frame, "noise", label="stars", text="review", **FAST | {"epochs": 1}, options=FitOptions(
            validation=reviews(40, seed=2), backbone=str(backbone), settings=Settings(max_length=32)
        ),
    )  # fmt: skip
    assert model.concept_set.names == ("noise",)
    assert model.history.best_step == 15, "120 texts in batches of 8: none is held out"


def test_integer_labels_with_gaps_are_classes_by_size(frame):
    from sparsecbm.api.frames import learn_concepts

    labels = pd.DataFrame({"review": ["a", "b", "c"], "stars": [10, 2, None], "food": ["x", "y", "x"]})
    assert learn_concepts(labels, "review", "stars", "food").label.states == ("2", "10")
