"""From a run to a champion: the first champion; better, worse, equal and unsafe challengers; rollbacks."""

import copy
import multiprocessing
import os
import pickle
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from mlflow import MlflowClient

from sparsecbm.base.errors import ConfigError, ModelError
from sparsecbm.base.files import content_hash, write_json
from sparsecbm.base.params import load_params, write_params
from sparsecbm.data.tables import write_splits
from sparsecbm.model.storage import compute_checksums
from sparsecbm.pipeline.lock import WorkspaceBusyError
from sparsecbm.promote import judging
from sparsecbm.promote.ledger import HOLD, PROMOTE, REJECT
from sparsecbm.promote.register import model_folder, register
from sparsecbm.promote.registry import Registry, RegistryError
from sparsecbm.promote.service import PromotionService
from sparsecbm.promote.transaction import PromotionError, UnchangedError
from tests.support.promotion_models import blind_to, uniform_training_means
from tests.support.tiny_models import CONCEPTS
from tests.support.tiny_tables import annotated

pytestmark = pytest.mark.usefixtures("predict_in_process")


def rows(ledger):
    return {row.figure: (row.outcome, row.effect) for row in ledger.rows}


def test_the_first_model_becomes_champion(make_promotion_service, finish, good_model):
    service = finish(make_promotion_service(), good_model)
    ledger = service.gate()
    assert (ledger.verdict, ledger.champion, ledger.texts) == (PROMOTE, None, 60)
    assert rows(ledger) == {
        "files": ("passed", ""),
        "label.accuracy": ("passed", ""),
        "concepts.food.accuracy": ("passed", ""),
        "concepts.noise.accuracy": ("passed", ""),
        "validate:accepted": ("passed", ""),
        "intervene:verdict": ("not judged", ""),
        "size_mb": ("passed", ""),
    }
    told = "note, holds nothing back: interventions (intervene:verdict) not judged: the version holds no"
    assert any(told in reason for reason in ledger.reasons)
    entry = service.promote(ledger)
    assert (entry.action, entry.version, entry.before, entry.after) == ("promote", 1, (None, None), (1, None))
    assert service.registry.aliases() == (1, None)


def test_a_better_model_is_promoted_and_worse_or_equal_ones_are_held(make_promotion_service, finish, good_model):
    service = make_promotion_service()
    first = service.promote(finish(service, blind_to(copy.deepcopy(good_model), "noise")).gate())
    assert first.after == (1, None)

    ledger = finish(service, good_model).gate()  # predicts noise correctly
    assert ledger.verdict == PROMOTE
    assert rows(ledger)["concepts.noise.accuracy"] == ("win", "")
    assert rows(ledger)["label.accuracy"] == ("tie", "")
    assert service.promote(ledger).after == (2, 1)

    ledger = finish(service, blind_to(copy.deepcopy(good_model), "noise")).gate()
    assert ledger.verdict == HOLD
    assert rows(ledger)["concepts.noise.accuracy"] == ("regression", "hold")
    assert rows(ledger)["label.accuracy"] == ("tie", "")  # the label does not depend on noise
    entry = service.promote(ledger)
    assert (entry.action, entry.after) == ("refuse", (2, 1))

    good_model.means = uniform_training_means(good_model)  # other bytes, the same predictions
    ledger = finish(service, good_model).gate()
    assert ledger.verdict == HOLD
    assert "no figure is significantly better than version 2, and promote.ties is hold" in ledger.reasons
    assert service.registry.aliases() == (2, 1)

    assert service.rollback("the new one is rude").after == (1, None)
    with pytest.raises(PromotionError, match="there is no earlier champion than version 1"):
        service.rollback("again")
    forced = service.promote(ledger, force="wanted")
    assert (forced.forced, forced.after, forced.verdict) == (True, (4, 1), HOLD)
    assert forced.reason.startswith("forced: wanted; ")


def test_a_model_far_below_the_floors_is_rejected_with_their_names(make_promotion_service, finish, good_model):
    service = make_promotion_service()
    service.promote(finish(service, copy.deepcopy(good_model)).gate())
    ledger = finish(service, blind_to(good_model, "food")).gate()
    assert ledger.verdict == REJECT
    assert any(why.startswith("label (label.accuracy): 0.") and "is below 0.5" in why for why in ledger.reasons)


def test_the_same_run_is_one_version_and_the_same_bytes_are_unchanged(make_promotion_service, finish, good_model):
    service = finish(make_promotion_service(), good_model)
    service.promote(service.gate())
    with pytest.raises(UnchangedError, match="version 1 is the champion"):
        service.gate()
    assert service.registry.version_numbers() == [1]
    with pytest.raises(UnchangedError, match="version 2 has the same bytes as version 1, the champion"):
        finish(service, good_model).gate()


def test_a_promotion_that_ended_before_its_record_is_recorded_by_the_next(
    make_promotion_service, finish, good_model, monkeypatch
):
    service = finish(make_promotion_service(), good_model)
    ledger = service.gate()
    with monkeypatch.context() as killed, pytest.raises(KeyboardInterrupt):
        killed.setattr(Registry, "append_entry", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        service.promote(ledger)
    assert (service.registry.aliases(), service.registry.entries()) == ((1, None), [])
    with pytest.raises(UnchangedError, match="version 1 is the champion"):
        service.gate()
    (entry,) = service.registry.entries()
    assert (entry.action, entry.version, entry.after, entry.ledger) == ("promote", 1, (1, None), ledger.sha256)
    assert service.registry.intent() is None


def test_the_name_of_another_kind_of_model_is_an_error(make_promotion_service, finish, good_model):
    service = finish(make_promotion_service(), good_model)
    client = service.store.client
    client.create_registered_model("sparsecbm")
    client.create_model_version("sparsecbm", "file:///nowhere")
    with pytest.raises(RegistryError, match=r"of another kind: .* Set promote.model in params.yaml"):
        service.gate()
    assert service.registry.version_numbers() == [1]


def files_of(service, number):
    """Return the files of a version in the artifact store."""
    return Path(service.registry.source(number).removeprefix("file://"))


def test_altered_weights_are_rejected_even_if_their_checksums_match(make_promotion_service, finish, good_model):
    service = finish(make_promotion_service(), good_model)
    number = register(service.workspace, service.params, service.store, service.registry).number
    folder = files_of(service, number) / "artifacts" / "model"
    weights = folder / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    ledger = service.gate()
    assert ledger.verdict == REJECT
    assert [row.gate for row in ledger.rows] == ["integrity"]
    assert "its files are not those that were registered" in ledger.reasons[0]

    write_json(folder / "checksums.json", compute_checksums(folder))  # the checksums are altered, too
    assert service.gate().verdict == REJECT
    with pytest.raises(PromotionError, match=r"back to no version: .* its files are not those that were registered"):
        service.promote(ledger, force="I know better")
    assert service.registry.aliases() == (None, None)
    assert [entry.action for entry in service.registry.entries()] == ["undo"]


@pytest.mark.parametrize("name", ["artifacts/model/extra.txt", "python_model.pkl", "code/weights.bin"])
def test_a_smuggled_pickle_is_an_error_and_is_never_loaded(make_promotion_service, finish, good_model, tmp_path, name):
    service = finish(make_promotion_service(), good_model)
    number = register(service.workspace, service.params, service.store, service.registry).number
    trace = tmp_path / "it was loaded"
    (files_of(service, number) / name).write_bytes(pickle.dumps(Smuggled(str(trace)), protocol=4))
    service.registry.tag_version(
        number, {"sparsecbm.version.sha256": content_hash(files_of(service, number))}
    )  # not even then
    ledger = service.gate()
    assert ledger.verdict == REJECT
    assert f"{name} is or may be a pickle" in ledger.reasons[0]
    assert not trace.exists()


def test_a_model_altered_before_registration_is_an_error(make_promotion_service, finish, good_model):
    service = finish(make_promotion_service(), good_model)
    (service.workspace.sparse / "python_model.pkl").write_bytes(b"\x80\x04.")
    with pytest.raises(ModelError, match=r"python_model\.pkl is not listed"):
        service.gate()
    assert service.registry.version_numbers() == []


def test_an_altered_champion_holds_the_challenger(make_promotion_service, finish, good_model):
    service = make_promotion_service()
    service.promote(finish(service, blind_to(copy.deepcopy(good_model), "noise")).gate())
    (files_of(service, 1) / "artifacts" / "model" / "concepts.json").write_text("{}")
    ledger = finish(service, good_model).gate()
    assert ledger.verdict == HOLD
    assert ledger.reasons[0].startswith(
        "champion (comparison): not judged: version 1 of 'sparsecbm' must not be loaded"
    )


@pytest.mark.parametrize(("cores", "at_once", "threads"), [(2, True, 1), (1, False, 2)])
def test_both_predict_in_parallel_if_there_are_enough_cores(
    make_promotion_service, finish, good_model, monkeypatch, cores, at_once, threads
):
    service = make_promotion_service()
    service.promote(finish(service, blind_to(copy.deepcopy(good_model), "noise")).gate())
    service = replace(service, params=service.params.model_copy(update={"threads": 2}))
    monkeypatch.setattr(judging.os, "sched_getaffinity", lambda _: set(range(cores)))
    meeting, calls, predict_in_process = threading.Barrier(2), [], judging.predict_in_subprocess

    def predict(folder, texts, threads, seconds, timed=0, turns=None):
        try:
            meeting.wait(60 if at_once else 0.5)
        except threading.BrokenBarrierError:
            calls.append((False, threads, turns))
        else:
            calls.append((True, threads, turns))
        return predict_in_process(folder, texts, threads, seconds, timed)

    monkeypatch.setattr(judging, "predict_in_subprocess", predict)
    ledger = finish(service, good_model).gate()
    assert (ledger.verdict, rows(ledger)["concepts.noise.accuracy"]) == (PROMOTE, ("win", ""))
    turns = {turns for _, _, turns in calls}
    assert calls == [(at_once, threads, turns.pop())] * 2 and not turns  # both use the same lock file


def test_another_split_is_recorded_and_holds_a_challenger(make_promotion_service, finish, good_model):
    service = make_promotion_service()
    service.promote(finish(service, blind_to(copy.deepcopy(good_model), "noise")).gate())
    splits = {"train": annotated(40, 1), "test": annotated(50, 3)}
    write_splits(service.workspace.annotated, splits, {"vocabulary": CONCEPTS.to_dict()})
    ledger = finish(service, good_model).gate()
    assert (ledger.verdict, ledger.texts) == (PROMOTE, 50)
    assert ledger.notes == ("Version 1 was registered with another split `test`; both predict this one.",)
    write_splits(service.workspace.annotated, {**splits, "test": annotated(50, 4)}, {"vocabulary": CONCEPTS.to_dict()})
    again = service.gate(2)
    assert again.verdict == HOLD
    assert any("may have trained on texts of this one" in why for why in again.reasons)


def test_without_a_record_of_the_run_the_error_says_what_to_do(make_promotion_service, finish, good_model):
    service = finish(make_promotion_service(), good_model)
    (service.workspace.root / "dvc.lock").write_text("another\n")
    with pytest.raises(ConfigError, match="MLflow has no record of this run"):
        service.gate()


def test_one_of_two_parallel_promotions_succeeds_and_the_other_fails(make_promotion_service, finish, good_model):
    service = finish(make_promotion_service(), good_model)
    ledger = service.gate()
    fork = multiprocessing.get_context("fork")
    lock_held, done = fork.Event(), fork.Event()

    def slow_smoke():
        lock_held.set()
        done.wait(60)

    def first():
        other = replace(service, registry=Registry(MlflowClient(service.store.uri), "sparsecbm"))
        object.__setattr__(other, "smoke", slow_smoke)
        other.promote(ledger)
        os._exit(0)  # the end of the interpreter can fail in a fork, since it lacks the threads of its parent

    child = fork.Process(target=first)
    child.start()
    assert lock_held.wait(60)
    with pytest.raises(
        WorkspaceBusyError, match=rf"another promotion of 'sparsecbm' is in progress \(process {child.pid}, since"
    ):
        service.promote(ledger)
    done.set()
    child.join(60)
    assert child.exitcode == 0
    assert service.registry.aliases() == (1, None)
    with pytest.raises(UnchangedError):
        service.promote(ledger)
    assert len(service.registry.entries()) == 1


class Smuggled:
    """Creates a file if it is ever unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (self.path, "w")


def test_the_model_is_that_of_the_last_run_and_the_gates_are_those_of_params_yaml(make_promotion_service):
    """A run with `--set model.mode=standard` has no sparse model; params.yaml does not say so."""
    service = make_promotion_service(ties="promote")
    assert model_folder(service.workspace, service.params) == service.workspace.sparse
    run = service.params.model_copy(update={"model": service.params.model.model_copy(update={"mode": "standard"})})
    write_params(
        service.workspace.run_params,
        run.model_copy(update={"promote": run.promote.model_copy(update={"ties": "hold"})}),
    )
    opened = PromotionService.open(service.workspace, load_params(service.workspace.params))
    assert model_folder(opened.workspace, opened.params) == service.workspace.dense
    assert opened.params.promote.ties == "promote"
