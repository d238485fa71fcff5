"""Stage `validate`: check every row, move bad ones to quarantine with their reasons."""

from sparsecbm.base.concepts import ConceptSet
from sparsecbm.base.errors import DataError
from sparsecbm.base.files import write_json, write_text
from sparsecbm.base.params import Params
from sparsecbm.base.workspace import Workspace
from sparsecbm.data.tables import read_manifest, read_splits, write_splits
from sparsecbm.data.validation import validate
from sparsecbm.report.validation_page import validation_page


def run(params: Params, workspace: Workspace) -> None:
    """Write `data/validated`, `metrics/validate.json` and `reports/validation.html`.

    Raises:
        DataError: a structural fault, or more bad rows than allowed. Then the report and the page are written, so that
            the rows can be found, and the tables are not.
    """
    manifest = read_manifest(workspace.ingested)
    concept_set = ConceptSet.from_dict(manifest["vocabulary"])
    result = validate(read_splits(workspace.ingested), concept_set, params.validate_)
    write_json(workspace.metrics("validate"), result.report)
    page = workspace.reports / "validation.html"
    write_text(page, validation_page(result, manifest))
    if result.refusal is not None:
        raise DataError(f"{result.refusal}\nAll bad rows are listed in {page.relative_to(workspace.root)}")
    write_splits(workspace.validated, result.splits, manifest, quarantine=result.quarantine)
