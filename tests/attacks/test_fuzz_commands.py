"""Every command takes any arguments: exit code 0, 1 or 2, one message for a fault, and never a stack trace.

The arguments are drawn by a seeded generator from a command's own options and from values that people and attackers
give. What would start services, train, or write to a registry is replaced by a stand-in.
"""

import io
import random
import re
import sys
import warnings
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest
import typer

from sparsecbm.cli import app as cli
from tests.support.explained_model import with_means
from tests.support.patches import patch_by_hand
from tests.support.tiny_models import random_masks, tiny_model
from tests.support.tiny_pipeline import make_tiny_workspace

DRAWS, FEW_DRAWS = 300, 60  # a command that loads a model is slow, so it gets all of its draws among the slow tests
VALUES = (
    "", " ", "-", "--", "-1", "0", "1", "1e999", "nan", "9" * 400, "1" * 5000, "a", "a=b", "=", "food=",
    "food=Positive", "food=.1,.2,.7", "food=nan,1,0", "food=1e999,0,0", "seed=1", "seed=x", "seed={", "a.b.c=[",
    "nothing", "../..", "/", ".", "..", "/dev/null", "/dev/full", "/proc/self/mem", "~", "\x1b[2J", "\x9b31m",
    "\u202e", "[/x]", "[bold]", "\udcff", "\ud800", "x" * 300, "y" * 5000, "🙂", "a\nb", "food", "noise",
    "Positive", "loud", "train", "test", "label", "restaurants", "table", "hub", "ingest", "finetune", "none", "auto",
    "soft", "hard", "layer", "global", "random", "mid_path_gradients", "{model}", "{patch}", "{store}", "{texts}",
    "{folder}", "{new}", "{new}/a/b", "{texts}/a", "{model}/config.json", "the food was good",
    "https://ann:pass@host/", "sqlite:////nowhere/db", "%s", "{}", "\\", "'",
)  # fmt: skip
# What an argument of this name is often given, so that a command gets past its first checks.
KNOWN = {
    "model": "{model}", "model_a": "{model}", "model_b": "{model}", "patch": "{patch}", "patches": "{patch}",
    "store": "{store}", "file": "{texts}", "output": "{new}", "text": "the food was good", "set_": "food=Positive",
    "concept": "food", "state": "Positive", "method": "mid_path_gradients", "threshold": "0", "data": "{folder}",
    "source": "{folder}",
}  # fmt: skip
HEAVY = {"predict", "batch", "explain", "export", "masks", "compare", "intervene", "evaluate", "plan", "publish"}
HEAVY |= {f"patch {name}" for name in ("make", "test", "apply", "revert")}
HEAVY |= {f"memory {name}" for name in ("add", "offer", "apply")}
TRACE = re.compile(r'Traceback|File ".*", line \d+|not foreseen')


GROUP = typer.main.get_command(cli.app)  # built once, since building takes longer than most runs


def commands():
    """Return name -> command, of all commands."""
    found, waiting = {}, [("", GROUP)]
    while waiting:
        name, command = waiting.pop()
        if hasattr(command, "commands"):
            waiting += [(f"{name} {inner}".strip(), value) for inner, value in command.commands.items()]
        else:
            found[name] = command
    return found


COMMANDS = commands()


def draw_arguments(name, draw, places):
    """Return arguments for a command: often its own options and nearly as many arguments as it takes."""

    def value(parameter):
        known = KNOWN.get(parameter.name)
        text = known if known and name != "run" and draw.random() < 0.6 else draw.choice(VALUES)
        for place, path in places.items():
            text = text.replace(f"{{{place}}}", str(path))
        return text

    arguments = name.split()
    for parameter in COMMANDS[name].params:
        options = [option for option in parameter.opts if option.startswith("-")]
        for _ in range(draw.choice((1, 1, 1, 2))):
            if draw.random() < (0.9 if parameter.required else 0.6 if parameter.name == "text" else 0.25):
                arguments += [draw.choice(options)] if options else []
                if not (options and getattr(parameter, "is_flag", False)):
                    arguments.append(value(parameter))
    if draw.random() < 0.15:
        arguments.insert(
            draw.randrange(1, len(arguments) + 1), draw.choice(("--nothing", "-x", "--json", draw.choice(VALUES)))
        )
    return [argument for argument in arguments if "\0" not in argument]


def run(arguments, monkeypatch):
    """Run the command line in this process; return exit code, output and errors."""
    monkeypatch.setattr(sys, "argv", ["sparsecbm", *arguments])
    output, errors = io.TextIOWrapper(io.BytesIO(), "utf-8"), io.TextIOWrapper(io.BytesIO(), "utf-8")
    with redirect_stdout(output), redirect_stderr(errors), warnings.catch_warnings():
        try:
            cli.main()
        except SystemExit as end:
            code = end.code
    texts = []
    for stream in (output, errors):
        stream.flush()
        texts.append(stream.buffer.getvalue().decode("utf-8"))
    return code, *texts


@pytest.fixture(scope="module")
def places(backbone, tmp_path_factory):
    """Return the paths that the arguments may name."""
    root = tmp_path_factory.mktemp("places")
    workspace = make_tiny_workspace(root / "workspace")
    model = with_means(tiny_model(backbone))
    model.masks = random_masks(model)
    model.save_pretrained(root / "model")
    patch_by_hand(model, {min(model.masks.shapes): (0, 1)}).save(root / "a.patch")
    (root / "texts.txt").write_text("the food was good\nslow service\n")
    (root / "folder").mkdir()
    (root / "folder" / "thesis.txt").write_text("ten years")
    names = {"model": "model", "patch": "a.patch", "store": "store", "texts": "texts.txt", "folder": "folder"}
    return {name: root / file for name, file in names.items()} | {"new": root / "new", "workspace": workspace.root}


@pytest.fixture
def harmless(places, monkeypatch):
    """Work in the small workspace, and let nothing start, train or reach a registry."""
    from sparsecbm.api import SparseCBM
    from sparsecbm.base.errors import SparseCBMError

    def unavailable(*_, **__):
        raise SparseCBMError("a stand-in: nothing is started in this test")

    monkeypatch.setattr(cli, "app", GROUP)
    monkeypatch.chdir(places["workspace"])
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setattr("typer.rich_utils.rich_format_error", lambda error: print(error.message, file=sys.stderr))
    for module in ("pipeline", "annotation"):
        monkeypatch.setattr(f"sparsecbm.cli.{module}.run_module", lambda *_: 0)
    monkeypatch.setattr("sparsecbm.cli.promotion._open_service", unavailable)
    monkeypatch.setattr("sparsecbm.pipeline.graph.run_dvc", unavailable)
    monkeypatch.setattr("sparsecbm.erasure.elsewhere.run_dvc", unavailable)
    monkeypatch.setattr("sparsecbm.pipeline.verify.verify", unavailable)
    monkeypatch.setattr("sparsecbm.track.record.record", unavailable)
    monkeypatch.setattr("sparsecbm.cli.health.check_workspace", lambda _: [])
    monkeypatch.setattr("sparsecbm.intervene.patches.make.make_patch", unavailable)
    monkeypatch.setattr("sparsecbm.export.engines._trace", unavailable)  # takes seconds
    monkeypatch.setattr("sparsecbm.planning.base_memory.base_memory", lambda: 2**29)  # starts a process
    monkeypatch.setattr("sparsecbm.planning.plan.measured_seconds", lambda *_: {})  # trains for seconds
    monkeypatch.setattr("sparsecbm.serve.server.uvicorn.Server.run", unavailable)  # it would serve until a signal
    loaded, original = {}, SparseCBM.from_pretrained.__func__

    def from_pretrained(cls, path, *rest):  # the model of the test is loaded once
        key = str(path)
        if key not in loaded or key != str(places["model"]):
            loaded[key] = original(cls, path, *rest)
        return loaded[key]

    monkeypatch.setattr(SparseCBM, "from_pretrained", classmethod(from_pretrained))


@pytest.mark.parametrize(
    ("name", "count"),
    [
        *((name, FEW_DRAWS if name in HEAVY else DRAWS) for name in sorted(COMMANDS)),
        *(pytest.param(name, DRAWS, marks=pytest.mark.slow) for name in sorted(HEAVY)),
    ],
)
def test_no_arguments_end_in_a_stack_trace(harmless, places, monkeypatch, name, count):
    codes = set()
    params = (places["workspace"] / "params.yaml").read_bytes()
    for number in range(count):
        arguments = draw_arguments(name, random.Random(f"{name} {number}"), places)
        code, output, errors = run(arguments, monkeypatch)
        assert code in (0, 1, 2), (arguments, code, errors)
        assert not TRACE.search(output + errors), (arguments, errors)
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e\ud800-\udfff]", output + errors), arguments
        assert code == 0 or errors or name in ("doctor", "history", "status"), arguments
        codes.add(code)
    (places["workspace"] / "params.yaml").write_bytes(params)
    assert (places["folder"] / "thesis.txt").read_text() == "ten years"
    assert len(codes) > 1  # the arguments are not all refused for the same reason


def test_a_stack_trace_would_be_found(harmless, places, monkeypatch):
    """A negative control: a fault that nobody foresaw is told from a message."""
    monkeypatch.setattr("sparsecbm.cli.text_input.collect_texts", lambda *_: 1 / 0)
    code, _, errors = run(["predict", str(places["model"]), "--text", "a"], monkeypatch)
    assert code == 1 and TRACE.search(errors) and errors.count("\n") == 2
    assert list(Path(places["workspace"], ".sparsecbm", "faults").iterdir())
