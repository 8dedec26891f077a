# SPDX-License-Identifier: Apache-2.0
"""Somebody else's lock on an image."""

import fcntl
import os
import struct

F_OFD_SETLK = 37
BYTE = 201  # QEMU: "nobody else may write"


class Lock:
    """While it is held QEMU refuses to open the image for writing."""

    def __init__(self, path):
        self.path = path

    def __enter__(self):
        self.fd = os.open(self.path, os.O_RDWR)
        lock = struct.pack("hhqqi4x", fcntl.F_RDLCK, os.SEEK_SET, BYTE, 1, 0)
        fcntl.fcntl(self.fd, F_OFD_SETLK, lock)
        return self

    def __exit__(self, *_):
        os.close(self.fd)
