"""What can run here: methods, benchmarks, check-method, doctor."""

import json
from typing import Annotated

import typer

from netcompress.commands.records import JsonFlag
from netcompress.output import cell, print_json, print_table, remark


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command("methods")(methods)
    app.command("benchmarks")(benchmarks)
    app.command("check-method")(check_method)
    app.command("doctor")(doctor)


def methods(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[ID]", help="A method, a paper's id, or file.py:Class: its settings."
        ),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Plugins, with why one cannot be loaded; or the settings of one.

    Example: netcompress methods hashed-nets
    """
    from benchmarks.inventory import method_rows

    if name is not None:
        from methods.describe_settings import settings_of

        settings = settings_of(name)
        if as_json:
            print_json(settings)
        else:
            shown = [[one["setting"], json.dumps(one["default"]), one["takes"]] for one in settings]
            print_table(["setting", "default", "takes"], shown)
            remark("`netcompress compress ... --set SETTING=VALUE`" if shown else "no settings")
        return
    rows = method_rows()
    if as_json:
        print_json(rows)
        return
    headers = ["method", "papers", "status", "starts from", "needs", "revision", "origin"]
    columns = ["name", "papers", "status", "starts_from", "needs", "revision", "origin"]
    for row in rows:
        row["papers"] = row["papers"] or ("baseline" if row["baseline"] else [])
    print_table(headers, [[cell(row[column]) for column in columns] for row in rows])


def benchmarks(as_json: JsonFlag = False) -> None:
    """Benchmarks of the vocabulary, built and planned, and plugins.

    Example: netcompress benchmarks --json
    """
    from benchmarks.inventory import benchmark_rows

    rows = benchmark_rows()
    if as_json:
        print_json(rows)
        return
    names = ["name", "title", "kind", "status", "data", "papers"]
    print_table(names, [[cell(row[name]) for name in names] for row in rows])


def check_method(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A method, or file.py:Class.")],
    as_json: JsonFlag = False,
) -> None:
    """The conformance suite on a plugin: yours too.

    Example: netcompress check-method deep-compression
    """
    from methods.checks import check_method as run_checks

    found = run_checks(name)
    if as_json:
        print_json([check.as_dict() for check in found])
    else:
        print_table(
            ["check", "holds", "remark"],
            [[c.name, "yes" if c.holds else "NO", c.remark] for c in found],
        )
    bad = [check for check in found if not check.holds]
    if bad:
        remark(f"{len(bad)} of {len(found)} checks do not hold")
        raise typer.Exit(1)


def doctor(as_json: JsonFlag = False) -> None:
    """What this machine has, and whether our packages are ours.

    Example: netcompress doctor
    """
    from benchmarks.inventory import examine_machine

    found = examine_machine()
    if as_json:
        print_json({item.name: item.value for item in found})
    else:
        print_table(["what", "found"], [[i.name.replace("_", " "), cell(i.value)] for i in found])
    problems = [item.problem for item in found if item.problem]
    for problem in problems:
        remark(problem)
    if problems:
        raise typer.Exit(1)
