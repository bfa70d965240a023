"""The page that compares runs: what it says, what it survives, and how it behaves in a browser."""

import re
import shutil
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from pathlib import Path

import altair as alt
import pytest
from PIL import Image

import robust.report.watch
from robust.commands.evaluate import evaluate
from robust.errors import ConfigError
from robust.report import render
from robust.report.album import album
from robust.report.axes import setting_axes
from robust.report.chart_data import (
    Charts,
    plot_curves,
    plot_parallel,
    plot_pareto,
    plot_trainings,
)
from robust.report.protocols import Entry, differing, protocols
from robust.report.watch import Page, server, state_of, watched_page
from robust.results.metrics import accuracy_curve, worst_robust_accuracy
from robust.results.records import Evaluation
from robust.results.run_folder import Point, Reader, RunFiles
from tests.support.factories import evaluation, header, info, row
from tests.support.papers import PAPERS
from tests.support.tiny import ROOT

pytestmark = pytest.mark.usefixtures("quiet")


@pytest.fixture(scope="session")
def runs(trained, tmp_path_factory):
    """Two trained runs, one that is being trained, and one of which everything is damaged."""
    root = tmp_path_factory.mktemp("report") / "runs"
    for name, folder in trained.items():
        shutil.copytree(folder, root / name / "a")
    (root / "squeezed/a/figures").mkdir(exist_ok=True)
    Image.effect_noise((1200, 300), 50).save(root / "squeezed/a/figures/adversarials_tiny.png")
    young = root / "young" / "a"
    young.mkdir(parents=True)
    shutil.copy(trained["standard"] / "config.yaml", young)
    (young / "metrics.csv").write_text(
        "epoch,step,train/loss,val/clean_acc\n0,9,1.5,\n0,9,,0.625\n1,1"
    )
    damaged = root / "<b>damaged</b>" / "a"
    (damaged / "records").mkdir(parents=True)
    (damaged / "figures").mkdir()
    (damaged / "config.yaml").write_text("model: [[[")
    (damaged / "metrics.csv").write_bytes(b"\xff\xfe\x00step")
    (damaged / "records" / "tiny-0.csv").write_text("view,attack\nhalf\n")
    (damaged / "records" / "tiny-0.json").write_text("{")
    (damaged / "records" / "tiny-1.part0.csv").write_text("deployed,fgsm")
    (damaged / "figures" / "adversarials.png").write_bytes(b"no image")
    return root


@pytest.fixture(scope="session")
def text(runs):
    return render([runs], PAPERS)


def entry(evaluation, config=None, name="a"):
    return Entry(name, RunFiles(Path(name), name, config or {}), evaluation)


def run_of(name, evaluation, config=None):
    return RunFiles(Path(name), name, config or {}, evaluations={Path(name): evaluation})


def two_views(deployed, adaptive, n=200, attack="fgsm", **settings):
    attacks = {attack: info(**settings)}
    successes = {("deployed", attack): deployed, ("adaptive", attack): adaptive}
    return evaluation(attacks, successes, n)


def cells(text, label):
    """The rows of the first table that a run has, each as texts and numbers to sort by."""
    body = text[text.index('<table id="table">') : text.index("</table>")]
    found = [part for part in body.split("<tr ")[1:] if f'data-label="{label}"' in part]
    return [re.findall(r'<td class="number[^"]*" data-sort="([^"]*)"', part) for part in found]


def test_numbers_are_those_of_the_records(runs, text):
    for run in Reader().read([runs]):
        for one in run.evaluations.values():
            (numbers,) = cells(text, run.name.removesuffix("/a"))
            worst = [worst_robust_accuracy(one, view).value for view in ("adaptive", "deployed")]
            assert [float(number) for number in numbers[:2]] == worst
            assert float(numbers[4]) == len({row.index for row in one.rows}) == 30


def test_page_is_complete_and_small(text):
    assert len(text.encode()) < 5_000_000
    assert not re.search(r"""(src|href)=["'](?!data:|#)""", text.split("<script>")[0])
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)[1]
    assert policy.startswith("default-src 'none'")
    assert "http" not in policy


def test_a_page_needs_no_torch():
    heavy = "{'torch', 'lightning', 'wandb', 'scipy'}"
    code = f"import sys, robust.report; print(sorted({heavy} & set(sys.modules)))"
    command = [sys.executable, "-c", code]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"


def test_what_is_missing_is_listed_and_nothing_more_is_lost(text):
    assert "4 runs compared" in text
    (line,) = re.findall(r"<li><b>young/a</b>: ([^<]*)", text)
    assert line == "not attacked yet; no checkpoint yet"
    (line,) = re.findall(r"<li><b>&lt;b&gt;damaged&lt;/b&gt;/a</b>: ([^<]*)", text)
    for what in (
        "tiny-0.csv: cannot be read",
        "tiny-1.part0.csv: an evaluation that has not ended",
        "config.yaml: cannot be read",
        "metrics.csv: unreadable",
        "no checkpoint yet",
    ):
        assert what in line
    assert "adversarials.png (cannot be read)" in text
    assert "<b>damaged" not in text


def test_training_that_goes_on(runs):
    young = next(run for run in Reader().read([runs]) if run.name == "young/a")
    assert young.metrics == {"train/loss": [(9, 1.5)], "val/clean_acc": [(9, 0.625)]}
    assert young.training == "1 of 6 epochs"
    assert young.defense == "Standard"


def test_sessions_of_a_run_follow_each_other(tmp_path):
    for name, step in (("metrics.1.csv", 1), ("metrics.10.csv", 10), ("metrics.2.csv", 2),
                       ("metrics.csv", 11)):  # fmt: skip
        (tmp_path / name).write_text(f"epoch,step,train/loss\n{step},{step},0.5\n")
    (run,) = Reader().read([tmp_path])
    assert [point.step for point in run.metrics["train/loss"]] == [1, 2, 10, 11]
    assert run.name == f"{tmp_path.parent.name}/{tmp_path.name}"
    assert run.training == "12 epochs"


def test_records_are_read_again_only_if_they_changed(runs, monkeypatch):
    read = []
    original = robust.results.run_folder.read_evaluation
    monkeypatch.setattr(
        robust.results.run_folder,
        "read_evaluation",
        lambda path: read.append(path) or original(path),
    )
    reader = Reader()
    reader.read([runs / "squeezed"])
    reader.read([runs / "squeezed"])
    assert len(read) == 1


@pytest.mark.parametrize("make", [lambda path: None, lambda path: path.mkdir()])
def test_no_runs_is_one_line(make, tmp_path, capsys):
    folder = tmp_path / "runs"
    make(folder)
    assert evaluate(["--report", str(folder), "-o", str(tmp_path / "x.html")]) == 2
    assert capsys.readouterr().err.startswith("error: Expected")
    assert not (tmp_path / "x.html").exists()


def test_command_writes_a_file(runs, tmp_path, capsys):
    path = tmp_path / "page.html"
    assert evaluate(["--report", str(runs), "-o", str(path)]) == 0
    assert f"Written to {path}" in capsys.readouterr().err
    assert "4 runs compared" in path.read_text()
    assert evaluate(["--report", str(runs), "-o", str(tmp_path)]) == 2
    assert "Expected to write" in capsys.readouterr().err


def test_only_one_protocol_is_compared():
    found = protocols(
        [
            run_of("a", two_views(10, 20, eps=0.1)),
            run_of("b", two_views(10, 20, eps=0.1)),
            run_of("c", two_views(10, 20, eps=0.2)),
        ]
    )
    assert [[e.label for e in p.entries] for p in found] == [["a", "b"], ["c"]]
    assert [p.title for p in found] == ["test (1), digits", "test (2), digits"]


def test_two_records_of_one_run_stay_apart():
    first, second = two_views(10, 20), two_views(10, 30)
    run = RunFiles(Path("a"), "a", evaluations={Path("1"): first, Path("2"): second})
    (protocol,) = protocols([run])
    assert [entry.label for entry in protocol.entries] == [f"a #{first.header.fingerprint[:4]}"] * 2


def test_every_view_counts_what_any_view_found():
    attacks = {"fgsm": info(), "pgd": info("PGD")}
    found = [
        *(row(i, adv=int(i == 0)) for i in range(4)),
        *(row(i, view="adaptive", attack="pgd", adv=int(i == 1)) for i in range(4)),
        row(4, clean=1),
        row(4, view="adaptive", attack="pgd", clean=1),
    ]
    one = entry(Evaluation(header(**attacks), found))
    assert {view: rate.hits for view, rate in one.robust.items()} == {"deployed": 3, "adaptive": 3}
    assert (one.worst.hits, one.worst.n) == (2, 5)


def test_overlap_counts_images_that_two_attacks_share():
    attacks = {"a": info(), "b": info(), "c": info()}
    one = entry(
        evaluation(attacks, {("deployed", n): k for n, k in zip("abc", (5, 9, 0), strict=True)})
    )
    assert one.overlap("deployed") == [[5, 5, 0], [5, 9, 0], [0, 0, 0]]


def test_cost_is_of_the_costliest_view():
    one = two_views(0, 0, n=2)
    dear = [r._replace(forwards=7.0) if r.view == "adaptive" else r for r in one.rows]
    assert entry(Evaluation(one.header, dear)).passes == 7


def test_curves_hold_the_rates_of_the_records():
    attacks = {"df": info("DeepFool", norm="L2", eps=2.0, minimal=True)}
    found = [row(i, attack="df", adv=1, l2=i / 10) for i in range(1, 20)]
    one = Evaluation(header(**attacks), found)
    run = run_of("a", one)
    charts = Charts([run])
    (protocol,) = protocols([run])
    (added,) = plot_curves(charts, protocol)
    data = charts.charts[added["key"]]["data"]["data"]
    assert len(data["eps"]) == 26
    rates = accuracy_curve(one.select("deployed", "df"), attacks["df"], data["eps"][1:])
    assert data["rate"][1:] == pytest.approx([100 * r.value for r in rates], abs=1e-4)
    assert data["low"][1:] == pytest.approx([100 * r.interval[0] for r in rates], abs=1e-4)


@pytest.mark.parametrize(("end", "ticks"), [(8 / 255, [0.0, 2, 4, 6, 8]), (0.3, None)])
def test_eps_in_grey_levels_is_written_so_on_charts(end, ticks):
    attacks = {f"pgd_{i}": info("PGD", eps=i * end) for i in (0.5, 1)}
    run = run_of("a", evaluation(attacks, {("deployed", name): 3 for name in attacks}))
    charts = Charts([run])
    (added,) = plot_curves(charts, protocols([run])[0])
    chart = charts.charts[added["key"]]
    axes = [layer["encoding"]["x"].get("axis") for layer in charts.specs[chart["spec"]]["layer"]]
    assert axes[0].get("values") == (ticks and [tick / 255 for tick in ticks])
    texts = {"words": ["0", "4/255", "8/255"] if ticks else ["0", "0.15", "0.3"]}
    assert chart["data"]["data"]["within"] == {**texts, "codes": [0, 1, 2]}


def test_an_axis_of_eps_has_grey_levels():
    runs = [
        run_of(str(i), two_views(i, 20 + i), {"model": {"eps": levels / 255}})
        for i, levels in enumerate((2, 4, 8))
    ]
    (axis,) = setting_axes(protocols(runs)[0].entries)
    assert axis.values == ["2/255", "4/255", "8/255"]
    assert list(axis.ticks.values()) == ["2/255", "4/255", "8/255"]


def test_pareto_shows_the_adaptive_number_and_the_largest_claim():
    run = run_of("a", two_views(10, 150))
    charts = Charts([run, run_of("b", evaluation({"fgsm": info()}, {("deployed", "fgsm"): 3}))])
    (protocol,) = protocols(charts.runs)
    added = plot_pareto(charts, protocol)
    data = charts.charts[added["key"]]["data"]["data"]
    assert data["run"]["words"] == ["a"]  # the other has no adaptive view
    assert (data["rate"], data["claim"]) == ([25.0], [95.0])
    assert data["view"]["words"] == ["deployed"]
    assert data["verdict"]["words"] == ["masked"]


def test_trainings_are_shown_without_the_bounds_of_their_intervals():
    logged = ["val/worst_robust_acc/adaptive", "train/loss", "test/clean_acc"]
    metrics = {f"{key}{end}": [Point(9, 0.5)] for key in logged for end in ("", "_low", "_high")}
    charts = Charts([RunFiles(Path("a"), "a", metrics=metrics)])
    titles = [chart["title"] for chart in plot_trainings(charts)]
    assert titles == ["training loss", "val/worst_robust_acc/adaptive"]


def test_specifications_are_valid():
    charts = Charts([run_of(str(i), two_views(i, 20 + i), {"model": {"t": i}}) for i in range(3)])
    for run in charts.runs:
        run.metrics["train/loss"] = [Point(9, 0.5)]
    (protocol,) = protocols(charts.runs)
    plot_pareto(charts, protocol)
    plot_parallel(charts, protocol)
    plot_trainings(charts)
    attacks = {"df": info("DeepFool", norm="L2", eps=2.0, minimal=True)}
    minimal = evaluation(attacks, {("deployed", "df"): 3})
    plot_curves(charts, protocols([run_of("m", minimal)])[0])
    assert {name.split("-")[0] for name in charts.specs} == {
        "curve", "pareto", "parallel", "training",
    }  # fmt: skip
    for spec in charts.specs.values():
        alt.Chart.from_dict(spec)


def test_many_runs_have_the_colours_of_their_defenses():
    runs = [
        RunFiles(Path(f"{i}"), f"{i}", {"model": {"class_path": f"robust.defenses.{kind}"}})
        for i, kind in enumerate(["Trades", "Standard"] * 5)
    ]
    charts = Charts(runs)
    assert (charts.kind, charts.names) == ("defense", ["Standard", "Trades"])
    assert charts.color(runs[0]) == "Trades"


def test_settings_that_differ():
    configs = {
        "a": {"model": {"init_args": {"t": 1, "loss": None}}, "same": [1]},
        "b": {"model": {"init_args": {"t": 2}}, "same": [1]},
        "c": {},
    }
    assert differing(configs) == {
        "model.init_args.loss": {"a": "null"},
        "model.init_args.t": {"a": "1", "b": "2"},
    }


def test_axes_of_settings():
    one = two_views(1, 1)
    entries = [
        entry(
            one,
            {
                "model": {
                    "class_path": f"robust.defenses.{kind}",
                    "init_args": {"t": t, "same_as_t": 2 * t, "half": half},
                },
                "trainer": {"max_epochs": 3},
                "run": {"name": f"n{t}"},
            },
            name=f"r{t}",
        )
        for kind, t, half in (("A", 1.0, 5), ("B", 10.0, None), ("B", 100.0, 5))
    ]
    defense, t, half = setting_axes(entries)
    assert (defense.name, defense.values, defense.positions) == (
        "defense",
        ["A", "B", "B"],
        [0, 1, 1],
    )
    assert t.name == "t"
    assert t.positions == pytest.approx([0, 0.5, 1])  # logarithmic
    assert list(t.ticks.values()) == ["1", "10", "100"]
    assert half.values == ["5", "none", "5"]


def test_figures_fit_their_room(runs):
    found = Reader().read([runs])
    shown = album(found, 1_000_000)
    assert [figure.run for figure in shown.figures] == ["squeezed/a"]
    assert shown.figures[0].title == "adversarial images (adversarials_tiny)"
    assert album(found, 10).figures == []
    assert "squeezed/a: adversarials_tiny.png" in album(found, 10).left_out


def test_a_page_is_made_again_only_for_a_new_state(monkeypatch):
    monkeypatch.setattr(robust.report.watch, "_REST", 0)
    state, made = ["1"], []
    page = Page(lambda: made.append(1) or f"page {len(made)}", lambda: state[0])
    assert (page.text(), page.text(), page.version()) == ("page 1", "page 1", "1")
    state[0] = "2"
    assert (page.version(), page.text()) == ("2", "page 2")


def test_a_page_rests_between_two_makings():
    state = iter("123")
    page = Page(lambda: "page", lambda: next(state))
    page._rest_until = float("inf")
    assert page.version() == ""
    page._rest_until = 0.0
    assert page.version() == "1"


def test_watch_shows_what_a_run_adds(runs, tmp_path, monkeypatch):
    monkeypatch.setattr(robust.report.watch, "_REST", 0)
    root = tmp_path / "runs"
    shutil.copytree(runs / "young", root / "young")
    with served(watched_page([root], PAPERS)) as ask:
        first, text = ask("/version"), ask("/")
        assert "1 of 6 epochs" in text
        assert "connect-src 'self'" in text
        assert ask("/version") == first
        with (root / "young/a/metrics.csv").open("a") as file:
            file.write("9,1.25,\n")
        assert ask("/version") != first
        assert "2 of 6 epochs" in ask("/")
        shutil.rmtree(root)
        assert "2 of 6 epochs" in ask("/")


def test_server_answers_this_machine_alone():
    with served(Page(lambda: "page", lambda: "1")) as ask:
        assert ask("/") == "page"
        for path, host in (("/", "elsewhere.example:80"), ("/etc/passwd", None)):
            with pytest.raises(urllib.error.HTTPError, match="404") as refused:
                ask(path, host)
            refused.value.close()


def test_a_port_that_is_taken():
    page = Page(lambda: "", lambda: "")
    with server(page) as taken:
        port = taken.server_port
        with pytest.raises(ConfigError, match=f"Expected a free port, but got {port}"):
            server(page, port)


def test_state_follows_every_file_that_is_shown(runs, tmp_path):
    root = tmp_path / "runs"
    shutil.copytree(runs / "young", root / "young")
    states = [state_of([root])]
    for name in ("figures/a.png", "records/x-0.part0.csv", "checkpoints/last.ckpt"):
        path = root / "young/a" / name
        path.parent.mkdir()
        path.write_text("new")
        states.append(state_of([root]))
    assert len(set(states)) == 4


class served:
    """A page on a server of its own; what it gives asks for a path."""

    def __init__(self, page):
        self.server = server(page)

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self.ask

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    def ask(self, path, host=None):
        address = f"http://127.0.0.1:{self.server.server_port}{path}"
        request = urllib.request.Request(address, headers={"Host": host} if host else {})
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.read().decode()
