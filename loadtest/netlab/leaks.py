"""Sees packets that ought not to be there: leaks.py LAST

Captures on every device of its network namespace, says `ready`, and prints, one a line, where each packet of UDP goes to
whose data begins with `leak `: the address in the packet, and the one in its data. Ends when data has named the address
LAST, or with its standard input.
"""

import ipaddress
import select
import socket
import sys

ETH_P_ALL = 3
UDP = 17
MARK = b"leak "


def leak(packet):
    """Returns where a packet goes, and where it says that it does; None for all others."""
    if not packet:
        return None
    if packet[0] >> 4 == 4:
        header, protocol, to = (packet[0] & 15) * 4, packet[9], packet[16:20]
    else:
        header, protocol, to = 40, packet[6], packet[24:40]
    data = packet[header + 8 :]
    if protocol != UDP or not data.startswith(MARK):
        return None
    return str(ipaddress.ip_address(to)), data[len(MARK) :].decode()


def main():
    last = sys.argv[1]
    capture = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_ALL))
    # A burst is not to be missed.
    capture.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
    print("ready", flush=True)
    seen = set()
    while True:
        ready, _, _ = select.select([capture, sys.stdin], [], [])
        if sys.stdin in ready:
            return
        found = leak(capture.recv(65536))
        if found is None:
            continue
        if found not in seen:
            seen.add(found)
            print(*found, flush=True)
        if found[1] == last:
            return


main()
