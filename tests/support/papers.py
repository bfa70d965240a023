"""Files of the papers, by their names."""

from tests.support.tiny import ROOT

PAPERS = ROOT / "papers"
TABLES = {path.stem: path for path in sorted(PAPERS.glob("*/tables/*.yaml"))}
SUITES = {
    path.stem: path
    for folder in ("configs/suites", "papers/*/suites")
    for path in sorted(ROOT.glob(f"{folder}/*.yaml"))
}
