"""Check an installed sparsecbm without the extra `pipeline`, outside a checkout.

`tools/matrix.sh` runs this file with the Python of a fresh environment, in a folder that holds `dvc.yaml` and
`params.yaml`. A tiny model of random weights is made, saved and used by the commands and by the Python interface.
"""

import importlib
import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

import sparsecbm
from sparsecbm import Concept, ConceptSet, MaskSet, Settings, SparseCBM
from sparsecbm.model.masked import prunable_layers

PIPELINE_ONLY = ("captum", "dvc", "flows", "matplotlib", "mlflow", "pandera", "prefect")
WORDS = ("the", "food", "was", "good", "bad", "and", "service", "slow", "quick", "but", "place", "loud", "quiet")
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
STATES = ("Negative", "Positive")
CONCEPTS = ConceptSet((Concept("food", STATES), Concept("service", STATES)), Concept("rating", ("1", "2")))
TEXT = "the food was good but service was slow"


def main() -> None:
    """Run every check, print the faults, and exit with 1 if there is any."""
    backbone = save_backbone(Path("backbone"))
    model = save_model(backbone, Path("model"))
    checks: dict[str, Callable[[], None]] = {
        "the core installs no package of the pipeline": lambda: check_absent(PIPELINE_ONLY),
        "sparsecbm --help": check_help,
        "sparsecbm predict": lambda: check_predict(model),
        "sparsecbm explain": lambda: check_explain(model),
        "sparsecbm intervene": lambda: check_intervene(model),
        "sparsecbm masks and compare": lambda: check_inspection(model),
        "sparsecbm run": check_run,
        "the Python interface": lambda: check_python(model),
    }
    if hasattr(importlib.import_module("sparsecbm.api"), "fit"):
        checks["fit and prune"] = lambda: check_training(backbone)
    faults = 0
    for name, check in checks.items():
        try:
            check()
        except Exception as error:
            faults += 1
            print(f"FAILED {name}: {error!r}")
        else:
            print(f"passed {name}")
    print(f"Python {sys.version.split()[0]}, torch {torch.__version__}, {sparsecbm.__file__}: {faults} faults")
    sys.exit(1 if faults else 0)


def check_absent(names: Sequence[str]) -> None:
    """Assert that none of the packages is installed."""
    present = [name for name in names if importlib.util.find_spec(name)]
    assert not present, f"the core must install without {', '.join(present)}"


def save_backbone(folder: Path) -> Path:
    """Save a tiny BERT of random weights and its word tokenizer."""
    torch.manual_seed(0)
    vocabulary = {word: index for index, word in enumerate((*SPECIAL, *WORDS))}
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    BertModel(BertConfig(vocab_size=len(vocabulary), **sizes)).save_pretrained(folder)
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
    """Save a concept bottleneck of random weights and random masks over a backbone."""
    model = SparseCBM.build(str(backbone), CONCEPTS, Settings(max_length=16)).eval()
    torch.nn.init.normal_(model.label_head.linear.weight)
    shapes = {layer: module.weight.shape for layer, module in prunable_layers(model.backbone).items()}
    model.masks = MaskSet.from_masks(
        {name: {layer: torch.rand(shape) < 0.5 for layer, shape in shapes.items()} for name in CONCEPTS.names}
    )
    halves = {name: dict.fromkeys(STATES, 0.5) for name in CONCEPTS.names}
    model.means = {"activations": halves, "label_share": {"1": 0.5, "2": 0.5}, "concept_shares": halves}
    model.save_pretrained(folder)
    return folder


def check_help() -> None:
    assert "predict" in sparsecbm_command("--help")


def check_predict(model: Path) -> None:
    prediction = json.loads(sparsecbm_command("predict", model, "--text", TEXT))
    assert set(prediction["concepts"]) == {"food", "service"}, prediction


def check_explain(model: Path) -> None:
    sparsecbm_command("explain", model, "--text", TEXT, "--json", "explanation.jsonl")
    explanation = json.loads(Path("explanation.jsonl").read_text(encoding="utf-8"))
    assert explanation["text"] == TEXT, explanation
    assert "food" in sparsecbm_command("explain", model, "--text", TEXT)


def check_intervene(model: Path) -> None:
    (edit,) = json.loads(sparsecbm_command("intervene", model, "--text", TEXT, "--set", "food=Positive", "--json"))
    assert edit["set_to"]["food"] == {"Negative": 0.0, "Positive": 1.0}, edit


def check_inspection(model: Path) -> None:
    sparsecbm_command("masks", model)
    sparsecbm_command("compare", model, model)


def check_run() -> None:
    """A command of the pipeline names the extra that it needs."""
    assert "pip install 'sparsecbm[pipeline]'" in sparsecbm_command("run", exit_code=1)


def sparsecbm_command(*arguments: object, exit_code: int = 0) -> str:
    """Run the installed command and return its output, with its messages if it is to fail."""
    command = [str(Path(sys.executable).with_name("sparsecbm")), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == exit_code, f"{command} gave {done.returncode}:\n{done.stdout}{done.stderr}"
    assert "Traceback" not in done.stderr, done.stderr
    return done.stdout + done.stderr if exit_code else done.stdout


def check_python(folder: Path) -> None:
    """Predict, explain and intervene through the Python interface."""
    model = SparseCBM.from_pretrained(folder)
    prediction = model.predict([TEXT])[0]
    assert abs(sum(prediction.label.probabilities.values()) - 1) < 1e-6, prediction
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
        frame, ["food", "service"], label="rating", epochs=1,
        options=api.FitOptions(validation=frame, backbone=str(backbone), settings=Settings(max_length=16)),
    )  # fmt: skip
    sparse = api.prune(dense, frame, options=api.TrainOptions(validation=frame), epochs=1, probe_texts=10)
    assert set(sparse.masks.concepts) == {"food", "service"}
    assert sparse.predict([TEXT])[0].label.state in ("1", "2")


if __name__ == "__main__":
    main()
