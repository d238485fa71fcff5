"""The commands `sparsecbm intervene` and `sparsecbm patch ...`."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sparsecbm.base.errors import InterventionError
from sparsecbm.base.workspace import Workspace
from sparsecbm.cli.concept_states import parse_settings
from sparsecbm.cli.options import Model, TextFile
from sparsecbm.intervene.patches.options import PROTECTION_STRENGTH

if TYPE_CHECKING:
    from sparsecbm.api import SparseCBM

Patches = Annotated[list[Path], typer.Argument(help="Patch files.")]
Author = Annotated[str, typer.Option(help="Your name, for the record.")]
Note = Annotated[str, typer.Option(help="A remark, for the record.")]
Texts = Annotated[list[str], typer.Option("--text", help="A text; can be repeated.")]
Json = Annotated[bool, typer.Option("--json", help="Print everything as JSON.")]
Output = Annotated[Path, typer.Option("--output", help="The model folder to write.")]
Table = Annotated[
    Path | None,
    typer.Option("--data", help="Folder with annotated splits (default: data/annotated)."),
]
Split = Annotated[str, typer.Option(help="The split to use.")]

patch_app = typer.Typer(no_args_is_help=True, help="Make, test, apply and revert patches of a concept's mask.")


def intervene(
    model: Model,
    text: Texts,
    set_: Annotated[
        list[str],
        typer.Option(
            "--set",
            metavar="CONCEPT=STATE",
            help="A state, or the probability of each state: food=.1,.9,0; can be repeated.",
        ),
    ],
    head: Annotated[
        str, typer.Option(help="Label head: soft (on probabilities, as trained) or hard (on states alone).")
    ] = "soft",
    json: Json = False,
) -> None:
    """Set concepts of texts and see what the label becomes."""
    from sparsecbm.cli.printing.interventions import show_edits

    parse_settings(set_)  # what is no CONCEPT=STATE is told before the model is loaded
    loaded = load_model(model)
    edits = loaded.intervene(text, parse_settings(set_, names=loaded.concept_set.names), head)
    if json:
        print_json(edits)
    else:
        show_edits(edits)


@patch_app.command()
def make(
    model: Model,
    concept: Annotated[str, typer.Option(help="The concept whose mask is patched.")],
    state: Annotated[str, typer.Option(help="The state that the model should predict for the texts.")],
    output: Annotated[Path, typer.Option("--output", help="The patch file to write.")],
    text: Annotated[list[str] | None, typer.Option("--text", help="A text; can be repeated.")] = None,
    file: TextFile = None,
    bits: Annotated[int | None, typer.Option(help="Bits that may be flipped (default: from params.yaml).")] = None,
    margin: Annotated[
        float | None,
        typer.Option(help="How far the logit of the state must exceed the others (default: from params.yaml)."),
    ] = None,
    max_harm: Annotated[
        float | None,
        typer.Option(help="Share of correct predictions that the patch may harm (default: from params.yaml)."),
    ] = None,
    layers: Annotated[
        list[str] | None,
        typer.Option(help="Layers to flip bits in: name patterns, such as '*.attention.*'; can be repeated."),
    ] = None,
    scope: Annotated[
        str, typer.Option(help="global: keep the number of weights of the whole mask; layer: of each layer.")
    ] = "global",
    min_fixed_share: Annotated[float, typer.Option(help="Share of the texts that must get the state.")] = 1.0,
    protection_strength: Annotated[
        float,
        typer.Option(
            help="Weight of the penalty in the first attempt; higher protects more, but needs more bits and time."
        ),
    ] = PROTECTION_STRENGTH,
    data: Table = None,
    split: Split = "validation",
    force: Annotated[
        bool, typer.Option("--force", help="Write the patch even if it harms more; the patch records this.")
    ] = False,
    author: Author = "",
    note: Note = "",
    remedies: Annotated[
        Path | None,
        typer.Option(help="Also write a JSON file: what the patch, an edit, a memory and a head change fix and harm."),
    ] = None,
    json: Json = False,
) -> None:
    """Find the bits to flip so that the model predicts a state for texts.

    Half of the split and some training texts are protected. Side effects are measured on the other half.
    """
    from sparsecbm.base.files import write_json
    from sparsecbm.base.outputs import check_output
    from sparsecbm.base.params import load_params
    from sparsecbm.cli.earlier_outputs import published
    from sparsecbm.cli.printing.interventions import show_patch
    from sparsecbm.cli.printing.terminal import say
    from sparsecbm.cli.text_input import collect_texts
    from sparsecbm.intervene.patches.bits import bit_budget
    from sparsecbm.intervene.patches.make import make_patch
    from sparsecbm.intervene.patches.options import PatchOptions
    from sparsecbm.intervene.patches.patch import check_patch_output
    from sparsecbm.intervene.patches.split_safeguards import SplitSource, patch_cache
    from sparsecbm.model.storage import load

    check_patch_output(output)
    if remedies is not None:
        check_output(remedies, published("remedies"), "a comparison of remedies")
    texts = collect_texts(text, file)
    workspace = Workspace.find()
    params, loaded = load_params(workspace.params), load(model)  # the class of users imports much that is not needed
    settings = params.intervene
    options = PatchOptions(
        budget=bit_budget(loaded, settings.max_flipped_share) if bits is None else bits,
        margin=settings.margin if margin is None else margin,
        min_fixed_share=min_fixed_share,
        layers=tuple(layers or ("*",)),
        scope=scope,
        protection_strength=protection_strength,
        max_harm=settings.max_harm if max_harm is None else max_harm,
        force=force,
    )
    source = SplitSource(data or workspace.annotated, split, params, patch_cache(workspace))
    base = source.prepare(loaded, concept, texts, options.layers)
    patch = make_patch(base.model, texts, concept, state, options, base.safeguards)
    if remedies is not None:
        from sparsecbm.intervene.remedies import compare_remedies

        write_json(remedies, compare_remedies(base.model, patch, texts, base.safeguards).to_dict())
    patch = replace(patch, author=author, note=note)
    patch.save(output)
    if json:
        print_json(patch)
    else:
        show_patch(patch)
        say(f"written to {output}; the model is unchanged")


@patch_app.command()
def show(patch: Annotated[Path, typer.Argument(help="A patch file.")], json: Json = False) -> None:
    """Show what a patch flips, what it reaches, and its side effects."""
    from sparsecbm.cli.printing.interventions import show_patch
    from sparsecbm.intervene.patches.patch import MaskPatch

    loaded = MaskPatch.load(patch)
    if json:
        print_json(loaded)
    else:
        show_patch(loaded)


@patch_app.command("list")
def list_(folder: Annotated[Path, typer.Argument(help="A folder of patch files.")], json: Json = False) -> None:
    """List the patches of a folder."""
    from sparsecbm.cli.json_forms import PatchRow
    from sparsecbm.cli.printing.interventions import show_list
    from sparsecbm.intervene.patches.patch import MaskPatch

    if not folder.is_dir():
        raise InterventionError(f"{folder} is not a folder")
    rows = [PatchRow.of_file(path.name, MaskPatch.load(path)) for path in sorted(folder.glob("*.patch"))]
    if json:
        print_json(rows)
    else:
        show_list(rows, "no patches in this folder")


@patch_app.command()
def apply(model: Model, patches: Patches, output: Output, json: Json = False) -> None:
    """Write a model in which patches are permanent. It has new checksums; the given model stays unchanged."""
    from sparsecbm.intervene.patches.patch import MaskPatch

    _write_model(load_model(model).with_patches(*map(MaskPatch.load, patches)), output, json)


@patch_app.command()
def revert(model: Model, patches: Patches, output: Output, json: Json = False) -> None:
    """Write a model without the given patches. Give all patches of a concept."""
    from sparsecbm.intervene.patches.patch import MaskPatch
    from sparsecbm.intervene.patches.stack import reverted_copy

    _write_model(reverted_copy(load_model(model), *map(MaskPatch.load, patches)), output, json)


@patch_app.command()
def publish(
    patch: Annotated[Path, typer.Argument(help="A patch file.")],
    name: Annotated[str, typer.Argument(help="The repository: OWNER/NAME. It is created if it is missing.")],
    public: Annotated[
        bool, typer.Option("--public", help="Let everybody read it; without it, only the owner can.")
    ] = False,
) -> None:
    """Push a patch to a Hugging Face hub, with a card. Other commands then take NAME@REVISION in place of a file."""
    from sparsecbm.cli.printing.terminal import say
    from sparsecbm.display.patch_card import push_patch
    from sparsecbm.intervene.patches.patch import MaskPatch

    loaded = MaskPatch.load(patch)
    pushed = push_patch(loaded, name, public)
    say(f"pushed to {pushed.name} ({'private' if pushed.private else 'public'}): {pushed.url}")
    shown = " and ".join(part for part in ("an author" * bool(loaded.author), "a note" * bool(loaded.note)) if part)
    say(f"it holds no text, but the sha256 of {len(loaded.texts)} text(s){', ' + shown if shown else ''}")
    say(f"use it as {pushed.address}")


@patch_app.command()
def test(
    model: Model,
    patch: Annotated[Path, typer.Argument(help="A patch file.")],
    text: Annotated[
        list[str] | None,
        typer.Option(
            "--text",
            help="A text that the patch was made for, to leave out of the measurement; can be repeated.",
        ),
    ] = None,
    data: Table = None,
    split: Split = "test",
    json: Json = False,
) -> None:
    """Measure what a patch fixes and harms on other texts."""
    from sparsecbm.cli.printing.interventions import show_side_effects
    from sparsecbm.intervene.patches.patch import MaskPatch
    from sparsecbm.intervene.patches.side_effects import measure_side_effects
    from sparsecbm.intervene.patches.split_safeguards import predict_split
    from sparsecbm.intervene.patches.stack import check_patch_fits

    loaded_patch, loaded = MaskPatch.load(patch), load_model(model)
    check_patch_fits(loaded, loaded_patch)
    reference = predict_split(loaded, data or Workspace.find().annotated, split)
    effects = measure_side_effects(loaded, loaded_patch.concept, loaded_patch.flipped, reference, text or [])
    if json:
        print_json(effects)
    else:
        show_side_effects(effects, loaded_patch.concept)


def load_model(path: Path) -> "SparseCBM":
    """Load a model folder; its checksums are verified."""
    from sparsecbm.api import SparseCBM

    return SparseCBM.from_pretrained(path)


def print_json(result: object) -> None:
    """Print published results, or plain values, as JSON."""
    from sparsecbm.base.published import published_form
    from sparsecbm.cli.printing.terminal import say_json

    say_json(published_form(result))


def _write_model(model: "SparseCBM", output: Path, json: bool) -> None:
    from sparsecbm.cli.json_forms import WrittenModel
    from sparsecbm.cli.printing.terminal import say
    from sparsecbm.model.checksums import model_checksum

    model.save_pretrained(output)
    written = WrittenModel(str(output), model_checksum(model), model.masks.content_hash())
    if json:
        print_json(written)
    else:
        say(f"written to {output}; its checksum is {written.checksum[:12]}")
