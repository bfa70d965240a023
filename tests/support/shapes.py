"""Types and shapes are checked at every call in tests, in less time than jaxtyping's wrapper takes.

That wrapper binds the arguments of every function, and checks them before the call and again with
the result. Here beartype checks each once, and only functions whose annotations hold shapes: mypy
has checked all other types. And a tensor that plainly fits is seen to fit in a fifth of
jaxtyping's time; what does not is left to it.
"""

import inspect
import typing
from functools import cache, partial, wraps

import jaxtyping
from jaxtyping import AbstractArray
from jaxtyping import _array_types as rules
from jaxtyping._storage import _shape_storage as scopes
from jaxtyping._storage import pop_shape_memo, push_shape_memo

_JAXTYPED = jaxtyping.jaxtyped
_INSTANCECHECK = type(AbstractArray).__instancecheck__


def install():
    """What jaxtyping's import hook decorates, from here on, is decorated by `_checked`."""
    jaxtyping.jaxtyped = _checked
    type(AbstractArray).__instancecheck__ = _fits


def _checked(function=None, *, typechecker):
    if function is None:
        return partial(_checked, typechecker=typechecker)
    if not inspect.isfunction(function):  # classes, properties, class and static methods
        return _JAXTYPED(function, typechecker=typechecker)
    annotations = function.__annotations__.values()
    arrays = [array for annotation in annotations for array in _arrays(annotation)]
    if not arrays:
        return function
    # Of a generator's annotations jaxtyping takes the shapes off, which other functions share.
    if inspect.isgeneratorfunction(inspect.unwrap(function)):
        return _JAXTYPED(function, typechecker=typechecker)
    checked, scoped = typechecker(function), True
    if any("{" in getattr(array, "dim_str", array) for array in arrays):
        # An axis as long as an argument says, whose name only jaxtyping knows.
        checked, scoped = _JAXTYPED(checked, typechecker=None), False

    @wraps(function)
    def call(*args, **kwargs):
        unchecked = jaxtyping.config.jaxtyping_disable
        return (function if unchecked else checked)(*args, **kwargs)

    @wraps(function)
    def call_in_scope(*args, **kwargs):
        if jaxtyping.config.jaxtyping_disable:
            return function(*args, **kwargs)
        push_shape_memo({})
        try:
            return checked(*args, **kwargs)
        finally:
            pop_shape_memo()

    return call_in_scope if scoped else call


def _arrays(annotation):
    """The annotations of arrays within another; one in quotes may hold some."""
    if isinstance(annotation, str):
        yield annotation
    if inspect.isclass(annotation) and issubclass(annotation, AbstractArray):
        yield annotation
    for part in typing.get_args(annotation):
        yield from _arrays(part)


def _fits(annotation, value):
    """`isinstance` of an annotation of an array."""
    axes, seen = _plain(annotation)
    kind = type(value), getattr(value, "dtype", None)
    if kind in seen and getattr(scopes, "memo_stack", None):
        sizes = scopes.memo_stack[-1][0]
        if _agree(axes, value.shape, sizes):
            return True
    fits = _INSTANCECHECK(annotation, value)
    if fits and axes is not None:
        seen.add(kind)
    return fits


@cache
def _plain(annotation):
    """Names and lengths of the axes, or None where they are more; kinds of arrays that fit."""
    dims = getattr(annotation, "dims", None)
    plain = dims is not None and annotation.index_variadic is None and all(map(_axis, dims))
    return [_axis(dim) for dim in dims] if plain else None, set()


def _axis(dim):
    """A name or length as a tuple of one; None if it is neither."""
    if dim is rules._anonymous_dim:
        return (None,)
    if getattr(dim, "broadcastable", True) or getattr(dim, "treepath", None):
        return None
    kinds = {rules._NamedDim: "name", rules._FixedDim: "size"}
    return (getattr(dim, kinds[type(dim)]),) if type(dim) in kinds else None


def _agree(axes, shape, sizes):
    """Whether a shape is that of the axes; if so, new names get their sizes."""
    if len(axes) != len(shape):
        return False
    found = {}
    for (axis,), size in zip(axes, shape, strict=True):
        if axis is None:
            continue
        known = axis if type(axis) is int else sizes.get(axis, found.setdefault(axis, size))
        if known != size:
            return False
    sizes.update(found)
    return True
