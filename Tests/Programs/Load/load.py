#!/usr/bin/env python3
"""Loads a running node over loopback and prints what it saw. Standard library only.

usage: load.py HOST:PORT TOKEN MODEL WHAT [N]
  streams N      N streams at once: tokens/s together, and by each
  disconnects N  N clients that leave at a random moment: how long until the node has no job of theirs left
  overload S     ten times what it can do for S seconds: how many were accepted, refused, and finished
  slow N         N half-sent requests and N idle connections: latency of a normal request with and without them
  stall N        a prompt of about N tokens beside 4 streams: the longest wait between two of their tokens
Exits 1 when a promise of the node is broken.
"""
import asyncio
import json
import random
import statistics
import sys
import time

address, token, model, what = sys.argv[1:5]
count = int(sys.argv[5]) if len(sys.argv) > 5 else 8
host, port = address.rsplit(":", 1)


def request(path, body=None, method="POST"):
    data = json.dumps(body).encode() if body is not None else b""
    kind = b"Content-Type: application/json\r\n" if body is not None else b""
    return (f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nContent-Length: {len(data)}\r\n"
            "Connection: close\r\n").encode() + kind + b"\r\n" + data


def chat(text, tokens, seed=0, stream=True):
    return request("/v1/chat/completions", {
        "model": model, "temperature": 0.9, "seed": seed, "max_tokens": tokens, "stream": stream, "ignore_eos": True,
        "messages": [{"role": "user", "content": text}]})


async def get(path):
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(request(path, method="GET"))
    data = await reader.read()
    writer.close()
    return data.partition(b"\r\n\r\n")[2].decode()


async def metric(name):
    for line in (await get("/metrics")).splitlines():
        if line.startswith("hotpot:" + name + "{"):
            return float(line.rsplit(" ", 1)[1])
    return 0.0


async def stream(number, tokens, text="Write about number {}."):
    """The times of all chunks, and the status."""
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(chat(text.format(number), tokens, seed=number))
    status = int((await reader.readline()).split()[1])
    times = []
    while line := await reader.readline():
        if line.startswith(b'data: {"id"') and b'"content"' in line:
            times.append(time.monotonic())
    writer.close()
    return status, times


async def streams():
    began = time.monotonic()
    results = await asyncio.gather(*[stream(number, 200) for number in range(count)])
    span = time.monotonic() - began
    tokens = sum(200 for status, _ in results if status == 200)
    gaps = [b - a for _, times in results for a, b in zip(times, times[1:])]
    print(f"{count} streams: {tokens / span:.1f} tokens/s together, between tokens p50 {1000 * statistics.median(gaps):.1f} ms, "
          f"longest {1000 * max(gaps):.0f} ms")
    return all(status == 200 for status, _ in results)


async def leaver(number):
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(chat(f"Count from {number}.", 400, seed=number, stream=random.random() < 0.7))
    await writer.drain()
    # Some leave while they wait, some in their prompt, some while tokens come.
    await asyncio.sleep(random.choice([0, 0.001, 0.01, 0.1, 0.5]) * random.random())
    writer.transport.abort()


async def disconnects():
    worst = 0.0
    for first in range(0, count, 25):
        await asyncio.gather(*[leaver(number) for number in range(first, min(count, first + 25))])
        left = time.monotonic()
        while await metric("num_requests_running") + await metric("num_requests_waiting") > 0:
            if time.monotonic() - left > 10:
                print("jobs of clients that left still run after 10 s")
                return False
            await asyncio.sleep(0.01)
        worst = max(worst, time.monotonic() - left)
    kv = await metric("kv_cache_usage_perc")
    print(f"{count} disconnects: all slots free after at most {1000 * worst:.0f} ms, KV in use {kv:.3f}")
    return worst < 0.5 and kv == 0


async def overload():
    seen = {}
    finished = 0
    memory = []

    async def client(number):
        nonlocal finished
        until = time.monotonic() + count
        while time.monotonic() < until:
            status, times = await stream(number, 32)
            seen[status] = seen.get(status, 0) + 1
            if status == 200 and times:
                finished += 1
            if status == 429:
                await asyncio.sleep(0.05)

    async def watch():
        while True:
            memory.append(await metric("resident_memory_bytes"))
            await asyncio.sleep(1)

    watcher = asyncio.create_task(watch())
    await asyncio.gather(*[client(number) for number in range(700)])
    watcher.cancel()
    print(f"overload for {count} s: answers by status {seen}, finished {finished}, memory {min(memory) / 2**20:.0f} to {max(memory) / 2**20:.0f} MiB")
    return set(seen) <= {200, 429} and finished == seen.get(200, 0)


async def latency(rounds):
    found = []
    for _ in range(rounds):
        began = time.monotonic()
        await get("/v1/models")
        found.append(time.monotonic() - began)
    return sorted(found)[int(rounds * 0.99)]


async def slow():
    alone = await latency(300)
    idle = [await asyncio.open_connection(host, int(port)) for _ in range(count)]
    half = [await asyncio.open_connection(host, int(port)) for _ in range(count)]

    async def drip():
        while True:
            for _, writer in half:
                writer.write(b"POST /v1/chat/completions HTTP/1.1\r\n"[:1])
            await asyncio.sleep(1)

    dripping = asyncio.create_task(drip())
    beside = await latency(300)
    dripping.cancel()
    for _, writer in idle + half:
        writer.transport.abort()
    print(f"{count} slow and {count} idle connections: p99 {1000 * alone:.1f} ms alone, {1000 * beside:.1f} ms beside them ({beside / alone:.2f})")
    return beside <= 2 * max(alone, 0.002)


async def stall():
    running = [asyncio.create_task(stream(number, 400)) for number in range(4)]
    await asyncio.sleep(2)
    began = time.monotonic()
    long = await stream(99, 4, "soup " * count + "{}")
    ended = time.monotonic()
    gaps, during = [], []
    for task in running:
        _, times = await task
        for a, b in zip(times, times[1:]):
            (during if began <= b <= ended else gaps).append(b - a)
    median = statistics.median(gaps)
    print(f"a prompt of {count} words took {ended - began:.2f} s; streams beside it: median {1000 * median:.1f} ms without, "
          f"longest {1000 * max(during):.1f} ms with it ({max(during) / median:.1f} medians)")
    return long[0] == 200


sys.exit(0 if asyncio.run({"streams": streams, "disconnects": disconnects, "overload": overload, "slow": slow, "stall": stall}[what]()) else 1)
