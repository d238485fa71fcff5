"""Stage `evaluate`: score the sparse model and its dense origin on splits that they were not trained on."""

from sparsecbm.base.files import write_json
from sparsecbm.base.params import Params
from sparsecbm.base.workspace import Workspace
from sparsecbm.data.subgroups import read_subgroups
from sparsecbm.data.tables import head_split, read_split, split_names
from sparsecbm.evaluate.causal.causal_truth import causal_scores
from sparsecbm.evaluate.scores.bag_of_words import fit_bag_of_words
from sparsecbm.evaluate.scores.scores import EvaluationFile, ScoredTable, score_split
from sparsecbm.evaluate.scores.subgroup_scores import score_subgroups
from sparsecbm.evaluate.scores.unmeasured import find_unmeasured
from sparsecbm.evaluate.variables import predict_split
from sparsecbm.model.storage import load as load_model
from sparsecbm.stages.reproducible_stage import reproducible_stage


@reproducible_stage
def run(params: Params, workspace: Workspace) -> None:
    """Write `metrics/evaluate.json`.

    The scores of the test split (or else dev, or else validation) come first. Those of the other splits are under
    `splits`, those of subgroups of the first split under `subgroups`, those of the dense model on it under `dense`.
    Concepts of which people labelled too few texts of the first split are under `unmeasured`. Errors of causal effects
    are under `causal` if the first split has counterfactual pairs.
    """
    section, seed = params.evaluate, params.seed
    model = load_model(workspace.sparse)
    training = read_split(workspace.annotated, "train")
    held_out = [split for split in split_names(workspace.annotated) if split != "train"]
    frames = {split: read_split(workspace.annotated, split) for split in held_out}
    words = fit_bag_of_words(training, model.concept_set)
    logits = {split: model.logits(frame["text"].tolist()) for split, frame in frames.items()}
    scores = {
        split: score_split(model, ScoredTable(split, frame, logits[split]), section, seed, words)
        for split, frame in frames.items()
    }
    head = head_split(workspace.annotated)
    dense = score_split(load_model(workspace.dense), ScoredTable(head, frames[head]), section, seed)
    causal = causal_scores(model, training, frames[head], logits[head], section, seed)
    by_column = read_subgroups(workspace.subgroups, frames[head]["id"], section.subgroups)
    subgroups = score_subgroups(predict_split(model, frames[head], logits[head]), by_column, section, seed)
    splits = {split: score for split, score in scores.items() if split != head}
    unmeasured = find_unmeasured(scores[head])
    for name, reason in unmeasured.items():
        print(f"concept {name!r} is {reason}")
    others = {"splits": splits, "subgroups": subgroups, "dense": dense, "causal": causal}
    record = EvaluationFile(**dict(scores[head]), unmeasured=unmeasured, **others)
    write_json(workspace.metrics("evaluate"), record.model_dump())
