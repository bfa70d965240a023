"""Protocols find members as a caller finds them, on every Python."""

from typing import TYPE_CHECKING, Any, Protocol

from typing_extensions import get_protocol_members

if TYPE_CHECKING:
    from abc import ABCMeta as _ProtocolMeta
else:
    _ProtocolMeta = type(Protocol)


class ByAttribute(_ProtocolMeta):
    """With this metaclass of a protocol, ``isinstance`` asks for each attribute by ``getattr``.

    From Python 3.12 on ``typing`` looks members up without ``__getattr__``. But a
    `torch.nn.Module` delivers its buffers, parameters and submodules by just that, and a wrapper
    what it wraps. So ``isinstance`` would deny members that a call finds. A protocol takes this
    metaclass and stays `typing.runtime_checkable`.
    """

    def __instancecheck__(cls, instance: Any) -> bool:  # noqa: ANN401
        """Say whether ``instance`` has every member; a method that is None does not count."""
        if not getattr(cls, "_is_protocol", False):  # a class that derives from a protocol
            return super().__instancecheck__(instance)
        return all(_has(cls, instance, name) for name in get_protocol_members(cls))


def _has(protocol: type, instance: object, name: str) -> bool:
    is_method = callable(getattr(protocol, name, None))
    return hasattr(instance, name) and not (is_method and getattr(instance, name) is None)
