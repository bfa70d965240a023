"""Modules of others that are imported once something of them is used."""

import contextlib
import importlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from types import ModuleType
from typing import Any

UNUSED: Mapping[str, Sequence[str]] = {
    "scipy.signal": ("hamming",),  # torchmetrics looks whether it has to add it
    "scipy.stats": (),  # of one attack of torchattacks
    "torchattacks.attacks._differential_evolution": ("differential_evolution",),  # of another
}
"""Modules that take three seconds of CPU time, with their functions that others take by name."""


@contextlib.contextmanager
def deferred(modules: Mapping[str, Sequence[str]] = UNUSED) -> Iterator[None]:
    """Meanwhile the import of some modules takes no time, unless they are imported already.

    Args:
        modules: As `UNUSED`.
    """
    placeholders = {name: _Deferred(name) for name in modules if name not in sys.modules}
    for name, placeholder in placeholders.items():
        vars(placeholder).update({key: _Function(placeholder, key) for key in modules[name]})
    sys.modules.update(placeholders)
    try:
        yield
    finally:
        for placeholder in placeholders.values():
            placeholder._leave()


class _Deferred(ModuleType):
    """Stands for a module until one of its names is asked for."""

    def _leave(self) -> None:
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        if name.startswith("__"):  # the import system's own questions
            raise AttributeError(name)
        self._leave()
        return getattr(importlib.import_module(self.__name__), name)


class _Function:
    """Stands for a function of a module until it is called."""

    def __init__(self, module: _Deferred, name: str) -> None:
        self._module, self._name = module, name

    def __call__(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        return _Deferred.__getattr__(self._module, self._name)(*args, **kwargs)
