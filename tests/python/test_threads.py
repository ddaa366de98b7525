"""Threads, signals and memory."""

import concurrent.futures
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from conftest import CAPTURES

import flowloom

DNS = CAPTURES / "dns.pcap"


def endless():
    """Return a capture that never ends: a pipe that repeats packets until it is closed."""
    data = DNS.read_bytes()

    class Stream:
        def __init__(self):
            self.head = data[:24]

        def read(self, size):
            head, self.head = self.head, b""
            return head or data[24:] * 20

    return Stream()


def test_other_threads_run_while_packets_are_metered():
    ticks = 0
    done = threading.Event()

    def tick():
        nonlocal ticks
        while not done.is_set():
            ticks += 1
            time.sleep(0.001)

    thread = threading.Thread(target=tick)
    thread.start()
    flows = flowloom.meter(endless(), n_dissections=0)
    stopper = threading.Timer(0.5, flows.stop)
    stopper.start()
    before = ticks
    height = flows.to_polars().height
    done.set()
    thread.join()
    assert height > 0
    assert ticks - before > 20


@pytest.mark.parametrize("read", ["list(flows)", "flows.to_polars()", "flows.to_arrow()", "flows.write_csv('/dev/null')"])
def test_a_signal_interrupts(read):
    code = f"""
import sys, threading, signal, os
sys.path.insert(0, {os.path.dirname(__file__)!r})
import flowloom
from test_threads import endless
flows = flowloom.meter(endless(), n_dissections=0)
threading.Timer(0.5, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
try:
    {read}
except KeyboardInterrupt:
    # The package can be used after it.
    print("interrupted", len(list(flowloom.meter({str(DNS)!r}))))
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert run.stdout == "interrupted 9\n", run.stderr


def test_stop_ends_the_reading_and_keeps_the_flows():
    # Each packet is a flow.
    flows = flowloom.meter(endless(), n_dissections=0, idle_timeout=0)
    count = 0
    for _ in flows:
        count += 1
        if count == 1:
            flows.stop()
    assert count >= 1
    assert flows.summary["flows"] == count


def test_a_closed_run_is_an_error():
    flows = flowloom.meter(DNS)
    iterator = iter(flows)
    flow = next(iterator)
    flows.close()
    with pytest.raises(flowloom.FlowloomError, match="the run is closed"):
        next(iterator)
    # A flow outlives its run.
    assert flow.src_ip
    assert len(list(flows)) == 9


def test_runs_in_several_threads():
    def run(_):
        return flowloom.meter(DNS, n_dissections=0).to_polars().height

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert list(pool.map(run, range(64))) == [9] * 64


def height(path):
    return flowloom.meter(path).to_arrow().num_rows


@pytest.mark.parametrize("method", ["spawn", "fork", "forkserver"])
def test_processes(method):
    # A run before the fork must not disturb one after it.
    assert height(DNS) == 9
    context = multiprocessing.get_context(method)
    with context.Pool(2) as pool:
        assert pool.map(height, [DNS] * 8) == [9] * 8


def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.slow
def test_memory_is_flat_over_a_thousand_runs():
    def run(n):
        flows = flowloom.meter(DNS, n_dissections=20 if n % 10 == 0 else 0)
        match n % 4:
            case 0:
                list(flows)
            case 1:
                flows.to_arrow()
            case 2:
                for _ in flows:
                    break
            case _:
                with pytest.raises(flowloom.ParameterError):
                    list(flowloom.meter(DNS, where="x"))

    for n in range(200):
        run(n)
    before = resident()
    for n in range(1_000):
        run(n)
    assert resident() - before < 8 << 20


def test_signals_keep_their_handlers():
    before = signal.getsignal(signal.SIGINT)
    list(flowloom.meter(DNS))
    assert signal.getsignal(signal.SIGINT) is before


def test_a_signal_interrupts_the_compilation_of_a_plugin(tmp_path, plugin):
    # A command that does not answer for a long time.
    command = tmp_path / "flowloom"
    command.write_text("#!/bin/sh\necho started >&2\nexec sleep 90\n")
    command.chmod(0o755)
    code = f"""
import flowloom
plugin = flowloom.Wasm({str(plugin("slicer"))!r})
try:
    list(flowloom.meter({str(DNS)!r}, plugins=plugin, plugin_cache={str(tmp_path)!r}))
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as program:
        deadline = time.monotonic() + 60
        # The command is a child of the program.
        while not children_of(program.pid) and program.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        [child] = children_of(program.pid)
        program.send_signal(signal.SIGINT)
        assert program.stdout.readline() == "interrupted\n"
        os.kill(child, signal.SIGKILL)
        program.wait(timeout=60)


def children_of(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        own = file.read().split()
    threads = os.listdir(f"/proc/{pid}/task")
    for thread in threads:
        with open(f"/proc/{pid}/task/{thread}/children") as file:
            own += file.read().split()
    return sorted({int(child) for child in own})


def packets_in(path):
    return sum(flow.bidirectional_packets for flow in flowloom.meter(path))


def test_joblib_runs_it_in_its_processes():
    joblib = pytest.importorskip("joblib")
    captures = [CAPTURES / "dns.pcap", CAPTURES / "tls12.pcap"]
    expected = [packets_in(capture) for capture in captures]
    for backend in ("loky", "multiprocessing", "threading"):
        counts = joblib.Parallel(n_jobs=2, backend=backend)(joblib.delayed(packets_in)(path) for path in captures)
        assert counts == expected
