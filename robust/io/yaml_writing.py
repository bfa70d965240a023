"""YAML is written so that `robust.io.strict_yaml.load` gives the same values."""

import math
from typing import Any

import yaml

from robust.io.strict_yaml import StrictYAMLError, plain_scalar


class _Dumper(yaml.SafeDumper):
    """A dumper that quotes text which `load` or YAML 1.1 would not read as text."""

    def resolve(self, kind: Any, value: Any, implicit: Any) -> Any:  # noqa: ANN401
        if kind is yaml.ScalarNode and implicit[0]:
            try:
                own = _TAGS.get(type(plain_scalar(value)))
            except StrictYAMLError:
                own = _TAGS[int]
            if own is not None:
                return own
        return super().resolve(kind, value, implicit)  # type: ignore[no-untyped-call]

    def represent_text(self, text: str) -> yaml.ScalarNode:
        """Use double quotes where YAML would take a character for a line break."""
        style = '"' if set(text) & set("\r\x85\u2028\u2029\ufeff") else None
        return self.represent_scalar("tag:yaml.org,2002:str", text, style=style)

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ANN401
        """Write a value twice that is used twice."""
        return True


_Dumper.add_representer(str, _Dumper.represent_text)
_TAGS = {
    kind: f"tag:yaml.org,2002:{name}"
    for kind, name in ((int, "int"), (float, "float"), (bool, "bool"), (type(None), "null"))
}


def flow(value: Any) -> str:  # noqa: ANN401
    """Return a value in one line, such as ``{a: null}``, for which `load` gives the same."""
    text = yaml.dump(
        [value],
        Dumper=_Dumper,
        default_flow_style=True,
        allow_unicode=True,
        sort_keys=False,
        width=math.inf,
    )
    return str(text).strip()[1:-1]


def dump(content: Any) -> str:  # noqa: ANN401
    """Return YAML for which `load` gives the same."""
    text = yaml.dump(
        content, Dumper=_Dumper, default_flow_style=False, allow_unicode=True, sort_keys=False
    )
    return str(text)
