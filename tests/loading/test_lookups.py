"""Our look-ups answer as jsonargparse's own, and end with the call."""

import pytest
from jsonargparse import Namespace, _core, _subcommands, _util, typing
from jsonargparse._actions import _ActionConfigLoad

from robust.evaluation import AttackEvaluation
from robust.loading.parsing import lookups
from robust.loading.parsing.parser import Parser

PLACES = [
    (_subcommands, "find_action_and_subcommand"),
    (_core, "find_action_and_subcommand"),
    (Namespace, "_parse_key"),
    (_util, "get_import_path"),
    (typing, "get_import_path"),
]


@pytest.fixture(scope="module")
def parser():
    parser = Parser(exit_on_error=False)
    parser.add_class_arguments(AttackEvaluation, "evaluation")
    parser.add_argument("-s", "--long", "--other_name", dest="kept")
    return parser


def answers(function, *calls):
    def answer(call):
        try:
            return function(*call)
        except (KeyError, ValueError) as error:
            return type(error), str(error)

    return [answer(call) for call in calls]


def names(parser):
    yield from ("evaluation", "no.such", "", "s", "long", "other_name", "kept", "help")
    for action in parser._actions:
        yield action.dest
        yield from action.option_strings


def root():
    parser, inner = Parser(exit_on_error=False), Parser(exit_on_error=False)
    inner.add_argument("--a.b")
    parser.add_argument("--c")
    parser.add_subcommands().add_subcommand("fit", inner)
    return parser


@pytest.mark.parametrize("exclude", [None, _ActionConfigLoad])
def test_arguments_by_their_names(parser, exclude):
    for searched, asked in ((parser, [*names(parser)]), (root(), ["c", "fit", "fit.a.b", "fit.x"])):
        calls = [(searched, name, exclude) for name in asked]
        usual = answers(_subcommands.find_action_and_subcommand, *calls)
        with lookups.faster():
            assert answers(_subcommands.find_action_and_subcommand, *calls) == usual
            assert answers(_core.find_action_and_subcommand, *calls) == usual
        assert any(found[0] is not None for found in usual)


def test_an_argument_that_is_added_meanwhile():
    parser = Parser(exit_on_error=False)
    with lookups.faster():
        assert _subcommands.find_action(parser, "late") is None
        parser.add_argument("--late")
        assert _subcommands.find_action(parser, "late").dest == "late"


@pytest.mark.parametrize(
    "key", ["a", "b", "b.c", "b.c.d", "b.x.y", "a.b", "e.k", "e.items", "f.g", "items", "get.pop"]
)
@pytest.mark.parametrize("form", ["{}", " {}", "{}.", ".{}", "{}..z"])
def test_keys(key, form):
    space = Namespace(a=1, b=Namespace(c=Namespace(d=2)), e={"k": Namespace(m=3)}, f=None)
    space["get.pop"] = 4

    def parse(key):
        leaf, parent, place = space._parse_key(key)
        return leaf, id(parent), place  # the namespace itself, not one that is equal

    calls = [(form.format(key),), (None,), (3,)]
    usual = answers(parse, *calls)
    with lookups.faster():
        assert answers(parse, *calls) == usual


def test_import_paths_of_classes_and_of_what_is_none():
    class Local:
        pass

    values = [
        (int,),
        (Parser,),
        (AttackEvaluation,),
        (list[int],),
        (3,),
        (Local,),
        (pytest.raises,),
    ]
    usual = answers(_util.get_import_path, *values)
    with lookups.faster():
        assert answers(_util.get_import_path, *values, *values) == usual * 2


def test_they_end_with_the_call(parser):
    def current():
        return [getattr(*place) for place in PLACES]

    usual = current()
    with lookups.faster():
        with lookups.faster():
            pass
        assert not any(own is before for own, before in zip(current(), usual, strict=True))
        _subcommands.find_action(parser, "kept")
        _util.get_import_path(int)
        assert lookups._indexes
        assert lookups._paths
    assert current() == usual
    assert not lookups._indexes
    assert not lookups._paths


def test_they_end_with_a_call_that_fails(parser):
    usual = Namespace._parse_key
    with pytest.raises(ZeroDivisionError), lookups.faster():
        raise ZeroDivisionError
    assert Namespace._parse_key is usual
