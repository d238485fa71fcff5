"""The common style of all drawings: heat maps, sizes, colours, and repeatable bytes."""

import io

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
from PIL import Image

from sparsecbm.plots.style import (
    MAX_INCHES,
    MAX_LABELS,
    MAX_NUMBERS,
    PALETTE,
    SERIES,
    Cells,
    category_colours,
    figure,
    heat_map,
    ink_on,
)
from tests.support.drawings import cell_texts, x_labels, y_labels


def drawn(values, rows, columns, **options):
    with figure(4, 3) as drawing:
        axes = drawing.add_subplot()
        heat_map(axes, np.array(values, dtype=float), rows, columns, Cells(**options))
    return axes


def test_cells_show_their_values_and_blank_cells_are_empty():
    axes = drawn([[0.25, np.nan], [0.5, 1.0]], ["a", "b"], ["x", "y"], texts=".2f")
    assert cell_texts(axes) == {(0, 0): "0.25", (1, 0): "0.50", (1, 1): "1.00"}
    assert (y_labels(axes), x_labels(axes)) == (["a", "b"], ["x", "y"])
    np.testing.assert_array_equal(axes.collections[0].get_array().mask, [[False, True], [False, False]])
    assert axes.yaxis_inverted(), "the first row is at the top"


def test_texts_of_cells_can_be_given():
    axes = drawn([[0.25, 0.5]], ["a"], ["x", "y"], texts=np.array([["one", "two"]]))
    assert cell_texts(axes) == {(0, 0): "one", (0, 1): "two"}


def test_numbers_are_legible_on_dark_and_on_light_cells():
    axes = drawn([[0.0, 1.0]], ["a"], ["x", "y"], texts=".0f")
    assert [text.get_color() for text in axes.texts] == ["#ffffff", "#000000"]  # cividis: dark blue to yellow


def test_many_cells_have_no_numbers_and_many_labels_become_group_labels():
    few = drawn(np.zeros((1, MAX_NUMBERS)), ["a"], [str(i) for i in range(MAX_NUMBERS)], texts=".0f")
    assert len(few.texts) == MAX_NUMBERS
    groups = {f"g{number}": [f"{number}.{i}" for i in range(20)] for number in range(10)}
    axes = drawn(np.zeros((1, 200)), ["a"], groups, texts=".0f")
    assert list(axes.texts) == []
    assert x_labels(axes) == list(groups)
    assert axes.get_xticks().tolist() == [10 + 20 * number for number in range(10)]
    (lines,) = [c for c in axes.collections[1:] if len(c.get_segments()) == 9]
    assert [segment[0][0] for segment in lines.get_segments()] == [20 * number for number in range(1, 10)]


def test_labels_without_groups_are_thinned():
    axes = drawn(np.zeros((130, 1)), [f"r{i}" for i in range(130)], ["x"])
    assert y_labels(axes) == [f"r{i}" for i in range(0, 130, 3)]
    assert len(y_labels(axes)) <= MAX_LABELS


def test_a_figure_is_never_larger_than_a_page():
    with figure(100, 3) as drawing:
        pass
    assert drawing.get_size_inches().tolist() == [MAX_INCHES, 3]


def test_bytes_do_not_depend_on_the_target_or_earlier_drawings(tmp_path):
    def draw(target):
        with figure(3, 2, target) as drawing:
            drawing.add_subplot().plot([0, 1], label="line")

    draw(tmp_path / "first.png")
    stream = io.BytesIO()
    with matplotlib.rc_context({"lines.linewidth": 9, "font.size": 20, "axes.grid": False}):
        draw(stream)
    assert (tmp_path / "first.png").read_bytes() == stream.getvalue()
    with Image.open(stream) as image:
        assert image.format == "PNG" and image.size == (300, 200)
        assert "Software" not in image.info
    assert [file.name for file in tmp_path.iterdir()] == ["first.png"]
    assert plt.get_fignums() == []


def test_an_error_in_the_block_leaves_no_file(tmp_path):
    with pytest.raises(ZeroDivisionError), figure(3, 2, tmp_path / "never.png"):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_a_dark_figure_has_light_ink_on_a_transparent_background():
    stream = io.BytesIO()
    with figure(1, 1, stream, theme="dark") as drawing:
        assert drawing.add_subplot().xaxis.label.get_color() == "#e6e6e6"
    with Image.open(stream) as image:
        assert image.getpixel((0, 0))[3] == 0


def test_series_differ_in_colour_and_in_marker():
    assert len({style["color"] for style in SERIES}) == len({style["marker"] for style in SERIES}) == len(SERIES) == 8


def test_categories_use_the_palette_and_numbers_use_a_scale():
    assert category_colours(["a", "b"]) == {name: matplotlib.colors.to_rgb(PALETTE[i]) for i, name in enumerate("ab")}
    one, two, three = (sum(colour) for colour in category_colours(["1", "2", "3"]).values())
    assert one < two < three, "larger numbers are lighter"
    assert len(set(category_colours([f"s{i}" for i in range(20)]).values())) == 20


@pytest.mark.parametrize(("colour", "ink"), [((1, 1, 1), "#000000"), ((0, 0, 0.5), "#ffffff")])
def test_ink_contrasts_with_its_background(colour, ink):
    assert ink_on(colour) == ink


def test_dollars_in_a_name_are_letters_and_no_formula():
    image = io.BytesIO()
    with figure(4, 3, image) as drawing:
        axes = drawing.add_subplot()
        heat_map(axes, np.eye(2), ["price $^{$", "$5 and $6"], ["x", "y"], Cells())
    assert y_labels(axes) == ["price $^{$", "$5 and $6"] and image.getvalue().startswith(b"\x89PNG")
