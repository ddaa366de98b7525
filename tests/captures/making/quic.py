"""A QUIC server that echoes, and a client that talks to it; needs aioquic.

python3 quic.py server CERTIFICATE KEY
python3 quic.py client
"""

from __future__ import annotations

import asyncio
import ssl
import sys

from aioquic.asyncio.client import connect
from aioquic.asyncio.server import serve
from aioquic.quic.configuration import QuicConfiguration

ADDRESS = ("192.0.2.2", 443)
PROTOCOLS = ["h3"]


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send back what comes in, ten times over."""
    writer.write(await reader.read() * 10)
    writer.write_eof()


async def run_server(certificate: str, key: str) -> None:
    settings = QuicConfiguration(is_client=False, alpn_protocols=PROTOCOLS)
    settings.load_cert_chain(certificate, key)

    answers = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answers.add(asyncio.ensure_future(echo(reader, writer)))

    await serve(*ADDRESS, configuration=settings, stream_handler=accept)
    await asyncio.Event().wait()


async def run_client() -> None:
    settings = QuicConfiguration(
        is_client=True,
        alpn_protocols=PROTOCOLS,
        server_name="www.example.com",
        verify_mode=ssl.CERT_NONE,
    )
    async with connect(*ADDRESS, configuration=settings) as connection:
        reader, writer = await connection.create_stream()
        writer.write(b"a loom weaves threads into cloth. " * 20)
        writer.write_eof()
        await reader.read()


if __name__ == "__main__":
    if sys.argv[1] == "server":
        asyncio.run(run_server(sys.argv[2], sys.argv[3]))
    else:
        asyncio.run(run_client())
