"""Every reader of a file takes damaged files: it succeeds or raises an error of this package, never another one.

Files are damaged in their values (JSON and YAML are parsed, changed and written again), in their text (duplicate keys,
deep nesting, numbers of thousands of digits, half surrogate pairs) and in their bytes.
"""

import json
import random
import shutil

import pytest
import yaml

from sparsecbm.base.errors import SparseCBMError
from sparsecbm.base.files import read_json_object, write_json
from sparsecbm.base.params import load_params, read_yaml
from sparsecbm.base.workspace import Workspace
from sparsecbm.cli.text_files import load_texts
from sparsecbm.data.tables import read_concepts, read_splits, split_names, write_splits
from sparsecbm.explain.export import read_explanations, write_explanations
from sparsecbm.model.masks import MaskSet
from sparsecbm.model.storage import CHECKSUMS, compute_checksums, load
from sparsecbm.pipeline.graph import outputs, read_stages, stage_order
from sparsecbm.pipeline.keys import stage_key
from sparsecbm.pipeline.lock import WorkspaceBusyError, exclusive_lock
from sparsecbm.pipeline.verify import compare_locks
from sparsecbm.train.checkpoint import Checkpoints
from tests.support.explained_model import with_means
from tests.support.mutations import mutate_bytes, mutate_json
from tests.support.small_tables import MANIFEST, good_splits
from tests.support.tiny_models import random_masks, tiny_model
from tests.support.tiny_pipeline import ROOT, make_tiny_workspace

MUTATIONS = 300
TEXTS = [
    lambda text: "[" * 100_000,
    lambda text: '{"a":' * 100_000,
    lambda text: text.replace("1", "9" * 5000, 1),
    lambda text: text.replace("{", '{"format": 1, "format": 2, ', 1),
    lambda text: text.replace('"', '"\\ud800', 1),
    lambda text: text.replace('"', '"\\u0000', 3),
    lambda text: "\ufeff" + text,
    lambda text: text.replace("0", "NaN", 2),
    lambda text: text.replace("1", "1e999", 2),
    lambda text: "null",
    lambda text: "",
    lambda text: text + text,
    lambda text: text.replace("\n", "\r"),
    lambda text: text.replace(",", ";"),
]  # fmt: skip


def damaged(content, number, parse=None, dump=None):
    """Return the content with the damage of a number: the same for the same content and number."""
    draw = random.Random(number)
    if number < len(TEXTS):
        try:
            return TEXTS[number](content.decode()).encode("utf-8", "surrogatepass")
        except UnicodeDecodeError:
            return mutate_bytes(content, draw)
    if parse is not None and draw.random() < 0.7:
        return dump(mutate_json(parse(content), draw)).encode("utf-8", "surrogatepass")
    return mutate_bytes(content, draw)


def attack(file, read, parse=json.loads, dump=json.dumps, mutations=MUTATIONS):
    """Damage a file in many ways and read it each time; return the number of refusals, and restore the file."""
    content, refusals = file.read_bytes(), 0
    read()
    for number in range(mutations):
        file.write_bytes(damaged(content, number, parse, dump))
        try:
            read()
        except SparseCBMError as error:
            assert str(error)
            refusals += 1
        except Exception as error:
            raise AssertionError(f"damage {number} of {file.name}: {type(error).__name__}: {error}") from error
    file.write_bytes(content)
    read()
    return refusals


@pytest.fixture(scope="module")
def model(backbone):
    """Return a sparse tiny model with training means."""
    model = with_means(tiny_model(backbone))
    model.masks = random_masks(model)
    return model


@pytest.fixture(scope="module")
def folder(model, tmp_path_factory):
    """Return the folder of the model."""
    model.save_pretrained(tmp_path_factory.mktemp("models") / "model")
    return next(tmp_path_factory.getbasetemp().glob("models*/model"))


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    """Return a small workspace with the pipeline and the parameters of this project."""
    workspace = make_tiny_workspace(tmp_path_factory.mktemp("readers") / "workspace")
    shutil.copy(ROOT / "params.yaml", workspace.params)
    return workspace


def small_yaml(content):
    return yaml.safe_load(content)


def test_params(workspace):
    content = yaml.safe_load(workspace.params.read_bytes())
    workspace.params.write_text(yaml.safe_dump(content))
    assert attack(workspace.params, lambda: load_params(workspace.params), small_yaml, yaml.safe_dump) > 100


def test_the_graph_of_stages(workspace):
    def read():
        stage_order(workspace)
        for definition in read_stages(workspace.root).values():
            outputs(definition)
        stage_key(workspace, "ingest")

    assert attack(workspace.root / "dvc.yaml", read, small_yaml, yaml.safe_dump) > 100


def test_a_lock_of_dvc(workspace):
    file = workspace.root / "dvc.lock"
    stage = {"cmd": "a", "deps": [{"path": "a", "md5": "0"}], "outs": [{"path": "b", "md5": "1", "size": 1}]}
    file.write_text(
        yaml.safe_dump({"schema": "2.0", "stages": {"ingest": stage, "fit": json.loads(json.dumps(stage))}})
    )
    assert attack(file, lambda: compare_locks(read_yaml(file), read_yaml(file)), small_yaml, yaml.safe_dump) > 50


@pytest.mark.parametrize("mutations", [70, pytest.param(MUTATIONS, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", ["config.json", "concepts.json", "training_means.json", "tokenizer/tokenizer.json"])
def test_a_file_of_a_model_whose_checksum_fits(folder, name, mutations, capfd):
    def read():
        write_json(folder / CHECKSUMS, compute_checksums(folder))
        load(folder)

    assert attack(folder / name, read, mutations=mutations) > 10


def test_the_checksums_of_a_model(folder):
    assert attack(folder / CHECKSUMS, lambda: load(folder)) > 250


def test_masks(model, tmp_path):
    model.masks.save(tmp_path / "masks")
    assert attack(tmp_path / "masks", lambda: MaskSet.load(tmp_path / "masks"), parse=None) > 100


def test_a_manifest_of_splits(tmp_path):
    folder = tmp_path / "splits"
    write_splits(folder, good_splits(), MANIFEST)

    def read():
        split_names(folder)
        read_concepts(folder)
        read_splits(folder)

    assert attack(folder / "manifest.json", read) > 100


def test_a_table_of_a_split(tmp_path):
    folder = tmp_path / "splits"
    write_splits(folder, good_splits(), MANIFEST)
    assert attack(folder / "train.parquet", lambda: read_splits(folder), parse=None) > 100


def test_metrics(tmp_path):
    write_json(tmp_path / "a.json", {"split": "test", "label": {"accuracy": 0.5, "interval": [0.1, 1]}, "n": 10})
    assert attack(tmp_path / "a.json", lambda: read_json_object(tmp_path / "a.json")) > 50


def test_explanations(model, tmp_path):
    explanations = model.explain(["the food was good", "slow service"], method="mid_path_gradients")
    write_explanations(tmp_path, explanations)
    file = tmp_path / "explanations.jsonl"

    def lines(content):
        return [json.loads(line) for line in content.splitlines()]

    def dump(values):
        return "\n".join(json.dumps(value) for value in (values if isinstance(values, list) else [values]))

    assert attack(file, lambda: read_explanations(tmp_path), lines, dump) > 200


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".tsv", ".txt", ".json"])
def test_texts(tmp_path, suffix):
    file, separator = tmp_path / f"texts{suffix}", "\t" if suffix == ".tsv" else ","
    rows = [["id", "text"], ["1", '"the ""food"" was good"'], ["2", "slow 10"]]
    tables = "\n".join(separator.join(row) for row in rows)
    objects = [{"id": 1, "text": "the food was good"}, {"id": 0, "text": "slow"}]
    kinds = {".jsonl": "\n".join(map(json.dumps, objects)), ".json": json.dumps(objects)}
    file.write_text(kinds.get(suffix, tables))
    parse = (lambda content: json.loads(content)) if suffix == ".json" else None
    assert attack(file, lambda: load_texts(file), parse) > 5


def test_the_state_of_a_training(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    (tmp_path / "last").mkdir()
    progress = {"epoch": 1, "step": 2, "best_score": 0.5, "best_step": 1, "curves": [{"loss": 0.1}]}
    write_json(tmp_path / "last" / "progress.json", progress)
    assert attack(tmp_path / "last" / "progress.json", checkpoints.progress) > 100


def test_the_holder_of_a_lock(tmp_path):
    with exclusive_lock(tmp_path, "flow", "busy"):

        def read():
            with pytest.raises(WorkspaceBusyError, match="busy"), exclusive_lock(tmp_path, "flow", "busy"):
                pass

        assert attack(tmp_path / "flow.holder.json", read) == 0


def test_the_services_of_a_workspace(tmp_path):
    processes = pytest.importorskip("sparsecbm.orchestration.processes")
    workspace = Workspace(tmp_path)
    file, fields = processes.services_file(workspace), processes.Service.__dataclass_fields__
    write_json(file, {name: dict.fromkeys(fields, 1) for name in processes.STOP_ORDER})
    assert attack(file, lambda: processes.load_services(workspace)) == 0


def test_a_mutation_is_found_if_a_reader_raises_another_error(tmp_path):
    """A negative control: a reader that checks nothing does not pass."""
    (tmp_path / "a.json").write_text('{"a": 1}')
    with pytest.raises(AssertionError, match="damage 0 of"):
        attack(tmp_path / "a.json", lambda: json.loads((tmp_path / "a.json").read_text())["a"])
