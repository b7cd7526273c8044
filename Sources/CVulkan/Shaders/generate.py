#!/usr/bin/env python3
"""generate.py [--check]: compiles the shaders beside it to ../words.h, or says whether that is what they give.

Needs glslangValidator (Debian's glslang-tools) and, for the check, spirv-val (spirv-tools). After compiling, names and
functions that nobody calls are left out, and every addition, subtraction, product, quotient, negation and conversion of
floats gets the decoration NoContraction. The extended instruction Fma never gets it: some drivers split a decorated one.
A line "// variants: A B" in a shader makes a module of each, with that name defined.
"""
import glob
import os
import re
import struct
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
HEADER = os.path.join(os.path.dirname(HERE), "words.h")

# Numbers of the SPIR-V specification, section 3.
DEBUG = {2, 3, 4, 5, 6, 7, 8, 317, 330}  # OpSource and its kind, OpName, OpMemberName, OpString, OpLine, OpModuleProcessed
EXT_INST, ENTRY_POINT, FUNCTION, FUNCTION_END, CALL = 12, 15, 54, 56, 57
DECORATE, NO_CONTRACTION = 71, 42
TYPES = range(19, 40)
# OpConvertFToU, OpConvertFToS, OpConvertSToF, OpConvertUToF, OpFConvert, OpFNegate, OpFAdd, OpFSub, OpFMul, OpFDiv
ARITHMETIC = {109, 110, 111, 112, 115, 127, 129, 131, 133, 136}
LABEL = 248
# OpStore, OpCopyMemory, OpControlBarrier, OpMemoryBarrier, OpAtomicStore, merges, branches and returns
WITHOUT_RESULT = {FUNCTION_END, 62, 63, 224, 225, 228, 246, 247, 249, 250, 251, 252, 253, 254, 255}


def instructions(words):
    at = 5
    while at < len(words):
        length = words[at] >> 16
        yield words[at:at + length]
        at += length


def result_of(one):
    opcode = one[0] & 0xFFFF
    if opcode in WITHOUT_RESULT:
        return None
    return one[1] if opcode == LABEL else one[2]


def without_unused(code):
    """The instructions without debug information and without functions that the entry point does not reach."""
    kept, bodies, current = [], {}, None
    entry = None
    for one in code:
        opcode = one[0] & 0xFFFF
        if opcode == FUNCTION:
            current = one[2]
            bodies[current] = []
        if current is not None:
            bodies[current].append(one)
            if opcode == FUNCTION_END:
                current = None
        elif opcode not in DEBUG:
            kept.append(one)
            if opcode == ENTRY_POINT:
                entry = one[2]
    reached, waiting = set(), [entry]
    while waiting:
        function = waiting.pop()
        if function in reached:
            continue
        reached.add(function)
        waiting += [one[3] for one in bodies[function] if one[0] & 0xFFFF == CALL]
    gone = {result_of(one) for name, body in bodies.items() if name not in reached for one in body}
    kept = [one for one in kept if one[0] & 0xFFFF != DECORATE or one[1] not in gone]
    return kept + [one for name, body in bodies.items() if name in reached for one in body]


def without_contraction(code):
    """The instructions with NoContraction on each result of float arithmetic."""
    decorated = {one[1] for one in code if one[0] & 0xFFFF == DECORATE and one[2] == NO_CONTRACTION}
    extended = {one[2] for one in code if one[0] & 0xFFFF == EXT_INST}
    if decorated & extended:
        raise SystemExit("generate: an extended instruction is marked precise: take its result from a plain variable")
    results = [one[2] for one in code if one[0] & 0xFFFF in ARITHMETIC and one[2] not in decorated]
    first_type = next(i for i, one in enumerate(code) if one[0] & 0xFFFF in TYPES)
    marks = [[3 << 16 | DECORATE, result, NO_CONTRACTION] for result in results]
    return code[:first_type] + marks + code[first_type:]


def variants(source):
    """What is defined for each module of a shader, and the module's name."""
    name = os.path.basename(source).removesuffix(".comp")
    with open(source, encoding="ascii") as file:
        found = re.search(r"^// variants: (.*)$", file.read(), re.MULTILINE)
    if not found:
        return [([], name)]
    return [([f"-D{variant}"], f"{name}_{variant.lower()}") for variant in found[1].split()]


def compiled(source, defines, folder, validates):
    output = os.path.join(folder, "module")
    run = subprocess.run(
        ["glslangValidator", "--target-env", "vulkan1.2", *defines, "-V", os.path.basename(source), "-o", output],
        cwd=HERE, capture_output=True, text=True)
    if run.returncode != 0:
        raise SystemExit(f"generate: {run.stdout}{run.stderr}")
    with open(output, "rb") as file:
        data = file.read()
    words = list(struct.unpack(f"<{len(data) // 4}I", data))
    code = without_contraction(without_unused(list(instructions(words))))
    words = words[:5] + [word for one in code for word in one]
    if validates:
        with open(output, "wb") as file:
            file.write(struct.pack(f"<{len(words)}I", *words))
        subprocess.run(["spirv-val", "--target-env", "vulkan1.2", output], check=True)
    return words


def header(validates):
    text = (
        "// words.h: the shaders of Shaders/ as SPIR-V. Written by Shaders/generate.py; the check compiles\n"
        "// them again and compares. Float modes are put in when a device loads a module (pipelines.c).\n"
        "#ifndef CV_WORDS_H\n#define CV_WORDS_H\n\n#include <stdint.h>\n")
    with tempfile.TemporaryDirectory() as folder:
        for source in sorted(glob.glob(os.path.join(HERE, "*.comp"))):
            for defines, name in variants(source):
                line, lines = " ", []
                for word in compiled(source, defines, folder, validates):
                    item = f" {word:#x},"
                    if len(line) + len(item) > 118:
                        lines.append(line)
                        line = " "
                    line += item
                text += f"\nstatic const uint32_t cv_words_{name}[] = {{\n" + "\n".join(lines + [line]) + "\n};\n"
    return text + "\n#endif\n"


def main():
    checks = sys.argv[1:] == ["--check"]
    if sys.argv[1:] and not checks:
        raise SystemExit("usage: generate.py [--check]")
    text = header(validates=checks)
    if not checks:
        with open(HEADER, "w", encoding="ascii") as file:
            file.write(text)
        return
    with open(HEADER, encoding="ascii") as file:
        if file.read() != text:
            raise SystemExit("generate: words.h is not what the shaders give: run Sources/CVulkan/Shaders/generate.py")


main()
