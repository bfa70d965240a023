"""A program that a sweep can run in milliseconds: logs ``val/clean_acc`` like a training."""

import csv
import os
import sys
import time
from pathlib import Path

flags = dict(word.removeprefix("--").split("=", 1) for word in sys.argv[1:])
folder = Path(flags["run.root"], flags["run.name"], flags["run.id"])
checkpoint = folder / "checkpoints" / "last.ckpt"
checkpoint.parent.mkdir(parents=True, exist_ok=True)
x = float(flags["x"])
with (folder / "starts.txt").open("a") as file:
    file.write(f"{os.environ.get('CUDA_VISIBLE_DEVICES')} {os.environ.get('OMP_NUM_THREADS')}\n")
if x < 0 and not os.environ.get("MENDED"):
    print("some words")
    sys.exit("error: x is negative")
done = int(checkpoint.read_text()) if checkpoint.is_file() else 0
metrics = folder / "metrics.csv"
if metrics.is_file():
    metrics.rename(folder / "metrics.1.csv")
rows = []
for epoch in range(done, int(flags.get("epochs", 2))):
    time.sleep(float(flags.get("seconds", 0)))
    rows.append({"step": epoch, "epoch": epoch, "val/clean_acc": x * (epoch + 1)})
    with metrics.open("w", newline="") as file:
        writer = csv.DictWriter(file, ["step", "epoch", "val/clean_acc"])
        writer.writeheader()
        writer.writerows(rows)
    checkpoint.write_text(str(epoch + 1))
