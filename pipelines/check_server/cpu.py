"""The CPU features that ScaNN's operations need, against those of this machine."""

from __future__ import annotations

from pathlib import Path

from pipelines.check_server.findings import Finding

# Of ScaNN 1.4.2 on x86: "The x86 wheels require AVX and FMA instruction set support" (its description). The
# disassembly of _scann_ops.so agrees: both stand in code that always runs, AVX2 and AVX-512 only behind a test.
REQUIRED = ("avx", "fma")
_CPUINFO = Path("/proc/cpuinfo")


def cpu_features(cpuinfo: Path = _CPUINFO) -> Finding:
    """This machine's CPU; it says nothing of another one that the server may run on."""
    lines = cpuinfo.read_text().splitlines() if cpuinfo.is_file() else []
    flags = next((line.partition(":")[2].split() for line in lines if line.startswith("flags")), None)
    if flags is None:
        return Finding("CPU", "cannot tell", f"{cpuinfo} lists no flags; ScaNN needs {', '.join(REQUIRED)}")
    if lacking := [name for name in REQUIRED if name not in flags]:
        return Finding("CPU", "missing", f"this machine lacks {', '.join(lacking)}, which ScaNN needs")
    return Finding("CPU", "ok", f"this machine has {', '.join(REQUIRED)}, which ScaNN needs; the server's must too")
