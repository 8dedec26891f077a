# SPDX-License-Identifier: Apache-2.0
"""The test lab: real QEMU processes, a real guest, real faults.  See README.md."""
