"""Let the machines of a workspace label its texts, as its parameters say."""

from collections.abc import Iterable

import pandas as pd

from sparsecbm.annotate.annotator import Estimating
from sparsecbm.annotate.annotator_input import read_annotator_input
from sparsecbm.annotate.concept_file import ConceptFile, read_concept_file
from sparsecbm.annotate.fill import FILLED
from sparsecbm.annotate.human_labels import HUMAN_FILE, current_labels, read_decisions
from sparsecbm.annotate.labelled_texts import load_labelled_texts
from sparsecbm.annotate.labels import label_path
from sparsecbm.annotate.registry import ANNOTATORS
from sparsecbm.annotate.run import Outcome, pending_work, run_annotator
from sparsecbm.annotate.shards import Sharding, parts_folder
from sparsecbm.base.engines import thread_engine
from sparsecbm.base.errors import ConfigError, unknown
from sparsecbm.base.params import Params
from sparsecbm.base.workspace import Workspace
from sparsecbm.train.reproducible import reproducible

LABELS_A_MINUTE = 10  # of a person, by experience (docs/annotation.md)


def machines(params: Params, names: Iterable[str] = ()) -> tuple[str, ...]:
    """The machines that label concepts: those of `annotate.annotators`, or the named ones among them.

    Raises:
        ConfigError: there is none, or a name is not among them.
    """
    known = tuple(name for name in params.annotate.annotators if name != "human")
    if not known:
        raise ConfigError(
            "params.yaml names no machine that labels concepts; set annotate.annotators, such as [human, embedding]. "
            f"Choices: {', '.join(ANNOTATORS)}"
        )
    names = tuple(names)
    for name in names:
        if name not in known:
            raise ConfigError(unknown("annotator", name, known))
    return names or known


def read_definitions(workspace: Workspace) -> ConceptFile:
    """The concepts to label.

    Raises:
        ConfigError: there is no file of concepts, or it names none.
    """
    remedy = "`sparsecbm concepts suggest` proposes some"
    if not workspace.concept_file.exists():
        raise ConfigError(f"{workspace.concept_file} does not exist, and machines go by its definitions; {remedy}")
    file = read_concept_file(workspace.concept_file)
    if not file.concepts:
        raise ConfigError(f"{workspace.concept_file} names no concept; {remedy}")
    return file


def label_texts(workspace: Workspace, params: Params, name: str) -> Outcome:
    """Let one annotator label what lacks its label.

    Raises:
        SparseCBMError: it cannot work, or the texts or concepts cannot be read; its table stays as it was.
    """
    file = read_definitions(workspace)
    annotator = ANNOTATORS[name](params, workspace)
    settings, path = params.annotate, label_path(workspace.annotations, name)
    workspace.writable_state()
    sharding = Sharding(settings.shards, thread_engine(settings.workers), parts_folder(workspace))
    with reproducible(params.seed, params.threads):
        return run_annotator(annotator, read_annotator_input(workspace), file.concepts, path, sharding)


def describe_work(workspace: Workspace, params: Params, name: str) -> list[str]:
    """What `label_texts` would do, in sentences, without doing it.

    Raises:
        SparseCBMError: as `label_texts`, as far as it shows without work.
    """
    file = read_definitions(workspace)
    annotator, given = ANNOTATORS[name](params, workspace), read_annotator_input(workspace)
    pending = pending_work(annotator, given, file.concepts, label_path(workspace.annotations, name))
    cells, wanted = len(given.texts) * len(file.concepts), sum(work.cells for work in pending)
    texts = sum(len(work.texts) for work in pending)
    lines = [
        f"to label: {wanted:,} of {cells:,} cells (a text and a concept) of {texts:,} of {len(given.texts):,} texts"
    ]
    if len(given.people):
        lines.append("texts that people labelled are among these, to compare; of splits to measure on, only these are")
    for work in pending:
        if len(pending) > 1:
            lines.append(f"{', '.join(concept.name for concept in work.concepts)}, for {len(work.texts):,} texts:")
        if isinstance(annotator, Estimating):
            lines += annotator.estimate(work.texts, work.concepts, given.people)
    return lines


def describe_people(workspace: Workspace) -> list[str]:
    """What people have not labelled yet of the texts to learn from, and how long it would take them, in sentences.

    Raises:
        SparseCBMError: the texts or concepts cannot be read.
    """
    read_definitions(workspace)
    texts = load_labelled_texts(workspace)
    frame = texts.frame[texts.frame["split"].isin(FILLED)]
    decisions = current_labels(read_decisions(workspace.annotations / HUMAN_FILE))
    decided = set(zip(decisions["key"], decisions["concept"], strict=True))
    missing = sum(
        pd.isna(state) and (key, concept.name) not in decided
        for concept in texts.concepts
        for key, state in zip(frame["key"], frame[f"concept.{concept.name}"], strict=True)
    )
    cells = len(frame) * len(texts.concepts)
    return [
        f"{missing:,} of {cells:,} labels of {len(frame):,} texts to learn from are missing",
        f"about {missing / LABELS_A_MINUTE:,.0f} min at {LABELS_A_MINUTE} labels a minute; `sparsecbm annotate review` "
        "asks first for those that help most",
        "nothing is sent or paid; with a machine in annotate.annotators, such as [human, embedding], a hundred texts "
        "are a start",
    ]
