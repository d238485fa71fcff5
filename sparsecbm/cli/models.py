"""The commands on saved models: predict, explain, evaluate, masks, compare."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from sparsecbm.base.collector import collector_paused
from sparsecbm.base.errors import ConfigError
from sparsecbm.cli.concept_states import parse_states
from sparsecbm.cli.options import Column, Json, Model, TextFile, Texts

METHOD_HELP = (  # the names of `explain.methods.METHODS`, which would import torch
    "How words are scored: integrated_gradients, mid_path_gradients, leave_one_out, attention_rollout or random."
)


def predict(
    model: Model,
    text: Texts = None,
    file: TextFile = None,
    column: Column = None,
    output: Annotated[Path | None, typer.Option("--output", help="Write into this file, not to the terminal.")] = None,
    precision: Annotated[
        str, typer.Option(help="auto (bf16 if the processor multiplies it), float32 or bf16.")
    ] = "auto",
) -> None:
    """Predict label and concepts: a table for each text in a terminal, one JSON line in a pipe or a file."""
    from sparsecbm.base.files import write_text
    from sparsecbm.base.outputs import check_output
    from sparsecbm.cli.earlier_outputs import published
    from sparsecbm.cli.text_input import collect_texts

    texts = collect_texts(text, file, column)
    if output is not None:
        check_output(output, published("predict"), "predictions")
    from sparsecbm.base.terminal_text import visible_json
    from sparsecbm.cli.predictions import json_line, load_predictor, predictions, unread_texts
    from sparsecbm.cli.printing.terminal import say

    predictor = load_predictor(model, precision, len(texts))
    found = predictions(predictor, texts)
    if output is not None:
        write_text(output, "".join(f"{json_line(prediction)}\n" for prediction in found))
    elif sys.stdout.isatty():
        from sparsecbm.cli.printing.predictions import show_prediction

        for prediction in found:
            show_prediction(prediction, predictor.concept_set.label.name)
    else:
        for prediction in found:
            say(visible_json(json_line(prediction)))
    for line in unread_texts(predictor, texts):
        say(line, error=True)


def explain(
    model: Model,
    text: Texts = None,
    file: TextFile = None,
    column: Column = None,
    concept: Annotated[
        list[str] | None, typer.Option(help="A concept to explain by words; can be repeated; default: all.")
    ] = None,
    state: Annotated[
        list[str] | None,
        typer.Option(help="CONCEPT=STATE: explain this state, not the predicted one; can be repeated."),
    ] = None,
    method: Annotated[str, typer.Option(help=METHOD_HELP)] = "integrated_gradients",
    parts: Annotated[
        bool,
        typer.Option(
            "--parts",
            help="Search the fewest heads and neurons that keep each prediction; some seconds for each text.",
        ),
    ] = False,
    html: Annotated[Path | None, typer.Option("--html", help="Write the cards into this file, as one page.")] = None,
    json: Annotated[
        Path | None, typer.Option("--json", help="Write into this file, one JSON line for each text.")
    ] = None,
) -> None:
    """Show the words, subnetworks and concepts behind the label of each text, as a card or in a file."""
    if html and json:
        raise ConfigError("give only one of --html and --json")
    from sparsecbm.base.outputs import check_output
    from sparsecbm.cli.earlier_outputs import cards, published
    from sparsecbm.cli.text_input import collect_texts

    texts = collect_texts(text, file, column)
    if json:
        check_output(json, published("explanation"), "explanations")
    elif html:
        check_output(html, cards, "cards of explanations")
    with collector_paused():
        from sparsecbm.cli.explaining import explain_texts
    explanations = explain_texts(model, texts, concept, parse_states(state or (), "--state"), method, parts)
    if html or json:
        from sparsecbm.base.files import write_text
        from sparsecbm.explain.export import json_lines

        if json:
            write_text(json, json_lines(list(explanations)))
        else:
            from sparsecbm.display.card import page

            write_text(html, page(list(explanations)))
        return
    from sparsecbm.cli.printing.explanation import show_explanation

    for explanation in explanations:
        show_explanation(explanation)


def evaluate(
    model: Model,
    split: Annotated[str, typer.Option(help="The split to score, such as test, dev or validation.")],
    output: Annotated[Path, typer.Option(help="The JSON file to write.")],
    source: Annotated[str | None, typer.Option(help="restaurants, cebab, imdb-c, table or hub.")] = None,
    path: Annotated[str | None, typer.Option(help="File or folder of the source.")] = None,
) -> None:
    """Score a model on a split of a data source: the one in params.yaml, or another."""
    from sparsecbm.api import SparseCBM
    from sparsecbm.base.files import write_json
    from sparsecbm.base.outputs import check_output
    from sparsecbm.base.params import load_params, other_source
    from sparsecbm.base.workspace import Workspace
    from sparsecbm.cli.earlier_outputs import published
    from sparsecbm.cli.printing.tables import show_scores
    from sparsecbm.evaluate.scores.source_scores import evaluate_source

    check_output(output, published("evaluate"), "scores")
    workspace = Workspace.find()
    params = load_params(workspace.params)
    data_source = other_source(params, source, path and str(Path(path).resolve()))
    scores = evaluate_source(SparseCBM.from_pretrained(model), params, data_source, split, workspace.root)
    write_json(output, scores.model_dump())
    show_scores(scores)


def export(
    model: Model,
    output: Annotated[Path, typer.Option(help="The folder to write.")],
    format: Annotated[str, typer.Option("--format", help="onnx or openvino.")] = "onnx",
    precision: Annotated[str, typer.Option(help="float32, bf16 (openvino alone) or int8.")] = "float32",
    split: Annotated[str, typer.Option(help="The split to measure bf16 or int8 on.")] = "validation",
    source: Annotated[
        str | None, typer.Option(help="restaurants, cebab, imdb-c, table or hub; not for float32.")
    ] = None,
    path: Annotated[str | None, typer.Option(help="File or folder of the source.")] = None,
) -> None:
    """Write a model as one graph that predicts without torch, in ONNX Runtime or OpenVINO."""
    from sparsecbm.cli.exporting import export_folder
    from sparsecbm.cli.printing.exported import show_exported

    show_exported(export_folder(model, output, format, precision, (split, source, path)))


def masks(model: Model, file: TextFile = None, column: Column = None, json: Json = False) -> None:
    """Show which weights each concept keeps, how much concepts share, and what masks cost and save.

    With texts, also show the heads and neurons that matter most to each concept, and what these neurons fire on.
    """
    from sparsecbm.cli.inspection.mask_summary import summarize_masks
    from sparsecbm.cli.printing.masks import show_masks
    from sparsecbm.cli.printing.tables import show_json
    from sparsecbm.cli.text_input import collect_texts

    if column is not None and file is None:
        raise ConfigError("--column names the column of a --file; give the file, too")
    summary = summarize_masks(model, collect_texts(None, file, column) if file else ())
    if json:
        show_json(summary)
    else:
        show_masks(summary)


def compare(model_a: Model, model_b: Model, file: TextFile = None, json: Json = False) -> None:
    """Show what differs between two models: settings, weights, masks and, with --file, predictions."""
    from sparsecbm.cli.inspection.compare import compare_models
    from sparsecbm.cli.printing.comparison import show_comparison
    from sparsecbm.cli.printing.tables import show_json
    from sparsecbm.cli.text_input import collect_texts

    texts = collect_texts(None, file) if file else []
    comparison = compare_models(model_a, model_b, texts)
    if json:
        show_json(comparison)
    else:
        show_comparison(comparison, model_a, model_b)
