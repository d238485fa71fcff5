"""Stage `validate`: check every row, move bad ones to quarantine with their reasons."""

from collections import Counter

from sparsecbm.base.concepts import ConceptSet
from sparsecbm.base.errors import RefusedDataError
from sparsecbm.base.files import write_json
from sparsecbm.base.params import Params
from sparsecbm.base.workspace import Workspace
from sparsecbm.data.tables import DEFINITIONS, read_manifest, read_splits, write_splits
from sparsecbm.data.validation import validate


def run(params: Params, workspace: Workspace) -> None:
    """Write `data/validated` and `metrics/validate.json`.

    Raises:
        DataError: a structural fault; nothing is written.
        RefusedDataError: more bad rows than allowed. Then `metrics/validate.json` is written, the tables are not, and
            the error carries the bad rows.
    """
    manifest = read_manifest(workspace.ingested)
    concept_set = ConceptSet.from_dict(manifest["vocabulary"])
    blank_is_state = params.annotate.blank == "unknown"
    splits, defined = read_splits(workspace.ingested), manifest.get(DEFINITIONS, ())
    result = validate(splits, concept_set, params.validate_, blank_is_state, defined)
    write_json(workspace.metrics("validate"), result.report)
    if result.refusal is not None:
        raise RefusedDataError(result.refusal, result)
    write_splits(workspace.validated, result.splits, manifest, quarantine=result.quarantine)
    if len(result.quarantine):
        counts = Counter[str]()
        for reasons in result.report["reasons"].values():
            counts.update(reasons)
        listed = ", ".join(f"{reason} {count}" for reason, count in counts.most_common())
        print(f"{len(result.quarantine)} row(s) went to quarantine: {listed}")
    if result.report["warnings"]:
        counts = Counter(warning["code"] for warning in result.report["warnings"])
        listed = ", ".join(f"{code} {count}" for code, count in counts.most_common())
        print(f"{counts.total()} warning(s), in reports/validation.html: {listed}")
