"""The process that makes one patch: `python -m sparsecbm.workbench.patch_process WORKSPACE MODEL JOB`.

Texts are read from the job's folder, so no list of processes shows them. The patch is the last file that is written.
"""

import sys
import traceback
from dataclasses import replace
from pathlib import Path

from sparsecbm.api import SparseCBM
from sparsecbm.base.errors import SparseCBMError
from sparsecbm.base.files import write_json, write_text
from sparsecbm.base.params import load_params
from sparsecbm.base.workspace import Workspace
from sparsecbm.intervene.patches.make import HarmfulError, UnreachedError, make_patch
from sparsecbm.intervene.patches.split_safeguards import SplitSource, patch_cache
from sparsecbm.intervene.remedies import compare_remedies
from sparsecbm.workbench.patch_request import BITS, HARM, SHARE, PatchRequest

REQUEST, PATCH, REMEDIES, FAULT = "request.json", "made.patch", "remedies.json", "fault.txt"
PHASE = "phase.txt"  # what the process does now
SPLIT = "validation"
LONGEST_FAULT = 2000  # characters


def make_requested(workspace: Workspace, model_folder: Path, job: Path) -> None:
    """Make the patch that a job asks for, compare it with other remedies, and write both.

    Raises:
        SparseCBMError: there is no patch, or a file cannot be read or written.
    """
    request, params = PatchRequest.load(job / REQUEST), load_params(workspace.params)
    write_text(job / PHASE, "step 1 of 3, right readings are protected")
    model, texts = SparseCBM.from_pretrained(model_folder), list(request.texts)
    options = request.limits.options(model, params.intervene)
    source = SplitSource(workspace.annotated, SPLIT, params, patch_cache(workspace))
    base = source.prepare(model, request.concept, texts, options.layers)
    write_text(job / PHASE, "step 2 of 3, bits are searched for")
    patch = make_patch(base.model, texts, request.concept, request.state, options, base.safeguards)
    write_text(job / PHASE, "step 3 of 3, other remedies are measured")
    write_json(job / REMEDIES, compare_remedies(base.model, patch, texts, base.safeguards).to_dict())
    replace(patch, author=request.author, note=request.reason).save(job / PATCH)


def explain_fault(error: Exception) -> str:
    """Say why there is no patch, and which field of the page helps."""
    if isinstance(error, UnreachedError):
        share = f", lower “{SHARE}”" if error.several else ""
        return f"{error.fact}. Try again with more “{BITS}”{share}, or keep a correction instead"
    if isinstance(error, HarmfulError):
        return f"{error.fact}. Try again with more “{HARM}” to see which texts it harms, or keep a correction instead"
    if isinstance(error, SparseCBMError):
        return str(error)
    return f"the process failed ({type(error).__name__}); errors.txt in the folder of this patch says where"


def main(workspace: Path, model: Path, job: Path) -> int:
    """Make a patch, or write why there is none.

    Returns:
        the exit status
    """
    try:
        make_requested(Workspace(workspace), model, job)
    except Exception as error:
        if not isinstance(error, SparseCBMError):
            traceback.print_exc()
        write_text(job / FAULT, explain_fault(error)[:LONGEST_FAULT])
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*map(Path, sys.argv[1:4])))
