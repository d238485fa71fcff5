"""The model card: what a saved model predicts, how it was built and how to use it."""

from collections.abc import Mapping

from sparsecbm.base.markdown import markdown, markdown_code
from sparsecbm.model.cbm import ConceptBottleneck

HEADS, NEURONS = 2, 4  # of each concept


def model_card(model: ConceptBottleneck, parts: Mapping[str, Mapping] | None = None) -> str:
    """The card as Markdown, with a header for model hubs.

    Args:
        parts: `parts` of `metrics/explain.json`, if they are known: heads and neurons of each subnetwork
    """
    settings = model.settings
    parameters = sum(p.numel() for p in model.parameters())
    label = model.concept_set.label
    rows = "\n".join(f"| {markdown(c.name)} | {', '.join(map(markdown, c.states))} |" for c in model.concept_set)
    kind = (
        f"The label is a linear function of the concept activations (`{settings.activation}`) and of nothing else."
        if model.has_bottleneck
        else "This is a black box for comparison: it predicts the label directly, without concepts."
    )
    return f"""---
library_name: sparsecbm
tags: [text-classification, concept-bottleneck, interpretability]
---

# A concept bottleneck text classifier

{kind}

- label {markdown_code(label.name)}: {", ".join(map(markdown, label.states))}
- backbone: {markdown(model.backbone.config.model_type)}, {parameters:,} parameters with heads
{_subnetworks(model)}- mode `{settings.mode}`, pooling `{settings.pooling}`, texts cut at {settings.max_length} tokens

| concept | states |
|---|---|
{rows}

```python
from sparsecbm import SparseCBM

model = SparseCBM.from_pretrained("path/of/this/folder")
for prediction in model.predict(["The pasta was cold but the waiter made up for it."]):
    print(prediction.label.state, {{name: concept.state for name, concept in prediction.concepts.items()}})
```

`metrics/evaluate.json` of the run that made this model holds its scores by split. `checksums.json` holds the sha256 of
every file of the model; loading verifies them.
{_parts(parts or {})}"""


def _subnetworks(model: ConceptBottleneck) -> str:
    """A line about the masks; empty for a model without masks."""
    if model.masks is None:
        return ""
    shares = ", ".join(f"{markdown(name)} {share:.1%}" for name, share in model.masks.density().items())
    layers = len(model.masks.shapes)
    return f"- subnetworks: of {model.masks.size:,} weights in {layers} layers each concept keeps: {shares}\n"


def _parts(parts: Mapping[str, Mapping]) -> str:
    """A section with the strongest heads and neurons of each subnetwork; empty if they are not known."""
    rows = [
        f"| {markdown(name)} | {kind} {part['block']}.{part['index']} | {', '.join(map(markdown, part['words']))} "
        f"| {part['effect']:.2f} | {part['interval'][0]:.2f} to {part['interval'][1]:.2f} | {part['exclusive']:.0%} |"
        for name, by_kind in parts.items()
        for kind, listed in (("head", by_kind["heads"][:HEADS]), ("neuron", by_kind["neurons"][:NEURONS]))
        for part in listed
    ]
    if not rows:
        return ""
    lines = "\n".join(rows)
    return f"""
## What each subnetwork consists of

The heads and neurons with the largest effects: the logit of the predicted state with one minus without it, as the mean
over texts that the model was not trained on. A neuron fires on the words at which it is most active. "Its own" is the
share of its weights that no other concept keeps.

| concept | part | fires on | effect | 95 % | its own |
|---|---|---|---|---|---|
{lines}
"""
