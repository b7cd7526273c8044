#!/usr/bin/env python3
"""The kernels' conformance on a machine of another type: aarch64 under qemu-user, beside every level of this machine.

usage: conformance.py [CLANG]        default: clang

The arithmetic of N1 in C (Sources/CKernels, CDigest) and conformance.c are built for this machine and, with Debian's
gcc-aarch64-linux-gnu, libc6-dev-arm64-cross and qemu-user, for aarch64, whose level is the scalar twins. The frozen digests of the
self-test have to be equal, and every digest of conformance.c the same everywhere. Negative control: with contracted
multiply-adds the aarch64 build must differ. Without those packages this says so and does nothing. Exit status 1 on any fault.
"""
import os, shutil, subprocess, sys, tempfile

here = os.path.dirname(os.path.abspath(__file__))
sources = os.path.join(here, "../../../Sources")
clang = sys.argv[1] if len(sys.argv) > 1 else "clang"
flags = ["-O3", "-std=c17", "-ffp-contract=off", "-fno-math-errno", "-Wall", "-Wextra", "-Werror"]
target, root = ["--target=aarch64-linux-gnu"], "/usr/aarch64-linux-gnu"
for name, package in ((clang, "the Swift toolchain"), ("qemu-aarch64", "qemu-user"), ("aarch64-linux-gnu-gcc", "gcc-aarch64-linux-gnu")):
    if not shutil.which(name):
        print(f"skipped: '{name}' of {package} is not here")
        sys.exit(0)
if not os.path.exists(root + "/lib/libc.so.6"):
    print("skipped: libc6-dev-arm64-cross is not here")
    sys.exit(0)
folder, faults = tempfile.mkdtemp(), []


def build(name, more):
    program = os.path.join(folder, name)
    files = [os.path.join(sources, t, f) for t in ("CKernels", "CDigest") for f in sorted(os.listdir(os.path.join(sources, t)))
             if f.endswith(".c")]
    subprocess.run([clang, *flags, *more, *(f"-I{sources}/{t}/include" for t in ("CKernels", "CDigest")),
                    os.path.join(here, "conformance.c"), *files, "-lm", "-o", program], check=True)
    return program


def run(*words): return subprocess.run(words, capture_output=True, text=True, check=True).stdout.splitlines()


def compare(name, lines, wanted):
    for line in lines:
        if "DIFFER" in line: faults.append(f"{name}: {line}")
    if len(lines) != len(wanted): faults.append(f"{name}: {len(lines)} lines, wanted {len(wanted)}")
    for mine, theirs in zip(lines, wanted):
        if mine != theirs: faults.append(f"{name}: '{mine}', wanted '{theirs}'")
    print(f"{name}: {len(lines)} lines, {sum(a == b for a, b in zip(lines, wanted))} as on this machine's scalar level")


native = build("native", [])
wanted = run(native, "scalar")
compare("scalar", wanted, wanted)
for level in ("avx2", "avx512", "amx"):
    lines = run(native, level)
    if lines == ["absent"]: print(f"{level}: this machine has it not")
    else: compare(level, lines, wanted)
for optimisation in ("-O3", "-O1"):
    other = build("other" + optimisation, target + [optimisation])
    compare(f"aarch64 {optimisation}", run("qemu-aarch64", "-L", root, other), wanted)
contracted = build("contracted", target + ["-ffp-contract=fast"])
if run("qemu-aarch64", "-L", root, contracted) == wanted: faults.append("contracted multiply-adds were not noticed")
else: print("contracted multiply-adds: noticed")
shutil.rmtree(folder)
print(f"{len(faults)} faults")
for fault in faults: print("FAULT:", fault)
sys.exit(1 if faults else 0)
