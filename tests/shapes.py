"""Types and shapes are checked at every call in tests, in less time than jaxtyping's wrapper takes.

That wrapper binds the arguments of every function, and checks them before the call and again with
the result. Here beartype checks each once. Only functions whose annotations hold shapes open a
scope for the sizes of their axes.
"""

import inspect
import typing
from functools import partial, wraps

import jaxtyping
from jaxtyping import AbstractArray

_JAXTYPED = jaxtyping.jaxtyped


def install():
    """What jaxtyping's import hook decorates, from here on, is decorated by `_checked`."""
    jaxtyping.jaxtyped = _checked


def _checked(function=None, *, typechecker):
    if function is None:
        return partial(_checked, typechecker=typechecker)
    if not inspect.isfunction(function):  # classes, properties, class and static methods
        return _JAXTYPED(function, typechecker=typechecker)
    # Of a generator's annotations jaxtyping takes the shapes off, which other functions share.
    if inspect.isgeneratorfunction(inspect.unwrap(function)):
        return _JAXTYPED(function, typechecker=typechecker)
    annotations = function.__annotations__
    if any(isinstance(annotation, str) for annotation in annotations.values()):
        return _JAXTYPED(function, typechecker=typechecker)
    checked = typechecker(function)
    if any(map(_has_shapes, annotations.values())):
        checked = _JAXTYPED(checked, typechecker=None)

    @wraps(function)
    def call(*args, **kwargs):
        unchecked = jaxtyping.config.jaxtyping_disable
        return (function if unchecked else checked)(*args, **kwargs)

    return call


def _has_shapes(annotation):
    if inspect.isclass(annotation) and issubclass(annotation, AbstractArray):
        return True
    return any(map(_has_shapes, typing.get_args(annotation)))
