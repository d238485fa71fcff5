"""The service follows the champion: a good version answers from the next batch on, and a bad one is refused."""

import asyncio
import contextlib
import gc
import pickle
import shutil
import weakref

import pytest

from sparsecbm.api import SparseCBM
from sparsecbm.base.errors import ConfigError
from sparsecbm.model.compact import CompactModel
from sparsecbm.promote.artifacts import FetchError
from sparsecbm.promote.registry import RegistryError
from sparsecbm.promote.request_options import Options
from sparsecbm.serve import switch as switch_module
from sparsecbm.serve.alias import Alias
from sparsecbm.serve.batcher import Batcher
from sparsecbm.serve.limits import ServiceLimits
from sparsecbm.serve.questions import ask_predictions
from sparsecbm.serve.switch import Switch
from sparsecbm.serve.telemetry import Telemetry
from sparsecbm.track.store import TrackingUnavailableError
from tests.support.served_model import close, save_served_model
from tests.support.served_registry import ServedRegistry

TEXTS = ["the food was good", "a loud place but we came again and the food was bad"]
QUESTION = ask_predictions(TEXTS, Options())


@pytest.fixture(scope="module")
def other_folder(tmp_path_factory):
    """Return the folder of another model of the same concepts."""
    return save_served_model(tmp_path_factory.mktemp("other"), seed=5)


@pytest.fixture
def registry(migrated, tmp_path, folder, other_folder):
    """Return a registry with two versions, the first of which is the champion."""
    shutil.copy(migrated, tmp_path / "mlflow.db")
    registry = ServedRegistry(tmp_path / "mlflow.db", tmp_path / "files")
    assert [registry.register(folder), registry.register(other_folder)] == [1, 2]
    registry.promote(1)
    return registry


class Following:
    """A batcher that follows the champion."""

    def __init__(self, alias: Alias) -> None:
        self.telemetry = Telemetry()
        number = alias.number()
        self.batcher = Batcher(alias.load(number), ServiceLimits(), self.telemetry)
        self.switch = Switch(alias, number, self.batcher, self.telemetry, 0.01)

    async def version(self) -> str:
        """The version that answers, once the alias was looked at."""
        await self.switch.follow()
        return (await self.batcher.ask(QUESTION)).version.version

    def switches(self, outcome: str) -> float:
        name = f'sparsecbm_switches_total{{outcome="{outcome}"}} '
        lines = self.telemetry.exposition().decode().splitlines()
        return next((float(line.removeprefix(name)) for line in lines if line.startswith(name)), 0)


def follow(registry, scenario):
    """Run a coroutine function with a batcher that follows the champion."""

    async def main():
        following = Following(registry.alias)
        worker = asyncio.create_task(following.batcher.run())
        try:
            return await scenario(following)
        finally:
            worker.cancel()
            following.batcher.close()

    return asyncio.run(main())


def test_another_champion_answers_and_the_old_model_is_freed(registry, other_folder):
    async def scenario(following):
        old = weakref.ref(following.batcher.current.model)
        versions = [await following.version()]
        registry.promote(2)
        versions += [await following.version(), await following.version()]
        answer = await following.batcher.ask(QUESTION)
        gc.collect()
        assert old() is None
        return versions, answer.rows, following.switches("done")

    versions, rows, switches = follow(registry, scenario)
    assert (versions, switches) == (["1", "2", "2"], 1)
    assert [row["probabilities"] for row in rows] == [
        close(prediction.label.probabilities) for prediction in other_folder.snapshot().model.predict(TEXTS)
    ]


def alter(folder):
    path = folder / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def add_pickle(folder):
    (folder.parent / "notes.bin").write_bytes(pickle.dumps({"a": 1}))


def remove(folder):
    (folder / "model.safetensors").unlink()


@pytest.mark.parametrize("damage", [alter, add_pickle, remove])
def test_a_bad_version_is_refused_once_and_the_old_one_goes_on(registry, folder, damage, monkeypatch):
    damage(registry.model_files(2))
    attempts = []
    fetched = Alias.fetched
    monkeypatch.setattr(Alias, "fetched", lambda self, number: attempts.append(number) or fetched(self, number))

    async def scenario(following):
        registry.promote(2)
        versions = [await following.version() for _ in range(3)]
        registry.promote(registry.register(folder))  # a good one
        return versions, await following.version(), following.switches("refused")

    assert follow(registry, scenario) == (["1", "1", "1"], "3", 1)
    assert attempts == [1, 2, 3]


def test_a_refused_version_is_looked_at_again_after_the_alias_has_moved_back(registry):
    path = registry.model_files(2) / "model.safetensors"
    content = path.read_bytes()
    alter(path.parent)

    async def scenario(following):
        registry.promote(2)
        versions = [await following.version()]
        path.write_bytes(content)
        versions.append(await following.version())  # still the refused one
        registry.promote(1)
        versions.append(await following.version())
        registry.promote(2)
        return [*versions, await following.version()], following.switches("refused")

    assert follow(registry, scenario) == (["1", "1", "1", "2"], 1)


def test_a_new_champion_predicts_as_fast_as_the_first_one_and_goes_on_slowly_if_memory_is_short(registry, monkeypatch):
    def fail(snapshot):
        raise MemoryError

    async def scenario(following):
        forms = []
        for number, context in ((2, contextlib.nullcontext()), (1, monkeypatch.context())):
            with context as short:
                if short is not None:
                    short.setattr(switch_module, "accelerated", fail)
                registry.promote(number)
                assert await following.version() == str(number)
            forms.append(type(following.batcher.current.predictor))
        return forms

    assert follow(registry, scenario) == [CompactModel, SparseCBM]


@pytest.mark.parametrize("damage", [None, alter])
def test_while_another_version_is_loaded_the_old_one_gives_its_copies_up(registry, damage, monkeypatch):
    if damage is not None:
        damage(registry.model_files(2))
    load = Alias.load_fetched
    during = []

    async def scenario(following):
        following.batcher.switch(switch_module.accelerated(following.batcher.current))
        await following.batcher.ask(QUESTION)
        copies = weakref.ref(following.batcher.current.predictor)
        assert isinstance(copies(), CompactModel)
        monkeypatch.setattr(
            Alias,
            "load_fetched",
            lambda self, number, files: (
                during.append((copies(), following.batcher.current.is_accelerated)) or load(self, number, files)
            ),
        )
        registry.promote(2)
        return await following.version(), type(following.batcher.current.predictor)

    assert follow(registry, scenario) == ("2" if damage is None else "1", CompactModel)
    assert during == ([(None, False)] if damage is None else [])


def test_a_model_that_cannot_be_loaded_leaves_the_old_one_as_fast_as_before(registry, monkeypatch):
    def fail(self, number, files):
        raise MemoryError

    async def scenario(following):
        following.batcher.switch(switch_module.accelerated(following.batcher.current))
        monkeypatch.setattr(Alias, "load_fetched", fail)
        registry.promote(2)
        return await following.version(), following.batcher.current.is_accelerated, following.switches("refused")

    assert follow(registry, scenario) == ("1", True, 1)


@pytest.mark.parametrize("error", [TrackingUnavailableError("down"), FetchError("down")])
def test_while_the_registry_is_down_the_old_version_goes_on_and_the_switch_comes_later(registry, error, monkeypatch):
    async def scenario(following):
        registry.promote(2)
        with monkeypatch.context() as down:

            def fail(self, *arguments):
                raise error

            down.setattr(Alias, "number" if isinstance(error, TrackingUnavailableError) else "fetched", fail)
            during = await following.version()
        return during, await following.version(), following.switches("refused")

    assert follow(registry, scenario) == ("1", "2", 0)


def test_without_an_alias_the_old_version_goes_on(registry):
    async def scenario(following):
        registry.promote(None)
        return await following.version()

    assert follow(registry, scenario) == "1"
    with pytest.raises(RegistryError, match="models:/tiny@champion names no version"):
        registry.alias.number()


@pytest.fixture
def wrong_answers(registry, folder, other_folder):
    """Return a function that asks all the time while the champion moves, and counts what was answered wrongly."""
    expected = {
        number: [close(prediction.label.probabilities) for prediction in each.snapshot().model.predict(TEXTS)]
        for number, each in (("1", folder), ("2", other_folder))
    }
    assert expected["1"] != [{key: value.expected for key, value in row.items()} for row in expected["2"]]

    async def scenario(following, moves):
        versions, wrong = set(), []

        async def client():
            while True:
                answer = await following.batcher.ask(QUESTION)
                versions.add(answer.version.version)
                if [row["probabilities"] for row in answer.rows] != expected[answer.version.version]:
                    wrong.append(answer)

        clients = [asyncio.create_task(client()) for _ in range(8)]
        for number in moves:
            registry.promote(number)
            await following.switch.follow()
            if wrong:
                break
        await following.batcher.ask(QUESTION)  # all that was asked before the last switch is answered now
        for task in clients:
            task.cancel()
        outcomes = await asyncio.gather(*clients, return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} == {asyncio.CancelledError}  # no question failed
        assert versions == {"1", "2"}
        return len(wrong)

    return lambda *moves: follow(registry, lambda following: scenario(following, moves))


def test_no_answer_is_lost_or_mixed_while_the_champion_moves(wrong_answers):
    assert wrong_answers(2, 1, 2) == 0


class NamedLate:
    """A snapshot that says the version of whichever snapshot is current."""

    def __init__(self, snapshot, batcher):
        self._snapshot, self._batcher = snapshot, batcher

    def __getattr__(self, name):
        return getattr(self._batcher.current if name == "version" else self._snapshot, name)


def test_a_version_that_is_named_after_a_switch_during_the_pass_is_noticed(wrong_answers, monkeypatch):
    answer = Batcher._answer
    monkeypatch.setattr(Batcher, "_answer", lambda self, snapshot, jobs: answer(self, NamedLate(snapshot, self), jobs))
    assert wrong_answers(*[2, 1] * 20) > 0


@pytest.mark.parametrize("address", ["models:/tiny", "models:/tiny/3", "models:tiny@champion", "models:/@champion"])
def test_an_address_that_names_no_alias_is_refused(address):
    with pytest.raises(ConfigError, match="write models:/NAME@ALIAS"):
        Alias.open(address)


def test_a_database_that_does_not_exist_is_not_created(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/none.db")
    with pytest.raises(TrackingUnavailableError, match="there is no MLflow database"):
        Alias.open("models:/tiny@champion")
    assert list(tmp_path.iterdir()) == []
