"""Random sequences of promotions, rollbacks and deletions, compared with a short model of the state."""

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from sparsecbm.promote import history
from sparsecbm.promote.registry import Registry
from sparsecbm.promote.transaction import (
    Decision,
    PromotionError,
    UnchangedError,
    inspect_registry,
    promote,
    refuse,
    rollback,
)
from tests.support.fake_mlflow_client import FakeClient


def works():
    """A smoke test that passes."""


def fails():
    raise RuntimeError("it does not load")


class Promotions(RuleBasedStateMachine):
    """`stack` holds the champions without those left by a rollback; `alive` holds the existing versions."""

    @initialize()
    def begin(self):
        self.client = FakeClient()
        self.registry = Registry(self.client, "m")
        self.registry.create()
        self.stack, self.alive, self.written = [], [], 0
        for _ in range(3):
            self.register()

    @property
    def champion(self):
        return self.stack[-1] if self.stack and self.stack[-1] in self.alive else None

    @property
    def gone(self):
        return bool(self.stack) and self.stack[-1] not in self.alive

    @rule()
    def register(self):
        self.alive.append(int(self.client.create_model_version("m").version))

    @precondition(lambda self: self.alive)
    @rule(data=st.data(), force=st.booleans(), stale=st.booleans(), smoke=st.sampled_from([works, works, fails]))
    def promote(self, data, force, stale, smoke):
        number = data.draw(st.sampled_from(self.alive))
        expected = 999 if stale else self.champion
        before = self.registry.aliases()
        try:
            promote(self.registry, number, expected, Decision("PROMOTE", "", force), smoke)
            done = True
        except UnchangedError:
            assert number == self.champion
            return
        except PromotionError:
            done = False
        self.written += 1
        assert done == (number != self.champion and smoke is works and (force or not (stale or self.gone)))
        if done:
            self.stack.append(number)
            assert self.registry.aliases() == (number, before[0])
        else:
            assert self.registry.aliases() == before

    @precondition(lambda self: self.alive)
    @rule(data=st.data())
    def hold(self, data):
        before = self.registry.aliases()
        refuse(self.registry, data.draw(st.sampled_from(self.alive)), Decision("HOLD", "no better"))
        self.written += 1
        assert self.registry.aliases() == before

    @rule(smoke=st.sampled_from([works, works, fails]))
    def rollback(self, smoke):
        back = []
        for number in self.stack:
            if number in self.alive and back[-1:] != [number]:
                back.append(number)
        back = back[:-1] if back[-1:] == [self.champion] else back
        before = self.registry.aliases()
        try:
            rollback(self.registry, "bad", smoke)
            done = True
        except PromotionError:
            done = False
        assert done == (bool(back) and smoke is works)
        self.written += bool(back)
        if not done:
            assert self.registry.aliases() == before
            return
        while self.stack[-1] != back[-1]:
            self.stack.pop()
        assert self.registry.aliases() == (back[-1], back[-2] if len(back) > 1 else None)

    @precondition(lambda self: len(self.alive) > 1)
    @rule(data=st.data())
    def delete(self, data):
        number = data.draw(st.sampled_from(self.alive))
        self.client.delete_model_version("m", str(number))
        self.alive.remove(number)

    @invariant()
    def registry_and_record_agree(self):
        now, entries = inspect_registry(self.registry), self.registry.entries()
        assert now.champion == self.champion
        assert bool(now.fault) == self.gone
        assert now.interrupted == ""
        assert history.champion_stack(entries) == self.stack
        assert history.find_chain_faults(entries) == []
        assert len(entries) == self.written


TestPromotions = Promotions.TestCase
TestPromotions.settings = settings(
    max_examples=200, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
)
