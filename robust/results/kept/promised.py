"""The header of records says which kept images are beside them, so that none vanishes unseen."""

import hashlib
from pathlib import Path
from typing import Any, NamedTuple

from robust.io import files


class KeptBytes(NamedTuple):
    """The file of kept images as it was when the header was written.

    Frames are only added behind it, which another evaluation may do before it writes the header.

    Args:
        size: Its bytes.
        sha256: Their hash.
    """

    size: int
    sha256: str

    @staticmethod
    def in_file(path: Path) -> "KeptBytes | None":
        """Return those of a file; None if there is none.

        Raises:
            OSError: If it cannot be read.
        """
        if not path.is_file():
            return None
        content = files.read(path)
        return KeptBytes(len(content), hashlib.sha256(content).hexdigest())

    @staticmethod
    def from_plain(content: Any) -> "KeptBytes | None":  # noqa: ANN401 (of a file)
        """Return those that a header names; None if it names none, as earlier versions did."""
        match content:
            case {"bytes": int(size), "sha256": str(sha256)}:
                return KeptBytes(size, sha256)
        return None

    def plain(self) -> dict[str, Any]:
        """Return them in JSON's types."""
        return {"bytes": self.size, "sha256": self.sha256}

    def fault(self, path: Path) -> str:
        """Return what is wrong with a file that should begin with them; nothing if all is well."""
        try:
            content = files.read(path)[: self.size]
        except FileNotFoundError:
            return "is missing, which the header names"
        except OSError as error:
            return f"cannot be read ({error.strerror})"
        same = hashlib.sha256(content).hexdigest() == self.sha256
        return "" if same else "is not the one that the header names"
