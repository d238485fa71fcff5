"""What a person should know about a run: what happened to texts, and what the endpoint said about itself."""

from collections import Counter
from pathlib import Path

# What happened -> words for a person.
_WORDS = {
    "lost": "requests were on their way when an earlier run ended; the endpoint may have charged them, and they were "
    "sent again",
    "cut": "texts were cut to annotate.llm.max_words",
    "halved": "texts were too long for the model and were cut further",
    "repaired": "answers were not valid at first, and the model was asked again",
    "invalid": "labels stay open, since the model gave no valid state",
    "refused": "texts were refused by the endpoint and stay without labels",
    "uncounted": "replies came without a count of tokens; estimates stand in",
}


class Notes:
    """Gathers what happens in a call.

    Args:
        path: file of the answers

    Attributes:
        counts: key of `_WORDS` -> number
        others: model, prompt and number of texts of other answers in the file
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.counts: Counter[str] = Counter()
        self.others: list[tuple[str, str, int]] = []
        self._earlier: set[str] = set()
        self._served: set[str] = set()

    def add_served(self, earlier: set[str], now: set[str]) -> None:
        """Remember what the endpoint said that it is, before and in this call."""
        self._earlier, self._served = earlier, now

    def sentences(self) -> list[str]:
        """What is worth a line."""
        lines = [f"{self.counts[name]:,} {words}" for name, words in _WORDS.items() if self.counts[name]]
        new = self._served - self._earlier
        if self._earlier and new:
            lines.append(
                f"the endpoint says that it is {', '.join(sorted(new))}; earlier answers came from "
                f"{', '.join(sorted(self._earlier))} and are kept (remove {self._path} to ask all again)"
            )
        if self.others:
            listed = ", ".join(
                f"{count:,} texts by {model} with prompt {prompt}" for model, prompt, count in self.others
            )
            lines.append(f"{self._path.name} also keeps answers to other prompts or models, unused: {listed}")
        return lines
