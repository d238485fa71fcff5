"""Stage `evaluate`: score the sparse model, and the dense one it came from, on splits they were not trained on."""

from sparsecbm.base.files import replacing_folder, write_json
from sparsecbm.base.params import Params
from sparsecbm.base.workspace import Workspace
from sparsecbm.data.tables import head_split, read_split, split_names
from sparsecbm.evaluate.causal.causal_truth import causal_scores
from sparsecbm.evaluate.scores.bag_of_words import fit_bag_of_words
from sparsecbm.evaluate.scores.scores import EvaluationFile, SplitScores, score_split
from sparsecbm.model.storage import load as load_model
from sparsecbm.plots.scores import plot_accuracies, plot_confusions
from sparsecbm.stages.reproducible_stage import reproducible_stage


@reproducible_stage
def run(params: Params, workspace: Workspace) -> None:
    """Write `metrics/evaluate.json` and `plots/evaluate`.

    The scores of the test split (or dev, or validation, if there is none) head the file; those of the
    other splits stand under `splits`, those of the dense model on the first split under `dense`. Errors of causal
    effects stand under `causal`, if the first split has counterfactual pairs.
    """
    model = load_model(workspace.sparse)
    training = read_split(workspace.annotated, "train")
    words = fit_bag_of_words(training, model.concept_set)
    frames = {
        name: read_split(workspace.annotated, name) for name in split_names(workspace.annotated) if name != "train"
    }
    logits = {split: model.logits(frame["text"].tolist()) for split, frame in frames.items()}
    scores: dict[str, SplitScores] = {
        split: score_split(model, frame, split, params.evaluate, params.seed, words, logits[split])
        for split, frame in frames.items()
    }
    with replacing_folder(workspace.plots / "evaluate") as folder:
        for split, of_split in scores.items():
            plot_confusions(of_split, folder / f"confusion-{split}.png")
            plot_accuracies(of_split, folder / f"accuracy-{split}.png")
    head = head_split(workspace.annotated)
    others = {split: of_split for split, of_split in scores.items() if split != head}
    dense = load_model(workspace.dense)
    of_dense = score_split(dense, frames[head], head, params.evaluate, params.seed, None)
    causal = causal_scores(
        model,
        training,
        frames[head],
        logits[head],
        params.evaluate.effect_texts,
        params.evaluate.bootstrap,
        params.seed,
    )
    whole = EvaluationFile(**dict(scores[head]), splits=others, dense=of_dense, causal=causal)
    write_json(workspace.metrics("evaluate"), whole.model_dump())
