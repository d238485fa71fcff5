"""Models, masks, overlaps and patches as cards for notebooks: what each is, in a few facts and one table."""

from dataclasses import dataclass
from math import prod

from sparsecbm.base import rich
from sparsecbm.display.card import environment
from sparsecbm.intervene.patches.patch import MaskPatch
from sparsecbm.model.cbm import ConceptBottleneck
from sparsecbm.model.masks import ConceptMask, MaskSet
from sparsecbm.model.overlap import Overlap


@dataclass(frozen=True)
class Summary:
    """The contents of a card.

    Attributes:
        facts: pairs of a name and a value
        columns: headings of the table, the first one of names and the others of figures
        rows: cells as texts
    """

    title: str
    facts: tuple[tuple[str, str], ...]
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()


def summarise_model(model: ConceptBottleneck) -> Summary:
    """What a model predicts, and which weights each concept keeps."""
    label, masks = model.concept_set.label, model.masks
    facts = [
        ("label", f"{label.name}: {', '.join(label.states)}"),
        ("backbone", f"{model.backbone.config.model_type}, {sum(p.numel() for p in model.parameters()):,} parameters"),
        ("masks", "none, so all concepts share the dense backbone" if masks is None else f"of {masks.size:,} weights"),
    ]
    kept = {} if masks is None else masks.density()
    shares = {name: f"{share:.1%}" for name, share in kept.items()}
    rows = tuple((c.name, ", ".join(c.states), shares.get(c.name, "all")) for c in model.concept_set)
    return Summary(type(model).__name__, tuple(facts), ("concept", "states", "weights kept"), rows)


def summarise_masks(masks: MaskSet) -> Summary:
    """How many weights each concept keeps."""
    facts = (("over", f"{masks.size:,} weights in {len(masks.shapes)} layers"),)
    rows = tuple((name, f"{masks[name].weights:,}", f"{masks[name].density:.1%}") for name in masks.concepts)
    return Summary("Masks", facts, ("concept", "weights kept", "share"), rows)


def summarise_mask(mask: ConceptMask) -> Summary:
    """How many weights of each layer a concept keeps."""
    size = sum(prod(shape) for shape in mask.shapes.values())
    facts = (("keeps", f"{mask.weights:,} of {size:,} weights, {mask.density:.1%}"),)
    densities = mask.density_by_layer()
    rows = tuple((layer, f"{prod(mask.shapes[layer]):,}", f"{kept:.1%}") for layer, kept in densities.items())
    return Summary(f"Mask of {mask.name}", facts, ("layer", "weights", "share kept"), rows)


def summarise_overlap(overlap: Overlap) -> Summary:
    """How much every two masks overlap, beside chance, and what each concept has for itself."""
    facts = [("in all masks", f"{overlap.core:.1%} of the weights")]
    facts += [(f"only in that of {name}", f"{share:.1%}") for name, share in overlap.exclusive.items()]
    rows = tuple(
        (f"{first}, {second}", f"{pair.jaccard:.3f}", f"{pair.chance:.3f}")
        for (first, second), pair in overlap.pairs.items()
    )
    return Summary("Overlap of masks", tuple(facts), ("concepts", "Jaccard index", "by chance"), rows)


def summarise_patch(patch: MaskPatch) -> Summary:
    """What a patch is for, and which bits it flips."""
    facts = [
        ("for", f"{len(patch.texts)} text(s)"),
        ("flips", f"{patch.bits:,} of {patch.size:,} bits, {patch.share:.5%}"),
    ]
    facts += [(name, str(getattr(patch, name))) for name in ("author", "note", "parent") if getattr(patch, name)]
    rows = tuple(
        (layer, str(len(patch.dropped.get(layer, ()))), str(len(patch.grown.get(layer, ())))) for layer in patch.flipped
    )
    title = f"Patch {patch.id[:12]}: {patch.concept} should be {patch.state}"
    return Summary(title, tuple(facts), ("layer", "dropped", "grown"), rows)


def _fragment(summary: Summary) -> str:
    macros = environment().get_template("summary.html.jinja").module
    style = environment().get_template("card.html.jinja").module.style()
    return f"<div>{style}{macros.card(summary)}</div>"


def _page(summary: Summary) -> str:
    head = '<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8"><title>Summary</title></head>'
    return f"{head}\n<body>{_fragment(summary)}</body>\n</html>\n"


for _type, _summarise in (
    (ConceptBottleneck, summarise_model),
    (MaskSet, summarise_masks),
    (ConceptMask, summarise_mask),
    (Overlap, summarise_overlap),
    (MaskPatch, summarise_patch),
):
    rich.fragment.register(_type, lambda value, summarise=_summarise: _fragment(summarise(value)))
    rich.page.register(_type, lambda value, summarise=_summarise: _page(summarise(value)))
