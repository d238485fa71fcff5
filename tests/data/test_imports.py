"""Sources, splits and tables work without pandera; only schemas and validation need it."""

import subprocess
import sys

import pytest

WITHOUT_PANDERA = (
    "sparsecbm.data.sources.registry",
    "sparsecbm.data.tables",
    "sparsecbm.data.ingest",
    "sparsecbm.data.blanks",
    "sparsecbm.data.acceptance",
)


@pytest.mark.parametrize(("names", "expected"), [(WITHOUT_PANDERA, False), (("sparsecbm.data.validation",), True)])
def test_only_schemas_and_validation_import_pandera(names, expected):
    code = f"import sys, {', '.join(names)}; print('pandera' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == str(expected)
