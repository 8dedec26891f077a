# SPDX-License-Identifier: Apache-2.0
"""Drills: what is behind the guest's network card goes away, and comes back."""

import os
import shutil
import socket
import tempfile
import threading
import unittest

from fault_support import FaultCase, loaded
from lab.cache import until


class Switch:
    """A peer of -netdev stream: takes connections, says nothing."""

    def __init__(self, path):
        self.path, self.links = str(path), []
        self.start()

    def start(self):
        if os.path.exists(self.path):
            os.unlink(self.path)
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        self.listener.listen(4)
        self.accepts = threading.Thread(target=self._accept, args=(self.listener,), daemon=True)
        self.accepts.start()

    def _accept(self, listener):
        try:
            while True:
                self.links.append(listener.accept()[0])
        except OSError:
            pass

    def die(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.accepts.join()  # it may just have taken one more
        self.listener.close()
        for link in self.links:
            link.close()
        self.links = []


class Nic(FaultCase):
    def path(self):
        folder = tempfile.mkdtemp(prefix="qheal-nic-", dir="/var/tmp")
        self.addCleanup(shutil.rmtree, folder)
        return f"{folder}/switch.sock"

    def guest(self, path, backend="server=off", card=""):
        return loaded(1, detached=True, extra=[
            "-netdev", f"stream,id=n0,{backend},addr.type=unix,addr.path={path}",
            "-device", card or "virtio-net-pci,netdev=n0,id=net0"])

    def peer(self, vm):
        """What `info network` says of the card: (MAC, backend)."""
        lines = [line.strip() for line in vm.qmp.hmp("info network").splitlines()]
        at = next(i for i, line in enumerate(lines) if line.startswith("net0:"))
        return lines[at].split("macaddr=")[1], lines[at + 1]

    def relinked(self, switch, card=""):
        with self.guest(switch.path, card=card) as vm:
            sidecar = self.protect(vm)
            mac, backend = self.peer(vm)
            address = vm.qmp("qom-get", path="/machine/peripheral/net0", property="addr")
            switch.die()
            fault = sidecar.wait("fault", kind="nic-down")
            self.assertEqual(fault["resource"], "net0")
            hold = sidecar.wait("recovery", strategy="hold")
            self.assertIn("peer", hold["why"])
            since = len(sidecar.events)
            switch.start()
            sidecar.wait("recovery", since=since, strategy="relink")
            sidecar.wait("recovered", since=since, strategy="relink")
            until(lambda: switch.links, "the peer takes the connection")
            self.assertEqual(len(switch.links), 1)
            self.assertEqual(self.peer(vm), (mac, backend))
            self.assertEqual(vm.qmp("qom-get", path="/machine/peripheral/net0",
                                    property="addr"), address)
            self.assertEqual(vm.status(), "running")
            # And once more.
            switch.die()
            switch.start()
            sidecar.wait("recovered", since=since, count=2, strategy="relink", timeout=60)
            vm.wait_more(50)

    def test_a_card_gets_its_backend_back(self):
        for card in ("", '{"driver":"virtio-net-pci","netdev":"n0","id":"net0"}'):
            with self.subTest(card):
                switch = Switch(self.path())
                self.relinked(switch, card)
                switch.die()

    def test_a_card_that_its_owner_took_out_stays_out(self):
        switch = Switch(self.path())
        with self.guest(switch.path) as vm:
            sidecar = self.protect(vm)
            switch.die()
            sidecar.wait("recovery", strategy="hold")
            vm.qmp("device_del", id="net0")
            vm.qmp.wait_event("DEVICE_DELETED")
            until(lambda: not sidecar.status()["health"]["faults"], "the fault is gone")
            switch.start()
            sidecar.wait_generations(40)  # a peer is looked for each second
            self.assertEqual(sidecar.find("recovered"), [])
            self.assertNotIn("net0", vm.qmp.hmp("info network"))
        switch.die()

    def test_one_that_listens_waits_for_its_peer(self):
        path = self.path()
        with self.guest(path, backend="server=on") as vm:
            sidecar = self.protect(vm)
            for _ in range(2):
                since = len(sidecar.events)
                link = socket.socket(socket.AF_UNIX)
                link.connect(path)
                vm.qmp.wait_event("NETDEV_STREAM_CONNECTED")
                link.close()
                sidecar.wait("fault", since=since, kind="nic-down")
                sidecar.wait("recovery", since=since, strategy="hold")
            self.assertEqual(sidecar.find("recovered"), [])


if __name__ == "__main__":
    unittest.main()
