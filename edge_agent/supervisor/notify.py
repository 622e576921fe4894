"""What systemd is told, when it asks: READY once every worker is warm, WATCHDOG while every worker is healthy."""

from __future__ import annotations

import os
import socket


def notify(state: str) -> None:
    """Send one sd_notify(3) datagram; does nothing outside a service that wants it."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
        sock.connect(address)
        sock.sendall(state.encode())
