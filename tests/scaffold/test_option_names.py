"""Keys of `params.yaml` in messages become the options that a person typed."""

import pytest

from sparsecbm.scaffold.option_names import in_options


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("a.csv does not exist; set source.path to a .csv file", "a.csv does not exist; set --table to a .csv file"),
        (
            'then set source.format: {separator: ";", header: 2}, or not',
            "then set --format separator=';' --format header=2, or not",
        ),
        ('set source.format: {separator: "\\t"}', r"set --format separator=$'\t'"),
        ("set source.format: {skip_blanks: true}", "set --format skip_blanks=true"),
        ("source.format.header names line 9", "--format header names line 9"),
        ('set source.columns.labels: ["bad food", "good"]', "set --labels 'bad food,good'"),
        ("(source.columns.labels is not set)", "(--labels is not set)"),
        ("point source.columns.text at the texts", "point --text at the texts"),
        ("leave out source.columns.split to have", "leave out --split to have"),
        ("correct source.pathology", "correct source.pathology"),
        ("nothing to change", "nothing to change"),
    ],
)
def test_options_take_the_place_of_keys(message, expected):
    assert in_options(message) == expected


def test_what_has_no_option_is_said():
    told = in_options('set source.columns.concepts.food.states: ["a", "b"]')
    assert told.startswith('set source.columns.concepts.food.states: ["a", "b"]\n`sparsecbm init` has no option for')
    assert "`sparsecbm init` has no option" in in_options("rename it by source.columns.splits")
    comma = in_options('set source.columns.labels: ["a,b", "c"]')
    assert comma.startswith('set source.columns.labels: ["a,b", "c"]\n`sparsecbm init` has no option')
