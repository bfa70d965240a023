"""Float32 stays float32 on a GPU, and a slow bfloat16 is told."""

import functools
import platform
import sys

import torch
from lightning.fabric.utilities.rank_zero import rank_zero_only


def keep_float32() -> None:
    """Have GPUs convolve float32 as float32, where cuDNN would drop 13 of its 23 bits (TF32).

    Whether an attack succeeds is decided in float32, and the same on every device. What may be
    rounded for speed says so: ``--trainer.precision=bf16-mixed``, or an attack's ``precision``.
    """
    torch.backends.cudnn.allow_tf32 = False


def bfloat16_is_native(device: torch.device) -> bool:
    """Say whether a device multiplies bfloat16 itself.

    On x86 that takes AVX512-BF16 or AMX, on ARM its BF16 extension. Elsewhere oneDNN emulates it.
    """
    if device.type != "cpu":
        return True
    if platform.machine().lower() in ("x86_64", "amd64"):
        # Of the public `torch.cpu.get_capabilities`, which torch 2.11 does not have.
        return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    onednn: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return onednn and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def warn_if_emulated(device: torch.device, remedy: str) -> None:
    """Say once, in one line, that bfloat16 will be slow here; nothing where it is native.

    Args:
        device: Where the work will run.
        remedy: What to set instead, as a sentence.
    """
    if not bfloat16_is_native(device):
        _say(
            "warning: this CPU has no bfloat16 of its own (AVX512-BF16, AMX, ARM BF16) and "
            f"emulates it, up to ten times slower than float32. {remedy}"
        )


@functools.cache
@rank_zero_only
def _say(line: str) -> None:
    print(line, file=sys.stderr)
