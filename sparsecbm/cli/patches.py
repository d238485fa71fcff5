"""`sparsecbm intervene` and `sparsecbm patch ...`: what the commands do; `cli.py` gives them their place."""

import json as jsonlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sparsecbm.base.errors import ConfigError, InterventionError
from sparsecbm.base.workspace import Workspace

if TYPE_CHECKING:
    from sparsecbm.api import SparseCBM
    from sparsecbm.intervene.reference import Reference

Model = Annotated[Path, typer.Argument(help="A model folder, such as models/sparse.")]
Patches = Annotated[list[Path], typer.Argument(help="Patch files.")]
Texts = Annotated[list[str], typer.Option("--text", help="A text; may be given several times.")]
Json = Annotated[bool, typer.Option("--json", help="Print everything as JSON.")]
Output = Annotated[Path, typer.Option("--output", help="The model folder to write.")]
Table = Annotated[
    Path | None, typer.Option("--data", help="Annotated splits for the bill; by default the workspace's own.")
]
Split = Annotated[str, typer.Option(help="Which of them.")]

patch_app = typer.Typer(no_args_is_help=True, help="Make, judge, apply and revert patches of a concept's mask.")


def intervene(
    model: Model,
    text: Texts,
    set_: Annotated[
        list[str], typer.Option("--set", metavar="CONCEPT=STATE", help="A state, or its probability for each: .1,.9,0.")
    ],
    head: Annotated[str, typer.Option(help="soft (as trained), or hard (all concepts one-hot).")] = "soft",
    json: Json = False,
) -> None:
    """Set concepts of texts and see what the label becomes."""
    from sparsecbm.cli.printing.interventions import show_edits

    edits = load_model(model).intervene(text, dict(map(read_setting, set_)), head)
    if json:
        print_json([edit.to_dict() for edit in edits])
    else:
        show_edits(edits)


@patch_app.command()
def make(
    model: Model,
    concept: Annotated[str, typer.Option(help="Whose mask.")],
    state: Annotated[str, typer.Option(help="What it should read in the texts.")],
    output: Annotated[Path, typer.Option("--output", help="The patch file to write.")],
    text: Annotated[list[str] | None, typer.Option("--text", help="A text; may be given several times.")] = None,
    file: Annotated[Path | None, typer.Option("--file", help=".jsonl, .csv or .tsv (text), or a text a line.")] = None,
    bits: Annotated[int | None, typer.Option(help="Bits that may be flipped; by default as in params.yaml.")] = None,
    margin: Annotated[float | None, typer.Option(help="By which the state must win; likewise.")] = None,
    max_harm: Annotated[float | None, typer.Option(help="Share of right readings it may spoil; likewise.")] = None,
    layers: Annotated[list[str] | None, typer.Option(help="Patterns of layers whose bits may be flipped.")] = None,
    scope: Annotated[str, typer.Option(help="Keep the mask as sparse as it is: global, or in each layer.")] = "global",
    share: Annotated[
        float | None, typer.Option(help="Of several texts, how many must read it; all by default.")
    ] = None,
    caution: Annotated[float | None, typer.Option(help="Protection to start from; more costs bits and time.")] = None,
    data: Table = None,
    split: Split = "validation",
    force: Annotated[bool, typer.Option("--force", help="Write it even if it does more harm; it will say so.")] = False,
    author: str = "",
    note: str = "",
    json: Json = False,
) -> None:
    """Find the bits to flip so that texts are read as wanted.

    Half of the reference protects, with some training texts; half pays the bill.
    """
    from rich.console import Console

    from sparsecbm.base.params import load_params
    from sparsecbm.cli.printing.interventions import show_patch
    from sparsecbm.cli.text_input import collect_texts
    from sparsecbm.data.tables import split_names
    from sparsecbm.intervene.experiments.trials import Terms
    from sparsecbm.intervene.patches.make import make_patch
    from sparsecbm.intervene.patches.protection import protect

    texts = collect_texts(text, file)
    workspace = Workspace.find()
    params = load_params(workspace.params)
    settings, loaded = params.intervene, load_model(model)
    terms = Terms(
        settings.bits,
        settings.margin if margin is None else margin,
        settings.protect,
        settings.max_harm if max_harm is None else max_harm,
    )
    budget = terms.budget(loaded) if bits is None else bits
    chosen = {name: value for name, value in {"share": share, "caution": caution}.items() if value is not None}
    with Console(stderr=True).status("reading the reference ...") as status:
        folder = data or workspace.annotated
        protecting, billed = _reference(loaded, folder, split).halves(0.5, params.seed)
        if "train" in split_names(folder) and split != "train":
            protecting = protecting.joined(_reference(loaded, folder, "train", settings.training_texts, params.seed))
        status.update("protecting right readings ...")
        protection = protect(loaded, protecting.without_texts(texts), concept, terms.protect)
        status.update("looking for bits ...")
        patch = make_patch(
            loaded, texts, concept, state, budget, margin=terms.margin,
            layers=layers or ("*",), scope=scope, protection=protection, reference=billed, max_harm=terms.max_harm,
            force=force, author=author, note=note, **chosen,
        )  # fmt: skip
    patch.save(output)
    if json:
        print_json(patch.to_dict())
    else:
        show_patch(patch)
        print(f"written to {output}; the model is as it was")


@patch_app.command()
def show(patch: Annotated[Path, typer.Argument(help="A patch file.")], json: Json = False) -> None:
    """Show what a patch flips, what it reaches, and its bill."""
    from sparsecbm.cli.printing.interventions import show_patch
    from sparsecbm.intervene.patches.patch import MaskPatch

    found = MaskPatch.load(patch)
    if json:
        print_json(found.to_dict())
    else:
        show_patch(found)


@patch_app.command("list")
def list_(folder: Annotated[Path, typer.Argument(help="A folder of patch files.")], json: Json = False) -> None:
    """List the patches of a folder."""
    from sparsecbm.cli.printing.interventions import show_list
    from sparsecbm.intervene.patches.patch import MaskPatch

    if not folder.is_dir():
        raise InterventionError(f"{folder} is no folder")
    found = [(path.name, MaskPatch.load(path)) for path in sorted(folder.glob("*.patch"))]
    rows = [
        {
            "id": p.id, "file": name, "concept": p.concept, "state": p.state, "texts": len(p.texts),
            "bits": p.bits, "parent": p.parent, "author": p.author, "note": p.note,
        }
        for name, p in found
    ]  # fmt: skip
    if json:
        print_json(rows)
    else:
        show_list(rows)


@patch_app.command()
def apply(model: Model, patches: Patches, output: Output, json: Json = False) -> None:
    """Write a model in which patches are permanent; its checksums are new, the model given stays as it is."""
    from sparsecbm.intervene.patches.patch import MaskPatch

    _write(load_model(model).with_patches(*map(MaskPatch.load, patches)), output, json)


@patch_app.command()
def revert(model: Model, patches: Patches, output: Output, json: Json = False) -> None:
    """Write a model without patches that were applied: all of one concept together."""
    from sparsecbm.intervene.patches.patch import MaskPatch
    from sparsecbm.intervene.patches.stack import revert_patch

    _write(revert_patch(load_model(model), *map(MaskPatch.load, patches)), output, json)


@patch_app.command()
def test(
    model: Model,
    patch: Annotated[Path, typer.Argument(help="A patch file.")],
    text: Annotated[list[str] | None, typer.Option("--text", help="Texts that it was made for; left out.")] = None,
    data: Table = None,
    split: Split = "test",
    json: Json = False,
) -> None:
    """Bill a patch on other texts: what it repairs and what it harms there."""
    from sparsecbm.cli.printing.interventions import show_bill
    from sparsecbm.intervene.patches.patch import MaskPatch
    from sparsecbm.intervene.patches.side_effects import make_bill
    from sparsecbm.intervene.patches.stack import check_fit

    found, loaded = MaskPatch.load(patch), load_model(model)
    check_fit(loaded, found)
    reference = _reference(loaded, data or Workspace.find().annotated, split)
    bill = make_bill(loaded, found.concept, found.flipped, reference, text or [])
    if json:
        print_json(bill.to_dict())
    else:
        show_bill(bill.to_dict(), found.concept)


def load_model(path: Path) -> "SparseCBM":
    """A model folder, verified."""
    from sparsecbm.api import SparseCBM

    return SparseCBM.from_pretrained(path)


def _reference(model: "SparseCBM", folder: Path, split: str, most: int | None = None, seed: int = 0) -> "Reference":
    """A split as the model reads it, or so many of its texts at most."""
    from sparsecbm.data.tables import read_split
    from sparsecbm.intervene.reference import read_reference

    frame = read_split(folder, split)
    if most is not None and most < len(frame):
        frame = frame.sample(most, random_state=seed)
    return read_reference(model, frame)


def read_setting(given: str) -> tuple[str, str | list[float]]:
    """CONCEPT=STATE, or CONCEPT=P,P,...: the concept, and its state or the probability of each of its states.

    Raises:
        ConfigError: it is neither.
    """
    concept, equals, value = given.partition("=")
    if not (concept and equals and value):
        raise ConfigError(f"--set {given}: give CONCEPT=STATE, such as food=Positive, or CONCEPT=.1,.9,0")
    if "," not in value:
        return concept, value
    try:
        return concept, [float(part) for part in value.split(",")]
    except ValueError:
        raise ConfigError(f"--set {given}: {value} is no list of probabilities") from None


def _write(model: "SparseCBM", output: Path, json: bool) -> None:
    from sparsecbm.model.checksums import model_checksum

    model.save_pretrained(output)
    if json:
        print_json({"model": str(output), "checksum": model_checksum(model), "masks": model.masks.content_hash()})
    else:
        print(f"written to {output}; its checksum is {model_checksum(model)[:12]}")


def print_json(value: object) -> None:
    """Print a plain value as JSON."""
    print(jsonlib.dumps(value, indent=2, ensure_ascii=False, allow_nan=False))
