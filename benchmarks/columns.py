"""What the columns of the data are: one list for queries, files of the site and readers."""

from collections.abc import Mapping
from dataclasses import dataclass

MEASURED = "STRUCT(value DOUBLE, unit VARCHAR, low DOUBLE, high DOUBLE, n BIGINT)"


@dataclass(frozen=True)
class Column:
    """A column of a view, by its DuckDB type and in words."""

    type: str
    about: str


Columns = Mapping[str, Column]

PAPERS: Columns = {
    "id": Column("VARCHAR", "the record's name, such as 2016-deep-compression"),
    "title": Column("VARCHAR", "as the paper prints it"),
    "year": Column("BIGINT", "of publication"),
    "authors": Column("VARCHAR[]", "in the paper's order"),
    "techniques": Column("VARCHAR[]", "such as pruning"),
    "platforms": Column("VARCHAR[]", "software, hardware or both"),
    "network_type": Column("VARCHAR", "cnn, rnn or mlp"),
    "method": Column("VARCHAR", "the plugin that runs it"),
    "claims": Column("VARCHAR[]", "the claims' names"),
    "verdicts": Column("MAP(VARCHAR, BIGINT)", "how many claims have each verdict"),
}
CLAIMS: Columns = {
    "paper": Column("VARCHAR", "the paper's record"),
    "claim": Column("VARCHAR", "the claim's name within it"),
    "statement": Column("VARCHAR", "what is claimed, in our words"),
    "check": Column("VARCHAR", "measured, analogue, computed, simulated or out-of-reach"),
    "evidence": Column("VARCHAR", "how we know the value: read, derived, quoted or recalled"),
    "headline": Column("BOOLEAN", "whether the paper leads with it"),
    "by_construction": Column("BOOLEAN", "the run was given the value: no evidence by itself"),
    "benchmark": Column("VARCHAR", "what measures it"),
    "run": Column("VARCHAR", "which of the record's runs does, where it names one"),
    "metric": Column("VARCHAR", "the measurement that answers it; two for an ordering"),
    "counting": Column("VARCHAR", "how a size is counted: paper, file or parameters"),
    "relation": Column("VARCHAR", "of an ordering: at_most or at_least"),
    "unit": Column("VARCHAR", "of reported, measured, low, high, gap and yours"),
    "printed": Column("VARCHAR", "the value as the paper prints it"),
    "printed_unit": Column("VARCHAR", "the unit that it is printed in"),
    "reported": Column("DOUBLE", "the value in unit; for an ordering the bound"),
    "measured": Column("DOUBLE", "ours, published, the mean over seeds"),
    "low": Column("DOUBLE", "of our 95 % interval"),
    "high": Column("DOUBLE", "of our 95 % interval"),
    "n": Column("BIGINT", "cases evaluated, for rates"),
    "seeds": Column("BIGINT", "how many"),
    "scale": Column("VARCHAR", "full, or null where nothing is published"),
    "verdict": Column("VARCHAR", "computed from all this"),
    "gap": Column("DOUBLE", "measured minus reported"),
    "tolerance": Column(
        "STRUCT(value VARCHAR, kind VARCHAR, reason VARCHAR)", "beyond the rounding range"
    ),
    "where": Column("VARCHAR", "where in the paper it stands"),
    "reason": Column("VARCHAR", "why it is out of reach, failed or inconclusive"),
    "yours": Column(
        "STRUCT(value DOUBLE, low DOUBLE, high DOUBLE, scale VARCHAR, started VARCHAR, "
        "seeds BIGINT, data VARCHAR)",
        "your own newest number; it carries no verdict",
    ),
}
RESULTS: Columns = {
    "paper": Column("VARCHAR", "the paper's record"),
    "benchmark": Column("VARCHAR", "what was run"),
    "run": Column("VARCHAR", "which run of the record"),
    "scale": Column("VARCHAR", "quick or full"),
    "seed": Column("BIGINT", "of the random numbers"),
    "data": Column("VARCHAR", "the data set"),
    "origin": Column("VARCHAR", "published or yours"),
    "stale": Column("BOOLEAN", "whether method, benchmark, data or configuration moved on"),
    "outcome": Column("VARCHAR", "done, failed, timed out, out of memory or skipped"),
    "reason": Column("VARCHAR", "why it is not done"),
    "metrics": Column(f"MAP(VARCHAR, {MEASURED})", "every measurement by name"),
    "size_bytes": Column("MAP(VARCHAR, BIGINT)", "bytes of the file by layer/part"),
    "configuration": Column("MAP(VARCHAR, JSON)", "what differed from the method's defaults"),
    "fingerprint": Column("VARCHAR", "of everything that makes a result stale when it moves"),
    "commit": Column("VARCHAR", "of the sources"),
    "dirty": Column("BOOLEAN", "whether files differed from the commit"),
    "started": Column("VARCHAR", "when, in UTC"),
    "seconds": Column("DOUBLE", "how long it took"),
    "cpu": Column("VARCHAR", "the processor"),
    "threads": Column("BIGINT", "that it used"),
    "packages": Column("MAP(VARCHAR, VARCHAR)", "versions by name"),
}
MEASUREMENTS: Columns = {
    **{
        name: RESULTS[name]
        for name in ("paper", "benchmark", "run", "scale", "seed", "data", "origin", "stale")
    },
    "metric": Column("VARCHAR", "what was measured, with its layer or point after a dot"),
    "value": Column("DOUBLE", "in unit"),
    "unit": Column("VARCHAR", "a base unit: error rates are fractions, sizes bytes"),
    "low": Column("DOUBLE", "of this job's own 95 % interval, where it has one"),
    "high": Column("DOUBLE", "of this job's own 95 % interval, where it has one"),
    "n": Column("BIGINT", "cases evaluated, for rates"),
    "fingerprint": RESULTS["fingerprint"],
}
VIEWS: Mapping[str, Columns] = {
    "papers": PAPERS,
    "claims": CLAIMS,
    "results": RESULTS,
    "measurements": MEASUREMENTS,
}
FILES: Mapping[str, Columns] = {
    "flags": {
        "id": PAPERS["id"],
        "title": PAPERS["title"],
        "year": PAPERS["year"],
        "flag": Column("VARCHAR", "a column of the survey's table"),
        "ours": Column("VARCHAR", "the cell by our record"),
        "source": Column("VARCHAR", "the cell as the source prints it; null where it has no row"),
        "reason": Column("VARCHAR", "why ours differs, where it does"),
    },
    "tables": {
        "paper": RESULTS["paper"],
        "table": Column("VARCHAR", "the table's name in the record"),
        "where": Column("VARCHAR", "where in the paper it stands"),
        "evidence": CLAIMS["evidence"],
        "counting": CLAIMS["counting"],
        "row": Column("VARCHAR", "the row's name in the record"),
        "row_label": Column("VARCHAR", "as the table shows it"),
        "column": Column("VARCHAR", "the column's name in the record"),
        "column_title": Column("VARCHAR", "as the table shows it"),
        "printed": Column("VARCHAR", "the cell as the paper prints it; null where it has a dash"),
        "ours": Column("DOUBLE", "measured in the same place, the mean over seeds"),
        "low": CLAIMS["low"],
        "high": CLAIMS["high"],
        "seeds": CLAIMS["seeds"],
        "unit": Column("VARCHAR", "of printed, ours, low and high; null for a column of text"),
    },
    "measured": {
        "paper": RESULTS["paper"],
        "run": RESULTS["run"],
        "benchmark": RESULTS["benchmark"],
        "metric": MEASUREMENTS["metric"],
        "title": Column("VARCHAR", "what it is"),
        "counting": CLAIMS["counting"],
        "value": Column("DOUBLE", "the mean over all seeds, in unit"),
        "low": CLAIMS["low"],
        "high": CLAIMS["high"],
        "unit": MEASUREMENTS["unit"],
        "seeds": CLAIMS["seeds"],
        "n": CLAIMS["n"],
    },
    "sizes": {
        "paper": RESULTS["paper"],
        "run": RESULTS["run"],
        "layer": Column("VARCHAR", "of the network, or another part of the file"),
        "part": Column("VARCHAR", "such as codes or indices"),
        "bytes": Column("DOUBLE", "on disk, the mean over seeds"),
    },
    "baselines": {
        "benchmark": RESULTS["benchmark"],
        "kind": Column("VARCHAR", "baseline, or paper: a paper's run for comparison"),
        "baseline": Column("VARCHAR", "the baseline's name; null in a paper's row"),
        "paper": Column("VARCHAR", "the paper's record; null in a baseline's row"),
        "method": PAPERS["method"],
        "run": Column("VARCHAR", "which run of the baseline or record"),
        "title": Column("VARCHAR", "in words"),
        "configuration": RESULTS["configuration"],
        "status": Column("VARCHAR", "how far it is"),
        "seeds": CLAIMS["seeds"],
        "error": Column("STRUCT", "published: value, low, high and n; so are the next columns"),
        "yours": Column("STRUCT", "your own newest numbers, with scale, data and seeds"),
    },
    "runs": {
        "paper": RESULTS["paper"],
        "run": RESULTS["run"],
        "title": Column("VARCHAR", "in words"),
        "benchmark": RESULTS["benchmark"],
        "configuration": RESULTS["configuration"],
        "state": Column("VARCHAR", "how far it is"),
    },
}
"""What only the site's files hold, beside the views."""
