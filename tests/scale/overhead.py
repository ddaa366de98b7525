#!/usr/bin/env python3
"""Measure Ray and Spark beside processes of this machine that do the same tasks.

    make bench-scale CAPTURE=file

The files of a plan are links to one capture. All rows do its tasks with the same number of cores, and count the flows.
Before the first round, every engine is started and does the plan once. The plan is made before the time begins. Rounds
alternate between all rows. The last columns compare a row with "processes". CPU time is that of all processes, also of
the engines that wait.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import statistics
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import flowloom
import pyarrow


def main():
    options = arguments()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="flowloom-overhead-")))
        capture = Path(options.capture).resolve()
        for number in range(options.tasks * options.files):
            (folder / f"{number:06}.pcap").symlink_to(capture)
        run = {
            "task_bytes": capture.stat().st_size * options.files,
            "group": "each",
            "n_dissections": options.dissections,
            "statistical_analysis": options.statistics,
        }
        plan = flowloom.plan(str(folder), **run)
        assert len(plan.tasks) == options.tasks, plan
        rows = {
            "one process": lambda: lambda: sum(map(count, texts(plan))),
            "processes": stack.enter_context(processes(plan, options.cores)),
        }
        if "ray" in options.engines:
            rows["Ray"] = stack.enter_context(with_ray(folder, run, options.cores))
        if "spark" in options.engines:
            rows["Spark"] = stack.enter_context(with_spark(folder, run, options.cores))
        measured = measure(rows, options.rounds)
    show(options, measured)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("capture", help="the capture that all files are links to")
    parser.add_argument("--tasks", type=int, default=32)
    parser.add_argument("--files", type=int, default=1, help="the files of a task")
    parser.add_argument("--cores", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--dissections", type=int, default=0, help="0 has no applications")
    parser.add_argument("--statistics", action="store_true")
    parser.add_argument("--engines", nargs="*", default=["ray", "spark"], choices=["ray", "spark"])
    return parser.parse_args()


# Each row is a function that prepares a round, and returns the function that is measured.


def texts(plan):
    return [task.to_json() for task in plan.tasks]


def count(text):
    """Do a task, and return the number of its flows."""
    reader = pyarrow.RecordBatchReader.from_stream(flowloom.Task(text).flows())
    return sum(batch.num_rows for batch in reader)


@contextlib.contextmanager
def processes(plan, cores):
    """Processes that exist before the first round, as an engine's workers do."""
    with ProcessPoolExecutor(cores, mp_context=get_context("spawn")) as pool:
        yield lambda: lambda: sum(pool.map(count, texts(plan)))


@contextlib.contextmanager
def with_ray(folder, run, cores):
    os.environ.update(RAY_USAGE_STATS_ENABLED="0")
    import flowloom.ray
    import ray

    logging.getLogger("ray.data").setLevel(logging.ERROR)
    ray.init(address="local", num_cpus=cores, include_dashboard=False, log_to_driver=False, logging_level="error")
    ray.data.DataContext.get_current().enable_progress_bars = False
    try:
        # The plan is made here.
        yield lambda: flowloom.ray.read_flows(str(folder), **run).count
    finally:
        ray.shutdown()


@contextlib.contextmanager
def with_spark(folder, run, cores):
    import pyspark
    from flowloom.spark import FlowloomDataSource
    from pyspark.sql import SparkSession

    os.environ.update(SPARK_HOME=str(Path(pyspark.__file__).parent), PYSPARK_PYTHON=sys.executable)
    session = (
        SparkSession.builder.master(f"local-cluster[{cores},1,1024]")
        .config("spark.ui.enabled", "false")
        .config("spark.ui.showConsoleProgress", "false")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .getOrCreate()
    )
    session.sparkContext.setLogLevel("OFF")
    session.dataSource.register(FlowloomDataSource)

    def prepare():
        frame = session.read.format("flowloom").options(**{name: str(value).lower() for name, value in run.items()})
        frame = frame.load(str(folder))
        # The plan is made for the schema.
        assert frame.columns
        return frame.count

    try:
        yield prepare
    finally:
        session.stop()


def measure(rows, rounds):
    """Return for each row the seconds and the CPU seconds of its rounds. All rows must count the same flows."""
    measured = {name: [] for name in rows}
    flows = set()
    for number in range(rounds + 1):
        for name, prepare in rows.items():
            action = prepare()
            cpu, begin = cpu_seconds(), time.perf_counter()
            flows.add(action())
            seconds, cpu = time.perf_counter() - begin, cpu_seconds() - cpu
            # The first round starts workers.
            if number > 0:
                measured[name].append((seconds, cpu))
            print(f"round {number}: {name}: {seconds:.2f} s, CPU {cpu:.2f} s", file=sys.stderr)
    assert len(flows) == 1, flows
    print(f"{flows.pop()} flows")
    return measured


def cpu_seconds():
    """Return the CPU seconds of this process and its descendants. Those that have ended count as their parents'."""
    parents, ticks = {}, {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = path.read_text().rpartition(")")[2].split()
            parents[int(path.parent.name)] = int(fields[1])
            ticks[int(path.parent.name)] = sum(map(int, fields[11:15]))
    own, found = os.getpid(), 0
    for process, count in ticks.items():
        while process not in (own, 0, None):
            process = parents.get(process)
        found += count if process == own else 0
    return found / os.sysconf("SC_CLK_TCK")


def show(options, measured):
    size = Path(options.capture).stat().st_size * options.files
    print(f"{options.tasks} tasks of {size / 1e6:.1f} MB, {options.cores} cores, {options.rounds} rounds\n")
    print("| way | least s | median s | median CPU s | CPU ms a task | least ÷ | median ÷ | CPU ÷ |")
    print("|---|--:|--:|--:|--:|--:|--:|--:|")
    control = figures(measured["processes"])
    for name, rounds in measured.items():
        least, median, cpu = figures(rounds)
        # The CPU time that a task costs beyond that of the control.
        more = (cpu - control[2]) / options.tasks * 1000
        ratios = " | ".join(f"{a / b:.2f}" for a, b in zip((least, median, cpu), control))
        print(f"| {name} | {least:.2f} | {median:.2f} | {cpu:.2f} | {more:+.0f} | {ratios} |")


def figures(rounds):
    seconds, cpu = zip(*rounds)
    return min(seconds), statistics.median(seconds), statistics.median(cpu)


if __name__ == "__main__":
    main()
