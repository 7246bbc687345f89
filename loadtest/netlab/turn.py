"""Asks a TURN relay for peers (RFC 8656): turn.py RELAY PORT SECRET FILE [LAST…]

Comes by TCP with a credential of the relay's shared secret, has an allocation of each family, and asks, for each address
that FILE has a line for, for a permission and for a channel, and sends what begins with `leak ` and the address by both
ways all the same. At the end it does so for each LAST, an address with its port behind a comma. Prints a JSON object: of
each address the codes of both answers, 0 where they were granted.
"""

import base64
import hashlib
import hmac
import ipaddress
import json
import os
import socket
import struct
import sys
import time

COOKIE = 0x2112A442
ALLOCATE, REFRESH, PERMIT, SEND, BIND = 0x0003, 0x0004, 0x0008, 0x0016, 0x0009
USERNAME, INTEGRITY, ERROR, CHANNEL, PEER, DATA, REALM, NONCE, FAMILY, TRANSPORT = 6, 8, 9, 12, 18, 19, 20, 21, 23, 25
DISCARD = 9


class Client:
    """One allocation."""

    def __init__(self, relay, secret, version):
        self.stream = socket.create_connection(relay, timeout=10)
        self.name = f"{int(time.time()) + 3600}:netlab-{version}"
        password = hmac.new(secret.encode(), self.name.encode(), hashlib.sha1).digest()
        self.password = base64.b64encode(password).decode()
        self.realm = self.nonce = b""
        self.channels = iter(range(0x4000, 0x5000))
        family = attribute(FAMILY, bytes([2 if version == 6 else 1, 0, 0, 0]))
        wanted = attribute(TRANSPORT, bytes([17, 0, 0, 0])) + family
        self.ask(ALLOCATE, wanted)
        code = self.ask(ALLOCATE, wanted)
        if code:
            raise SystemExit(f"no allocation of IPv{version}: {code}")

    def ask(self, kind, attributes, transaction=None):
        """Returns the code of the answer: 0 where it was granted."""
        transaction = transaction or os.urandom(12)
        if self.nonce:
            named = attribute(USERNAME, self.name.encode()) + attribute(REALM, self.realm) + attribute(NONCE, self.nonce)
            attributes += named
            key = hashlib.md5(f"{self.name}:{self.realm.decode()}:{self.password}".encode()).digest()
            signed = message(kind, transaction, attributes, more=24)
            attributes += attribute(INTEGRITY, hmac.new(key, signed, hashlib.sha1).digest())
        self.stream.sendall(message(kind, transaction, attributes))
        while True:
            came, answered, found = self.read()
            if answered != transaction:
                continue
            self.realm = found.get(REALM, self.realm)
            self.nonce = found.get(NONCE, self.nonce)
            if came & 0x0110 == 0x0100:
                return 0
            return found[ERROR][2] * 100 + found[ERROR][3]

    def read(self):
        """Returns type, transaction and attributes of the next message."""
        kind, length, _, transaction = struct.unpack("!HHI12s", self.read_exactly(20))
        body, found = self.read_exactly(length), {}
        while body:
            kind_of, size = struct.unpack_from("!HH", body)
            found[kind_of] = body[4 : 4 + size]
            body = body[4 + (size + 3) // 4 * 4 :]
        return kind, transaction, found

    def read_exactly(self, count):
        data = b""
        while len(data) < count:
            more = self.stream.recv(count - len(data))
            if not more:
                raise SystemExit("the relay hung up")
            data += more
        return data

    def try_peer(self, peer, port):
        """Asks for a peer by all ways, and sends to it whatever the answers are."""
        transaction = os.urandom(12)
        at = attribute(PEER, xored(peer, port, transaction))
        permitted = self.ask(PERMIT, at, transaction)
        data = attribute(DATA, f"leak {peer}".encode())
        self.stream.sendall(message(SEND, transaction, at + data))
        number = next(self.channels)
        transaction = os.urandom(12)
        at = attribute(PEER, xored(peer, port, transaction)) + attribute(CHANNEL, struct.pack("!HH", number, 0))
        bound = self.ask(BIND, at, transaction)
        data = f"leak {peer}".encode()
        self.stream.sendall(struct.pack("!HH", number, len(data)) + data + bytes(-len(data) % 4))
        # Its answer says that the relay has dealt with all that came before.
        self.ask(REFRESH, b"")
        return [permitted, bound]


def attribute(kind, value):
    return struct.pack("!HH", kind, len(value)) + value + bytes(-len(value) % 4)


def message(kind, transaction, attributes, more=0):
    return struct.pack("!HHI12s", kind, len(attributes) + more, COOKIE, transaction) + attributes


def xored(peer, port, transaction):
    mask = struct.pack("!I", COOKIE) + transaction
    address = bytes(a ^ b for a, b in zip(peer.packed, mask))
    return struct.pack("!BBH", 0, 2 if peer.version == 6 else 1, port ^ (COOKIE >> 16)) + address


def main():
    relay, port, secret, table, *last = sys.argv[1:]
    with open(table, encoding="utf-8") as lines:
        peers = [(line.strip(), DISCARD) for line in lines if not line.startswith("#")]
    peers += [(peer, int(port)) for peer, port in (it.split(",") for it in last)]
    clients = {version: Client((relay, int(port)), secret, version) for version in (4, 6)}
    codes = {}
    for text, port in peers:
        peer = ipaddress.ip_address(text)
        codes[text] = clients[peer.version].try_peer(peer, port)
    print(json.dumps(codes))


main()
