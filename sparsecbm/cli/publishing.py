"""The command `sparsecbm publish`: a model goes to a Hugging Face hub, with its card."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sparsecbm.base.errors import ConfigError, SparseCBMError
from sparsecbm.cli.options import Model

if TYPE_CHECKING:
    from sparsecbm.display.card_facts import CardFacts
    from sparsecbm.model.cbm import ConceptBottleneck


def publish(
    model: Model,
    name: Annotated[str, typer.Argument(help="The repository: OWNER/NAME. It is created if it is missing.")],
    public: Annotated[
        bool, typer.Option("--public", help="Let everybody read it; without it, only the owner can.")
    ] = False,
    card: Annotated[
        Path | None,
        typer.Option(
            help="A Markdown file as the card (default: from the figures of this workspace, if it is its model)."
        ),
    ] = None,
    words: Annotated[
        bool, typer.Option("--words", help="Let the card list words of your texts, at which neurons fire.")
    ] = False,
) -> None:
    """Push a model to a Hugging Face hub, with its card. The token is that of `hf auth login` or of HF_TOKEN.

    Only the files of a model are pushed; they hold no texts. `OWNER/NAME@COMMIT` then loads it anywhere.
    """
    from sparsecbm.cli.printing.terminal import say
    from sparsecbm.model.hub_models import push_model
    from sparsecbm.model.storage import load

    if card is not None and words:
        raise ConfigError("give only one of --card and --words: a file of your own has the words that you wrote")
    loaded = load(model)
    text, source = _own_card(card) if card is not None else _written_card(loaded, name, words)
    pushed = push_model(model, name, text, public)
    say(
        f"pushed {len(pushed.files)} files to {pushed.name} ({'private' if pushed.private else 'public'}): {pushed.url}"
    )
    say(f"they hold weights, masks, the tokenizer, names and means, and no texts; the card {source}")
    say(f"load it with: sparsecbm predict {pushed.address} --text ...")


def _own_card(card: Path) -> tuple[str, str]:
    """A card that the user wrote, and where it is from."""
    try:
        return card.read_text(encoding="utf-8"), f"is {card}"
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--card: {card} cannot be read as UTF-8 text: {error}") from None


def _written_card(model: "ConceptBottleneck", name: str, words: bool) -> tuple[str, str]:
    """A card with the figures of this workspace if the model is its sparse one, else without figures."""
    from sparsecbm.display.card_facts import CardFacts
    from sparsecbm.display.model_card import model_card
    from sparsecbm.model.checksums import model_checksum

    address = f"{name}@main"
    facts = _facts_of(model_checksum(model), words, address)
    if facts is None:
        unmeasured = "says that nothing was measured, since no report of this workspace is about this model"
        return model_card(model, CardFacts(address=address)), unmeasured
    shown = "lists words of your texts" if words else "lists no words of your texts (`--words` adds those of neurons)"
    return model_card(model, facts), f"has the figures of this workspace and {shown}"


def _facts_of(checksum: str, words: bool, address: str) -> "CardFacts | None":
    """The facts of this workspace if its report is about the model; None if not, or if this is no workspace."""
    from sparsecbm.base.params import load_run_params
    from sparsecbm.base.workspace import Workspace
    from sparsecbm.report.card_facts import workspace_facts

    try:
        workspace = Workspace.find()
    except SparseCBMError:
        return None
    if not workspace.model_card.is_file() or checksum not in workspace.model_card.read_text(encoding="utf-8"):
        return None
    return workspace_facts(workspace, load_run_params(workspace), words=words, address=address)
