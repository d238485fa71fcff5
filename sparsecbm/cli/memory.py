"""The commands `sparsecbm memory ...`: stored corrections, and what they say about new texts."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sparsecbm.base.errors import ConfigError, InterventionError
from sparsecbm.cli.concept_states import parse_states
from sparsecbm.cli.options import Model
from sparsecbm.cli.patches import Author, Json, Note, Texts, load_model, print_json

if TYPE_CHECKING:
    from sparsecbm.intervene.memory.store import Memory

Store = Annotated[Path, typer.Argument(help="A folder of corrections.")]

memory_app = typer.Typer(no_args_is_help=True, help="Keep corrections, and offer or apply them to similar texts.")


@memory_app.command()
def add(
    model: Model,
    store: Store,
    text: Texts,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="CONCEPT=STATE", help="The right state of the texts; can be repeated."),
    ] = None,
    patch: Annotated[Path | None, typer.Option(help="A patch to store instead of a state.")] = None,
    author: Author = "",
    note: Note = "",
    json: Json = False,
) -> None:
    """Store the right states of texts, whether the model predicts them or not."""
    from sparsecbm.cli.printing.interventions import show_list
    from sparsecbm.intervene.memory.store import Memory
    from sparsecbm.intervene.patches.patch import MaskPatch

    if set_ and patch:
        raise ConfigError("give only one of --set and --patch")
    if not set_ and not patch:
        raise ConfigError("give --set or --patch")
    memory = Memory(store)
    if patch:
        loaded_patch, loaded = MaskPatch.load(patch), load_model(model)
        corrections = [memory.add_patch(loaded, one_text, loaded_patch, author, note) for one_text in text]
    else:
        parse_states(set_ or (), "--set")  # what is no CONCEPT=STATE is told before the model is loaded
        loaded = load_model(model)
        states = parse_states(set_ or (), "--set", loaded.concept_set.names)
        corrections = [
            memory.add(loaded, one_text, concept, state, author, note)
            for one_text in text
            for concept, state in states.items()
        ]
    if json:
        print_json(corrections)
    else:
        show_list(corrections, "no corrections")


@memory_app.command("list")
def list_(store: Store, json: Json = False) -> None:
    """List the corrections."""
    from sparsecbm.cli.printing.interventions import show_list

    corrections = _open_store(store).corrections()
    if json:
        print_json(corrections)
    else:
        show_list(corrections, "no corrections")


@memory_app.command()
def remove(
    store: Store, correction: Annotated[str, typer.Argument(help="The id of the correction, or the start of it.")]
) -> None:
    """Remove a correction."""
    from sparsecbm.cli.printing.terminal import say

    removed = _open_store(store).remove(correction)
    say(f"removed: {removed.concept}={removed.state} ({removed.id[:12]})")


@memory_app.command()
def offer(
    model: Model,
    store: Store,
    text: Texts,
    threshold: Annotated[float, typer.Option(help="Smallest similarity to show, from -1 to 1.")] = 0.0,
    json: Json = False,
) -> None:
    """For each text and concept, show the most similar correction; nothing is changed."""
    from sparsecbm.cli.printing.interventions import show_offers
    from sparsecbm.intervene.memory.recall import find_offers

    offers = find_offers(load_model(model), _open_store(store), text, threshold)
    if json:
        print_json(offers)
    else:
        show_offers(offers)


@memory_app.command()
def apply(
    model: Model,
    store: Store,
    text: Texts,
    threshold: Annotated[float, typer.Option(help="Smallest similarity at which a correction acts, from -1 to 1.")],
    json: Json = False,
) -> None:
    """Predict texts with the corrections of similar texts, and show which acted; the model stays unchanged."""
    from sparsecbm.cli.printing.interventions import show_corrected
    from sparsecbm.intervene.memory.recall import predict_with_corrections

    results = predict_with_corrections(load_model(model), _open_store(store), text, threshold)
    if json:
        print_json(results)
    else:
        show_corrected(results)


def _open_store(store: Path) -> "Memory":
    """Open a store that exists.

    Raises:
        InterventionError: it holds no correction yet.
    """
    from sparsecbm.intervene.memory.index import INDEX
    from sparsecbm.intervene.memory.store import Memory

    if not (store / INDEX).is_file():
        raise InterventionError(f"{store} holds no corrections; add the first one with `sparsecbm memory add`")
    return Memory(store)
