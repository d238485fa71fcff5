"""From a workspace to suggested concepts, for `sparsecbm concepts suggest`."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from sparsecbm.annotate.concept_file import ConceptFile, read_concept_file
from sparsecbm.annotate.discovery.check import CheckResult, check_concepts
from sparsecbm.annotate.discovery.corpus import make_corpus, sample_texts
from sparsecbm.annotate.discovery.proposals import propose
from sparsecbm.annotate.discovery.suggest import Suggestion, SuggestOptions, candidates_of_texts, suggest
from sparsecbm.annotate.discovery.training_texts import read_training_texts
from sparsecbm.annotate.labels import label_paths, read_labels
from sparsecbm.annotate.llm.annotator import make_instructions
from sparsecbm.annotate.llm.endpoint import read_endpoint
from sparsecbm.annotate.llm.single_question import ask_once
from sparsecbm.annotate.sentence_encoder import SentenceEncoder
from sparsecbm.base.errors import ConfigError
from sparsecbm.base.params import Params
from sparsecbm.base.workspace import Workspace

# Where nobody gave the order of the label's states, these tell which end of it is likely to be the good one.
PRAISE, BLAME = "This is very good.", "This is very bad."


@dataclass(frozen=True)
class Request:
    """What a person asks for.

    Attributes:
        task: what the texts are
        llm: whether a language model proposes the concepts
        texts: the most texts to look at
        concepts: how many to choose; None lets the figures decide
    """

    task: str
    llm: bool
    texts: int
    concepts: int | None


def suggest_concepts(params: Params, workspace: Workspace, request: Request) -> Suggestion:
    """Suggest concepts from the training texts of a workspace.

    Raises:
        DataError, ModelError: there are too few texts, one label only, or no encoder.
        ConfigError: a language model is asked for, and there is no endpoint, or it gives no usable answer.
    """
    endpoint = read_endpoint() if request.llm else None
    training = read_training_texts(params, workspace)
    sample = sample_texts(training.frame, request.texts, params.seed)
    encode = SentenceEncoder(params.annotate.embedding.encoder)
    corpus = make_corpus(sample, training.classes, encode)
    praise = None
    if not training.ordered:
        good, bad = encode([PRAISE, BLAME])
        praise = good - bad
    options = SuggestOptions((training.label, *training.columns), request.concepts, praise, params.seed)
    if endpoint is None:
        return suggest(corpus, candidates_of_texts(corpus, params.seed), options)
    ask = partial(ask_once, endpoint, params.annotate.llm)
    redact = make_instructions(request.task, params.annotate).redact
    candidates, definitions = propose(ask, request.task, corpus, sample, params.seed, redact)
    return suggest(corpus, candidates, options, definitions)


def check_workspace(params: Params, workspace: Workspace, file: ConceptFile, texts: int) -> CheckResult:
    """Check the concepts of a workspace against its training texts and its tables of machine labels.

    Args:
        texts: the most texts to compare with
    """
    training = read_training_texts(params, workspace)
    sample = list(sample_texts(training.frame, texts, params.seed)["text"])
    labels = {name: read_labels(path) for name, path in label_paths(workspace.annotations).items()}
    return check_concepts(file, training, sample, SentenceEncoder(params.annotate.embedding.encoder), labels)


def earlier_task(path: Path) -> str:
    """What the texts are, as an earlier file of concepts says; empty without one."""
    try:
        return read_concept_file(path).task
    except ConfigError:
        return ""
