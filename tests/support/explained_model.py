"""A tiny model that can be explained at all levels, and options for fast explanations."""

from sparsecbm.api import SparseCBM
from sparsecbm.explain.explainer import ExplainOptions
from sparsecbm.explain.methods import AttributionOptions

FEW = AttributionOptions(steps=4, max_steps=8)
WORDS_ONLY = ExplainOptions(attribution=FEW, units=())


def with_means(model: SparseCBM) -> SparseCBM:
    """Give a model uniform training means and a hard head with twice the weights of its label head."""
    shares = {concept.name: {state: 1 / len(concept) for state in concept.states} for concept in model.concept_set}
    model.means = {"activations": shares, "concept_shares": shares}
    model.add_hard_head().set(model.label_head.linear.weight.detach() * 2, model.label_head.linear.bias.detach())
    return model
