"""The model card: what a model predicts, what it is for, how good it is, and how to use it."""

from collections.abc import Mapping

from sparsecbm.base.markdown import markdown, markdown_code
from sparsecbm.display.card_facts import NOTHING_MEASURED, CardFacts
from sparsecbm.display.card_header import card_header
from sparsecbm.display.card_sections import (
    data_section,
    licence_section,
    limit_section,
    patch_section,
    score_section,
    specificity_section,
    use_section,
)
from sparsecbm.model.cbm import ConceptBottleneck
from sparsecbm.model.checksums import model_checksum

HEADS, NEURONS = 2, 4  # of each concept


def model_card(model: ConceptBottleneck, facts: CardFacts = NOTHING_MEASURED) -> str:
    """The card as Markdown, with a header for model hubs.

    It holds no text of the data. Words of texts are in it only as `CardFacts.words` says.

    Args:
        facts: figures of the run that made the model, and what its owner states
    """
    sections = [use_section(facts), data_section(facts), score_section(facts)]
    if model.masks is not None:
        sections += [specificity_section(facts), patch_section(facts)]
    sections += [limit_section(facts, model.has_bottleneck), licence_section(facts)]
    parts = _parts(facts.measured("explain", "parts") or {}, facts.words)
    return "\n".join([card_header(facts), card_text(model, facts.address), *sections, *([parts] if parts else [])])


def card_text(model: ConceptBottleneck, address: str = NOTHING_MEASURED.address) -> str:
    """What a card says of the model itself: concepts, subnetworks, and how to load it.

    Args:
        address: what loads the model
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
    return f"""# A concept bottleneck text classifier

{kind}

- label {markdown_code(label.name)}: {", ".join(map(markdown, label.states))}
- backbone: {markdown(model.backbone.config.model_type)}, {parameters:,} parameters with heads
{_subnetworks(model)}- mode `{settings.mode}`, pooling `{settings.pooling}`, texts cut at {settings.max_length} tokens
- model checksum `{model_checksum(model)}`

| concept | states |
|---|---|
{rows}

```python
from sparsecbm import SparseCBM

model = SparseCBM.from_pretrained("{address}")
for prediction in model.predict(["The pasta was cold but the waiter made up for it."]):
    print(prediction.label.state, {{name: concept.state for name, concept in prediction.concepts.items()}})
```

`checksums.json` holds the sha256 of every file of the model; loading verifies them. The folder holds weights, masks,
the tokenizer, names and means, and no texts.
"""


def _subnetworks(model: ConceptBottleneck) -> str:
    """A line about the masks; empty for a model without masks."""
    if model.masks is None:
        return ""
    shares = ", ".join(f"{markdown(name)} {share:.1%}" for name, share in model.masks.density().items())
    layers = len(model.masks.shapes)
    return f"- subnetworks: of {model.masks.size:,} weights in {layers} layers each concept keeps: {shares}\n"


def _parts(parts: Mapping[str, Mapping], words: bool) -> str:
    """A section with the strongest heads and neurons of each subnetwork; empty if they are not known."""
    rows = [
        f"| {markdown(name)} | {kind} {part['block']}.{part['index']} "
        + (f"| {', '.join(map(markdown, part['words']))} " if words else "")
        + f"| {part['effect']:.2f} | {part['interval'][0]:.2f} to {part['interval'][1]:.2f} | {part['exclusive']:.0%} |"
        for name, by_kind in parts.items()
        for kind, listed in (("head", by_kind["heads"][:HEADS]), ("neuron", by_kind["neurons"][:NEURONS]))
        for part in listed
    ]
    if not rows:
        return ""
    lines = "\n".join(rows)
    fires = " A neuron fires on the words of these texts at which it is most active." if words else ""
    header = ("concept", "part", *(("fires on",) if words else ()), "effect", "95 %", "its own")
    return f"""## What each subnetwork consists of

The heads and neurons with the largest effects: the logit of the predicted state with one minus without it, as the mean
over texts that the model was not trained on.{fires} "Its own" is the share of its weights that no other concept keeps.

| {" | ".join(header)} |
|{"---|" * len(header)}
{lines}
"""
