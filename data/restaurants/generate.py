"""Compose the data set `restaurants` from the clause banks beside this file.

    python data/restaurants/generate.py            # write reviews.csv
    python data/restaurants/generate.py --check    # exit with 1 unless reviews.csv is what would be written

Needs PyYAML. The same seed and banks give the same bytes.
"""

import argparse
import csv
import io
import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

import yaml

HERE = Path(__file__).resolve().parent
SEED = 20

CONCEPTS = ("food", "service", "ambiance", "noise")
NEGATIVE, POSITIVE, UNKNOWN = STATES = ("Negative", "Positive", "unknown")
STATE_SHARES = (0.25, 0.25, 0.50)
FAMILIES = {"train": 1150, "validation": 150, "test": 350}  # originals
BANK_SHARES = {"train": 0.65, "validation": 0.10, "test": 0.25}
EDIT_COUNTS = (0, 1, 1, 2)  # how many edits an original gets, each as likely
FILLER_COUNTS = (0, 1, 1)
GENERAL_SHARE = 0.3  # of the fillers; the others use the words of a concept
WORDS = range(10, 51)  # how long a review may be

WEIGHTS = {"food": 1.1, "service": 0.8, "ambiance": 0.5, "noise": 0.5}
BAD_FOOD_CAP = 3.0
BAD_FOOD_AND_SERVICE = -0.5
STRICTNESS = 0.35  # standard deviation of the reviewer's hidden leaning
SLIP = 0.05  # chance that a reviewer is one star off

COLUMNS = (
    *("id", "original_id", "is_original", "edit_type", "edit_goal", "text", "rating"),
    *CONCEPTS,
    "split",
    *(f"cluster_{concept}" for concept in CONCEPTS),
)


@dataclass(frozen=True)
class Reviewer:
    """What a review's rating depends on besides its concepts; the same for a review and its edits."""

    leaning: float = 0.0
    slip: int = 0

    @classmethod
    def draw(cls, random: Random) -> "Reviewer":
        return cls(random.gauss(0, STRICTNESS), random.choice((-1, 1)) if random.random() < SLIP else 0)


def rate(states: dict[str, str], reviewer: Reviewer) -> int:
    """The rating, 1 to 5: a weighted sum, capped by bad food, rounded half up, then the reviewer's slip."""
    signs = {NEGATIVE: -1, POSITIVE: 1, UNKNOWN: 0}
    score = 3 + sum(WEIGHTS[concept] * signs[states[concept]] for concept in CONCEPTS)
    if states["food"] == NEGATIVE:
        score = min(score, BAD_FOOD_CAP)
        if states["service"] == NEGATIVE:
            score += BAD_FOOD_AND_SERVICE
    stars = min(max(math.floor(score + reviewer.leaning + 0.5), 1), 5)
    return min(max(stars + reviewer.slip, 1), 5)


@dataclass(frozen=True)
class Clause:
    """A sentence from a bank; `id` is empty for a filler."""

    text: str
    id: str = ""


@dataclass(frozen=True)
class Part:
    """One place in a review: a filler, or a concept with a clause for each polarity."""

    clauses: dict[str, Clause]
    agree: str
    contrast: str
    concept: str | None = None

    def clause(self, states: dict[str, str]) -> Clause | None:
        """What stands in this place under these states; nothing if the concept is not mentioned."""
        return self.clauses.get(states[self.concept] if self.concept else UNKNOWN)


def load(name: str) -> dict:
    """One of the YAML files beside this one."""
    return yaml.safe_load((HERE / name).read_text(encoding="utf-8"))


def deal(count: int, name: str) -> dict[str, list[int]]:
    """Share the positions of a bank among the splits, at random but always in the same way."""
    places = list(range(count))
    Random(f"{SEED} bank {name}").shuffle(places)
    train, test = round(count * BANK_SHARES["train"]), count - round(count * BANK_SHARES["test"])
    return {"train": places[:train], "validation": places[train:test], "test": places[test:]}


def load_banks() -> dict[str, dict[tuple[str, str], list[Clause]]]:
    """Split -> (concept, polarity) or ("filler", topic) -> clauses. No clause is in two splits.

    The n-th Negative and the n-th Positive clause of a concept are often each other's mirror image ("the soup tasted
    terrible", "the soup tasted heavenly"), so they go to the same split: or else "soup" in a test clause would point
    a bag of words to the wrong polarity, and the data set would look harder than it is.
    """
    banks = {split: {} for split in FAMILIES}
    for concept in CONCEPTS:
        bank = load(f"clauses/{concept}.yaml")
        for split, places in deal(len(bank[NEGATIVE]), concept).items():
            for polarity, texts in bank.items():
                clauses = [Clause(texts[place], f"{concept}-{polarity[0]}-{place + 1:03}") for place in places]
                banks[split][concept, polarity] = clauses
    for topic, texts in load("fillers.yaml").items():
        for split, places in deal(len(texts), f"filler {topic}").items():
            banks[split]["filler", topic] = [Clause(texts[place]) for place in places]
    return banks


class Writer:
    """Draws reviews of one split, and their edits."""

    def __init__(self, split: str, bank: dict[tuple[str, str], list[Clause]], connectives: dict) -> None:
        self.split = split
        self.bank = bank
        self.connectives = connectives
        self.random = Random(f"{SEED} reviews {split}")

    def families(self, first: int, count: int, seen: set[str]) -> Iterator[list[dict]]:
        """`count` originals, each with its edits; drawn again if a text is in `seen`, too short or too long."""
        number = first
        while number < first + count:
            family = self.family(f"r{number:05}")
            texts = {row["text"] for row in family}
            fits = all(len(text.split()) in WORDS for text in texts)
            if fits and len(texts) == len(family) and not texts & seen:
                seen |= texts
                number += 1
                yield family

    def family(self, original_id: str) -> list[dict]:
        """An original, with at least two concepts mentioned, and up to two edits of it."""
        parts, states, reviewer = self.plan(), self.states(), Reviewer.draw(self.random)
        opener = self.random.choice(self.connectives["openers"])

        def row(states: dict[str, str], id: str, edited: str = "") -> dict:
            clusters = {f"cluster_{p.concept}": c.id for p in parts if p.concept and (c := p.clause(states))}
            return {
                "id": id,
                "original_id": original_id,
                "is_original": not edited,
                "edit_type": edited,
                "edit_goal": states.get(edited, ""),
                "text": self.render(parts, states, opener),
                "rating": rate(states, reviewer),
                **states,
                "split": self.split,
                **clusters,
            }

        family = [row(states, original_id)]
        choices = [(concept, goal) for concept in CONCEPTS for goal in STATES if goal != states[concept]]
        numbers = dict.fromkeys(CONCEPTS, 0)
        for concept, goal in self.random.sample(choices, self.random.choice(EDIT_COUNTS)):
            numbers[concept] += 1
            family.append(row({**states, concept: goal}, f"{original_id}-{concept}-{numbers[concept]}", concept))
        return family

    def states(self) -> dict[str, str]:
        """A state for each concept, independently, until two are mentioned."""
        while True:
            drawn = self.random.choices(STATES, STATE_SHARES, k=len(CONCEPTS))
            if drawn.count(UNKNOWN) <= len(CONCEPTS) - 2:
                return dict(zip(CONCEPTS, drawn, strict=True))

    def plan(self) -> list[Part]:
        """The places of a review in their order, every clause and connective drawn already.

        Nothing here depends on the states, so that an edit changes one place and the connectives that touch it.
        """
        draw = self.random.choice
        topics = [None] * draw(FILLER_COUNTS)
        topics = ["general" if self.random.random() < GENERAL_SHARE else draw(CONCEPTS) for _ in topics]
        clauses = [(c, {p: draw(self.bank[c, p]) for p in (NEGATIVE, POSITIVE)}) for c in CONCEPTS]
        clauses += [(None, {UNKNOWN: draw(self.bank["filler", topic])}) for topic in topics]
        self.random.shuffle(clauses)
        parts = []
        for place, (concept, choices) in enumerate(clauses):
            kind = "middle" if place % 2 else "start"
            agree, contrast = draw(self.connectives["agree"][kind]), draw(self.connectives["contrast"][kind])
            parts.append(Part(choices, agree, contrast, concept))
        return parts

    def render(self, parts: list[Part], states: dict[str, str], opener: str) -> str:
        """The text: "but" joins what contrasts, "and" what agrees, and a filler stands alone."""
        text, before = "", None
        for part in parts:
            clause = part.clause(states)
            if clause is None:
                continue
            polarity = states[part.concept] if part.concept else None
            if not text:
                joint = opener
            elif polarity is None or before is None:
                joint = self.connectives["plain"]
            else:
                joint = part.agree if polarity == before else part.contrast
            starts = joint == "" or joint.rstrip()[-1] in ".?!"
            text += joint + (clause.text[0].upper() + clause.text[1:] if starts else clause.text)
            before = polarity
        return text + "."


def generate() -> str:
    """The whole of `reviews.csv`."""
    banks, connectives = load_banks(), load("connectives.yaml")
    lines = io.StringIO()
    table = csv.DictWriter(lines, COLUMNS, restval="", lineterminator="\n")
    table.writeheader()
    first, seen = 1, set()
    for split, count in FAMILIES.items():
        for family in Writer(split, banks[split], connectives).families(first, count, seen):
            table.writerows(family)
        first += count
    return lines.getvalue()


def main(arguments: list[str] | None = None) -> int:
    """Write the file, or compare it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare with the file that is there; write nothing")
    parser.add_argument("--out", type=Path, default=HERE / "reviews.csv", help="the file (default: beside this script)")
    options, content = parser.parse_args(arguments), generate().encode("utf-8")
    if not options.check:
        options.out.write_bytes(content)
    elif not options.out.is_file() or options.out.read_bytes() != content:
        print(f"{options.out} is not what {Path(__file__).name} writes; run it without --check", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
