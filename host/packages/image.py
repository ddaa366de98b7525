#!/usr/bin/env python3
"""Writes an OCI image, as a tar file of an OCI image layout, without a daemon: image.py VERSION PROGRAM FILE

The image has two layers: Debian's C library and nDPI with its libraries, and Flowloom. It has no shell. The same
inputs and SOURCE_DATE_EPOCH give the same bytes. Debian's umoci can only add layers to an image as they are in a
folder, with the times of the folder; nothing else in Debian 12 makes images without the privileges of a container.
"""

import gzip
import hashlib
import io
import json
import os
import pathlib
import subprocess
import sys
import tarfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
FOLDER = ROOT / "target/packages/image"
PACKAGES = ["libc6", "libgcrypt20", "libgpg-error0", "libndpi4.2"]
# What the libraries are for when there is a system around them.
UNUSED = ("/gconv/", "/audit/", "/libc.so.6.d/", "/lintian/", "/ld.so.conf.d/")
# Nobody else has this number in the images of Debian and of distroless.
UID = 65532
# `capability` of a file, revision 2: permitted CAP_NET_RAW (13). Not effective: Flowloom makes it effective, and the
# program also starts where the container does not have it.
NET_RAW = b"\x00\x00\x00\x02" + (1 << 13).to_bytes(4, "little") + bytes(12)


class Layer:
    """Files of a layer, by path."""

    def __init__(self, epoch):
        self.epoch = epoch
        self.members = {}

    def add(self, path, content=b"", kind=tarfile.REGTYPE, mode=0o644, link="", uid=0, pax=None):
        info = tarfile.TarInfo(path)
        info.type, info.mode, info.linkname, info.mtime = kind, mode, link, self.epoch
        info.uid = info.gid = uid
        info.size = len(content) if kind == tarfile.REGTYPE else 0
        info.pax_headers = pax or {}
        for parent in pathlib.PurePosixPath(path).parents:
            if str(parent) not in self.members and str(parent) != ".":
                self.folder(str(parent))
        self.members[path] = (info, content)

    def folder(self, path, mode=0o755, uid=0):
        self.add(path, kind=tarfile.DIRTYPE, mode=mode, uid=uid)

    def tar(self):
        data = io.BytesIO()
        with tarfile.open(fileobj=data, mode="w", format=tarfile.PAX_FORMAT) as archive:
            for _, (info, content) in sorted(self.members.items()):
                archive.addfile(info, io.BytesIO(content))
        return data.getvalue()


def run(*command, **options):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, **options).stdout


def debian(layer):
    """Adds the libraries of Debian's packages, with their licences and what scanners read. Returns the versions."""
    debs = FOLDER / "debs"
    debs.mkdir(parents=True, exist_ok=True)
    for old in debs.glob("*.deb"):
        old.unlink()
    run("apt-get", "-q", "-q", "-o", "APT::Sandbox::User=root", "download", *PACKAGES, cwd=debs)
    versions = {}
    for deb in sorted(debs.glob("*.deb")):
        control = run("dpkg-deb", "--field", deb)
        fields = dict(line.split(": ", 1) for line in control.decode().splitlines() if ": " in line and line[0] != " ")
        name = fields["Package"]
        versions[name] = fields["Version"]
        layer.add(f"var/lib/dpkg/status.d/{name}", control)
        archive = tarfile.open(fileobj=io.BytesIO(run("dpkg-deb", "--fsys-tarfile", deb)))
        for member in archive:
            path = member.name.removeprefix("./")
            is_library = ".so" in pathlib.PurePosixPath(path).name or "/ld-" in path
            if any(part in f"/{path}" for part in UNUSED) or not (is_library or path.endswith("/copyright")):
                continue
            if member.isfile():
                layer.add(path, archive.extractfile(member).read(), mode=member.mode)
            elif member.issym():
                layer.add(path, kind=tarfile.SYMTYPE, mode=0o777, link=member.linkname)
    missing = set(PACKAGES) - set(versions)
    if missing:
        sys.exit(f"image.py: apt-get did not download {', '.join(sorted(missing))}")
    os_release = {"ID": "debian", "VERSION_ID": run("sh", "-c", ". /etc/os-release; echo $VERSION_ID").decode().strip()}
    layer.add("etc/os-release", "".join(f"{key}={value}\n" for key, value in os_release.items()).encode())
    layer.add("etc/passwd", f"root:x:0:0::/:\nnobody:x:65534:65534::/:\nflowloom:x:{UID}:{UID}::/data:\n".encode())
    layer.add("etc/group", f"root:x:0:\nnogroup:x:65534:\nflowloom:x:{UID}:\n".encode())
    layer.folder("tmp", mode=0o1777)
    layer.folder("data", uid=UID)
    return versions


class Layout:
    """An OCI image layout: blobs by their digests."""

    def __init__(self):
        self.files = {"oci-layout": json.dumps({"imageLayoutVersion": "1.0.0"}).encode()}

    def blob(self, kind, content):
        """Adds a blob, and returns its descriptor."""
        digest = hashlib.sha256(content).hexdigest()
        self.files[f"blobs/sha256/{digest}"] = content
        return {"mediaType": kind, "digest": f"sha256:{digest}", "size": len(content)}

    def json(self, kind, value):
        return self.blob(kind, json.dumps(value, sort_keys=True).encode())


def main():
    version, program, target = sys.argv[1:]
    epoch = int(os.environ["SOURCE_DATE_EPOCH"])
    created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(epoch))
    libraries, command = Layer(epoch), Layer(epoch)
    versions = debian(libraries)
    command.add(
        "usr/bin/flowloom",
        pathlib.Path(program).read_bytes(),
        mode=0o755,
        pax={"SCHILY.xattr.security.capability": NET_RAW.decode()},
    )
    documents = ROOT / "target/packages/documents"
    for document in sorted(path for path in documents.rglob("*") if path.is_file()):
        command.add(f"usr/share/doc/flowloom/{document.relative_to(documents)}", document.read_bytes())

    layout = Layout()
    layers, digests = [], []
    for layer in (libraries, command):
        tar = layer.tar()
        digests.append("sha256:" + hashlib.sha256(tar).hexdigest())
        layers.append(
            layout.blob("application/vnd.oci.image.layer.v1.tar+gzip", gzip.compress(tar, compresslevel=9, mtime=0))
        )
    labels = {
        "org.opencontainers.image.title": "flowloom",
        "org.opencontainers.image.description": "Turns network packets into flows, with WebAssembly plugins",
        "org.opencontainers.image.version": version,
        "org.opencontainers.image.licenses": "MIT OR Apache-2.0",
        "org.opencontainers.image.revision": os.environ.get("REVISION", ""),
        "org.opencontainers.image.created": created,
    }
    config = layout.json(
        "application/vnd.oci.image.config.v1+json",
        {
            "architecture": "amd64",
            "os": "linux",
            "created": created,
            "config": {
                "User": f"{UID}:{UID}",
                "WorkingDir": "/data",
                "Env": ["PATH=/usr/bin"],
                "Entrypoint": ["/usr/bin/flowloom"],
                "Cmd": ["--help"],
                "Labels": labels,
            },
            "rootfs": {"type": "layers", "diff_ids": digests},
            "history": [
                {"created": created, "created_by": "Debian: " + ", ".join(f"{n} {v}" for n, v in versions.items())},
                {"created": created, "created_by": f"flowloom {version}"},
            ],
        },
    )
    manifest = layout.json(
        "application/vnd.oci.image.manifest.v1+json",
        {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": config,
            "layers": layers,
            "annotations": labels,
        },
    )
    manifest["platform"] = {"architecture": "amd64", "os": "linux"}
    manifest["annotations"] = {"org.opencontainers.image.ref.name": version}
    index = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [manifest],
    }
    layout.files["index.json"] = json.dumps(index, sort_keys=True).encode()

    archive = Layer(epoch)
    for path, content in layout.files.items():
        archive.add(path, content)
    pathlib.Path(target).write_bytes(archive.tar())


main()
