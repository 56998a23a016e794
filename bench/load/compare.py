#!/usr/bin/env python3
"""Run a matrix of mqttload scenarios against several brokers, interleaved.

    compare.py run CONFIG.toml --out results.jsonl [--reps N] [--brokers a,b] [--scenarios glob,glob] [--resume]
    compare.py report results.jsonl [--baseline NAME] [--markdown]

The order is repetition -> scenario -> broker, so that slow drifts of the
machine hit every broker alike; the broker order rotates with the repetition.
Each broker is started fresh for each run (or kept and stopped with SIGSTOP
while others are measured, with `keep = true`).  The broker is pinned to
`broker_core`, the generator to `gen_core`.  What a broker writes goes to {tmp}/log/NAME.log.  One that
cannot be started three times in a row is left out from there on.  With --resume, runs that are in the
results already are not repeated.  Ctrl-C, SIGTERM and a terminal that closes end all that was started (exit
code 128 + the number of the signal).  See README.md for the file format.
Python 3.11+, standard library only.
"""

import argparse
import contextlib
import fnmatch
import glob
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import time
import tomllib

from ending import end_on_signals

HERE = os.path.dirname(os.path.abspath(__file__))
LOWER_IS_BETTER = {
    "lat_p50_us",
    "lat_p90_us",
    "lat_p99_us",
    "lat_p999_us",
    "lat_max_us",
    "broker_cpu_pct",
    "rss_per_conn",
    "rss_per_topic",
    "rss_per_sub",
    "rss_kb_before",
    "conn_p50_us",
    "conn_p99_us",
    "start_rss_kb",
    "pss_per_conn",
    "lost_acked",
    "broker_cpu_s",
}
FAULTS = (
    "lost",
    "dup",
    "out_of_order",
    "corrupt",
    "unexpected",
    "stale",
    "disconnects",
    "nack",
    "conn_fail",
    "stalls",
    "proto_errors",
    "lost_acked",
    "unsent_due",
)


#: A broker that does not start so many times in a row is left out of the rest.
GIVE_UP = 3


def children(pid):
    """pid and all its descendants."""
    kids = {}
    for d in os.listdir("/proc"):
        if d.isdigit():
            try:
                with open(f"/proc/{d}/stat") as f:
                    s = f.read()
                kids.setdefault(int(s[s.rindex(")") + 2 :].split()[1]), []).append(int(d))
            except (OSError, ValueError):
                pass
    out, todo = [], [pid]
    while todo:
        p = todo.pop()
        out.append(p)
        todo += kids.get(p, [])
    return out


def rss_kb(pids):
    t = 0
    for p in pids:
        try:
            with open(f"/proc/{p}/status") as f:
                for line in f:
                    if line.startswith("VmRSS:"):
                        t += int(line.split()[1])
        except OSError:
            pass
    return t


def prioritise(nice):
    """In the child, after setsid().  With sched_autogroup, nice alone counts only inside one session;
    the new session's own group has to be given the weight as well."""
    if not nice:
        return
    os.nice(nice)
    try:
        with open("/proc/self/autogroup", "w") as f:
            f.write(str(nice))
    except OSError:
        pass


class Broker:
    def __init__(self, spec, run, subst):
        self.spec, self.run, self.subst = spec, run, subst
        self.name = spec["name"]
        self.proc = None
        self.pid = None
        self.start_rss = 0
        self.stopped = False
        self.failed_starts = 0
        self.log = os.path.join(subst["tmp"], "log", f"{self.name}.log")

    def ports(self):
        return [
            p for p in (self.spec.get("port"), self.spec.get("tls_port"), self.spec.get("mtls_port")) if p
        ]

    def start(self):
        if self.proc:
            self.cont()
            return
        for pattern in self.spec.get("clean", []):
            pattern = pattern.format(**self.subst)
            if len(os.path.abspath(pattern).split("/")) < 4:
                raise SystemExit(f"refusing to remove '{pattern}'")
            for d in glob.glob(pattern):
                if os.path.isdir(d):
                    shutil.rmtree(d, ignore_errors=True)
                else:
                    os.unlink(d)
        for d in self.spec.get("mkdir", []):
            os.makedirs(d.format(**self.subst), exist_ok=True)
        self.spawn()

    def spawn(self):
        core = self.run["broker_core"]
        cmd = [c.format(**self.subst) for c in self.spec["cmd"]]
        env = dict(os.environ, **{k: v.format(**self.subst) for k, v in self.spec.get("env", {}).items()})
        t0 = time.monotonic()
        nofile = self.run.get("nofile", 200000)
        nice = self.run.get("nice", 0)

        def pre():
            import resource

            os.sched_setaffinity(0, {core})
            prioritise(nice)
            with contextlib.suppress(ValueError, OSError):
                resource.setrlimit(resource.RLIMIT_NOFILE, (nofile, nofile))

        for p in self.ports():
            end = time.monotonic() + 10
            while self.listening(p):
                if time.monotonic() > end:
                    raise RuntimeError(f"{self.name}: port {p} is already in use")
                time.sleep(0.05)
        os.makedirs(os.path.dirname(self.log), exist_ok=True)
        with open(self.log, "wb") as log:
            self.proc = subprocess.Popen(
                cmd,
                env=env,
                cwd=self.spec.get("cwd", "/tmp").format(**self.subst),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                preexec_fn=pre,
                start_new_session=True,
            )
        end = t0 + self.spec.get("ready_timeout", 20)
        for p in self.ports():
            while not self.listening(p):
                if self.proc.poll() is not None and not self.spec.get("pidfile"):
                    raise RuntimeError(f"{self.name} exited with {self.proc.returncode}: {self.last_words()}")
                if time.monotonic() > end:
                    raise RuntimeError(f"{self.name}: port {p} does not open: {self.last_words()}")
                time.sleep(0.05)
        self.pid = self.proc.pid
        if self.spec.get("pidfile"):
            with open(self.spec["pidfile"].format(**self.subst)) as f:
                self.pid = int(f.read())
        time.sleep(self.spec.get("settle", 0.2))
        self.start_rss = rss_kb(children(self.pid))

    def last_words(self):
        """The last line that it wrote, and where the others are."""
        with open(self.log, errors="replace") as f:
            lines = [line.strip() for line in f if line.strip()]
        return f"{lines[-1][:200] if lines else 'it said nothing'} ({self.log})"

    @staticmethod
    def listening(port):
        s = socket.socket()
        s.settimeout(0.5)
        try:
            s.connect(("127.0.0.1", port))
            return True
        except OSError:
            return False
        finally:
            s.close()

    def alive(self):
        return self.proc is not None and (self.proc.poll() is None or self.spec.get("pidfile"))

    def signal_tree(self, sig):
        if self.proc:
            for p in children(self.pid or self.proc.pid):
                with contextlib.suppress(OSError):
                    os.kill(p, sig)

    def pause(self):
        if self.proc:
            self.signal_tree(signal.SIGSTOP)
            self.stopped = True

    def cont(self):
        if self.stopped:
            self.signal_tree(signal.SIGCONT)
            self.stopped = False
            time.sleep(0.3)

    def kill9(self):
        self.signal_tree(signal.SIGKILL)
        if self.proc:
            self.proc.wait()
        self.proc = None

    def stop(self, timeout=10):
        if not self.proc:
            return
        self.cont()
        tree = children(self.pid or self.proc.pid)
        with contextlib.suppress(OSError):
            os.kill(self.pid or self.proc.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.proc.wait(timeout)
        for p in tree:  # only what belonged to the process that we started
            with contextlib.suppress(OSError):
                os.kill(p, signal.SIGKILL)
        with contextlib.suppress(OSError):  # its children outlive it where it ended by itself
            os.killpg(self.proc.pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.proc.wait(5)
        self.proc = None


def load(run, sc, b, extra, subst, timeout=None):
    kind = sc.get("transport", "plain")
    port = {"plain": b.spec.get("port"), "tls": b.spec.get("tls_port"), "mtls": b.spec.get("mtls_port")}[kind]
    if not port:
        return {"skipped": f"no {kind} listener"}
    cmd = (
        ["taskset", "-c", str(run["gen_core"]), run["mqttload"].format(**subst)]
        + [a.format(**subst) for a in sc["args"]]
        + extra
        + ["-p", str(port), "--json"]
    )
    if kind != "plain":
        cmd += ["--tls", "--cafile", run["cafile"].format(**subst)]
    if kind == "mtls":
        cmd += ["--cert", run["cert"].format(**subst), "--key", run["key"].format(**subst)]
    if sc.get("pid", True):
        cmd += ["--pid", str(b.pid)]
    try:
        p = subprocess.run(
            cmd,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            start_new_session=True,
            preexec_fn=lambda: prioritise(run.get("nice", 0)),
            timeout=timeout or sc.get("timeout", 120),
        )
    except subprocess.TimeoutExpired:
        return {"error": "mqttload timed out"}
    for line in p.stdout.splitlines():
        if line.startswith("{"):
            return json.loads(line)
    return {"error": (p.stderr.strip().splitlines() or ["no output"])[-1], "rc": p.returncode}


def run_offline(run, sc, b, subst):
    """fill, stop the broker the given way, start it again, drain."""
    state = os.path.join(subst["tmp"], f"offline-{b.name}.state")
    base = dict(sc, args=["offline", "--state", state] + sc["args"])
    how = sc.get("stop", "kill9")
    fill = load(run, base, b, ["--stage", "fill"], subst)
    if "error" in fill or "skipped" in fill:
        return fill
    time.sleep(sc.get("wait", 0))
    if how == "kill9":
        b.kill9()
    elif how == "term":
        b.stop(60)
    if how != "none":
        b.spawn()
    drain = load(run, base, b, ["--stage", "drain"], subst)
    if "error" in drain:
        return drain
    drain["fill_rate"] = fill["ack_rate"]
    drain["fill_per_cpu_s"] = fill.get("per_cpu_s", 0)
    drain["fill_acked"] = fill["acked"]
    return drain


def already_done(path):
    """(broker, scenario, repetition) of every run in the results that gave figures."""
    if not os.path.exists(path):
        return set()
    with open(path) as f:
        rows = [json.loads(line) for line in f]
    return {(r["broker"], r["case"], r["rep"]) for r in rows if "error" not in r}


def do_run(a):
    with open(a.config, "rb") as f:
        cfg = tomllib.load(f)
    run = {"reps": 3, "broker_core": 0, "gen_core": 1, "mqttload": "{here}/mqttload", "baseline": None}
    run.update(cfg.get("run", {}))
    conf = os.path.dirname(os.path.abspath(a.config))
    subst = {
        "conf": conf,
        "here": HERE,
        "tmp": conf,
        **{k: os.path.expandvars(v) for k, v in cfg.get("vars", {}).items()},
    }
    for kv in a.var or []:
        k, _, v = kv.partition("=")
        subst[k] = v
    for k, v in subst.items():
        subst[k] = v.format(**{x: y for x, y in subst.items() if x != k}) if "{" in v else v
    run["cafile"] = run.get("cafile", "{conf}/certs/ca.crt")
    run["cert"] = run.get("cert", "{conf}/certs/client.crt")
    run["key"] = run.get("key", "{conf}/certs/client.key")
    reps = a.reps or run["reps"]
    want_b = a.brokers.split(",") if a.brokers else None
    want_s = a.scenarios.split(",") if a.scenarios else None
    brokers = [
        Broker(s, run, subst)
        for s in cfg["broker"]
        if (want_b and s["name"] in want_b) or (not want_b and not s.get("manual"))
    ]
    scens = [
        s
        for s in cfg["scenario"]
        if (want_s and any(fnmatch.fnmatch(s["name"], g) for g in want_s))
        or (not want_s and not s.get("manual"))
    ]
    if not brokers or not scens:
        raise SystemExit("nothing to run")
    done = already_done(a.out) if a.resume else set()
    total = reps * len(scens) * len(brokers)
    n = before = 0
    t0 = time.monotonic()
    with open(a.out, "a") as out:
        try:
            for rep in range(reps):
                for sc in scens:
                    if rep >= sc.get("reps", reps):
                        continue
                    k = rep % len(brokers)
                    for b in brokers[k:] + brokers[:k]:
                        n += 1
                        if (b.name, sc["name"], rep) in done:
                            before += 1
                            continue
                        if b.failed_starts >= GIVE_UP:
                            continue
                        if any(fnmatch.fnmatch(sc["name"], g) for g in b.spec.get("skip", [])) or (
                            sc.get("only") and b.name not in sc["only"]
                        ):
                            continue
                        try:
                            b.failed_starts += 1
                            b.start()
                            b.failed_starts = 0
                            r = (
                                run_offline(run, sc, b, subst)
                                if sc.get("kind") == "offline"
                                else load(run, sc, b, b.spec.get("extra", []), subst)
                            )
                        except (RuntimeError, OSError) as e:
                            r = {"error": str(e)}
                            if b.failed_starts >= GIVE_UP:
                                r["error"] += f"; not started {GIVE_UP} times: left out from here on"
                        r.update(
                            broker=b.name,
                            case=sc["name"],
                            rep=rep,
                            start_rss_kb=b.start_rss,
                            metrics=sc.get("metrics", ["per_cpu_s", "recv_rate"]),
                            at=time.strftime("%FT%TZ", time.gmtime()),
                        )
                        out.write(json.dumps(r) + "\n")
                        out.flush()
                        bad = {f: r[f] for f in FAULTS if r.get(f)}
                        print(
                            f"[{progress(t0, n - before, total - before)} {n}/{total}] "
                            f"{sc['name']:22s} {b.name:18s} "
                            + (
                                f"ERROR {r['error']}"
                                if "error" in r
                                else f"skipped: {r['skipped']}"
                                if "skipped" in r
                                else " ".join(f"{m}={r.get(m)}" for m in r["metrics"])
                                + f" broker={r.get('broker_cpu_pct')}% gen={r.get('gen_cpu_pct')}% {bad or ''}"
                            ),
                            file=sys.stderr,
                            flush=True,
                        )
                        if b.spec.get("keep") and not sc.get("fresh") and "error" not in r:
                            b.pause()
                        else:
                            b.stop()
        finally:
            for b in brokers:
                b.stop()
            for p in children(os.getpid())[1:]:  # whatever a signal let nobody know of
                with contextlib.suppress(OSError):
                    os.kill(p, signal.SIGKILL)
    report(a.out, a.baseline or run["baseline"], False)


def progress(t0, n, total):
    """Seconds so far, and about how many more."""
    spent = time.monotonic() - t0
    return f"{spent:5.0f}s, {spent / max(n, 1) * (total - n):5.0f}s left"


def agg(metric):
    """Medians; but the best run of a wall clock rate, which contention can only lower."""
    return max if metric.endswith("_rate") else statistics.median


def fmt(v):
    if v is None:
        return "-"
    a = abs(v)
    if a >= 1e6:
        return f"{v / 1e6:.2f}M"
    if a >= 1e4:
        return f"{v / 1e3:.0f}k"
    if a >= 1e3:
        return f"{v / 1e3:.1f}k"
    if a >= 10 or v == int(v):
        return f"{v:.0f}"
    return f"{v:.2f}"


def report(path, baseline, markdown):
    rows, cases, brokers, errors = {}, [], [], {}
    with open(path) as f:
        for line in f:
            r = json.loads(line)
            c, b = r["case"], r["broker"]
            if c not in [x[0] for x in cases]:
                cases.append((c, r.get("metrics") or ["per_cpu_s"]))
            if b not in brokers:
                brokers.append(b)
            if "error" in r or "skipped" in r:
                errors.setdefault((c, b), r.get("error") or r.get("skipped"))
                continue
            rows.setdefault((c, b), []).append(r)
    if baseline in brokers:
        brokers.remove(baseline)
        brokers.insert(0, baseline)
    else:
        baseline = brokers[0]
    print(
        f"Median of the runs (rates: the best run); (x) is the ratio to {baseline}, ± half the spread of the runs in percent; "
        "! means faults (listed below).\n"
    )
    metrics = []
    for _, m in cases:
        for x in m:
            if x not in metrics:
                metrics.append(x)
    for m in metrics:
        cs = [c for c, ms in cases if m in ms]
        print(f"### {m}{' (lower is better)' if m in LOWER_IS_BETTER else ''}\n")
        table = [["case", *brokers]]
        for c in cs:
            line = [c]
            base = [r[m] for r in rows.get((c, baseline), []) if m in r]
            bm = agg(m)(base) if base else None
            for b in brokers:
                v = [r[m] for r in rows.get((c, b), []) if isinstance(r.get(m), (int, float))]
                if not v:
                    line.append("error" if (c, b) in errors else "-")
                    continue
                md = agg(m)(v)
                s = fmt(md)
                if b != baseline and bm:
                    s += f" ({md / bm:.2f}x)"
                if len(v) > 1 and md:
                    s += f" ±{50 * (max(v) - min(v)) / abs(md):.0f}%"
                if any(r.get(f) for r in rows[(c, b)] for f in FAULTS):
                    s += " !"
                line.append(s)
            table.append(line)
        if markdown:
            print("| " + " | ".join(table[0]) + " |\n|" + "---|" * len(table[0]))
            for t in table[1:]:
                print("| " + " | ".join(t) + " |")
        else:
            w = [max(len(t[i]) for t in table) for i in range(len(table[0]))]
            for t in table:
                print("  ".join(x.ljust(w[i]) for i, x in enumerate(t)))
        print()
    notes = []
    for (c, b), rs in rows.items():
        tot = {f: max(r.get(f, 0) for r in rs) for f in FAULTS}
        tot = {k: v for k, v in tot.items() if v}
        if tot:
            notes.append(
                f"{c} / {b}: "
                + ", ".join(f"{k} {v}" for k, v in tot.items())
                + (f" of {max(r.get('expected', 0) for r in rs)}" if rs[0].get("expected") else "")
                + (f" ({rs[-1]['last_error']})" if rs[-1].get("last_error") else "")
            )
    notes += [f"{c} / {b}: ERROR {e}" for (c, b), e in errors.items()]
    if notes:
        print("Faults (worst run):")
        for x in notes:
            print("- " + x)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sp = p.add_subparsers(dest="cmd", required=True)
    r = sp.add_parser("run", help="run the matrix")
    r.add_argument("config")
    r.add_argument("--out", required=True)
    r.add_argument("--reps", type=int)
    r.add_argument("--brokers", help="comma separated names (default: all that are not manual)")
    r.add_argument("--scenarios", help="comma separated globs (default: all that are not manual)")
    r.add_argument("--baseline")
    r.add_argument("--resume", action="store_true", help="do not repeat the runs that are in the results")
    r.add_argument("--var", action="append", metavar="NAME=VALUE", help="sets a {NAME} used in the file")
    q = sp.add_parser("report", help="print the tables of a results file")
    q.add_argument("results")
    q.add_argument("--baseline", default="mosquitto-2.0")
    q.add_argument("--markdown", action="store_true")
    a = p.parse_args()
    end_on_signals("broken off: ending what was started")
    if a.cmd == "run":
        do_run(a)
    else:
        report(a.results, a.baseline, a.markdown)


if __name__ == "__main__":
    main()
