"""How hard the table `data/app-reviews` is: majority, bag of words and a dense concept bottleneck, by cross-validation.

    python benchmarks/app_reviews.py [--folds 5] [--trained 1] [--epochs 8] [--seed 1]

A text is scored by models that were trained on the other folds. The folds are the same for all methods. The bottleneck
takes minutes a fold, so `--trained` says how many folds it is trained for; it is scored on these only, and the bag of
words on them once more. The running average of weights is short, since a small table gives few updates an epoch. The
bag of words is counts of words and pairs of words, one logistic regression a column. `states` predicts the verdict from
the three true states, by logistic regression on their one-hot form: what a model can reach that knows the concepts and
nothing else. Intervals are 95 %, by bootstrap over texts.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import cohen_kappa_score
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline

from sparsecbm import fit
from sparsecbm.api.options import FitOptions
from sparsecbm.base.files import write_json

ROOT = Path(__file__).parent.parent
TABLE = ROOT / "data" / "app-reviews" / "reviews.csv"
RESULTS = Path(__file__).parent / "results" / "app-reviews.json"
CONCEPTS = {
    "speed": ["slow", "fast", "unknown"],
    "design": ["confusing", "clear", "unknown"],
    "support": ["poor", "helpful", "unknown"],
}
LABEL = "verdict"
CLASSES = ("bad", "mixed", "good")
COLUMNS = [*CONCEPTS, LABEL]
RESAMPLES = 2000


def by_majority(train: pd.DataFrame, test: pd.DataFrame) -> pd.DataFrame:
    """Return the commonest value of each column of the training texts for every test text."""
    return pd.DataFrame({name: train[name].mode()[0] for name in COLUMNS}, index=test.index)


def by_words(train: pd.DataFrame, test: pd.DataFrame) -> pd.DataFrame:
    """Return the predictions of a bag of words and pairs of words."""
    predicted = {}
    for name in COLUMNS:
        words = make_pipeline(CountVectorizer(ngram_range=(1, 2)), LogisticRegression(max_iter=2000))
        predicted[name] = words.fit(train["text"], train[name]).predict(test["text"])
    return pd.DataFrame(predicted, index=test.index)


def by_states(train: pd.DataFrame, test: pd.DataFrame) -> pd.DataFrame:
    """Return the verdict that the true states suggest, and the true states."""
    states = list(CONCEPTS)
    together = pd.get_dummies(pd.concat([train[states], test[states]]))
    head = LogisticRegression().fit(together.loc[train.index], train[LABEL])
    return test[states].assign(**{LABEL: head.predict(together.loc[test.index])})


def by_bottleneck(train: pd.DataFrame, test: pd.DataFrame, epochs: int, seed: int) -> pd.DataFrame:
    """Return the predictions of a dense concept bottleneck over MiniLM."""
    options = FitOptions(labels=CLASSES, seed=seed, validation=0.2)
    model = fit(train, CONCEPTS, label=LABEL, options=options, epochs=epochs, patience=epochs, ema_decay=0.9)
    predictions = model.predict(list(test["text"]))
    states = {name: [each.concepts[name].state for each in predictions] for name in CONCEPTS}
    return pd.DataFrame(states | {LABEL: [each.label.state for each in predictions]}, index=test.index)


def scores(predicted: pd.DataFrame, truth: pd.DataFrame, seed: int) -> dict:
    """Return accuracy with its interval and kappa of each column, and the mean of the concepts."""
    truth = truth.loc[predicted.index]
    right = (predicted[COLUMNS] == truth[COLUMNS]).assign(concepts=lambda frame: frame[list(CONCEPTS)].mean(axis=1))
    drawn = np.random.default_rng(seed).integers(len(right), size=(RESAMPLES, len(right)))
    kappas = {name: cohen_kappa_score(truth[name], predicted[name]) for name in COLUMNS}
    kappas["concepts"] = np.mean([kappas[name] for name in CONCEPTS])
    results = {}
    for name in right.columns:
        values = right[name].to_numpy(float)
        interval = np.quantile(values[drawn].mean(axis=1), [0.025, 0.975])
        results[name] = {
            "accuracy": round(float(values.mean()), 4),
            "interval": [round(float(bound), 4) for bound in interval],
            "kappa": round(float(kappas[name]), 4),
        }
    return results


def main() -> None:
    """Predict every fold by every method, and write the scores."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--trained", type=int, default=1, help="folds that the bottleneck is trained for")
    parser.add_argument("--epochs", type=int, default=8, help="of the bottleneck")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    table = pd.read_csv(TABLE, keep_default_na=False)
    folds = StratifiedKFold(arguments.folds, shuffle=True, random_state=arguments.seed)
    methods: dict[str, list[pd.DataFrame]] = {"majority": [], "words": [], "states": [], "bottleneck": []}
    for fold, (train_rows, test_rows) in enumerate(folds.split(table, table[LABEL])):
        train, test = table.iloc[train_rows], table.iloc[test_rows]
        methods["majority"].append(by_majority(train, test))
        methods["words"].append(by_words(train, test))
        methods["states"].append(by_states(train, test))
        if fold < arguments.trained:
            methods["bottleneck"].append(by_bottleneck(train, test, arguments.epochs, arguments.seed))
    methods["words_same_folds"] = methods["words"][: arguments.trained]
    results = {"settings": vars(arguments)}
    for method, parts in methods.items():
        predicted = pd.concat(parts)
        results[method] = {"texts": len(predicted), **scores(predicted, table, arguments.seed)}
        row = ", ".join(f"{name} {results[method][name]['accuracy']:.3f}" for name in (*COLUMNS, "concepts"))
        print(f"{method:18} {row}")
    write_json(RESULTS, results)


if __name__ == "__main__":
    main()
