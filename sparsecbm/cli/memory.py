"""`sparsecbm memory ...`: corrections that are kept, and what they say of new texts; `cli.py` gives them a place."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sparsecbm.base.errors import ConfigError, InterventionError
from sparsecbm.cli.patches import Json, Model, Texts, load_model, print_json, read_setting

if TYPE_CHECKING:
    from sparsecbm.intervene.memory.recall import Offer
    from sparsecbm.intervene.memory.store import Correction, Memory

Store = Annotated[Path, typer.Argument(help="A folder of corrections.")]

memory_app = typer.Typer(no_args_is_help=True, help="Keep corrections, and let them speak or act on texts alike.")


@memory_app.command()
def add(
    model: Model,
    store: Store,
    text: Texts,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="CONCEPT=STATE", help="What the texts should be read as.")
    ] = None,
    patch: Annotated[Path | None, typer.Option(help="Or the patch file that makes them read so.")] = None,
    author: str = "",
    note: str = "",
    json: Json = False,
) -> None:
    """Keep how texts are to be read: a mended reading, or one that is right and should stay as it is."""
    from sparsecbm.cli.printing.interventions import show_list
    from sparsecbm.intervene.memory.store import Memory
    from sparsecbm.intervene.patches.patch import MaskPatch

    if bool(set_) == bool(patch):
        raise ConfigError("give either --set or --patch")
    made = MaskPatch.load(patch) if patch else None
    states = {made.concept: made.state} if made else dict(map(_state, set_))
    loaded, memory = load_model(model), Memory(store)
    rows = [
        _row(memory.add(loaded, each, concept, state, made, author, note))
        for each in text
        for concept, state in states.items()
    ]
    if json:
        print_json(rows)
    else:
        show_list(rows)


@memory_app.command("list")
def list_(store: Store, json: Json = False) -> None:
    """List the corrections that are kept."""
    from sparsecbm.cli.printing.interventions import show_list

    rows = [_row(correction) for correction in _opened(store).corrections()]
    if json:
        print_json(rows)
    else:
        show_list(rows)


@memory_app.command()
def remove(store: Store, correction: Annotated[str, typer.Argument(help="Its id, or how that begins.")]) -> None:
    """Forget a correction."""
    gone = _opened(store).remove(correction)
    print(f"forgotten: {gone.concept}={gone.state} ({gone.id[:12]})")


@memory_app.command()
def offer(
    model: Model,
    store: Store,
    text: Texts,
    threshold: Annotated[float, typer.Option(help="Least likeness, from -1 to 1.")] = 0.0,
    json: Json = False,
) -> None:
    """Show the nearest correction of each concept of texts; nothing is changed."""
    from sparsecbm.cli.printing.interventions import show_offers
    from sparsecbm.intervene.memory.recall import offers

    found = [
        {"text": each, "offers": _plain(offered)}
        for each, offered in zip(text, offers(load_model(model), _opened(store), text, threshold), strict=True)
    ]
    if json:
        print_json(found)
    else:
        show_offers(found)


@memory_app.command()
def apply(
    model: Model,
    store: Store,
    text: Texts,
    threshold: Annotated[float, typer.Option(help="Likeness, from -1 to 1, above which a correction acts.")],
    json: Json = False,
) -> None:
    """Read texts with the corrections of texts that are alike, and say which acted; the model stays as it is."""
    from sparsecbm.cli.printing.interventions import show_corrected
    from sparsecbm.intervene.memory.recall import corrected

    results = corrected(load_model(model), _opened(store), text, threshold)
    if json:
        print_json(
            [{"before": r.before.to_dict(), "after": r.after.to_dict(), "acted": _plain(r.acted)} for r in results]
        )
    else:
        show_corrected(results)


def _opened(store: Path) -> "Memory":
    """A store that is there.

    Raises:
        InterventionError: nothing was kept in it yet.
    """
    from sparsecbm.intervene.memory.store import INDEX, Memory

    if not (store / INDEX).is_file():
        raise InterventionError(f"{store} holds no corrections; `sparsecbm memory add` keeps the first")
    return Memory(store)


def _state(given: str) -> tuple[str, str]:
    concept, state = read_setting(given)
    if not isinstance(state, str):
        raise ConfigError(f"--set {given}: what is kept is a state; name one")
    return concept, state


def _row(correction: "Correction") -> dict:
    names = ("id", "kind", "concept", "state", "text", "patch", "author", "note")
    return {name: getattr(correction, name) for name in names}


def _plain(offered: dict[str, "Offer"]) -> dict[str, dict]:
    return {
        concept: {"likeness": offer.likeness, "correction": _row(offer.correction)}
        for concept, offer in offered.items()
    }
