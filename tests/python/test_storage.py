"""Sources and outputs in stores: an S3 store, and a web server that cheats."""

import gzip
import io
import json
import os
import signal
import subprocess
import threading
import time

import flowloom
import pyarrow.parquet
import pytest
from conftest import CAPTURES
from stores import BUCKET, SECRET, Authority, Store, WebServer

NAMES = ["dns.pcap", "http.pcap", "ipv6.pcap", "dns.pcapng"]
NAMES = [name for name in NAMES if (CAPTURES / name).exists()]
FOLDER = f"s3://{BUCKET}/day/"
# The bytes of a request.
RANGE = 8 << 20


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def running(authority):
    store = Store(authority)
    for name in NAMES:
        store.put(f"day/{name}", CAPTURES / name)
    store.put("day/notes.txt", b"no capture")
    store.put("day/.hidden/dns.pcap", CAPTURES / "dns.pcap")
    store.put("empty.pcap", b"")
    yield store
    store.close()


@pytest.fixture
def store(running, monkeypatch):
    for name, value in running.environment.items():
        monkeypatch.setenv(name, value)
    return running


@pytest.fixture
def web(authority, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.authority))
    monkeypatch.setenv("NO_PROXY", "localhost,127.0.0.1")
    server = WebServer(authority)
    yield server
    server.close()


@pytest.fixture
def command(flowloom_command):
    """Return a function that runs the command, and returns its exit code and both outputs."""

    def run(*arguments):
        run = subprocess.run([flowloom_command, *arguments], check=False, capture_output=True, text=True, timeout=120)
        return run.returncode, run.stdout, run.stderr

    return run


def rows(flows):
    return sorted(flows, key=lambda row: (row["capture"], row["id"]))


def local(**parameters):
    return flowloom.meter([CAPTURES / name for name in sorted(NAMES)], **parameters)


def capture_of(packets, length=500):
    """Return a capture of one UDP flow, or of a flow for each port of an iterable."""
    ports = [1] * packets if isinstance(packets, int) else packets
    payload = bytes(length)
    head = bytes.fromhex("d4c3b2a1020004000000000000000000ffff000001000000")
    frame = bytes(12) + b"\x08\x00" + b"\x45\x00" + (28 + length).to_bytes(2, "big") + bytes(4) + b"\x40\x11\0\0"
    frame += bytes([192, 0, 2, 1, 192, 0, 2, 2])
    record = bytes(8) + (len(frame) + 8 + length).to_bytes(4, "little") * 2
    tail = b"\0\x09" + (8 + length).to_bytes(2, "big") + b"\0\0" + payload
    return head + b"".join([record + frame + port.to_bytes(2, "big") + tail for port in ports])


# S3


def test_a_folder_of_a_store_has_the_flows_of_a_folder_of_files(store):
    parameters = {"statistical_analysis": True, "splt_analysis": 5, "source_file": True}
    found = [dict(flow) for flow in flowloom.meter(FOLDER, **parameters)]
    expected = [dict(flow) for flow in local(**parameters)]
    assert {row["source_file"] for row in found} == {FOLDER + name for name in NAMES}
    for row in [*found, *expected]:
        row["source_file"] = os.path.basename(row["source_file"])
    assert rows(found) == rows(expected)


def test_a_pattern_stands_for_objects(store, command):
    code, out, errors = command("meter", f"s3://{BUCKET}/d*/dns.pca*", "--source-file", "--format", "jsonl", "-q")
    assert (code, errors) == (0, "")
    names = [name for name in NAMES if name.startswith("dns.pca")]
    assert {json.loads(line)["source_file"] for line in out.splitlines()} == {FOLDER + name for name in names}
    # Hidden names need a dot.
    assert flowloom.plan(f"s3://{BUCKET}/**/dns.pcap").tasks[0].files == [FOLDER + "dns.pcap"]
    assert flowloom.plan(f"s3://{BUCKET}/day/.*/dns.pcap").tasks[0].files == [FOLDER + ".hidden/dns.pcap"]


def test_the_command_reads_and_writes_objects(store, command, metered):
    code, _, errors = command("meter", f"{FOLDER}dns.pcap", "-o", f"s3://{BUCKET}/out/flows.parquet")
    assert (code, "flows" in errors) == (0, True)
    table = pyarrow.parquet.read_table(io.BytesIO(store.get("out/flows.parquet")))
    assert table.num_rows == len(metered(CAPTURES / "dns.pcap"))
    code, _, errors = command("meter", FOLDER, "-o", f"s3://{BUCKET}/out/flows.csv.gz", "-q")
    assert (code, errors) == (0, "")
    assert store.get("out/flows.csv.gz")[:2] == b"\x1f\x8b"


def test_a_large_object_is_read_in_ranges(store):
    data = capture_of(50_000)
    assert len(data) > 3 * RANGE
    store.put("large.pcap", data)
    store.put("large.pcap.gz", gzip.compress(data, 1))
    for name in ("large.pcap", "large.pcap.gz"):
        table = flowloom.meter(f"s3://{BUCKET}/{name}").to_arrow()
        assert table["bidirectional_packets"].to_pylist() == [50_000]


def test_a_large_output_is_uploaded_in_parts(store, tmp_path):
    (tmp_path / "ports.pcap").write_bytes(capture_of(range(1, 30_001), length=0))
    flows = flowloom.meter(tmp_path / "ports.pcap", n_dissections=0)
    count = flows.write_jsonl(f"s3://{BUCKET}/out/large.jsonl")
    assert count == 30_000
    data = store.get("out/large.jsonl")
    assert len(data) > 16 << 20
    assert data.count(b"\n") == count
    assert store.uploads() == []


def test_an_output_appears_when_it_is_complete(store):
    flows = flowloom.meter([CAPTURES / "dns.pcap", CAPTURES / "cut.pcap"])
    with pytest.warns(flowloom.CaptureWarning):
        flows.write_parquet(f"s3://{BUCKET}/out/cut.parquet")
    assert "out/cut.parquet" in store.keys()
    with pytest.raises(flowloom.FlowloomError):
        flowloom.meter(CAPTURES / "dns.pcap", where="nothing = 1").write_csv(f"s3://{BUCKET}/out/wrong.csv")
    assert "out/wrong.csv" not in store.keys()


def test_a_plan_has_the_versions_of_objects_and_no_secrets(store, command, tmp_path):
    plan = flowloom.plan(FOLDER, task_bytes=1)
    assert len(plan.tasks) == len(NAMES)
    text = "".join(task.to_json() for task in plan.tasks)
    assert SECRET not in text
    assert "AKIA" not in text
    assert all(json.loads(task.to_json())["files"][0]["etag"] for task in plan.tasks)
    found = [row for task in plan.tasks for row in task.flows().to_arrow().to_pylist()]
    assert rows(found) == rows(local().to_arrow().to_pylist())
    file = tmp_path / "task.json"
    file.write_text(plan.tasks[0].to_json())
    code, _, errors = command("run-task", str(file), "-o", f"s3://{BUCKET}/out/task.parquet", "-q")
    assert (code, errors) == (0, "")
    table = pyarrow.parquet.read_table(io.BytesIO(store.get("out/task.parquet")))
    assert table.num_rows == plan.tasks[0].flows().to_arrow().num_rows


def test_a_second_plan_of_a_folder_is_a_list(store, tmp_path):
    cache = tmp_path / "cache"
    first = flowloom.plan(FOLDER, file_cache=cache)
    text = (cache / "files.json").read_text()
    assert SECRET not in text
    known = json.loads(text)["files"]
    assert set(known) == {FOLDER + name for name in NAMES}
    # What is remembered is used: a wrong time of a first packet is in the plan.
    known[FOLDER + "dns.pcap"]["first"][0] = 7
    (cache / "files.json").write_text(json.dumps({"version": 1, "files": known}))
    second = flowloom.plan(FOLDER, file_cache=cache)
    times = [json.loads(task.to_json())["files"] for task in second.tasks]
    assert 7 in [file["first_ns"] for files in times for file in files]
    assert second.captures == first.captures
    store.put("day/dns.pcap", (CAPTURES / "dns.pcap").read_bytes() + (CAPTURES / "dns.pcap").read_bytes()[24:])
    third = flowloom.plan(FOLDER, file_cache=cache)
    store.put("day/dns.pcap", CAPTURES / "dns.pcap")
    files = [file for task in third.tasks for file in json.loads(task.to_json())["files"]]
    assert 7 not in [file["first_ns"] for file in files]


def test_an_object_that_has_changed_since_the_plan_fails_its_task(store):
    data = (CAPTURES / "dns.pcap").read_bytes()
    store.put("changing/dns.pcap", data)
    (task,) = flowloom.plan(f"s3://{BUCKET}/changing/").tasks
    store.put("changing/dns.pcap", data[:-1] + b"x")
    with pytest.raises(flowloom.CaptureError, match="changing/dns.pcap': it has changed since the run was planned"):
        task.flows().to_arrow()
    store.put("changing/dns.pcap", data + b"x")
    with pytest.raises(flowloom.CaptureError, match="bytes, and had"):
        task.flows().to_arrow()


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (f"s3://{BUCKET}/nothing.pcap", "there is no such object, NoSuchKey; a folder ends with '/'"),
        (f"s3://{BUCKET}/day/x*.pcap", "no object matches"),
        (f"s3://{BUCKET}/nothing/", "it contains no captures"),
        ("s3://absent/", "there is no such bucket, NoSuchBucket"),
        (f"s3://{BUCKET}/empty.pcap", "the file is empty"),
        (f"s3://{BUCKET}/day/notes.txt", "it is not a capture"),
        (f"s3://id:secret@{BUCKET}/x.pcap", "must not contain a user name or a password"),
        (f"s3://{BUCKET}/x.pcap?secret", "a URL of this scheme has no query string"),
        ("http://localhost/x.pcap", "http is not encrypted"),
        ("ftp://localhost/x.pcap", "the scheme of the URL is unknown"),
    ],
)
def test_an_error_names_the_object_and_the_way_out(store, source, message):
    with pytest.raises(flowloom.CaptureError) as error:
        flowloom.meter(source).to_arrow()
    text = str(error.value)
    assert message in text
    assert "secret" not in text
    assert SECRET not in text
    assert source.partition("?")[0].replace("id:secret@", "") in text


def test_wrong_credentials_are_an_error_before_packets_are_metered(store, monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    # A machine of a cloud asks this address for credentials.
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", "https://localhost:1/169.254.170.2")
    with pytest.raises(flowloom.CaptureError, match="there are no credentials in the environment"):
        flowloom.meter(FOLDER).to_arrow()


def test_an_endpoint_without_encryption_needs_a_word(store, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", store.environment["AWS_ENDPOINT_URL"].replace("https", "http"))
    with pytest.raises(flowloom.CaptureError, match="set AWS_ALLOW_HTTP=true"):
        flowloom.meter(FOLDER).to_arrow()


def test_an_unknown_authority_is_not_trusted(store, monkeypatch):
    monkeypatch.delenv("SSL_CERT_FILE")
    with pytest.raises(flowloom.CaptureError, match="name its certificate in SSL_CERT_FILE"):
        flowloom.meter(FOLDER).to_arrow()


@pytest.mark.parametrize(
    ("output", "options", "message"),
    [
        ("out/x.parquet", ["--append"], "--append: an object is one file"),
        ("out/x.csv", ["--flows-per-file", "5"], "--flows-per-file 5: an object is one file"),
        ("out/x.csv", ["--rotate-interval", "5min"], "--rotate-interval: an object is one file"),
        ("out/", [], "it is a folder; give the name of an object"),
        ("day/dns.pcap", ["--format", "csv"], "is both a source and the output"),
    ],
)
def test_an_output_that_is_not_one_object_is_refused(store, command, output, options, message):
    code, _, errors = command("meter", f"{FOLDER}dns.pcap", "-o", f"s3://{BUCKET}/{output}", *options)
    assert code in (1, 2)
    assert message in errors
    assert store.get("day/dns.pcap") == (CAPTURES / "dns.pcap").read_bytes()


def test_an_output_whose_store_fails_ends_the_run(authority, flowloom_command, monkeypatch):
    store = Store(authority)
    for name, value in store.environment.items():
        monkeypatch.setenv(name, value)
    arguments = [flowloom_command, "meter", "-", "-o", f"s3://{BUCKET}/out.jsonl"]
    run = subprocess.Popen(arguments, stdin=subprocess.PIPE, stderr=subprocess.PIPE)
    run.stdin.write((CAPTURES / "dns.pcap").read_bytes())
    run.stdin.flush()
    time.sleep(1)
    assert store.keys() == []
    store.close()
    _, errors = run.communicate(timeout=60)
    assert run.returncode == 1
    assert f"cannot write to 's3://{BUCKET}/out.jsonl': ".encode() in errors


def test_an_existing_object_is_kept_if_it_must_not_be_replaced(store, command):
    store.put("out/kept.csv", b"kept")
    code, _, errors = command("meter", str(CAPTURES / "dns.pcap"), "-o", f"s3://{BUCKET}/out/kept.csv", "--no-clobber")
    assert (code, "it exists" in errors) == (1, True)
    assert store.get("out/kept.csv") == b"kept"


def test_a_file_url_is_a_path(tmp_path):
    path = tmp_path / "a b.pcap"
    path.write_bytes((CAPTURES / "dns.pcap").read_bytes())
    assert flowloom.meter(path.as_uri()).to_arrow() == flowloom.meter(path).to_arrow()
    flowloom.meter(path).write_csv((tmp_path / "flows.csv").as_uri())
    assert (tmp_path / "flows.csv").exists()


# A web server


def test_a_file_of_a_web_server_is_metered(web):
    data = capture_of(50_000)
    web.answers["/a%20b.pcap"] = lambda request: request.ranged(data)
    table = flowloom.meter(web.url("/a%20b.pcap"), source_file=True).to_arrow()
    assert table["bidirectional_packets"].to_pylist() == [50_000]
    assert table["source_file"].to_pylist() == [web.url("/a%20b.pcap")]
    # The head, the rest of it in ranges, and no credentials.
    assert len(web.requests) >= 4
    assert all(authorization is None for _, _, authorization in web.requests)


def test_a_query_string_is_sent_and_shown_nowhere(web, command, tmp_path, monkeypatch):
    monkeypatch.setenv("FLOWLOOM_LOG", "trace")
    data = (CAPTURES / "dns.pcap").read_bytes()

    def answer(request):
        if request.path.endswith("?sig=topsecret"):
            request.ranged(data)
        else:
            request.send_error(403)

    web.answers["/dns.pcap"] = answer
    url = web.url("/dns.pcap?sig=topsecret")
    output = tmp_path / "flows.parquet"
    code, out, errors = command(
        "meter", url, "-o", str(output), "--source-file", "--flow-uid", "--capture-digests", "-vv"
    )
    assert (code, out) == (0, "")
    assert pyarrow.parquet.read_table(output)["source_file"][0].as_py() == web.url("/dns.pcap")
    written = output.read_bytes() + errors.encode()
    assert b"topsecret" not in written
    assert b"dns.pcap" in written
    assert "topsecret" not in repr(flowloom.meter(url))
    for wrong in ("/dns.pcap?sig=topsecret2", "/gone.pcap?sig=topsecret"):
        web.answers["/gone.pcap"] = lambda request: request.send_error(500, "GET ?sig=topsecret")
        code, _, errors = command("meter", web.url(wrong))
        assert code == 1
        assert "topsecret" not in errors
    code, _, errors = command("plan", url)
    assert code == 1
    assert "a task contains no secrets" in errors
    assert "topsecret" not in errors


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("https://127.0.0.1:{port}/dns.pcap", "redirects to an address of this machine"),
        ("https://[::1]:{port}/dns.pcap", "redirects to an address of this machine"),
        ("https://169.254.169.254/latest", "redirects to an address of this machine"),
        ("https://2130706433/dns.pcap", "redirects to an address of this machine"),
        ("http://localhost:{port}/dns.pcap", "redirects to a URL that is not https"),
        ("file:///etc/passwd", "HTTP status 302"),
        ("https://localhost:{port}/redirect.pcap", "redirects too often"),
    ],
)
def test_a_redirection_to_this_machine_is_not_followed(web, target, message):
    web.answers["/redirect.pcap"] = lambda request: request.redirect(target.format(port=web.port))
    web.answers["/dns.pcap"] = lambda request: request.ranged((CAPTURES / "dns.pcap").read_bytes())
    with pytest.raises(flowloom.CaptureError) as error:
        flowloom.meter(web.url("/redirect.pcap")).to_arrow()
    assert message in str(error.value), error.value
    assert not any(path == "/dns.pcap" for path, _, _ in web.requests)


def test_a_redirection_of_the_same_server_is_followed(web):
    web.answers["/latest.pcap"] = lambda request: request.redirect(web.url("/dns.pcap"))
    web.answers["/dns.pcap"] = lambda request: request.ranged((CAPTURES / "dns.pcap").read_bytes())
    assert flowloom.meter(web.url("/latest.pcap")).to_arrow() == flowloom.meter(CAPTURES / "dns.pcap").to_arrow()


def endless(request):
    """Answer with more bytes than were requested."""
    request.send_response(206)
    request.send_header("Content-Range", "bytes 0-65535/1000000")
    request.send_header("Content-Length", str(10**15))
    request.end_headers()
    while True:
        request.wfile.write(bytes(65_536))


def endless_error(request):
    """Answer with an error whose text does not end."""
    request.send_response(400)
    request.send_header("Transfer-Encoding", "chunked")
    request.end_headers()
    while True:
        request.wfile.write(b"10000\r\n" + b"\x1b" * 65_536 + b"\r\n")


def without_ranges(request):
    """Answer with the whole file."""
    request.send_response(200)
    request.send_header("Content-Length", "10")
    request.end_headers()
    request.wfile.write(bytes(10))


def of_size(size):
    """Return an answer that claims a size."""
    return lambda request: request.ranged(bytes(70_000), size=size)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (endless, "length limit"),
        (endless_error, "HTTP status 400|length limit"),
        (without_ranges, "does not return parts of files"),
        (of_size((1 << 64) - 1), "at most 8 TiB are read"),
        (of_size(1 << 40), "it is not a capture"),
        (of_size("x"), "Failed to parse value"),
        (of_size(-1), "Failed to parse value"),
    ],
)
def test_a_server_that_cheats_is_an_error(web, answer, message):
    web.answers["/x.pcap"] = answer
    begin = time.monotonic()
    with pytest.raises(flowloom.CaptureError, match=message) as error:
        flowloom.meter(web.url("/x.pcap")).to_arrow()
    assert "\x1b" not in str(error.value)
    assert time.monotonic() - begin < 60


def test_bytes_that_do_not_arrive_are_requested_again(web):
    data, failures = capture_of(50_000), []

    def answer(request):
        begin, end = map(int, request.headers["Range"].removeprefix("bytes=").split("-"))
        if begin >= RANGE and len(failures) < 3:
            failures.append(begin)
            if len(failures) == 1:
                request.send_error(503)
            else:
                # The connection ends in the middle of the answer.
                request.send_response(206)
                request.send_header("Content-Range", f"bytes {begin}-{end}/{len(data)}")
                request.send_header("Content-Length", str(end + 1 - begin))
                request.send_header("ETag", '"one"')
                request.end_headers()
                request.wfile.write(data[begin : begin + 1_000])
                request.close_connection = True
        else:
            request.ranged(data)

    web.answers["/x.pcap"] = answer
    table = flowloom.meter(web.url("/x.pcap")).to_arrow()
    assert table["bidirectional_packets"].to_pylist() == [50_000]
    assert len(failures) == 3


def test_a_run_ends_though_a_server_is_silent(web, flowloom_command, tmp_path):
    data, silent = capture_of(50_000), threading.Event()

    def answer(request):
        if int(request.headers["Range"].removeprefix("bytes=").split("-")[0]) < RANGE:
            request.ranged(data)
        else:
            silent.set()
            time.sleep(20)

    web.answers["/x.pcap"] = answer
    output = tmp_path / "flows.jsonl"
    run = subprocess.Popen([flowloom_command, "meter", web.url("/x.pcap"), "-o", output], stderr=subprocess.PIPE, text=True)
    assert silent.wait(30)
    time.sleep(1)
    run.send_signal(signal.SIGINT)
    _, errors = run.communicate(timeout=15)
    # The flows up to there are kept.
    packets = json.loads(output.read_text())["bidirectional_packets"]
    assert (run.returncode, packets) == (0, (RANGE - 24) // (len(capture_of(1)) - 24)), errors


def test_a_file_that_changes_while_it_is_read_is_damaged_there(web):
    data = capture_of(50_000)

    def answer(request):
        # The first range is of the version that was opened.
        version = '"two"' if int(request.headers["Range"].removeprefix("bytes=").split("-")[0]) > 0 else '"one"'
        if request.headers.get("If-Match") not in (None, version):
            request.send_error(412)
        else:
            request.ranged(data, etag=version)

    web.answers["/x.pcap"] = answer
    with pytest.warns(flowloom.CaptureWarning, match="the object has changed"):
        table = flowloom.meter(web.url("/x.pcap")).to_arrow()
    assert table["bidirectional_packets"].to_pylist() == [(RANGE - 24) // (len(capture_of(1)) - 24)]
