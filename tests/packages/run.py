#!/usr/bin/env python3
"""Installs the packages of dist/ in fresh Debian 12 systems, and runs what they install. Needs root.

    tests/packages/run.py [wheel|deb|rpm|image|release …]

Each system is a chroot that mmdebstrap made, in a mount namespace of its own. All is kept under target/packages/test.
"""

import argparse
import contextlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
DIST = ROOT / "dist"
WORK = ROOT / "target/packages/test"
CAPTURE = ROOT / "tests/captures/tls13.pcap"
RELEASE = "bookworm"
# The columns show that flows are metered, and whether nDPI names them.
METER = ["meter", "/tls13.pcap", "--select", "dst_port,bidirectional_packets"]
PLAIN = ["dst_port,bidirectional_packets", "443,18", "443,34"]
NAMED = ["dst_port,application_name,requested_server_name", "443,TLS,www.example.com", "443,TLS,www.example.com"]
JA4 = "t13d3112h1_e8f1e7e78f70_b26ce05bbdd6"
# The package in Python, with a filter, which libpcap compiles.
FRAME = """
import flowloom
flows = flowloom.meter("/tls13.pcap", bpf_filter="tcp", select=["src_port", "application_name", "client_ja4"])
frame = flows.to_polars()
print(frame.shape)
print(frame["client_ja4"].to_list())
"""
# A plugin that is a component of the package.
NFSTREAM = """
from flowloom.nfstream import NFStreamer
from flowloom.nfstream.plugins import JA4
print([flow.udps.ja4 for flow in NFStreamer(source="/tls13.pcap", udps=JA4())])
"""
METER_NAMES = ["meter", "/tls13.pcap", "--select", "dst_port,application_name,requested_server_name"]


def fail(message):
    sys.exit(f"tests/packages: {message}")


def run(*command, **options):
    """Runs a command, and returns its output. Fails, with both outputs, if the command does."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)
    if done.returncode:
        fail(f"{' '.join(map(str, command))}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def check(what, found, expected):
    if found != expected:
        fail(f"{what}:\nexpected {expected!r}\nfound    {found!r}")


def check_contains(what, text, part):
    if part not in text:
        fail(f"{what}: {part!r} is not in\n{text}")


def the_file(pattern):
    files = sorted(DIST.glob(pattern))
    if len(files) != 1:
        fail(f"dist has {len(files)} files {pattern}, and not one: run make release in a clean folder")
    return files[0]


def mib(path):
    return f"{path.stat().st_size / 2**20:.1f} MiB"


class System:
    """A system in a folder."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        shutil.copy(CAPTURE, self.folder / "tls13.pcap")

    def command(self, *command, environment=None, wrapper=()):
        """Returns the command that runs a command in the system, and its environment."""
        script = (
            'cd "$0" && mount -t proc proc proc && mount --rbind /sys sys && mount --rbind /dev dev && '
            'exec chroot . "$@"'
        )
        variables = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LC_ALL": "C.UTF-8"}
        return (
            [*wrapper, "unshare", "--mount", "sh", "-c", script, self.folder, *command],
            {**variables, **(environment or {})},
        )

    def start(self, *command, environment=None, wrapper=()):
        line, variables = self.command(*command, environment=environment, wrapper=wrapper)
        return subprocess.Popen(
            line, env=variables, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def run(self, *command, code=0, environment=None):
        """Runs a command in the system, and returns its two outputs."""
        process = self.start(*command, environment=environment)
        out, error = process.communicate()
        if process.returncode != code:
            fail(f"{' '.join(command)}: exit code {process.returncode}, not {code}\n{out}{error}")
        return out, error

    def meter(self, command, expected, arguments=METER, **options):
        out, error = self.run(command, *arguments, **options)
        check(f"{command} {' '.join(arguments)}", out.splitlines(), expected)
        check_contains("summary", error, "54 read, 52 metered")
        return error


@contextlib.contextmanager
def debian(*packages):
    """A new Debian with these packages."""
    WORK.mkdir(parents=True, exist_ok=True)
    base = WORK / f"base-{RELEASE}.tar"
    if not base.exists():
        # With another name until it is complete.
        begin = time.monotonic()
        temporary = base.with_suffix(".part.tar")
        run("mmdebstrap", "--quiet", "--variant=minbase", RELEASE, temporary)
        temporary.rename(base)
        print(f"system    Debian {RELEASE} in {time.monotonic() - begin:.0f} s, {mib(base)}")
    with tempfile.TemporaryDirectory(dir=WORK, prefix="system-") as folder:
        os.chmod(folder, 0o755)
        run("tar", "--extract", "--file", base, "--directory", folder, "--exclude=./dev/*")
        system = System(folder)
        # The network of this machine.
        for file in ("/etc/resolv.conf", "/etc/hosts"):
            shutil.copy(file, f"{folder}{file}")
        if packages:
            system.run("apt-get", "-q", "-q", "update")
            install(system, "--no-install-recommends", *packages)
        yield system


def install(system, *packages):
    environment = {"DEBIAN_FRONTEND": "noninteractive"}
    command = ["apt-get", "-q", "-y", "-o", "APT::Sandbox::User=root", "install", *packages]
    return system.run(*command, environment=environment)


def time_of(action):
    """Runs an action, and returns the time that it took."""
    begin = time.monotonic()
    action()
    return f"{time.monotonic() - begin:.1f} s"


def needed_libraries(program):
    """Returns the shared libraries of a program, and the newest symbol version of glibc that it uses."""
    dynamic = run("readelf", "--dynamic", "--wide", program)
    libraries = sorted(line.split("[")[1].rstrip("]") for line in dynamic.splitlines() if "(NEEDED)" in line)
    versions = run("readelf", "--version-info", "--wide", program)
    found = {part for part in versions.replace("Name:", " ").split() if part.startswith("GLIBC_2")}
    return libraries, max(tuple(map(int, version[6:].split("."))) for version in found)


def wheel():
    file = the_file("flowloom-*.whl")
    wheels = WORK / "wheels"
    # NFStream, polars and what they need, for the Python of Debian 12. The systems install without a network.
    run(
        *[sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--dest", wheels],
        *["--python-version", "3.11", "--platform", "manylinux2014_x86_64", "--platform", "manylinux_2_28_x86_64"],
        *["--platform", "manylinux_2_17_x86_64", "--only-binary=:all:", "nfstream==6.6.0", "polars==2.1.0"],
    )
    with debian("python3-venv") as system:
        shutil.copy(file, system.folder)
        system.run("python3", "-m", "venv", "/venv")
        pip = ["/venv/bin/pip", "install", "--no-index", "--disable-pip-version-check"]
        took = time_of(lambda: system.run(*pip, f"/{file.name}"))
        flowloom = "/venv/bin/flowloom"
        libraries, glibc = needed_libraries(f"{system.folder}{flowloom}")
        print(f"wheel     {mib(file)}; pip install took {took}; needs glibc {'.'.join(map(str, glibc))}, {libraries}")
        if glibc > (2, 17) or any("pcap" in library or "ndpi" in library for library in libraries):
            fail("the program is not the one that was meant")
        # No Python: setcap would not work on a script.
        check("the first bytes of the command", (system.folder / "venv/bin/flowloom").read_bytes()[:4], b"\x7fELF")
        system.meter(flowloom, PLAIN)
        _, error = system.run(flowloom, "meter", "/tls13.pcap", "--format", "jsonl")
        check_contains("without nDPI", error, "install")
        check_contains("without nDPI", error, "libndpi4.2")
        check_contains("version", system.run(flowloom, "--version")[0], "nDPI none")
        # libpcap compiles filters.
        out, _ = system.run(flowloom, *METER, "--bpf-filter", "tcp port 54332")
        check("filtered", out.splitlines(), [PLAIN[0], "443,18"])

        # A user who may not capture gets one line, and what to do.
        unprivileged = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "--bounding-set=-all"]
        _, error = system.run(*unprivileged, flowloom, "meter", "lo", code=1)
        check_contains("without permission", error, "setcap cap_net_raw")
        # In front of it, log lines may say what was dropped. After it, there is only the hint.
        check("lines of errors", len([line for line in error.splitlines() if line.startswith("flowloom: ")]), 1)

        shutil.copytree(wheels, system.folder / "wheels")
        took = time_of(lambda: system.run(*pip, "--find-links=/wheels", f"/{file.name}[ndpi]"))
        seconds = time_of(lambda: system.meter(flowloom, NAMED, METER_NAMES))
        out, _ = system.run(flowloom, "meter", "/tls13.pcap", "--select", "client_ja4")
        check("JA4", out.splitlines()[1:], [JA4, JA4])
        check_contains("version", system.run(flowloom, "--version")[0], "nDPI 5.0.0")
        print(f"wheel     with [ndpi]: pip install took {took}, from a folder of wheels; meter took {seconds}")
        system.run(*pip, "--find-links=/wheels", "polars")
        out, _ = system.run("/venv/bin/python", "-c", FRAME)
        check("DataFrame", out.splitlines(), ["(2, 3)", f"['{JA4}', '{JA4}']"])
        print("wheel     import flowloom and to_polars: ok")
        out, _ = system.run("/venv/bin/python", "-c", NFSTREAM)
        check("NFStreamer", out.strip(), f"['{JA4}', '{JA4}']")
        print("wheel     flowloom.nfstream with a component: ok")
    print("wheel     ok")


@contextlib.contextmanager
def wire():
    """A network namespace with an interface `veth0` whose other end, `veth1`, is in another namespace."""
    names = [f"flowloom-packages-{end}-{os.getpid()}" for end in "ab"]
    try:
        for name in names:
            run("ip", "netns", "add", name)
            run("ip", "netns", "exec", name, "sysctl", "-q", "-w", "net.ipv6.conf.default.disable_ipv6=1")
        run("ip", "-n", names[0], "link", "add", "veth0", "type", "veth", "peer", "name", "veth1", "netns", names[1])
        run("ip", "-n", names[0], "link", "set", "veth0", "up")
        run("ip", "-n", names[1], "link", "set", "veth1", "up")
        yield names
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "delete", name], check=False)


# Runs in the system as a service of its own: starts, reloads and stops the service of the package.
OPERATOR = """\
[Unit]
After=multi-user.target
[Service]
Type=oneshot
TimeoutStartSec=120
ExecStart=/bin/bash /operator.sh
ExecStopPost=/bin/systemctl exit 0
"""
STEPS = """\
wait_for() { for _ in $(seq 300); do ! eval "$1" || return 0; sleep 0.2; done; echo "no: $1"; return 1; }
log() { journalctl --unit flowloom@veth0 --no-pager --output cat; }
exec >/operator.log 2>&1
set -x
systemctl start flowloom@veth0 && wait_for 'log | grep "capturing from veth0"' && touch /ready
wait_for 'test -e /replayed'
systemctl reload flowloom@veth0 && wait_for 'log | grep "reopened the output"'
systemctl stop flowloom@veth0
systemctl show flowloom@veth0 --property Result,ExecMainStatus,NRestarts
log
"""


def live(system):
    """Boots the system in a container, and captures from a virtual wire with the service that was installed."""
    (system.folder / "etc/systemd/system/operator.service").write_text(OPERATOR)
    (system.folder / "operator.sh").write_text(STEPS)
    with wire() as (inside, outside):
        process = subprocess.Popen(
            [
                *["systemd-nspawn", "--quiet", "--register=no", "--keep-unit", f"--directory={system.folder}"],
                # nspawn's own filter is older than Landlock.
                "--system-call-filter=landlock_create_ruleset landlock_add_rule landlock_restrict_self",
                *[f"--network-namespace-path=/run/netns/{inside}", "--boot", "systemd.unit=operator.service"],
            ],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        try:
            deadline = time.monotonic() + 120
            while not (system.folder / "ready").exists() and time.monotonic() < deadline and process.poll() is None:
                time.sleep(0.2)
            run("ip", "netns", "exec", outside, "tcpreplay", "--quiet", "--pps=100", "--intf1=veth1", CAPTURE)
            time.sleep(1)
            (system.folder / "replayed").touch()
            console, _ = process.communicate(timeout=120)
        finally:
            process.kill()
    log_file = system.folder / "operator.log"
    log = log_file.read_text() if log_file.exists() else console
    for part in (
        "kept capabilities: CAP_NET_RAW",
        "Landlock denies access to TCP and to all files except the output and the plugins",
        "reopened the output",
        "54 read, 52 metered",
        "Result=success",
        "NRestarts=0",
        "ExecMainStatus=0",
    ):
        check_contains("log of the service", log, part)
    folder = system.folder / "var/lib/flowloom/veth0"
    outputs = list(folder.iterdir())
    check("outputs", bool(outputs), True)
    for output in outputs:
        content = output.read_bytes()
        check("first and last bytes", (content[:4], content[-4:]), (b"PAR1", b"PAR1"))
        out, _ = system.run("stat", "--format=%U:%G %a", f"/{output.relative_to(system.folder)}")
        check("owner and mode of the output", out.strip(), "flowloom:flowloom 640")
    print(f"deb       the service captured on a virtual wire: {', '.join(file.name for file in outputs)}")


def verify_unit(system):
    """Checks the unit with systemd's own tool."""
    # It exits with 0 in spite of unknown settings, and prints them.
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", f"--root={system.folder}", "flowloom@veth0.service"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )
    own = [line for line in done.stdout.splitlines() if "flowloom" in line]
    check("systemd-analyze verify", (done.returncode, own), (0, []))
    report = run(
        *["systemd-analyze", "security", "--offline=yes", "--no-pager", f"--root={system.folder}"],
        "flowloom@veth0.service",
    )
    (level,) = (line for line in report.splitlines() if "Overall exposure level" in line)
    exposure = float(level.split(":")[1].split()[0])
    if exposure > 2.5:
        fail(f"systemd-analyze security: {level}")
    print(f"deb       systemd-analyze: verify reports nothing, security reports an exposure of {exposure}")


def deb():
    file = the_file("flowloom_*_amd64.deb")
    with debian("systemd") as system:
        shutil.copy(file, system.folder)
        took = time_of(lambda: install(system, f"/{file.name}"))
        print(f"deb       {mib(file)}; apt install with libndpi4.2 took {took}, without the lists")
        check_contains("recommended package", system.run("dpkg", "--status", "libndpi4.2")[0], "ok installed")
        version = system.run("flowloom", "--version")[0]
        check_contains("version", version, "nDPI 4.2")
        system.meter("flowloom", NAMED, METER_NAMES)
        for path in (
            "usr/share/man/man1/flowloom-meter.1.gz",
            "usr/share/bash-completion/completions/flowloom",
            "usr/share/zsh/vendor-completions/_flowloom",
            "usr/share/fish/vendor_completions.d/flowloom.fish",
            "usr/share/doc/flowloom/copyright",
            "usr/share/doc/flowloom/THIRD-PARTY.txt.gz",
            "usr/share/doc/flowloom/flowloom.cdx.json",
            "usr/share/doc/flowloom/docs/usage.md",
        ):
            if not (system.folder / path).is_file():
                fail(f"/{path} was not installed")
        out, _ = system.run("bash", "-c", COMPLETE)
        check_contains("completion in bash", out, "--idle-timeout")
        # Only an operator gives the capability.
        check("capabilities of the command", run("getcap", system.folder / "usr/bin/flowloom"), "")
        verify_unit(system)
        live(system)
        system.run("dpkg", "--purge", "flowloom")
        check("left behind", (system.folder / "etc/flowloom").exists(), False)
    print("deb       ok")


def rpm():
    file = the_file("flowloom-*.x86_64.rpm")
    with debian() as system:
        # Debian has no packages that provide what this one requires.
        command = ["rpm", "--root", system.folder, "--dbpath", "/var/lib/rpm"]
        took = time_of(lambda: run(*command, "--install", "--nodeps", file))
        print(f"rpm       {mib(file)}; rpm --install took {took}")
        requires = run("rpm", "--query", "--requires", "--package", file)
        check_contains("requirements", requires, "libc.so.6(GLIBC_2.17)(64bit)")
        system.meter("/usr/bin/flowloom", PLAIN)
        run(*command, "--verify", "--nodeps", "flowloom")
        run(*command, "--erase", "flowloom")
        check("left behind", (system.folder / "usr/bin/flowloom").exists(), False)
    print("rpm       ok")


def image():
    file = the_file("flowloom-*-image.tar")
    with tempfile.TemporaryDirectory(dir=WORK, prefix="image-") as folder:
        folder = pathlib.Path(folder)
        version = file.name.removeprefix("flowloom-").removesuffix("-image.tar")
        inspected = json.loads(run("skopeo", "inspect", f"oci-archive:{file}:{version}"))
        check("version", inspected["Labels"]["org.opencontainers.image.version"], version)
        layout = folder / "layout"
        layout.mkdir()
        run("tar", "--extract", "--file", file, "--directory", layout)
        took = time_of(lambda: run("umoci", "unpack", "--image", f"{layout}:{version}", folder / "bundle"))
        print(f"image     {mib(file)}; umoci unpack took {took}")
        config = json.loads((folder / "bundle/config.json").read_text())["process"]
        check("entrypoint", config["args"], ["/usr/bin/flowloom", "--help"])
        user = config["user"]
        if not user["uid"]:
            fail("the image runs as root")
        system = System(folder / "bundle/rootfs")
        for name in ("proc", "sys", "dev"):
            (system.folder / name).mkdir(exist_ok=True)
        # chroot is that of this machine: the image has only the command.
        entry = config["args"][0]
        out, error = chroot(system, user, entry, *METER_NAMES)
        check("flows of the image", out.splitlines(), NAMED)
        check_contains("version", chroot(system, user, entry, "--version")[0], "nDPI 4.2")
        # The capability of the file is permitted, if the container has it. The program starts without it, too.
        capable = run("getcap", system.folder / "usr/bin/flowloom")
        check_contains("capability", capable, "cap_net_raw=p")
        capture_in_image(system, user, entry)
    print("image     ok")


def chroot(system, user, *command):
    line = ["chroot", f"--userspec={user['uid']}:{user['gid']}", system.folder, *command]
    done = subprocess.run(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    check(f"exit code of {command}:\n{done.stderr}", done.returncode, 0)
    return done.stdout, done.stderr


def capture_in_image(system, user, entry):
    """Captures as the image's user, whose only privilege is the capability of the file."""
    script = 'cd "$0" && mount -t proc proc proc && mount --rbind /sys sys && mount --rbind /dev dev && exec "$@"'
    with wire() as (inside, outside):
        process = subprocess.Popen(
            [
                *["ip", "netns", "exec", inside, "unshare", "--mount", "sh", "-c", script, system.folder],
                *["setpriv", "--bounding-set=-all,+net_raw,+sys_chroot,+setuid,+setgid"],
                *["chroot", f"--userspec={user['uid']}:{user['gid']}", "."],
                *[entry, "meter", "veth0", "-o", "/data/flows.csv", "--select", "dst_port,application_name"],
            ],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        try:
            lines = []
            for line in process.stderr:
                lines.append(line)
                if "capturing from veth0" in line:
                    break
            else:
                fail("".join(lines))
            run("ip", "netns", "exec", outside, "tcpreplay", "--quiet", "--pps=100", "--intf1=veth1", CAPTURE)
            time.sleep(1)
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=60)
        finally:
            process.kill()
    flows = (system.folder / "data/flows.csv").read_text().splitlines()
    check("flows of the image's capture", flows, ["dst_port,application_name", "443,TLS", "443,TLS"])


def release():
    """Checks the digests, a signature with a new key, and the SBOM."""
    run("sha256sum", "--check", "--strict", "SHA256SUMS", cwd=DIST)
    named = {line.split()[1] for line in (DIST / "SHA256SUMS").read_text().splitlines()}
    check("files in SHA256SUMS", named, {p.name for p in DIST.iterdir() if not p.name.startswith("SHA256SUMS")})
    with tempfile.TemporaryDirectory(dir=WORK) as folder:
        folder = pathlib.Path(folder)
        copy = folder / "dist"
        shutil.copytree(DIST, copy)
        run("minisign", "-G", "-W", "-p", folder / "key.pub", "-s", folder / "key")
        run("minisign", "-S", "-s", folder / "key", "-m", copy / "SHA256SUMS", input="")
        run("minisign", "-V", "-p", folder / "key.pub", "-m", copy / "SHA256SUMS")
        with (copy / "SHA256SUMS").open("a") as sums:
            sums.write("0\n")
        changed = subprocess.run(
            ["minisign", "-V", "-p", folder / "key.pub", "-m", copy / "SHA256SUMS"], capture_output=True, text=True
        )
        check("verification of changed digests", changed.returncode, 1)
    sbom()
    print("release   ok")


# Prints what is wrong with an SBOM.
VALIDATE = """
import sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
text = open(sys.argv[1]).read()
print(JsonStrictValidator(SchemaVersion.V1_5).validate_str(text) or "valid")
"""


def sbom():
    file = the_file("flowloom-*.cdx.json")
    validator = WORK / "validator"
    if not validator.exists():
        run(sys.executable, "-m", "venv", validator)
    requirements = ROOT / "tests/packages/requirements.txt"
    run(validator / "bin/pip", "install", "--quiet", "--disable-pip-version-check", "-r", requirements)
    check("SBOM against its schema", run(validator / "bin/python", "-c", VALIDATE, file).strip(), "valid")
    bom = json.loads(file.read_text())
    names = {part["name"] for part in bom["components"]}
    missing = {"libpcap", "rust-std", "wasmtime", "flowloom-core", "parquet"} - names
    if missing:
        fail(f"the SBOM lacks {missing}")
    texts = the_file("flowloom-*-THIRD-PARTY.txt").read_text()
    check_contains("licences", texts, "libpcap (BSD-3-Clause), statically linked")
    check_contains("licences", texts, "wasmtime 4")
    print(f"release   SBOM with {len(names)} components")


COMPLETE = r"""
. /usr/share/bash-completion/completions/flowloom
COMP_WORDS=(flowloom meter --idle); COMP_CWORD=2
_flowloom flowloom --idle meter
printf '%s\n' "${COMPREPLY[@]}"
"""
TESTS = {test.__name__: test for test in (wheel, deb, rpm, image, release)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("test", nargs="*", choices=[*TESTS, []], help="the default is all")
    chosen = parser.parse_args().test or list(TESTS)
    if os.geteuid():
        fail("needs root: it installs systems in chroots")
    WORK.mkdir(parents=True, exist_ok=True)
    for name in chosen:
        TESTS[name]()
    print(f"{len(chosen)} passed, 0 failed")


main()
