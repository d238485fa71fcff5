"""The annotators that `annotate.annotators` in `params.yaml` can name, besides `human`."""

from collections.abc import Callable

from sparsecbm.annotate.annotator import Annotator
from sparsecbm.annotate.llm.annotator import make_llm_annotator
from sparsecbm.base.params import Params
from sparsecbm.base.workspace import Workspace


def _make_embedding(params: Params, workspace: Workspace) -> Annotator:
    from sparsecbm.annotate.embedding import EmbeddingAnnotator

    return EmbeddingAnnotator(params.annotate.embedding, params.seed, params.threads)


def _make_few_shot(params: Params, workspace: Workspace) -> Annotator:
    from sparsecbm.annotate.few_shot import FewShotAnnotator

    return FewShotAnnotator(params)


def _make_local(params: Params, workspace: Workspace) -> Annotator:
    from sparsecbm.annotate.local import make_local_annotator

    return make_local_annotator(params)


# Name -> what makes the annotator. Each imports its libraries when it is called.
ANNOTATORS: dict[str, Callable[[Params, Workspace], Annotator]] = {
    "embedding": _make_embedding,
    "few_shot": _make_few_shot,
    "llm": make_llm_annotator,
    "local": _make_local,
}
