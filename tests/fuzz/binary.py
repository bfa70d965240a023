"""Ways to damage checkpoints, `.npz` and idx files inside of a valid container."""

import zipfile
from pathlib import Path
from random import Random

import numpy as np
import torch

from tests.fuzz.mutations import BYTES, change, empty, extend, flip, overwrite, truncate


def _member(path: Path, random: Random) -> None:
    """Of a zip: left out, doubled, damaged inside a valid archive, or renamed."""
    with zipfile.ZipFile(path) as archive:
        members = [(info.filename, archive.read(info)) for info in archive.infolist()]
    i = random.randrange(len(members))
    name, content = members[i]
    damage = random.choice([flip, overwrite, truncate, empty, extend])
    members[i : i + 1] = random.choice(
        [
            [],
            [(f"x{name}", content)],
            [(name, bytes(damage(bytearray(content), random)))],
            [(name, bytes(damage(bytearray(content), random)))],
        ]
    )
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members:
            archive.writestr(name, content)


def _change_checkpoint(path: Path, random: Random) -> None:
    """One value of what it says of itself, or of what Lightning keeps, weights left alone."""
    content = torch.load(path, weights_only=True)
    key = random.choice(["robust", "robust", "robust", *content])
    if key != "state_dict":
        content[key] = change(content[key], random)
    else:
        content[key] = random.choice([None, [], {}, {"a": 1}, 5])
    if random.random() < 0.1:
        del content[key]
    torch.save(content, path)


def _tensor(path: Path, random: Random) -> None:
    """One tensor: other shape, type, layout, values that are not finite; or left out."""
    content = torch.load(path, weights_only=True)
    state = content["state_dict"]
    name = random.choice(list(state))
    value = state[name]
    state[name] = random.choice(
        [
            lambda: value[..., :-1] if value.ndim else value.repeat(2),
            lambda: value.unsqueeze(0),
            lambda: value.to(random.choice([torch.float64, torch.float16, torch.int8, torch.bool])),
            lambda: value.to(torch.complex64),
            lambda: value.double().fill_(float("nan")).to(value.dtype),
            lambda: value.float().fill_(random.choice([1e38, -float("inf"), 0.0])),
            lambda: torch.zeros(1).expand(1 << 40) if value.ndim else value,
            lambda: value.float().to_sparse() if value.ndim else value,
            lambda: torch.empty(value.shape, device="meta"),
            lambda: value.tolist(),
            lambda: None,
        ]
    )()
    if random.random() < 0.15:
        del state[name]
    elif random.random() < 0.15:
        state[random.choice(["extra.weight", 5, "network"])] = value
    torch.save(content, path)


CHECKPOINT = {**BYTES, "member": _member, "set": _change_checkpoint, "tensor": _tensor}


def _array(path: Path, random: Random) -> None:
    """One array of another shape, type or content; or left out."""
    with np.load(path) as file:
        arrays = dict(file)
    name = random.choice(sorted(arrays))
    value = arrays[name]
    arrays[name] = random.choice(
        [
            lambda: value[:-1],
            lambda: value[:0],
            lambda: value[:1],
            lambda: value[..., None],
            lambda: value.astype(random.choice(["f4", "i1", "u8", "?", "c8", "S3", "U2"])),
            lambda: value.T,
            lambda: np.zeros(value.shape, value.dtype),
            lambda: value.astype("i8") * random.choice([-1, 10**6, 2**40]),
            lambda: np.zeros(
                (len(value), *random.choice([(0, 0), (1, 1), (1, 64), (3, 3, 5)])), "u1"
            ),
            lambda: np.array([None], dtype=object),
            lambda: np.zeros(2, dtype=[("a", "u1"), ("b", "f4")]),
            lambda: np.array(5),
            lambda: np.array(["NaT"] * len(value), dtype="M8[s]"),
        ]
    )()
    if random.random() < 0.1:
        del arrays[name]
    np.savez(path, **arrays)


def _header(path: Path, random: Random) -> None:
    """The header of one array claims another shape or type than the bytes after it."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = random.choice(sorted(members))
    content = members[name]
    claims = [
        "(9999999999999,)",
        "(2, 2)",
        "(-1,)",
        "(1" + "0" * 400 + ",)",
        "()",
        "(" * 90,
        "None",
    ]
    claim = f"{{'descr': '{random.choice(['|u1', '<i8', '|O', '<f8', '<V9', 'x'])}', "
    claim += f"'fortran_order': False, 'shape': {random.choice(claims)}, }}\n"
    size = len(claim).to_bytes(2, "little")
    members[name] = content[:8] + size + claim.encode() + content[128:]
    with zipfile.ZipFile(path, "w") as archive:
        for member, data in members.items():
            archive.writestr(member, data)


NPZ = {**BYTES, "member": _member, "array": _array, "header": _header}


def _idx_head(path: Path, random: Random) -> None:
    content = bytearray(path.read_bytes())
    place = 4 * random.randrange(4)
    claims = [0, 1, 7, 28, 2051, 2049, 2**31 - 1, 2**32 - 1, 0x00000D03, 0x00000E01]
    content[place : place + 4] = random.choice(claims).to_bytes(4, "big")
    path.write_bytes(content)


IDX = {**BYTES, "head": _idx_head}
