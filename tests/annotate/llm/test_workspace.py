"""The annotator of a workspace: its endpoint, its task, and its file of answers."""

import pytest

from sparsecbm.annotate.concept_file import ConceptFile, write_concept_file
from sparsecbm.annotate.llm.annotator import make_llm_annotator
from sparsecbm.base.errors import ConfigError
from sparsecbm.base.params import load_params
from tests.support.llm_annotation import FOOD, NOBODY, NOISE, known_texts
from tests.support.openai_server import Script, scripted_server


@pytest.fixture
def make(tiny_workspace, monkeypatch):
    """Return a function that makes the annotator of a workspace for an address."""

    def make(url: str):
        write_concept_file(tiny_workspace.concept_file, ConceptFile("Reviews of bars", (FOOD, NOISE)))
        monkeypatch.setenv("SPARSECBM_LLM_URL", url)
        monkeypatch.setenv("SPARSECBM_LLM_MODEL", "model-1")
        return make_llm_annotator(load_params(tiny_workspace.params), tiny_workspace)

    return make


def test_the_task_and_the_answers_belong_to_the_workspace(make, tiny_workspace):
    script = Script()
    with scripted_server(script) as url:
        make(url).annotate(known_texts(2), (FOOD, NOISE), NOBODY)
    assert "Task: Reviews of bars" in script.log[0]["body"]["messages"][0]["content"]
    assert (tiny_workspace.state / "annotations" / "llm.sqlite").is_file()


def test_without_an_endpoint_nothing_is_made(make, monkeypatch):
    with pytest.raises(ConfigError, match="no endpoint for the annotator llm"):
        make("")
