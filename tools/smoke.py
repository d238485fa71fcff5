"""Check an installed sparsecbm without the extra `pipeline`, outside a checkout.

`tools/matrix.sh` runs this file with the Python of a fresh environment, in a folder that holds `dvc.yaml` and
`params.yaml`. A tiny model of random weights is made, saved and used by the commands and by the Python interface.
"""

import importlib
import importlib.util
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

import sparsecbm
from sparsecbm import Concept, ConceptSet, Settings, SparseCBM

PIPELINE_ONLY = ("captum", "dvc", "flows", "matplotlib", "mlflow", "pandera", "prefect", "ruamel", "seaborn")
WORDS = ("the", "food", "was", "good", "bad", "and", "service", "slow", "quick", "but", "place", "loud", "quiet")
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
STATES = ("Negative", "Positive")
CONCEPTS = ConceptSet((Concept("food", STATES), Concept("service", STATES)), Concept("rating", ("1", "2")))
TEXT = "the food was good but service was slow"


def main() -> None:
    """Run every check; the first that fails stops the script."""
    folder = Path.cwd()
    check_absent(PIPELINE_ONLY)
    backbone = save_backbone(folder / "backbone")
    model = save_model(backbone, folder / "model")
    check_commands(model)
    check_python(model)
    if hasattr(importlib.import_module("sparsecbm.api"), "fit"):
        check_training(backbone)
    print(f"smoke test passed: Python {sys.version.split()[0]}, torch {torch.__version__}, {sparsecbm.__file__}")


def check_absent(names: Sequence[str]) -> None:
    """Assert that none of the packages is installed."""
    present = [name for name in names if importlib.util.find_spec(name)]
    assert not present, f"the core must install without {', '.join(present)}"


def save_backbone(folder: Path) -> Path:
    """Save a tiny BERT of random weights and its word tokenizer."""
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=40, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32
    )  # fmt: skip
    BertModel(config).save_pretrained(folder)
    vocabulary = {word: index for index, word in enumerate((*SPECIAL, *WORDS))}
    words = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", vocabulary["[CLS]"]), ("[SEP]", vocabulary["[SEP]"])]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]"
    ).save_pretrained(folder)
    return folder


def save_model(backbone: Path, folder: Path) -> Path:
    """Save a concept bottleneck of random weights over a backbone."""
    model = SparseCBM.build(str(backbone), CONCEPTS, Settings(max_length=16)).eval()
    torch.nn.init.normal_(model.label_head.linear.weight)
    model.save_pretrained(folder)
    return folder


def check_commands(model: Path) -> None:
    """Run the commands that need a saved model only, and one that needs the pipeline."""
    assert "predict" in sparsecbm_command("--help")
    prediction = json.loads(sparsecbm_command("predict", model, "--text", TEXT))
    assert set(prediction["concepts"]) == {"food", "service"}, prediction
    sparsecbm_command("explain", model, "--text", TEXT, "--json", "explanation.jsonl")
    explanation = json.loads(Path("explanation.jsonl").read_text(encoding="utf-8"))
    assert explanation["text"] == TEXT, explanation
    edit = json.loads(sparsecbm_command("intervene", model, "--text", TEXT, "--set", "food=Positive", "--json"))
    assert edit["set_to"]["food"] == {"Negative": 0.0, "Positive": 1.0}, edit
    assert "sparsecbm[pipeline]" in sparsecbm_command("run", exit_code=1)


def sparsecbm_command(*arguments: object, exit_code: int = 0) -> str:
    """Run the installed command and return its output, errors included where it is to fail."""
    command = [str(Path(sys.executable).with_name("sparsecbm")), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == exit_code, f"{command} gave {done.returncode}:\n{done.stdout}{done.stderr}"
    assert "Traceback" not in done.stderr, done.stderr
    return done.stdout + done.stderr if exit_code else done.stdout


def check_python(folder: Path) -> None:
    """Predict, explain and intervene through the Python interface."""
    model = SparseCBM.from_pretrained(folder)
    prediction = model.predict([TEXT])[0]
    assert abs(sum(prediction.label.probabilities) - 1) < 1e-6, prediction
    assert model.explain(TEXT).text == TEXT
    edit = model.intervene(TEXT, {"food": "Positive"})
    assert edit.after.label.probabilities != edit.before.label.probabilities, edit


def check_training(backbone: Path) -> None:
    """Train a dense model on a small data frame, then find its masks."""
    api = importlib.import_module("sparsecbm.api")
    rows = [
        {
            "text": f"the food was {food} and service was {service}",
            "food": STATES[food == "good"],
            "service": STATES[service == "quick"],
            "rating": "12"[food == "good"],
        }
        for food in ("good", "bad")
        for service in ("quick", "slow")
    ]
    frame = pd.DataFrame(rows * 10)
    dense = api.fit(
        frame, ["food", "service"], label="rating", validation=frame, backbone=str(backbone),
        settings=Settings(max_length=16), epochs=1,
    )  # fmt: skip
    sparse = api.prune(dense, frame, validation=frame, epochs=1, probe_texts=10)
    assert set(sparse.masks.concepts) == {"food", "service"}
    assert sparse.predict([TEXT])[0].label.state in ("1", "2")


if __name__ == "__main__":
    main()
