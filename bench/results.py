"""From the lines of the comparison tool to medians, tables, JSON, and the generated part of a document."""

import json
import statistics
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from asked import commands, runs_of
from brokers import BASELINE, OURS

#: Where smaller is better; everything else is a rate.
LOWER = {"lat_p50_us", "lat_p99_us", "rss_per_conn", "rss_per_topic", "rss_per_sub", "lost_acked"}
LOST = ("lost", "dup", "out_of_order", "corrupt", "unexpected")
UNITS = {
    "lat_p50_us": "p50, µs",
    "lat_p99_us": "p99, µs",
    "fill_rate": "acknowledged /s",
    "lost_acked": "lost",
}
#: Figures of which one is `at_most`'s, where a scenario has several.
BOUND = {"rss_per_conn", "rss_per_topic", "rss_per_sub", "lost_acked"}

Key = tuple[str, str, str]


@dataclass
class Results:
    """`values` are the figures of each (scenario, metric, broker), one a repetition; `faults` what went wrong."""

    values: dict[Key, list[float]] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    @property
    def repetitions(self) -> int:
        """The most that anything was repeated."""
        return max(map(len, self.values.values()), default=0)

    @property
    def brokers(self) -> list[str]:
        """Mosquitto, Bollard, then the others in the order in which they came."""
        names = list(dict.fromkeys(key[2] for key in self.values))
        first = [name for name in (BASELINE, OURS) if name in names]
        return first + [name for name in names if name not in first]

    def median(self, case: str, metric: str, broker: str) -> float | None:
        found = self.values.get((case, metric, broker))
        return statistics.median(found) if found else None

    def ratio(self, case: str, metric: str, broker: str = OURS, base: str | None = None) -> float | None:
        """The median to that of mosquitto, in scenario `base` or the same one."""
        value, other = self.median(case, metric, broker), self.median(base or case, metric, BASELINE)
        return value / other if value is not None and other else None

    def spread(self, case: str, metric: str, broker: str = OURS) -> float:
        """Half of what lies between the smallest and the largest run, as a share of the median."""
        found = self.values.get((case, metric, broker), [])
        middle = statistics.median(found) if found else 0
        return (max(found) - min(found)) / 2 / middle if middle else 0.0


def read(*paths: Path) -> Results:
    """What the files hold; of a run that was repeated, the last time counts."""
    last: dict[tuple[str, str, int], dict[str, Any]] = {}
    for path in paths:
        if path.exists():
            for line in path.read_text().splitlines():
                row = json.loads(line)
                last[row["case"], row["broker"], row.get("rep", len(last))] = row
    results = Results()
    for row in last.values():
        _take(results, row)
    return results


def _take(results: Results, row: dict[str, Any]) -> None:
    case, broker = row["case"], row["broker"]
    if "skipped" in row:
        return
    if "error" in row:
        results.faults.append(f"{case}, {broker}: {row['error']}")
        return
    bad = {name: row[name] for name in LOST if row.get(name)}
    if bad:
        results.faults.append(f"{case}, {broker}: {bad}")
    for metric in row["metrics"]:
        if isinstance(row.get(metric), int | float):
            results.values.setdefault((case, metric, broker), []).append(row[metric])


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the tables: figure `metric` of scenario `case`, against mosquitto in scenario `base`.

    `aim` is a ratio to reach, or not to exceed where smaller is better; `at_most` bounds the figure itself.
    """

    heading: str
    case: str
    metric: str
    what: str
    base: str
    aim: float | None
    at_most: float | None

    def met(self, results: Results) -> bool | None:
        """Whether Bollard does what the line asks for; None where nothing was measured, or nothing is asked."""
        value = results.median(self.case, self.metric, OURS)
        ratio = results.ratio(self.case, self.metric, base=self.base)
        if self.at_most is not None and value is not None:
            return value <= self.at_most
        if self.aim is None or ratio is None:
            return None
        return ratio <= self.aim if self.metric in LOWER else ratio >= self.aim


def lines_of(matrix: list[dict[str, Any]]) -> list[Line]:
    """What `matrix.toml` compares, in its order; each encrypted form after all others of its heading."""
    lines: list[Line] = []
    heading = ""
    encrypted: list[Line] = []
    for entry in matrix:
        if "heading" in entry:
            lines += encrypted
            encrypted = []
            heading = entry["heading"]
        name, what = entry["name"], entry["what"]
        for metric in entry.get("metrics", ["per_cpu_s"]):
            bounded = metric in BOUND
            aim = None if bounded else entry.get("aim")
            at_most = entry.get("at_most") if bounded else None
            lines.append(Line(heading, name, metric, what, name, aim, at_most))
            if entry.get("both"):
                tls = f"tls-{name}"
                encrypted.append(Line(heading, tls, metric, what, tls, entry.get("aim_tls"), None))
                if "aim_crossed" in entry:
                    crossed = f"{what}; against mosquitto in the clear"
                    encrypted.append(Line(heading, tls, metric, crossed, name, entry["aim_crossed"], None))
    return lines + encrypted


def table(results: Results, lines: list[Line]) -> str:
    """Markdown: for each heading a table of mosquitto, Bollard, the aim, and how the others compare."""
    others = [name for name in results.brokers if name not in (BASELINE, OURS)]
    written: list[str] = []
    heading = ""
    for line in lines:
        if all(results.median(line.case, line.metric, broker) is None for broker in results.brokers):
            continue
        if line.base != line.case and results.ratio(line.case, line.metric, base=line.base) is None:
            continue  # that other scenario was not measured
        if line.heading != heading:
            heading = line.heading
            columns = ["scenario", BASELINE, OURS, "ratio", "aim", *others, "what"]
            written += [
                "",
                f"### {heading}",
                "",
                "| " + " | ".join(columns) + " |",
                "|---" * len(columns) + "|",
            ]
        written.append("| " + " | ".join(_cells(results, line, others)) + " |")
    return "\n".join(written).strip() + "\n"


def _cells(results: Results, line: Line, others: list[str]) -> list[str]:
    case, metric = line.case, line.metric
    crossed = line.base != case
    name = f"{case} / {line.base}" if crossed else case
    unit = UNITS.get(metric)
    counts = metric == "lost_acked"  # nought of nought is no ratio
    cells = [
        f"`{name}` {unit}" if unit else f"`{name}`",
        _spread(results, line.base, metric, BASELINE),
        _spread(results, case, metric, OURS),
        "" if counts else _times(results.ratio(case, metric, base=line.base)),
        _aim(line, line.met(results)),
    ]
    for other in others:
        figure = results.median(case, metric, other)
        ratio = results.ratio(case, metric, other)
        shown = number(figure) + (f" ({_times(ratio)})" if ratio is not None and not counts else "")
        cells.append("-" if crossed else shown)
    return [*cells, line.what]


def _spread(results: Results, case: str, metric: str, broker: str) -> str:
    """A median, and how far its runs lie apart."""
    spread = results.spread(case, metric, broker)
    return number(results.median(case, metric, broker)) + (
        f" ±{100 * spread:.0f} %" if spread >= 0.005 else ""
    )


def _times(ratio: float | None) -> str:
    return "-" if ratio is None else f"{ratio:.2f}" if ratio < 10 else f"{ratio:.1f}"


def _aim(line: Line, met: bool | None) -> str:
    if line.at_most is not None:
        text = f"≤ {number(line.at_most)}"
    elif line.aim is not None:
        text = f"{'≤' if line.metric in LOWER else '≥'} {line.aim:g}"
    else:
        return ""
    return text if met is None else f"{text} {'yes' if met else '**no**'}"


def number(value: float | None) -> str:
    if value is None:
        return "-"
    for size, unit in ((1e6, " M"), (1e3, " k")):
        if value >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}"


def as_json(results: Results, about: dict[str, Any], lines: list[Line]) -> str:
    """Everything, for a program: what was measured, medians, all runs, ratios and verdicts."""
    entries = [
        {
            "scenario": line.case,
            "metric": line.metric,
            "against": line.base,
            "aim": line.aim,
            "at_most": line.at_most,
            "met": line.met(results),
            "brokers": {
                broker: {
                    "median": results.median(line.case, line.metric, broker),
                    "runs": results.values[line.case, line.metric, broker],
                    "ratio": results.ratio(line.case, line.metric, broker, line.base),
                }
                for broker in results.brokers
                if (line.case, line.metric, broker) in results.values
            },
        }
        for line in lines
    ]
    found = {**about, "results": [one for one in entries if one["brokers"]], "faults": results.faults}
    return json.dumps(found, indent=1, ensure_ascii=False) + "\n"


def section(results: Results, about: dict[str, Any], lines: list[Line], chart: str) -> str:
    """The generated part of a document: what was measured where, the chart, the tables, what went wrong."""
    machine = about["machine"]
    versions = [about["versions"].get(broker, broker) for broker in results.brokers]
    written = [
        f"Measured on {about['date']}: {machine['processor']}, {machine['cores']} cores, {machine['system']}, "
        f"Python {machine['python']}, {machine['openssl']}. {_how(results, about)} {'; '.join(versions)}.",
        "",
        f"![Ratio to mosquitto for each scenario]({chart})",
        "",
        *_reading(results, lines),
        "",
        table(results, lines).rstrip(),
    ]
    if results.faults:
        written += ["", "What went wrong meanwhile:", ""]
        written += [f"- {fault}" for fault in _counted(results.faults)]
    return "\n".join(written) + "\n"


def _how(results: Results, about: dict[str, Any]) -> str:
    """How often and how long everything was truly measured, and what gives the same run again."""
    seconds, times = f"{about['seconds']:g} s", results.repetitions
    told = (
        f"Medians of up to {times} interleaved runs of {seconds} each"
        if times > 1
        else f"One run of {seconds} each"
    )
    typed = ", then ".join(f"`{each}`" for each in commands(runs_of(about)))
    return f"{told} ({typed})." if typed else f"{told}."


def _reading(results: Results, lines: list[Line]) -> list[str]:
    """What the tables come to, and what in them does not explain itself."""
    verdicts = [one for one in (line.met(results) for line in lines) if one is not None]
    aims = f"Aims reached: {verdicts.count(True)} of {len(verdicts)}. " if verdicts else ""
    spread = "± is half of what lies between the worst and the best run. " if results.repetitions > 1 else ""
    written = [
        f"{aims}{spread}`-` stands where there is no figure: the broker does not support what the scenario asks for, "
        "could not keep the rate or did not finish, or was not measured with it."
    ]
    clear, encrypted = (results.median(case, "per_cpu_s", BASELINE) for case in ("pairs-q0", "tls-pairs-q0"))
    if clear is not None and encrypted is not None and encrypted > clear:
        written += [
            "",
            "Mosquitto is faster over TLS than in the clear where QoS 0 comes without pause (`pairs-q0`): from a "
            "plain socket it reads the header of each message byte by byte, three system calls a message, while "
            "OpenSSL reads records, with many messages each.",
        ]
    return written


def _counted(faults: list[str]) -> list[str]:
    """The same fault once, with how often it came."""
    return [
        f"{fault} ({faults.count(fault)} runs)" if faults.count(fault) > 1 else fault
        for fault in dict.fromkeys(faults)
    ]


def insert(document: str, name: str, generated: str) -> str:
    """`document` with `generated` between the two marks called `name`. ValueError if it has not both."""
    marks = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    before, begin, rest = document.partition(marks[0])
    _, end, after = rest.partition(marks[1])
    if not begin or not end:
        raise ValueError(f"the document has no lines {marks[0]} and {marks[1]}")
    return f"{before}{begin}\n{generated}{end}{after}"
