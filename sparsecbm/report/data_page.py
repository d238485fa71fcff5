"""The page about the data, written from what the stage `validate` left in the workspace."""

from sparsecbm.base.files import read_json_object, read_parquet, write_text
from sparsecbm.base.workspace import Workspace
from sparsecbm.data.tables import QUARANTINE, read_manifest, read_splits
from sparsecbm.data.validation import Validated
from sparsecbm.report.name_order import in_order, names_of_data
from sparsecbm.report.validation_page import validation_page


def write_validation_page(workspace: Workspace) -> None:
    """Write the page about the data."""
    manifest = read_manifest(workspace.validated)
    splits = read_splits(workspace.validated)
    report = in_order(read_json_object(workspace.metrics("validate")), [*splits, *names_of_data(manifest)])
    quarantine = read_parquet(workspace.validated / QUARANTINE)
    page = validation_page(Validated(splits, quarantine, report, refusal=None), manifest)
    write_text(workspace.validation_page, page)
