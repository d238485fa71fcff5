"""Words, unknown words and languages of texts."""

import numpy as np

from sparsecbm.drift.text_figures import collect_vocabulary, describe_texts


def test_words_are_counted_and_compared_with_the_vocabulary():
    vocabulary = collect_vocabulary(["The food was GOOD!", "it's loud"])
    assert vocabulary == {"the", "food", "was", "good", "it", "s", "loud"}
    figures = describe_texts(["the fodo was good", "42 !!", "Loud food"], vocabulary)
    assert figures.words.tolist() == [4, 0, 2]
    assert np.allclose(figures.unknown_words, [0.25, 0.0, 0.0])


def test_a_text_has_a_language_or_a_script():
    texts = [
        "the food was good and it was for us",
        "das Essen war sehr gut und die Leute auch",
        "ramen",
        "大丈夫",
        "42",
    ]
    assert describe_texts(texts, set()).languages == (
        "English", "German", "unclear, Latin", "unclear, Cjk", "unclear, no letters",
    )  # fmt: skip
