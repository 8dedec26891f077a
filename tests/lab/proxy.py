# SPDX-License-Identifier: Apache-2.0
"""A QMP proxy between a client and QEMU's monitor: passes everything through, descriptors too, and can
say what QEMU would say on a machine whose memory fails, or keep something back."""

import json
import os
import select
import socket
import threading
import time

MESSAGE_BYTES = 1 << 16
DESCRIPTORS = 8


class Proxy:
    """with Proxy(vm.qmp_path, vm.work / "proxy.sock") as proxy: ... proxy.inject("MEMORY_FAILURE", …)

    Events whose names are in .swallowed do not come through.  before(words, do) calls do() once, just
    before QEMU gets a write with all these words; behind(word, do) just after it got the first message
    with this word, and before it gets the next.  One client at a time, as QEMU."""

    def __init__(self, server, path):
        self.server_path, self.path, self.swallowed = str(server), str(path), set()
        self.injected, self.lock, self.client = [], threading.Lock(), None
        self.awaited = self.split = None
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        self.listener.listen(4)
        self.wake_in, self.wake_out = os.pipe()
        self.ended = False
        self.thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended = True
        os.write(self.wake_out, b".")
        self.thread.join(10)
        self.listener.close()

    def inject(self, event, **data):
        """The client hears of this event, between two messages of QEMU."""
        now = time.time()
        message = {"event": event, "data": data,
                   "timestamp": {"seconds": int(now), "microseconds": int(now % 1 * 1e6)}}
        with self.lock:
            self.injected.append(json.dumps(message).encode() + b"\r\n")
        os.write(self.wake_out, b".")

    def before(self, words, do):
        self.awaited = [word.encode() for word in words], do

    def behind(self, word, do):
        self.split = word.encode(), do

    def cut(self):
        """The client's connection ends; it may come again."""
        client = self.client
        if client:
            client.shutdown(socket.SHUT_RDWR)

    def _serve(self):
        while not self.ended:
            if self.listener not in select.select([self.listener, self.wake_in], [], [])[0]:
                os.read(self.wake_in, 64)
                continue
            client, _ = self.listener.accept()
            try:
                with client, socket.socket(socket.AF_UNIX) as server:
                    server.connect(self.server_path)
                    self.client = client
                    self._pump(client, server)
            except OSError:
                pass
            self.client = None

    def _pump(self, client, server):
        """Until one of the two is over."""
        rest = b""
        while not self.ended:
            ready = select.select([client, server, self.wake_in], [], [])[0]
            if client in ready and not self._forward(client, server):
                return
            if server in ready:
                data = server.recv(MESSAGE_BYTES)
                if not data:
                    return
                *lines, rest = (rest + data).split(b"\n")
                for line in lines:
                    if not self._swallows(line):
                        client.sendall(line + b"\n")
            if self.wake_in in ready:
                os.read(self.wake_in, 64)
            with self.lock:
                for message in self.injected:
                    client.sendall(message)
                self.injected = []

    def _swallows(self, line):
        return (self.swallowed and b'"event"' in line and
                json.loads(line).get("event") in self.swallowed)

    def _forward(self, client, server):
        data, fds, _, _ = socket.recv_fds(client, MESSAGE_BYTES, DESCRIPTORS)
        if not data:
            return False
        if self.awaited and all(word in data for word in self.awaited[0]):
            (_, do), self.awaited = self.awaited, None
            do()
        if fds:
            sent = socket.send_fds(server, [data], fds)
            for fd in fds:
                os.close(fd)
            data = data[sent:]
        if self.split and self.split[0] in data:
            (word, do), self.split = self.split, None
            end = data.index(b"\n", data.index(word)) + 1
            server.sendall(data[:end])
            data = data[end:]
            do()
        server.sendall(data)
        return True
