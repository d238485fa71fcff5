"""The attribution methods, what each of them promises, and their options."""

from collections.abc import Callable
from dataclasses import dataclass

from sparsecbm.base.errors import ConfigError, unknown
from sparsecbm.explain.gradients import integrated_gradients, mid_path_gradients
from sparsecbm.explain.references import attention_rollout, leave_one_out, random_scores
from sparsecbm.explain.subject import BASELINES, Subject, TokenScores


@dataclass(frozen=True)
class AttributionOptions:
    """How attributions are computed.

    Attributes:
        baseline: pad | mask | zero: what replaces the embeddings of a text's words
        steps: gradients of integrated gradients in each part of the path
        tolerance: allowed completeness gap, relative to the change of the value (to 1 if the change is smaller)
        max_steps: a text and concept that took this many gradients get no more, whatever the gap
        seed: of the method `random`
        batch_tokens: maximum number of tokens in one pass for each concept; larger passes do not fit into CPU caches

    Raises:
        ConfigError: a value is out of range, or the baseline is unknown.
    """

    baseline: str = "pad"
    steps: int = 16
    tolerance: float = 0.05
    max_steps: int = 512
    seed: int = 0
    batch_tokens: int = 768

    def __post_init__(self) -> None:
        if self.baseline not in BASELINES:
            raise ConfigError(unknown("baseline", self.baseline, BASELINES))
        for name in ("steps", "max_steps", "batch_tokens"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if not self.tolerance > 0:
            raise ConfigError(f"tolerance is {self.tolerance}; it must be above 0")
        if self.seed < 0:
            raise ConfigError(f"seed is {self.seed}; it must be at least 0")


@dataclass(frozen=True)
class Method:
    """One way to attribute a value to the words of a text.

    Attributes:
        name: in the configuration and in results
        compute: the scores of all tokens of a subject
        complete: whether the scores add up to the change of the value, except for the error of quadrature
        by_gradients: whether it takes gradients on embeddings; the others need token ids
        is_control: whether its scores are random, as a control for the others
    """

    name: str
    compute: Callable[[Subject, AttributionOptions], TokenScores]
    complete: bool = False
    by_gradients: bool = False
    is_control: bool = False


METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        Method(
            "integrated_gradients",
            lambda subject, options: integrated_gradients(subject, options.steps, options.tolerance, options.max_steps),
            complete=True,
            by_gradients=True,
        ),
        Method("mid_path_gradients", lambda subject, options: mid_path_gradients(subject), by_gradients=True),
        Method("leave_one_out", lambda subject, options: leave_one_out(subject)),
        Method("attention_rollout", lambda subject, options: attention_rollout(subject)),
        Method("random", lambda subject, options: random_scores(subject, options.seed), is_control=True),
    )
}
DEFAULT_METHOD = "integrated_gradients"
QUICK_METHOD = "mid_path_gradients"  # near the default at a fifth of its time: docs/explanations.md, "Methods"
DEFAULT_OPTIONS = AttributionOptions()
