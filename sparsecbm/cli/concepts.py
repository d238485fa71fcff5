"""The commands `sparsecbm concepts ...`: concepts that the texts suggest, and checks of their definitions."""

from typing import Annotated

import typer

from sparsecbm.cli.options import Json

concepts_app = typer.Typer(no_args_is_help=True, help="Find concepts in the texts, and check their definitions.")


@concepts_app.command()
def suggest(
    task: Annotated[str | None, typer.Option(help="What the texts are, in one sentence.")] = None,
    llm: Annotated[
        bool, typer.Option("--llm", help="Let the language model of the environment propose the concepts.")
    ] = False,
    texts: Annotated[int, typer.Option(min=50, help="The most training texts to look at.")] = 1500,
    concepts: Annotated[
        int | None, typer.Option(min=1, max=12, help="How many concepts to write; by default the figures decide.")
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace concepts.yaml; the earlier file is kept.")
    ] = False,
    json: Json = False,
) -> None:
    """Write concepts.yaml: names, states, definitions and examples, ranked by what they tell of the label."""
    from sparsecbm.annotate.discovery.suggested_file import check_free, write_suggestion
    from sparsecbm.base.params import load_params
    from sparsecbm.base.workspace import Workspace
    from sparsecbm.cli.concept_suggestion import Request, earlier_task, suggest_concepts
    from sparsecbm.cli.printing.concepts import show_ranking, show_written
    from sparsecbm.cli.printing.tables import show_json

    workspace = Workspace.find()
    params = load_params(workspace.params)
    check_free(workspace.concept_file, replace)
    task = earlier_task(workspace.concept_file) if task is None else task
    suggestion = suggest_concepts(params, workspace, Request(task, llm, texts, concepts))
    if not json:
        show_ranking(suggestion)
    kept = write_suggestion(workspace.concept_file, suggestion, task)
    if json:
        show_json(suggestion)
    else:
        show_written(workspace.concept_file, kept)


@concepts_app.command()
def check(
    texts: Annotated[int, typer.Option(min=50, help="The most training texts to compare definitions with.")] = 300,
    json: Json = False,
) -> None:
    """Check concepts.yaml, and say which concepts need new labels; the exit code is 1 if something must be changed."""
    from sparsecbm.annotate.concept_file import read_concept_file
    from sparsecbm.base.params import load_params
    from sparsecbm.base.workspace import Workspace
    from sparsecbm.cli.concept_suggestion import check_workspace
    from sparsecbm.cli.printing.concepts import show_check
    from sparsecbm.cli.printing.tables import show_json

    workspace = Workspace.find()
    file = read_concept_file(workspace.concept_file)
    result = check_workspace(load_params(workspace.params), workspace, file, texts)
    if json:
        show_json(result)
    else:
        show_check(result, workspace.concept_file)
    if result.has_errors:
        raise typer.Exit(1)
