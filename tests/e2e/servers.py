# SPDX-License-Identifier: GPL-2.0-only
"""Servers on the backends. One thread serves them all, so that tests need no other process.

TCP: says "NAME CLIENT-ADDRESS:PORT\\n" first, then echoes. UDP: echoes, and with the first byte "?"
answers with that line instead. IPv6 addresses stand in brackets.
"""

import selectors
import socket
import threading

from network import SERVICE, backend_address, endpoint


class Servers:
    def __init__(self, lab):
        self.lab = lab
        self.selector = selectors.DefaultSelector()
        self.listeners = {}  # (host, port, kind, IPv6?) -> socket
        self.connections = set()
        self.resets = 0  # connections that ended with RST
        self.failure = None
        self.waker, self.wake = socket.socketpair()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.calls = []

    # ---- for the test ----

    def __enter__(self):
        self.selector.register(self.waker, selectors.EVENT_READ, self.on_wake)
        self.thread.start()
        return self

    def __exit__(self, *error):
        self.call(self.end)
        self.thread.join()
        assert self.failure is None, repr(self.failure)

    def open_all(self, port=8000, v6=False):
        for host in self.lab.backends():
            self.open(host, port, v6=v6)

    def open(self, host, port=8000, address=None, kinds=(socket.SOCK_STREAM, socket.SOCK_DGRAM),
             v6=False):
        address = address or backend_address(int(host.split("-")[1]), v6)
        for kind in kinds:
            made = self.lab.socket(host, kind=kind, bind=(address, port), timeout=0)
            if kind == socket.SOCK_STREAM:
                made.listen(4096)
            self.listeners[host, port, kind, ":" in address] = made
            handler = self.on_accept if kind == socket.SOCK_STREAM else self.on_datagram
            self.call(self.selector.register, made, selectors.EVENT_READ, (handler, host))

    def close(self, host, port=8000, kinds=(socket.SOCK_STREAM, socket.SOCK_DGRAM), v6=False):
        """Nobody listens there any more; connections stay."""
        for kind in kinds:
            self.call(self.drop, self.listeners.pop((host, port, kind, v6)))

    def close_connections(self):
        """The servers close first."""
        self.call(lambda: [self.drop(one) for one in list(self.connections)])

    # ---- the thread ----

    def call(self, function, *arguments):
        """Runs the function in the thread and waits for its end."""
        done = threading.Event()
        self.calls.append((function, arguments, done))
        self.wake.send(b".")
        assert done.wait(10), f"the servers' thread hangs or has failed: {self.failure!r}"

    def run(self):
        try:
            while self.selector.get_map():
                for key, _ in self.selector.select():
                    if key.fileobj.fileno() < 0:
                        continue  # closed by an event of this very round
                    if key.fileobj is self.waker:
                        self.on_wake()
                    else:
                        handler, host = key.data
                        handler(key.fileobj, host)
        except Exception as error:  # told by __exit__
            self.failure = error
            raise

    def on_wake(self):
        self.waker.recv(4096)
        while self.calls:
            function, arguments, done = self.calls.pop(0)
            function(*arguments)
            done.set()

    def end(self):
        for key in list(self.selector.get_map().values()):
            self.drop(key.fileobj)
        self.wake.close()

    def drop(self, one):
        self.selector.unregister(one)
        self.connections.discard(one)
        one.close()

    def on_accept(self, listener, host):
        try:
            while True:
                made, client = listener.accept()
                made.setblocking(False)
                self.connections.add(made)
                self.selector.register(made, selectors.EVENT_READ, (self.on_data, host))
                made.send(f"{host} {endpoint(*client[:2])}\n".encode())
        except (BlockingIOError, ConnectionError):
            pass

    def on_data(self, connection, host):
        try:
            data = connection.recv(65536)
            if data:
                connection.send(data)  # tests ask for little: it fits into the socket's buffer
                return
        except ConnectionError:
            self.resets += 1
        self.drop(connection)

    def on_datagram(self, server, host):
        try:
            while True:
                data, client = server.recvfrom(65536)
                if data.startswith(b"?"):
                    data = f"{host} {endpoint(*client[:2])}\n".encode()
                server.sendto(data, client)
        except (BlockingIOError, ConnectionError):
            pass


# ---- clients ----


def read_line(connection):
    line = b""
    while not line.endswith(b"\n"):
        data = connection.recv(1)
        assert data, f"closed after {line!r}"
        line += data
    return line.decode().rstrip("\n")


def read_exactly(connection, length):
    data = b""
    while len(data) < length:
        more = connection.recv(length - len(data))
        assert more, f"closed after {len(data)} of {length} bytes"
        data += more
    return data


def hold(lab, to=SERVICE, **more):
    """An open connection and the name of the backend that serves it."""
    connection = lab.connect(to, **more)
    return connection, read_line(connection).split()[0]


def visit(lab, to=SERVICE, **more):
    """Connects, reads who answered, closes."""
    connection, name = hold(lab, to, **more)
    connection.close()
    return name


def echoes(connection, payload=b"echo"):
    connection.sendall(payload)
    return read_exactly(connection, len(payload)) == payload
