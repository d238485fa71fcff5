"""Stage `annotate`: give every text a state for each concept, with its source and confidence."""

from sparsecbm.annotate.annotator import make_annotator
from sparsecbm.annotate.summary import summarise
from sparsecbm.base.concepts import ConceptSet
from sparsecbm.base.files import write_json
from sparsecbm.base.params import Params
from sparsecbm.base.workspace import Workspace
from sparsecbm.data.schemas import AnnotatedTable, check
from sparsecbm.data.tables import read_manifest, read_splits, write_splits


def run(params: Params, workspace: Workspace) -> None:
    """Write `data/annotated` and `metrics/annotate.json`."""
    manifest = read_manifest(workspace.validated)
    concept_set = ConceptSet.from_dict(manifest["vocabulary"])
    annotator = make_annotator(params.annotate)
    splits = {name: annotator.annotate(frame, concept_set) for name, frame in read_splits(workspace.validated).items()}
    for name, frame in splits.items():
        check(frame, AnnotatedTable, concept_set, f"split {name!r}")
    settings = {"annotator": annotator.name, "blank": params.annotate.blank}
    write_splits(workspace.annotated, splits, {**manifest, **settings})
    summary = {name: summarise(frame, concept_set) for name, frame in splits.items()}
    write_json(workspace.metrics("annotate"), {**settings, "splits": summary})
