"""What `import sparsecbm` gives."""

import subprocess
import sys

import pytest

import sparsecbm


def test_every_public_name_is_there():
    for name in sparsecbm.__all__:
        assert getattr(sparsecbm, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'MaskSets'"):
        sparsecbm.MaskSets  # noqa: B018


def test_torch_comes_only_with_a_model():
    code = "import sys, sparsecbm; assert 'torch' not in sys.modules; sparsecbm.MaskSet; assert 'torch' in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
