"""`evaluate.py --report`: the page as a file, or served while runs are at work."""

import argparse
import contextlib
import sys
from collections.abc import Sequence
from pathlib import Path

from robust.commands.evidence.gate import gate
from robust.commands.options.gate import add_to, settle
from robust.commands.options.parser import OneLineParser
from robust.errors import ConfigError, unusable_path
from robust.io import files
from robust.io.names import printable
from robust.io.notes import Steps, note, sentences
from robust.io.streams import code_of, make_usable, say
from robust.io.text_files import expanded
from robust.loading.messages import shortened
from robust.loading.short_names import home, tables_in
from robust.report.comparisons import measured
from robust.report.page import render
from robust.report.protocols import protocols
from robust.report.watch import server, watched_page
from robust.results.run_folder import Reader


def report(args: Sequence[str] | None = None, *, program: str | None = None) -> int:
    """Write or serve the page that `robust report` or `evaluate.py --report` is asked for.

    Args:
        args: The command line after the program; that of the process if None.
        program: What takes the folders without ``--report``; `evaluate.py` if None.

    Returns:
        The exit code: 0; 2 if there are no runs, the file cannot be written, or the port is taken.
        It is 3 or 4 if a requirement does not hold or cannot be told, and 141 if nobody reads on.

    Raises:
        SystemExit: After the help, and after flags that are wrong.
    """
    make_usable()
    try:
        parser = report_parser(program)
        options = parser.parse_args(sys.argv[1:] if args is None else args)
        options.output = expanded(options.output)
        settle(options)
        if options.watch and options.require:
            parser.error("--require judges once, and --watch goes on. Leave one of them out.")
        return _serve(options) if options.watch else _write(options)
    except KeyboardInterrupt:
        say("Stopped by SIGINT (exit code 130). Run the same command again.")
        return 130
    except ConfigError as error:
        return _refuse(str(error))
    except OSError as error:
        code, message = code_of(error), unusable_path(error)
        if code is None and message is None:
            raise
        return _refuse(str(message)) if code is None else code


def _refuse(message: str) -> int:
    say(f"error: {shortened(message)}")
    return 2


def _write(options: argparse.Namespace) -> int:
    steps = Steps()
    text = render(
        options.report, options.tables, loose=options.loose, steps=steps, against=options.against
    )
    try:
        files.write_output(options.output, text)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise ConfigError(
            f"Expected to write {options.output}, but cannot ({error.strerror}). Choose another "
            "file with -o."
        ) from None
    for sentence in sentences(steps):
        note(sentence)
    print(
        f"Written to {printable(options.output)} ({len(files.encoded(text)) / 1e6:.1f} MB)",
        file=sys.stderr,
    )
    return _gate(options) if options.require else 0


def _gate(options: argparse.Namespace) -> int:
    named = [path.resolve() for path in options.report]
    other = None if options.against is None else options.against.resolve()
    reference = None if other in named else other
    found = measured(protocols(Reader().read(options.report)), reference)
    if not found:
        raise ConfigError(
            "Expected records to judge --require on, but got none. Evaluate the runs first."
        )
    return gate(options, found)


def report_parser(program: str | None) -> OneLineParser:
    """Return the parser of `robust report`, or of `evaluate.py --report` if None."""
    parser = OneLineParser(
        prog=program,
        description="Compare runs on one page that needs no network, from what their folders hold. "
        "Nothing is attacked, and runs may still be training.",
    )
    parser.add_argument(
        "report" if program else "--report",
        nargs="+",
        type=Path,
        metavar="FOLDER",
        help="run folders, or folders of them",
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        default=Path("report.html"),
        metavar="FILE",
        help="the page; default: report.html",
    )
    parser.add_argument(
        "--watch",
        action="store_true",
        help="serve the page on 127.0.0.1 instead, and renew it as the runs progress",
    )
    parser.add_argument(
        "--port", type=port_number, default=0, help="for --watch; default: any free one"
    )
    parser.add_argument(
        "--tables",
        type=_tables,
        default=_tables("papers"),
        metavar="FOLDER",
        help="tables of papers to show numbers of, or papers; default: our papers",
    )
    parser.add_argument(
        "--loose",
        action="store_true",
        help="also put runs of another network or of other epochs than the paper's beside its "
        'numbers, under "does not match"',
    )
    parser.add_argument(
        "--against", type=Path, metavar="RUN", help="paired differences from this run, too"
    )
    add_to(parser.add_argument)
    return parser


def _tables(text: str) -> Path:
    """Return a folder of tables; for ours, that of the clone or the package where it is not here.

    Ours is `papers`, of which another folder may have the name, and was `configs/tables`.
    """
    here = Path(text)
    is_ours = here.as_posix() in ("papers", "configs/tables")
    return home() / "papers" if is_ours and not any(tables_in(here)) else here


def port_number(text: str) -> int:
    """The number of a port, from the command line.

    Raises:
        ArgumentTypeError: If there is no such port.
    """
    number = int(text)
    if not 0 <= number < 1 << 16:
        raise argparse.ArgumentTypeError(f"expected 0 to 65535, but got {text[:20]}")
    return number


def _serve(options: argparse.Namespace) -> int:
    page = watched_page(
        options.report, options.tables, loose=options.loose, against=options.against
    )
    page.version()  # so that a mistake ends the command, not the first request
    with server(page, options.port) as serving, contextlib.suppress(KeyboardInterrupt):
        print(f"Serving on http://127.0.0.1:{serving.server_port}/ until Ctrl-C", flush=True)
        serving.serve_forever()
    return 0
