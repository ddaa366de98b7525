"""An S3 store and a web server on this machine, with certificates of their own authority."""

import contextlib
import http.server
import os
import socket
import ssl
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

import boto3
import trustme

BUCKET = "captures"
SECRET = "wJalrXUtnFEMIbPxRfiCYEXAMPLEKEY"


class Authority:
    """An authority, and a certificate for this machine."""

    def __init__(self, folder):
        authority = trustme.CA()
        certificate = authority.issue_cert("localhost", "127.0.0.1")
        self.authority, self.key, self.chain = (folder / name for name in ("ca.pem", "key.pem", "chain.pem"))
        authority.cert_pem.write_to_path(str(self.authority))
        certificate.private_key_pem.write_to_path(str(self.key))
        for number, pem in enumerate(certificate.cert_chain_pems):
            pem.write_to_path(str(self.chain), append=number > 0)


class Store:
    """An S3 store: moto. Buckets are lost at its end."""

    def __init__(self, authority):
        self.environment = {
            "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_REGION": "us-east-1",
            "SSL_CERT_FILE": str(authority.authority),
            # A client of this machine's own proxy would not find the store.
            "NO_PROXY": "localhost,127.0.0.1",
        }
        for _ in range(5):
            with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as free:
                port = free.getsockname()[1]
            self._process = subprocess.Popen(
                [Path(sys.executable).parent / "moto_server", "-H", "127.0.0.1", "-p", str(port)]
                + ["-c", authority.chain, "-k", authority.key],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            if self._answers(port):
                break
            self.close()
        else:
            raise RuntimeError("moto_server does not start")
        self.environment["AWS_ENDPOINT_URL"] = f"https://localhost:{port}"
        self._context = ssl.create_default_context(cafile=str(authority.authority))
        self.client = boto3.client(
            "s3",
            endpoint_url=self.environment["AWS_ENDPOINT_URL"],
            verify=str(authority.authority),
            aws_access_key_id=self.environment["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=SECRET,
            region_name="us-east-1",
        )
        self.client.create_bucket(Bucket=BUCKET)

    def _answers(self, port):
        for _ in range(600):
            if self._process.poll() is not None:
                return False
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                return True
            time.sleep(0.1)
        return False

    def put(self, key, body):
        """Write an object: bytes, or a file."""
        body = body if isinstance(body, bytes) else Path(body).read_bytes()
        self.client.put_object(Bucket=BUCKET, Key=key, Body=body)

    def get(self, key):
        """Return the bytes of an object."""
        return self.client.get_object(Bucket=BUCKET, Key=key)["Body"].read()

    def delete(self, key):
        """Delete an object."""
        self.client.delete_object(Bucket=BUCKET, Key=key)

    @contextlib.contextmanager
    def denying(self):
        """Deny all requests, as to an access key that the store does not know."""
        self._set_requests_without_check("0")
        try:
            yield
        finally:
            self._set_requests_without_check("inf")

    def _set_requests_without_check(self, count):
        request = urllib.request.Request(
            f"{self.environment['AWS_ENDPOINT_URL']}/moto-api/reset-auth",
            data=count.encode(),
            headers={"Content-Type": "text/plain"},
        )
        with urllib.request.urlopen(request, context=self._context) as answer:
            answer.read()

    def keys(self, prefix=""):
        """Return the names of objects."""
        listed = self.client.list_objects_v2(Bucket=BUCKET, Prefix=prefix)
        return [entry["Key"] for entry in listed.get("Contents", [])]

    def uploads(self):
        """Return the names of objects whose upload has begun and not ended."""
        return [entry["Key"] for entry in self.client.list_multipart_uploads(Bucket=BUCKET).get("Uploads", [])]

    def close(self):
        """End the store."""
        self._process.kill()
        self._process.wait()


class WebServer:
    """A web server whose answers are functions of the requests."""

    def __init__(self, authority):
        self.answers = {}
        self.requests = []
        web = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                web.requests.append((self.path, self.headers.get("Range"), self.headers.get("Authorization")))
                with contextlib.suppress(OSError):
                    web.answers[self.path.partition("?")[0]](self)

            def do_HEAD(self):
                self.send_error(405)

            def log_message(self, *_):
                pass

            def ranged(self, data, etag='"one"', size=None):
                """Answer with the requested range."""
                begin, _, end = self.headers["Range"].removeprefix("bytes=").partition("-")
                begin, end = int(begin), min(int(end), len(data) - 1)
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {begin}-{end}/{len(data) if size is None else size}")
                self.send_header("Content-Length", str(end + 1 - begin))
                self.send_header("ETag", etag)
                self.end_headers()
                self.wfile.write(data[begin : end + 1])

            def redirect(self, url):
                """Answer with another address."""
                self.send_response(302)
                self.send_header("Location", url)
                self.send_header("Content-Length", "0")
                self.end_headers()

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(authority.chain, authority.key)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def url(self, path, host="localhost"):
        """Return the URL of a path."""
        return f"https://{host}:{self.port}{path}"

    def close(self):
        """End the server."""
        self._server.shutdown()
        self._server.server_close()


