#!/usr/bin/env python3
"""instructions.py: what AMD's compiler makes of the kernels, on a machine without such a card.

Mesa's RADV (22.3 to 25.0) takes a family for a card that is not there and prints its instructions. Each kernel of
Sources/CVulkan must have exactly the multiplications, additions and fused operations that its shader has on its fast
path, so that none was contracted and none was split, and never v_mad_f32 or v_mac_f32, which round twice. Needs clang
and Debian's mesa-vulkan-drivers. Exit status 1 where a count differs.
"""
import glob
import os
import re
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.join(HERE, "..", "..", "..")
# RDNA2 and RDNA3. The families before them split some fused operations, which their self-test finds.
FAMILIES = ["NAVI21", "GFX1100"]

# Of each kernel: multiplications, additions and subtractions, fused operations.
WANTED = {
    "multiply": (1, 0, 0),
    "add": (0, 1, 0),
    "nearest": (0, 2, 0),
    "fused multiply-add": (0, 0, 1),
    # Nine fused ones, of which the last six are a loop that may be unrolled, and the subtraction of 12582912.
    "exp": (0, 1, 9),
    # Per block and row one product of scales and one fused step; bias and residual. A minimum is another step.
    "product Q4_0": (1, 2, 1),
    "product Q4_1": (1, 2, 2),
    "product Q8_0": (1, 2, 1),
    "product Q4_K": (3, 2, 2),
    "product Q6_K": (1, 2, 1),
    # The weight times 2^64, times the scale, and their factors 2^32; the edge's fused step, its subtraction, and the
    # chain. Six more multiplications belong to two divisions of integers.
    "mix": (10, 1, 2),
    "rope": (2, 0, 2),
}


def kind(instruction):
    if re.match(r"v_(mad|mac)(_|ak_|mk_)?(legacy_)?f32", instruction):
        return "unfused"
    if re.match(r"v_(dual_)?fma\w*f32", instruction):
        return "fused"
    if re.match(r"v_(dual_)?mul_f32", instruction):
        return "multiplications"
    if re.match(r"v_(dual_)?(add|sub|subrev)_f32", instruction):
        return "additions"
    return None


def main():
    icd = glob.glob("/usr/share/vulkan/icd.d/radeon_icd*.json")
    if not icd:
        raise SystemExit("instructions: there is no radeon_icd.json: apt-get install mesa-vulkan-drivers")
    differs = False
    with tempfile.TemporaryDirectory() as folder:
        program = os.path.join(folder, "compile")
        sources = glob.glob(os.path.join(ROOT, "Sources/CVulkan/*.c")) + glob.glob(os.path.join(ROOT, "Sources/CKernels/*.c"))
        subprocess.run(
            ["clang", "-std=gnu17", "-O1", "-w", "-ffp-contract=off",
             "-I", os.path.join(ROOT, "Sources/CVulkan/include"), "-I", os.path.join(ROOT, "Sources/CKernels/include"),
             os.path.join(HERE, "compile.c"), *sources, "-lm", "-ldl", "-o", program], check=True)
        for family in FAMILIES:
            run = subprocess.run([program], capture_output=True, text=True, errors="replace", check=False, env={
                **os.environ, "RADV_FORCE_FAMILY": family, "RADV_DEBUG": "nocache,shaders", "VK_ICD_FILENAMES": icd[0]})
            counts, kernel = {}, None
            for line in run.stderr.splitlines():
                if line.startswith("kernel "):
                    kernel = line.removeprefix("kernel ")
                    counts[kernel] = {"multiplications": 0, "additions": 0, "fused": 0, "unfused": 0}
                found = re.match(r"\s+(v_\w+)", line)
                if found and kernel and kind(found[1]):
                    counts[kernel][kind(found[1])] += 1
            if run.returncode != 0 or not any(count["fused"] for count in counts.values()):
                print(f"{family}: the driver compiled nothing: {run.stderr[-200:]}")
                differs = True
                continue
            for kernel, count in counts.items():
                if count["unfused"]:
                    print(f"{family}, {kernel}: {count['unfused']} operations that round twice")
                    differs = True
            for kernel, wanted in WANTED.items():
                count = counts[kernel]
                found = (count["multiplications"], count["additions"], count["fused"])
                if found != wanted:
                    print(f"{family}, {kernel}: {found} multiplications, additions and fused operations, wanted {wanted}")
                    differs = True
            print(f"{family}: {len(counts)} kernels compiled")
    sys.exit(1 if differs else 0)


main()
