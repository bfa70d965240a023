"""A process that only reads records, or renders the page of runs, loads no torch."""

import pkgutil
import subprocess
import sys

import robust.report
import robust.results

HEAVY = ("torch", "torchvision", "torchattacks", "lightning", "wandb", "matplotlib")


def test_a_fresh_process_that_imports_them_all_has_no_torch():
    names = [
        module.name
        for package in (robust.results, robust.report)
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
    ]
    assert "robust.results.tables" in names
    assert "robust.report.page" in names
    code = f"import sys, {', '.join(names)}; print(*({set(HEAVY)} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
