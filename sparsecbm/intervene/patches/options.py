"""What a person asks of a patch: what it must reach, where it may flip bits, and what it may cost."""

from dataclasses import dataclass
from math import log2

from sparsecbm.base.errors import ConfigError, InterventionError, unknown

SCOPES = ("global", "layer")
DEFAULT_MARGIN = 0.05  # in logits
PROTECTION_STRENGTH = 4096.0  # of the first attempt of a search; each later attempt has half of it
MIN_PROTECTION_STRENGTH = 0.25
SMALLEST_BUDGET = 8  # bits of the last search, at least


@dataclass(frozen=True)
class PatchOptions:
    """What a patch must reach, and what it may use.

    Attributes:
        budget: bits that may be flipped, dropped and grown ones together
        margin: how far the logit of the target state must exceed all others
        min_fixed_share: share of the texts for which it must
        layers: shell patterns over the names of masked layers whose bits may be flipped
        scope: `global` drops as many bits as it grows over all layers together; `layer` does so in each layer
        protection_strength: weight of the penalty for moving protected predictions, in the first attempt; a larger one
            costs bits and time
        max_harm: share of the reference's correct predictions of the concept that may become wrong
        force: make the patch even if it does more harm; the patch records this

    Raises:
        ConfigError: a share, scope or protection strength that is out of range.
        InterventionError: a budget below 2.
    """

    budget: int
    margin: float = DEFAULT_MARGIN
    min_fixed_share: float = 1.0
    layers: tuple[str, ...] = ("*",)
    scope: str = "global"
    protection_strength: float = PROTECTION_STRENGTH
    max_harm: float = 0.01
    force: bool = False

    def __post_init__(self) -> None:
        if self.protection_strength <= 0:
            raise ConfigError(
                f"the protection strength must be above 0, not {self.protection_strength}; "
                "to search without protection, give no protection"
            )
        if self.budget < 2:
            raise InterventionError(
                f"a budget of {self.budget} bits allows no patch: a patch drops at least one bit and grows one"
            )
        if not 0 < self.min_fixed_share <= 1:
            raise ConfigError(f"the share of texts to fix must be above 0 and at most 1, not {self.min_fixed_share}")
        if self.scope not in SCOPES:
            raise ConfigError(unknown("scope", self.scope, SCOPES))

    @property
    def budgets(self) -> list[int]:
        """Budgets of the searches under protection, even but for the whole one, each a quarter of the one before."""
        budgets = [self.budget]
        while budgets[-1] // 4 >= SMALLEST_BUDGET:
            budgets.append(budgets[-1] // 8 * 2)
        return budgets

    @property
    def strengths(self) -> list[float]:
        """Protection strengths of the attempts, from most to least protection."""
        halvings = round(max(0.0, log2(self.protection_strength / MIN_PROTECTION_STRENGTH)))
        return [self.protection_strength / 2**step for step in range(halvings + 1)]
