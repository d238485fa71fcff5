import pandas as pd
import pytest

from sparsecbm.data import text_quality as texts


@pytest.mark.parametrize(
    ("text", "damaged", "mojibake"),
    [
        ("The café wasn’t cheap: 8 €, naïve Ångström, São Paulo.", False, False),
        ("line one\nline two\tand a tab\r\n", False, False),
        ("we don\ufffdt know", True, False),
        ("a bell \x07 rings", True, False),
        ("a nul \x00 byte", True, False),
        ("we donâ€™t know", False, True),
        ("the cafÃ© was nice", False, True),
        ("costs 5Â£ a head", False, True),
        ("a dash \x96 here", False, True),
    ],
)
def test_damage_and_wrong_decoding_are_distinguished(text, damaged, mojibake):
    cells = pd.Series([text], dtype="str")
    assert texts.is_damaged(cells).tolist() == [damaged]
    assert texts.is_mojibake(cells).tolist() == [mojibake]


@pytest.mark.parametrize("codec", ["cp1252", "latin-1"])
def test_a_real_wrong_decoding_is_detected(codec):
    original = "The café’s crème brûlée" if codec == "cp1252" else "The café's crème brûlée"
    cells = pd.Series([original, original.encode("utf-8").decode(codec)], dtype="str")
    assert texts.is_mojibake(cells).tolist() == [False, True]


@pytest.mark.parametrize(
    ("text", "language", "script"),
    [
        ("The food was very good and we have never had to wait for it.", "English", "Latin"),
        ("Das Essen war sehr gut und wir mussten nicht auf die Suppe warten.", "German", "Latin"),
        ("La soupe était très bonne et le service dans la salle aussi.", "French", "Latin"),
        ("La comida estaba muy buena pero el servicio y los precios no.", "Spanish", "Latin"),
        ("Еда была очень вкусной", None, "Cyrillic"),
        ("Food as good as usual. Still a fun place to eat.", None, "Latin"),
        # Four German words (das, war, nicht, was) and three English ones (the, was, and) do not determine the language.
        ("The food was good and das Essen war nicht schlecht.", None, "Latin"),
        ("12345 :-)", None, None),
    ],
)
def test_language_and_script_are_detected(text, language, script):
    assert texts.language(text) == language
    assert texts.script(text) == script


def test_foreign_texts_differ_from_most_texts():
    english = ["The food was good and we have had it for years."] * 3
    german = ["Das Essen war sehr gut und wir sind nicht lange auf die Suppe wartend."]
    assert texts.is_foreign(pd.Series(english + german)).tolist() == [False, False, False, True]
    assert texts.is_foreign(pd.Series(english + german * 9)).tolist() == [True] * 3 + [False] * 9
    assert texts.is_foreign(pd.Series(["ok", "fine"])).tolist() == [False, False]


def test_comparable_texts_differ_in_case_and_spacing_only():
    cells = texts.comparable(pd.Series(["Food  was\ngood ", "food was good", "food was good."]))
    assert cells[0] == cells[1] != cells[2]
