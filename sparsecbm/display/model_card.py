"""The model card that lies beside the weights."""

from sparsecbm.model.cbm import ConceptBottleneck


def _subnetworks(model: ConceptBottleneck) -> str:
    """A line on the masks, if there are any."""
    if model.masks is None:
        return ""
    shares = ", ".join(f"{name} {share:.1%}" for name, share in model.masks.density().items())
    layers = len(model.masks.shapes)
    return f"- subnetworks: of {model.masks.size:,} weights in {layers} layers each concept keeps: {shares}\n"


def model_card(model: ConceptBottleneck) -> str:
    """Markdown that says what a saved model reads, how it was built and how to use it."""
    settings = model.settings
    parameters = sum(p.numel() for p in model.parameters())
    label = model.concept_set.label
    rows = "\n".join(f"| {c.name} | {', '.join(c.states)} |" for c in model.concept_set)
    kind = (
        f"The label is a linear function of the concept activations (`{settings.activation}`) and of nothing else."
        if model.has_bottleneck
        else "This is the black box to compare with: it predicts the label directly and no concepts."
    )
    return f"""---
library_name: sparsecbm
tags: [text-classification, concept-bottleneck, interpretability]
---

# A concept bottleneck text classifier

{kind}

- label `{label.name}`: {", ".join(label.states)}
- backbone: {model.backbone.config.model_type}, {parameters:,} parameters with heads
{_subnetworks(model)}- mode `{settings.mode}`, pooling `{settings.pooling}`, texts cut at {settings.max_length} tokens

| concept | states |
|---|---|
{rows}

```python
from sparsecbm import SparseCBM

model = SparseCBM.from_pretrained("path/of/this/folder")
for prediction in model.predict(["The pasta was cold but the waiter made up for it."]):
    print(prediction.label.state, {{name: r.state for name, r in prediction.concepts.items()}})
```

Scores by split are in `metrics/evaluate.json` of the run that made this model. `checksums.json` holds the
sha256 of every file; loading verifies them.
"""
