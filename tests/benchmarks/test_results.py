"""The settings beside committed results have today's names; results under old names would be computed again."""

import json

import pytest

from benchmarks.page import RESULTS
from sparsecbm.base.params import Params

FILES = [*sorted(RESULTS.glob("cebab-*.json")), *sorted(RESULTS.glob("cross-use.json"))]
FILES += sorted(RESULTS.glob("masks-*.json"))


def unknown_settings(results: dict) -> set[str]:
    """Return settings of the results that are no parameters, as `section.name`."""
    return {
        f"{section}.{name}"
        for result in results.values()
        for section, values in result.get("settings", {}).items()
        for name in values
        if name not in Params.model_fields[section].annotation.model_fields
    }


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_setting_beside_a_result_is_a_parameter(path):
    results = json.loads(path.read_text(encoding="utf-8"))
    assert any("settings" in result for result in results.values())
    assert unknown_settings(results) == set()


def test_a_setting_under_an_old_name_is_found():
    assert unknown_settings({"1": {"settings": {"finetune": {"clip": 1.0, "epochs": 8}}}}) == {"finetune.clip"}
