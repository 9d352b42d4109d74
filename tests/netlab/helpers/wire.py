"""wire.py DEVICE DEVICE: carries frames between two network devices as a bad line does.

Not every kernel has netem, and this one repeats the same losses for the same --seed. Prints "ready". Reads lines of
JSON from stdin, which replace settings while it runs, for instance {"loss": 20}. Frames of ARP pass unchanged.
"""

import argparse
import heapq
import json
import os
import random
import select
import socket
import struct
import sys
import time

SOL_PACKET, ADD_MEMBERSHIP, VNET_HDR, IGNORE_OUTGOING, PROMISCUOUS = 263, 1, 15, 23, 1
ALL, ARP = 3, 0x0806
HEADER = 10  # struct virtio_net_hdr: the kernel's note about checksums that are not filled in yet
LARGEST = 1 << 17
QUEUE = 10000  # frames


def open_device(name):
    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    s.setsockopt(SOL_PACKET, VNET_HDR, 1)
    s.setsockopt(SOL_PACKET, IGNORE_OUTGOING, 1)
    s.bind((name, ALL))
    s.setsockopt(SOL_PACKET, ADD_MEMBERSHIP, struct.pack("iHH8s", socket.if_nametoindex(name), PROMISCUOUS, 0, b""))
    s.setblocking(False)
    return s


class Direction:
    """Frames one way: what is lost, and when the others leave."""

    def __init__(self, settings, seed, out):
        self.settings, self.out = settings, out
        self.random = random.Random(seed)
        self.bad = False  # the state of the bursts
        self.free_at = 0.0  # when the line has sent what waits
        self.waiting, self.number = [], 0

    def is_lost(self):
        s, chance = self.settings, self.random.random
        if s.burst_every:
            # Two states (Gilbert): a burst begins once in so many frames, and lasts so many. Everything in it is lost.
            self.bad = chance() >= 1 / s.burst_length if self.bad else chance() < 1 / s.burst_every
            if self.bad:
                return True
        return chance() * 100 < s.loss

    def take(self, frame, now):
        s, chance = self.settings, self.random.random
        if frame[HEADER + 12 : HEADER + 14] == ARP.to_bytes(2, "big"):
            self.send(frame)
            return
        if self.is_lost() or len(self.waiting) >= QUEUE:
            return
        at = now
        if s.rate:
            begins = max(now, self.free_at)
            if (begins - now) * 1e3 > s.queue:
                return
            self.free_at = at = begins + (len(frame) - HEADER) * 8 / (s.rate * 1e3)
        if chance() * 100 >= s.reorder:
            at += (s.delay + chance() * s.jitter) / 1e3
        for _ in range(2 if chance() * 100 < s.duplicate else 1):
            self.number += 1
            heapq.heappush(self.waiting, (at, self.number, frame))

    def send_due(self, now):
        while self.waiting and self.waiting[0][0] <= now:
            self.send(heapq.heappop(self.waiting)[2])

    def send(self, frame):
        try:
            self.out.send(frame)
        except OSError:
            pass  # the queue of the device is full, or the device is down: lost, as on a line


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("devices", nargs=2)
    parser.add_argument("--seed", type=int, default=1)
    for name, what in (
        ("delay", "ms"), ("jitter", "up to so many ms more: frames overtake each other"), ("loss", "%"),
        ("burst-every", "frames between two bursts of losses, in the mean"), ("burst-length", "frames, in the mean"),
        ("reorder", "% of the frames that are not delayed"), ("duplicate", "%"), ("rate", "kbit/s"),
        ("queue", "ms that a frame waits for the line at most"),
    ):  # fmt: skip
        parser.add_argument(f"--{name}", type=float, default={"queue": 300, "burst-length": 10}.get(name, 0), help=what)
    settings = parser.parse_args()
    a, b = map(open_device, settings.devices)
    ways = {a: Direction(settings, settings.seed, b), b: Direction(settings, settings.seed + 1, a)}
    print("ready", flush=True)
    text = b""
    while True:
        ends = [way.waiting[0][0] for way in ways.values() if way.waiting]
        pause = max(0.0, min(ends) - time.monotonic()) if ends else 1.0
        readable = select.select([0, a, b], [], [], pause)[0]
        now = time.monotonic()
        for side in readable:
            if side == 0:
                some = os.read(0, 4096)
                if not some:
                    sys.exit(0)
                *lines, text = (text + some).split(b"\n")
                for line in lines:
                    vars(settings).update(json.loads(line))
                continue
            try:
                for _ in range(64):
                    ways[side].take(side.recv(LARGEST), now)
            except OSError:
                pass  # nothing more, or the device is down
        for way in ways.values():
            way.send_due(time.monotonic())


if __name__ == "__main__":
    main()
