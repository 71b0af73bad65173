# SPDX-License-Identifier: GPL-2.0-only
"""Mixed load on a service: keep-alive and new HTTP connections, a long download, UDP echo.

The tests use class Load, which runs this file on the client. It ends when its input is closed, and
prints what came of it as one JSON document. Request rates are bounded: the point is that nothing
fails, not how much it is.
"""

import asyncio
import hashlib
import json
import re
import socket
import subprocess
import sys
import time

from network import SERVICE

KEEP_ALIVE = 10  # connections that stay, each with a request every 20 ms
NEW = 4          # clients that connect for each request, as often
TALKERS = 4      # UDP flows, as often
PERIOD = 0.02
PATIENCE = 10    # seconds until an answer counts as failed
BLOB = 150_000   # bytes; every tenth request on a kept connection asks for it
DOWNLOAD = 40_000_000
CHUNK = 65536

BODY = re.compile(rb"backend-\d+ [0-9.]+:\d+ client=[0-9.]+:\d+\n")


def content(length):
    """The same for both sides, and nowhere twice the same within."""
    block = b"".join(hashlib.sha256(b"%d" % number).digest() for number in range(length // 32 + 1))
    return block[:length]


# ---- for the test ----


class Load:
    """A load that runs from `with` to end(). lab.serve() must have been called before."""

    def __init__(self, lab, seconds, big, to=SERVICE, echo=None):
        (big / "blob").write_bytes(content(BLOB))
        (big / "download").write_bytes(content(DOWNLOAD))
        self.process = lab.popen(
            "client", sys.executable, __file__, *map(str, to), *map(str, echo or to), seconds,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.result = None

    def __enter__(self):
        assert self.process.stdout.readline() == b"ready\n"
        return self

    def __exit__(self, *error):
        if self.result is None:
            self.end()

    def end(self):
        """Ends it and returns its numbers; downloads that run are finished before."""
        output, _ = self.process.communicate(timeout=60)
        self.result = json.loads(output)
        print("load:", json.dumps(self.result, indent=1))
        assert self.process.returncode == 0
        return self.result

    def end_clean(self, longest_gap=2):
        """Ends it; nothing may have failed, nothing been corrupted."""
        result = self.end()
        assert result["failures"] == 0 and result["corrupted"] == 0, result["errors"]
        assert all(kind["requests"] for kind in result["kinds"].values())
        assert result["longest_gap_s"] < longest_gap
        return result


# ---- the process on the client ----


class Counts:
    def __init__(self):
        self.kinds = {}
        self.errors = []
        self.last = time.monotonic()
        self.longest_gap = 0

    def note(self, kind, since, error=None, corrupted=False):
        now = time.monotonic()
        row = self.kinds.setdefault(kind, {"requests": 0, "failures": 0, "corrupted": 0,
                                           "slowest_s": 0})
        row["requests"] += 1
        row["failures"] += error is not None
        row["corrupted"] += corrupted
        if error or corrupted:
            self.errors.append(f"{kind}: {error or 'corrupted'}")
        else:
            row["slowest_s"] = max(row["slowest_s"], round(now - since, 3))
            self.longest_gap = max(self.longest_gap, now - self.last)
            self.last = now

    def document(self):
        rows = self.kinds.values()
        return {"requests": sum(row["requests"] for row in rows),
                "failures": sum(row["failures"] for row in rows),
                "corrupted": sum(row["corrupted"] for row in rows),
                "longest_gap_s": round(self.longest_gap, 3),
                "kinds": self.kinds, "errors": self.errors[:20]}


class Client:
    def __init__(self, http, echo, seconds):
        self.http = http
        self.echo = echo
        self.seconds = seconds
        self.blob = content(BLOB)
        self.download_sum = hashlib.sha256(content(DOWNLOAD)).digest()
        self.counts = Counts()
        self.over = asyncio.Event()

    async def ask(self, stream, path):
        """Sends a request; returns the length of the answer's body, which comes next."""
        reader, writer = stream
        writer.write(f"GET {path} HTTP/1.1\r\nHost: weir\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200 "):
            raise ValueError(f"answer {head[:40]!r}")
        return int(re.search(rb"\r\nContent-Length: (\d+)\r\n", head)[1])

    async def visit(self, kind, stream, path):
        """One request; connects first if there is no stream. Returns the stream, None: it broke."""
        since = time.monotonic()
        try:
            async with asyncio.timeout(PATIENCE):
                stream = stream or await asyncio.open_connection(*self.http)
                body = await stream[0].readexactly(await self.ask(stream, path))
        except Exception as error:
            self.counts.note(kind, since, repr(error))
            if stream:
                stream[1].transport.abort()
            return None
        good = body == self.blob if path == "/big/blob" else BODY.fullmatch(body)
        self.counts.note(kind, since, corrupted=not good)
        return stream

    async def keep_alive(self):
        stream = None
        number = 0
        while not self.over.is_set():
            stream = await self.visit("keep_alive", stream, "/" if number % 10 else "/big/blob")
            number += 1
            await asyncio.sleep(PERIOD)
        if stream:
            stream[1].close()

    async def new(self):
        while not self.over.is_set():
            stream = await self.visit("new", None, "/")
            if stream:
                stream[1].close()
            await asyncio.sleep(PERIOD)

    async def receive(self, stream, length, began):
        """In even pieces, so that a download takes as long as the test does."""
        digest = hashlib.sha256()
        done = 0
        while done < length:
            async with asyncio.timeout(PATIENCE):
                data = await stream[0].read(min(CHUNK, length - done))
            if not data:
                raise ConnectionError(f"closed after {done} of {length} bytes")
            digest.update(data)
            done += len(data)
            ahead = began + self.seconds * done / length - time.monotonic()
            if ahead > 0 and not self.over.is_set():
                await asyncio.sleep(min(ahead, 0.1))
        return digest.digest()

    async def download(self):
        while not self.over.is_set():
            since = time.monotonic()
            try:
                stream = await asyncio.open_connection(*self.http, limit=CHUNK)
                length = await self.ask(stream, "/big/download")
                got = await self.receive(stream, length, since)
                stream[1].close()
            except Exception as error:
                self.counts.note("download", since, repr(error))
                await asyncio.sleep(PERIOD)
            else:
                self.counts.note("download", since, corrupted=got != self.download_sum)

    async def talk(self, first):
        loop = asyncio.get_running_loop()
        talker = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        talker.setblocking(False)
        talker.connect(self.echo)
        number = 0
        while not self.over.is_set():
            since = time.monotonic()
            wanted = b"%d-%d " % (first, number) + bytes(number % 900)
            number += 1
            try:
                await loop.sock_sendall(talker, wanted)
                got = await asyncio.wait_for(loop.sock_recv(talker, 2000), PATIENCE)
            except (OSError, TimeoutError) as error:
                self.counts.note("udp", since, repr(error))
            else:
                self.counts.note("udp", since, corrupted=got != wanted)
            await asyncio.sleep(PERIOD)
        talker.close()

    async def run(self):
        loop = asyncio.get_running_loop()
        loop.run_in_executor(None, lambda: (sys.stdin.read(), loop.call_soon_threadsafe(
            self.over.set)))
        print("ready", flush=True)
        await asyncio.gather(
            *(self.keep_alive() for _ in range(KEEP_ALIVE)), *(self.new() for _ in range(NEW)),
            self.download(), *(self.talk(number) for number in range(TALKERS)))
        return self.counts.document()


def main():
    http, http_port, echo, echo_port, seconds = sys.argv[1:]
    client = Client((http, int(http_port)), (echo, int(echo_port)), float(seconds))
    print(json.dumps(asyncio.run(client.run())))


if __name__ == "__main__":
    main()
