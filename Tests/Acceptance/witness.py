#!/usr/bin/env python3
"""Two `hotpot witness` processes at once, one for each face of a forked log: of every pair one is refused.

usage: witness.py [PROGRAM] [ROUNDS]        default: .build/debug/hotpot, 40

Negative control: the same two faces with a memory each are both cosigned, so that a refusal is the memory's doing.
Exit status 1 on any fault.
"""
import base64, hashlib, os, subprocess, sys, tempfile

program = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else ".build/debug/hotpot")
rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 40


def log(folder):
    """A log's key, and two checkpoints of one size that it signed."""
    key = folder + "/key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    public = open(key + ".pub").read().split()
    origin = "hotpot/" + hashlib.sha256(base64.b64decode(public[1])).hexdigest()
    open(folder + "/signers", "w").write(f'hotpot namespaces="checkpoint@hotpot" {public[0]} {public[1]}\n')
    faces = []
    for name in ("left", "right"):
        root = base64.b64encode(hashlib.sha256(name.encode()).digest()).decode()
        text = f"{origin}\n7\n{root}\ntime 1790000000000000\nprev-checkpoint-sha256 {'0' * 64}\n"
        path = f"{folder}/{name}"
        open(path, "w").write(text)
        subprocess.run(["ssh-keygen", "-q", "-Y", "sign", "-f", key, "-n", "checkpoint@hotpot", path], check=True)
        open(path + ".whole", "w").write(text + "\n" + open(path + ".sig").read())
        faces.append(path + ".whole")
    return faces


def at_once(folder, faces, states):
    children = [
        subprocess.Popen([program, "witness", face, "--signers", folder + "/signers", "--state", state],
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for face, state in zip(faces, states)]
    return [(child.communicate(timeout=120), child.returncode) for child in children]


faults, tally = [], {"left": 0, "right": 0}
with tempfile.TemporaryDirectory() as top:
    for number in range(rounds):
        folder = f"{top}/{number}"
        os.mkdir(folder)
        faces = log(folder)
        # The order of starting alternates, so that neither face has the advantage.
        order = faces if number % 2 == 0 else faces[::-1]
        results = at_once(folder, order, [folder + "/state"] * 2)
        codes = [code for _, code in results]
        if sorted(codes) != [0, 1]:
            faults.append(f"round {number}: exit codes {codes}, wanted one 0 and one 1: {results}")
            continue
        (refused_out, refused_err), _ = results[codes.index(1)]
        if refused_out or "has seen another log of 7 receipts" not in refused_err:
            faults.append(f"round {number}: the refused one said {refused_err!r}")
        winner = order[codes.index(0)]
        tally["left" if "left" in winner else "right"] += 1
        # Afterwards the loser is refused still, and the winner is cosigned again.
        for face, wanted in ((winner, 0), (order[codes.index(1)], 1)):
            (_, errors), code = at_once(folder, [face], [folder + "/state"])[0]
            if code != wanted:
                faults.append(f"round {number}: afterwards {os.path.basename(face)} gave {code}: {errors}")
    folder = top + "/control"
    os.mkdir(folder)
    codes = [code for _, code in at_once(folder, log(folder), [folder + "/a", folder + "/b"])]
    if codes != [0, 0]:
        faults.append(f"control: with a memory each the exit codes are {codes}, wanted 0 and 0")
print(f"{rounds} rounds of two witnesses at once: one refused in {rounds - len(faults)}; "
      f"first were {tally['left']} left, {tally['right']} right; control: two memories cosign both")
for fault in faults:
    print("FAULT:", fault)
sys.exit(1 if faults else 0)
