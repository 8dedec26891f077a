# SPDX-License-Identifier: Apache-2.0
"""Restore against cp, dd, nbdcopy and qemu-img: the same image to a new file, flushed at the end.

SIZE_MIB=4096 is the disk.  The tools take turns; every file is removed before the next one writes.
"""

import os
import pathlib
import shutil
import subprocess
import tempfile

import common
from common import MIB

SIZE = int(os.environ.get("SIZE_MIB", 4096)) * MIB
BLOCK = 65536
ROUNDS = 5


def make(folder, percent):
    subprocess.run([common.cache.built("tests/store_make"), folder, "64", f"vda:{SIZE}:{percent}"],
                   check=True)
    return folder / "disks" / "vda" / "head.raw"


def restore(store, out, *words):
    return [common.cache.built("qheal"), "restore", "--store", store, "--output", out, "--json",
            *words]


def peers(image, out):
    """Each with the flags that were fastest here, and a flush at the end."""
    raw = ["-f", "raw", "-O", "raw"]
    return {
        "cp": ["sh", "-c", 'cp --sparse=auto --reflink=never "$0" "$1" && sync "$1"', image, out],
        "dd": ["dd", f"if={image}", f"of={out}", "bs=1M", "iflag=direct", "oflag=direct",
               "conv=fsync,sparse", "status=none"],
        "nbdcopy": ["nbdcopy", "--flush", "--", "[", "nbdkit", "--exit-with-parent", "file", image,
                    "]", out],
        "qemu-img": ["qemu-img", "convert", *raw, "-t", "none", "-T", "none", "-W", "-m", "16",
                     image, out],
        "qemu-img io_uring": ["qemu-img", "convert", *raw, "-t", "none", "-T", "none", "-W", "-m",
                              "16", "--image-opts", "--target-image-opts",
                              f"driver=raw,file.driver=file,file.aio=io_uring,file.cache.direct=on,"
                              f"file.filename={image}",
                              f"driver=raw,file.driver=file,file.aio=io_uring,file.cache.direct=on,"
                              f"file.filename={out}"],
    }


def settle():
    subprocess.run(["sync"], check=True)


def timed(command, out, keep=False):
    if not keep:
        out.unlink(missing_ok=True)
    if command[0] == "qemu-img" and "--target-image-opts" in [str(word) for word in command]:
        with open(out, "wb") as file:
            file.truncate(SIZE)
        command = [word for word in command if word not in ("raw", "-f", "-O")]
        command[2:2] = ["-n"]
    settle()
    return common.run_timed(command, stdout=subprocess.DEVNULL)


def fio_copy(image, out):
    """fio reads the image and writes another file at the same time: seconds for all of it."""
    out.unlink(missing_ok=True)
    settle()
    shared = ["--direct=1", "--ioengine=io_uring", "--bs=1m", "--iodepth=16", f"--size={SIZE}",
              "--registerfiles=1"]
    return common.run_timed(
        ["fio", "--output-format=terse", *shared, "--name=r", f"--filename={image}", "--rw=read",
         "--name=w", f"--filename={out}", "--rw=write", "--fallocate=truncate",
         "--end_fsync=1"], stdout=subprocess.DEVNULL)


def rounds(count, image, store, out):
    """Seconds and processor seconds of every tool, in turns."""
    tools = {"qheal": restore(store, out), **peers(image, out)}
    wall, cpu = {name: [] for name in tools}, {name: [] for name in tools}
    wall["fio"] = []
    for number in range(count):
        for name, command in tools.items():
            took, used = timed(command, out)
            wall[name].append(took)
            cpu[name].append(used)
        common.say(f"round {number + 1}: " +
                   ", ".join(f"{name} {values[-1]:.2f}" for name, values in wall.items() if values))
        wall["fio"].append(fio_copy(image, out)[0])
    out.unlink(missing_ok=True)
    return wall, cpu


def fastest(wall):
    mine = {"qheal", "fio"}
    return min((name for name in wall if name not in mine),
               key=lambda name: common.figures(wall[name])["median"])


def median(values):
    return common.figures(values, 3)["median"]


def full(store, image, out, count):
    wall, cpu = rounds(count, image, store, out)
    best = fastest(wall)
    return {"seconds": {name: common.figures(values, 3) for name, values in wall.items()},
            "cpu_seconds": {name: common.figures(values, 3) for name, values in cpu.items()},
            "fastest_peer": best,
            "times_the_fastest_peer": common.verdict(median(wall[best]) / median(wall["qheal"]),
                                                     at_least=1.3),
            "of_fio_copy": common.verdict(median(wall["fio"]) / median(wall["qheal"]),
                                          at_least=0.9),
            "cpu_of_fastest_peer": common.verdict(median(cpu["qheal"]) / median(cpu[best]),
                                                  at_most=1 / 3)}, median(wall[best])


def in_place(store, out, count, peer_s):
    """One block in a hundred differs; the bound is reading the target once."""
    seconds, read = [], []
    for _ in range(count):
        timed(restore(store, out), out)
        with open(out, "r+b") as file:
            for at in range(0, SIZE, 100 * BLOCK):
                file.seek(at)
                file.write(b"changed")
            os.fsync(file.fileno())
        seconds.append(timed(restore(store, out, "--in-place"), out, keep=True)[0])
        read.append(SIZE / common.fio(out, "--rw=read", "--bs=1m", "--iodepth=16", "--readonly")
                    ["read"]["bw_bytes"])
    return {"seconds": common.figures(seconds, 3), "reading_once_s": common.figures(read, 3),
            "times_the_fastest_full_copy": common.verdict(peer_s / median(seconds), at_least=5)}


def sparse(folder, count, full_s):
    store, out = folder / "sparse", folder / "out.raw"
    image = make(store, 10)
    seconds = [timed(restore(store, out), out)[0] for _ in range(count)]
    told = {"seconds": common.figures(seconds, 3),
            "allocated_bytes": out.stat().st_blocks * 512, "of_image": image.stat().st_blocks * 512,
            "share_of_the_full_time": round(median(seconds) / full_s, 3)}
    out.unlink()
    shutil.rmtree(store)
    return told


def memory(store, out):
    """Peak resident memory, from a process of its own so that no other child counts."""
    program = ("import resource, subprocess, sys\n"
               "subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)\n"
               "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)")
    done = subprocess.run(["python3", "-c", program, *map(str, restore(store, out, "--force"))],
                          capture_output=True, text=True, check=True)
    return common.verdict(int(done.stdout) / 1024, at_most=64)


def measure(chosen):
    count = chosen.rounds or ROUNDS
    with tempfile.TemporaryDirectory(prefix="qheal-", dir=common.WORK) as name:
        folder = pathlib.Path(name)
        image, out = make(folder / "store", 100), folder / "out.raw"
        found, peer_s = full(folder / "store", image, out, count)
        return {"bytes": SIZE, "new_file": found,
                "in_place_1_percent": in_place(folder / "store", out, count, peer_s),
                "memory_mib": memory(folder / "store", out),
                "sparse_10_percent": sparse(folder, count,
                                            found["seconds"]["qheal"]["median"])}


if __name__ == "__main__":
    common.main("restore", measure)
