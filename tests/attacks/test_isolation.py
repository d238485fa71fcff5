"""Threads that edit, patch, explain and predict with one model at once never see each other's changes."""

import asyncio
import copy
import json
from contextlib import ExitStack, contextmanager

import pytest
import torch

from sparsecbm.base.errors import ModelError
from sparsecbm.intervene.edits import edited
from sparsecbm.intervene.patches.options import PatchOptions
from sparsecbm.intervene.patches.search import search
from sparsecbm.intervene.patches.stack import apply_patch, patched, patches_in_force, remove_patch
from sparsecbm.model.in_context import NO_CHANGES, changes_of
from tests.support.patches import patch_by_hand
from tests.support.promotion_models import uniform_training_means
from tests.support.races import draw_plan, wrong_answers
from tests.support.tiny_models import tiny_model, with_large_weights, write_backbone

TEXTS = ("the food was good", "a loud place but we came again and the food was bad", "slow service")
LAYER = "encoder.layer.0.output.dense"
WEIGHTS = {
    "plain": 40,
    "positive": 20,
    "negative": 20,
    "patched": 20,
    "other": 15,
    "both": 15,
    "explained": 2,
    "search": 0.3,
}


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """Return a masked model of one block; its predictions take milliseconds."""
    model = with_large_weights(
        tiny_model(write_backbone(tmp_path_factory.mktemp("race") / "bert", num_hidden_layers=1))
    )
    model.means = uniform_training_means(model)
    return model


@pytest.fixture(scope="module")
def patches(served):
    """Return a patch of food and one of noise."""
    return (
        patch_by_hand(served, {LAYER: tuple(range(60))}),
        patch_by_hand(served, {LAYER: tuple(range(30, 90))}, "noise"),
    )


def answers(model, text):
    """Return all logits of a text as plain numbers, to the bit."""
    logits = model.logits(text)
    return {name: values.tolist() for name, values in logits.concepts.items()}, logits.label.tolist()


def make_calls(model, patches, edited=edited, patched=patched):
    """Return what threads ask: predictions under edits and patches, explanations, and searches for patches."""

    def under(text, settings=None, applied=()):
        def call():
            with ExitStack() as blocks:
                if applied:
                    blocks.enter_context(patched(model, *applied))
                if settings:
                    blocks.enter_context(edited(model, settings))
                return answers(model, text)

        return call

    def search_bits():
        result = search(model, "food", [TEXTS[2]], [1], PatchOptions(8, margin=1e6))
        return result.flipped, result.margins.tolist()

    return {
        "plain": under(TEXTS[0]),
        "positive": under(TEXTS[1], {"food": "Positive"}),
        "negative": under(TEXTS[0], {"food": "Negative", "noise": "loud"}),
        "patched": under(TEXTS[0], applied=patches[:1]),
        "other": under(TEXTS[2], applied=patches[1:]),
        "both": under(TEXTS[1], {"noise": "quiet"}, patches),
        "explained": lambda: model.explain(TEXTS[0], method="mid_path_gradients").to_dict(),
        "search": search_bits,
    }


@pytest.mark.parametrize("count", [1_000, pytest.param(10_000, marks=pytest.mark.slow)])
def test_mixed_calls_from_sixteen_threads_get_their_own_answers(served, patches, count):
    calls = make_calls(served, patches)
    before, expected = served.masks, {name: call() for name, call in calls.items()}
    assert len({json.dumps(answer) for answer in expected.values()}) == len(expected)  # no two calls have one answer
    assert wrong_answers(calls, expected, draw_plan(WEIGHTS, count, seed=1)) == []
    assert served.masks == before and patches_in_force(served) == ()
    assert changes_of(served.owner) is NO_CHANGES and not served.training


@contextmanager
def edited_for_all(model, settings):
    """Edit through a hook on the shared model."""
    with edited(model, settings):
        entries = changes_of(model.owner).entries
    hook = model.concept_heads.register_forward_hook(lambda heads, pooled, logits: entries[-1].replace(logits))
    try:
        yield model
    finally:
        hook.remove()


@contextmanager
def patched_for_all(model, *patches):
    """Patch the shared model itself."""
    for patch in patches:
        apply_patch(model, patch)
    try:
        yield model
    finally:
        for patch in patches:
            remove_patch(model, patch)


def test_the_race_shows_changes_of_shared_state(served, patches):
    """Control: with edits and patches on the model itself, the same race gives wrong answers."""
    for names, blocks in (
        (("plain", "positive", "negative"), {"edited": edited_for_all}),
        (("plain", "patched"), {"patched": patched_for_all}),
    ):
        model = copy.deepcopy(served)
        calls = {name: call for name, call in make_calls(model, patches, **blocks).items() if name in names}
        expected = {name: call() for name, call in calls.items()}
        assert expected == {name: make_calls(served, patches)[name]() for name in names}
        assert wrong_answers(calls, expected, draw_plan(dict.fromkeys(names, 1), 200, seed=1))


def test_tasks_see_the_block_that_they_began_in_and_no_other(served, patches):
    calls = make_calls(served, patches)

    async def ask(name):
        if name == "plain":
            await asyncio.sleep(0)
            return calls[name]()
        with served.edited({"food": "Negative", "noise": "loud"}):
            await asyncio.sleep(0)  # the other task goes on meanwhile
            return answers(served, TEXTS[0])

    async def ask_all():
        results = await asyncio.gather(ask("plain"), ask("negative"), ask("plain"))
        with served.edited({"food": "Negative", "noise": "loud"}):
            return [*results, await asyncio.create_task(ask("plain"))]

    plain, negative = calls["plain"](), calls["negative"]()
    assert asyncio.run(ask_all()) == [plain, negative, plain, negative]


def test_blocks_may_end_in_any_order(served, patches):
    plain, patched_alone = answers(served, TEXTS[0]), make_calls(served, patches)["patched"]()
    outer, inner = served.edited({"food": "Negative"}), served.edited({"food": "Positive"})
    bits = served.patched(patches[0])
    outer.__enter__(), inner.__enter__(), bits.__enter__()
    outer.__exit__(None, None, None)
    assert served.predict(TEXTS[0]).concepts["food"].state == "Positive"
    inner.__exit__(None, None, None)
    assert answers(served, TEXTS[0]) == patched_alone
    bits.__exit__(None, None, None)
    assert answers(served, TEXTS[0]) == plain and changes_of(served.owner) is NO_CHANGES


def test_a_deep_copy_keeps_patches_for_good_and_leaves_edits_behind(served, patches):
    patched_alone = make_calls(served, patches)["patched"]()
    with served.patched(patches[0]), served.edited({"food": "Negative", "noise": "loud"}):
        twin = copy.deepcopy(served)
        assert answers(twin, TEXTS[0]) == patched_alone
    assert patches_in_force(twin) == patches[:1]
    assert answers(twin, TEXTS[0]) == patched_alone
    remove_patch(twin, patches[0])
    assert answers(twin, TEXTS[0]) == answers(served, TEXTS[0])


def test_masks_cannot_be_replaced_under_a_patched_block(served, patches):
    before = served.masks
    with served.patched(patches[0]), pytest.raises(ModelError, match="do it after the block"):
        served.masks = before
    served.masks = before


def test_an_explanation_in_a_block_explains_what_the_block_predicts(served, patches):
    unpatched = served.explain(TEXTS[0]).to_dict()
    with served.patched(patches[0]):
        inside = served.explain(TEXTS[0]).to_dict()
    assert inside["origin"]["model"] != unpatched["origin"]["model"]
    with_patch = served.with_patches(patches[0])
    assert inside == with_patch.explain(TEXTS[0]).to_dict()


@pytest.fixture
def writes(monkeypatch):
    """Return a function that lists what is written to the modules of a model from now on."""

    def watch(model):
        modules, written = set(map(id, model.modules())), []

        def spy_on(original):
            def spy(module, *values, **options):
                if id(module) in modules:
                    written.append((type(module).__name__, values[0]))
                return original(module, *values, **options)

            return spy

        for name in ("__setattr__", "register_forward_hook", "register_forward_pre_hook"):
            monkeypatch.setattr(torch.nn.Module, name, spy_on(getattr(torch.nn.Module, name)))
        return written

    return watch


@pytest.mark.parametrize("masked", [True, False])
def test_no_call_writes_to_the_model(served, patches, masked, backbone, writes):
    model = served if masked else tiny_model(backbone)
    model.means = uniform_training_means(model)
    written = writes(model)
    calls = make_calls(model, patches)
    for name in calls if masked else ("plain", "positive", "explained"):
        calls[name]()
    assert written == [] and all(parameter.requires_grad for parameter in model.parameters())
    with edited_for_all(model, {"food": "Positive"}):  # control
        assert written
