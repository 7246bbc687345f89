"""A bad network between two network namespaces: two TUN devices, and between them loss, delay, jitter and a narrow queue.

Creates the devices named on the command line, says `ready`, and then reads a JSON object a line from standard input:

    {"to": "DEVICE", "rate": 600000, "delay": 50, "jitter": 5, "loss": 5, "queue": 300}

sets what packets to that device meet: bits a second (0: no limit), milliseconds each way, milliseconds more at random,
lost packets in a hundred, and milliseconds of waiting beyond which the queue drops. What is left out becomes 0; of the
queue, 300. An empty object asks for the counts. Each line is answered by one with the counts of both directions. Ends
with its standard input. The order of packets is kept, as by most real links.
"""

import fcntl
import heapq
import itertools
import json
import os
import random
import select
import struct
import sys
import time

TUNSETIFF = 0x400454CA
IFF_TUN = 0x0001
IFF_NO_PI = 0x1000
MAX_PACKET = 65536
# Packets under way in one direction at most: seconds of any rate that a test uses.
MAX_UNDER_WAY = 20_000
LIMITS = {"rate": 10**10, "delay": 10_000, "jitter": 10_000, "loss": 100, "queue": 10_000}


def open_tun(name):
    """Makes the device; it is gone when this process is."""
    tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TUN | IFF_NO_PI))
    return tun


class Direction:
    """Packets to one device. Times in seconds."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.under_way = []
        self.order = itertools.count()
        self.counts = {"passed": 0, "lost": 0, "overflowed": 0}
        self.free_at = self.last_at = 0.0
        self.meet({})

    def meet(self, conditions):
        """Sets the conditions for packets that come from now on."""
        for name, value in conditions.items():
            if name not in LIMITS or not isinstance(value, (int, float)) or not 0 <= value <= LIMITS[name]:
                raise ValueError(f"{name} must be one of {', '.join(LIMITS)}, and within 0 to {LIMITS.get(name, 0)}")
        self.rate = conditions.get("rate", 0)
        self.delay = conditions.get("delay", 0) / 1000
        self.jitter = conditions.get("jitter", 0) / 1000
        self.loss = conditions.get("loss", 0) / 100
        self.queue = conditions.get("queue", 300) / 1000
        self.free_at = 0.0

    def take(self, now, packet):
        """Takes a packet that was sent now."""
        leaves = now
        if self.rate:
            leaves = max(now, self.free_at)
            if leaves - now > self.queue:
                self.counts["overflowed"] += 1
                return
            leaves += len(packet) * 8 / self.rate
            self.free_at = leaves
        if self.random.random() < self.loss:
            self.counts["lost"] += 1
            return
        if len(self.under_way) >= MAX_UNDER_WAY:
            self.counts["overflowed"] += 1
            return
        arrives = leaves + self.delay + self.random.uniform(0, self.jitter)
        self.last_at = max(arrives, self.last_at)
        heapq.heappush(self.under_way, (self.last_at, next(self.order), packet))
        self.counts["passed"] += 1

    def due_at(self):
        """Returns when the next packet arrives; None when nothing is under way."""
        return self.under_way[0][0] if self.under_way else None

    def arrived(self, now):
        """Returns the packets that have arrived."""
        packets = []
        while self.under_way and self.under_way[0][0] <= now:
            packets.append(heapq.heappop(self.under_way)[2])
        return packets


class Link:
    """Two devices, and one direction to each."""

    def __init__(self, names):
        self.tuns = {name: open_tun(name) for name in names}
        self.directions = {name: Direction(seed) for seed, name in enumerate(names)}
        self.orders = b""

    def run(self):
        names = list(self.tuns)
        across = dict(zip(names, reversed(names)))
        by_tun = {tun: name for name, tun in self.tuns.items()}
        while True:
            dues = [due for due in (it.due_at() for it in self.directions.values()) if due is not None]
            wait = max(0.0, min(dues) - time.monotonic()) if dues else None
            readable, _, _ = select.select([*by_tun, sys.stdin.fileno()], [], [], wait)
            for readable_one in readable:
                if readable_one in by_tun:
                    self.read(readable_one, self.directions[across[by_tun[readable_one]]])
                elif not self.obey():
                    return
            for name, direction in self.directions.items():
                for packet in direction.arrived(time.monotonic()):
                    self.write(self.tuns[name], packet)

    @staticmethod
    def read(tun, direction):
        # Until nothing is left, but not so long that what has arrived would wait.
        for _ in range(64):
            try:
                packet = os.read(tun, MAX_PACKET)
            except BlockingIOError:
                return
            direction.take(time.monotonic(), packet)

    @staticmethod
    def write(tun, packet):
        try:
            os.write(tun, packet)
        except OSError:
            # The device is down, or its queue is full: lost, as on any network.
            pass

    def obey(self):
        """Reads what is asked for; returns whether more may come."""
        more = os.read(sys.stdin.fileno(), MAX_PACKET)
        *lines, self.orders = (self.orders + more).split(b"\n")
        for line in lines:
            conditions = json.loads(line)
            if conditions:
                self.directions[conditions.pop("to")].meet(conditions)
            print(json.dumps({name: it.counts for name, it in self.directions.items()}), flush=True)
        return bool(more)


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] == sys.argv[2]:
        sys.exit("usage: link.py DEVICE DEVICE")
    link = Link(sys.argv[1:])
    print("ready", flush=True)
    link.run()
