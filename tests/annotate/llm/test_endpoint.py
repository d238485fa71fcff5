"""The endpoint of the environment, and a key that nobody sees."""

import pytest

from sparsecbm.annotate.llm.endpoint import read_endpoint
from sparsecbm.base.errors import ConfigError

HERE = {"SPARSECBM_LLM_URL": "http://127.0.0.1:8080/v1/", "SPARSECBM_LLM_MODEL": "m"}


def test_a_key_is_not_shown_and_hidden_in_messages():
    endpoint = read_endpoint(HERE | {"SPARSECBM_LLM_KEY": "sk-12"})
    assert endpoint.url == "http://127.0.0.1:8080/v1" and endpoint.key.get_secret_value() == "sk-12"
    assert "sk-12" not in f"{endpoint!r} {endpoint}" and endpoint.hide_secrets("wrong key sk-12!") == "wrong key ***!"


def test_the_key_of_openai_goes_to_its_own_address_alone():
    assert read_endpoint(HERE | {"OPENAI_API_KEY": "sk-openai"}).key is None
    fallback = {"OPENAI_BASE_URL": "https://api.openai.com/v1", "OPENAI_API_KEY": "sk-o", "SPARSECBM_LLM_MODEL": "m"}
    endpoint = read_endpoint(fallback)
    assert endpoint.url == "https://api.openai.com/v1" and endpoint.key.get_secret_value() == "sk-o"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"SPARSECBM_LLM_URL": ""}, "no endpoint for the annotator llm; name its address by SPARSECBM_LLM_URL"),
        ({"SPARSECBM_LLM_MODEL": " "}, "no model for the annotator llm; name it by SPARSECBM_LLM_MODEL"),
        ({"SPARSECBM_LLM_URL": "ftp://x/v1"}, "SPARSECBM_LLM_URL is no address of a server"),
        ({"SPARSECBM_LLM_URL": "http://h:99999/v1"}, "SPARSECBM_LLM_URL is no address of a server"),
        ({"SPARSECBM_LLM_URL": "http://u:sk-9@h/v1"}, "holds a user or password; give the key by SPARSECBM_LLM_KEY"),
        ({"SPARSECBM_LLM_URL": "http://h/v1?key=sk-9"}, "must end before ? and #"),
    ],
)
def test_a_wrong_environment_is_named_without_its_secrets(change, message):
    with pytest.raises(ConfigError) as error:
        read_endpoint(HERE | change)
    assert message in str(error.value) and "sk-9" not in str(error.value)
