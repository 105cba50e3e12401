"""Large bodies and tunnels: PUT counts and hashes what it gets, GET /N sends N MiB, an upgrade is answered and echoed."""

import hashlib
import os
import socket
import threading

PIECE = bytes(range(256)) * 4096  # 1 MiB


def exchange(stream, sock):
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        line = stream.readline()
        if not line:
            return False
        head += line
    method, target = head.split(b" ")[:2]
    fields = {k.strip().lower(): v.strip() for k, _, v in (l.partition(b":") for l in head.split(b"\r\n")[1:])}
    if fields.get(b"upgrade", b"").lower() == b"websocket":
        sock.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nhello")
        while piece := stream.read1(65536):
            sock.sendall(piece)
        sock.sendall(b"bye")
        return False
    if method == b"PUT":
        count, digest = 0, hashlib.md5()
        if b"content-length" in fields:
            left = int(fields[b"content-length"])
            while left:
                piece = stream.read(min(left, 1 << 16))
                left -= len(piece)
                count += len(piece)
                digest.update(piece)
        else:
            while size := int(stream.readline(), 16):
                piece = stream.read(size)
                stream.readline()
                count += size
                digest.update(piece)
            stream.readline()
        body = b"%d %s" % (count, digest.hexdigest().encode())
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        return True
    mebibytes = int(target.rsplit(b"/", 1)[1])
    if target.startswith(b"/chunked/"):
        sock.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(mebibytes):
            sock.sendall(b"100000\r\n" + PIECE + b"\r\n")
        sock.sendall(b"0\r\n\r\n")
    else:
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (mebibytes << 20))
        for _ in range(mebibytes):
            sock.sendall(PIECE)
    return True


def serve(sock):
    with sock, sock.makefile("rb") as stream:
        try:
            while exchange(stream, sock):
                pass
        except OSError:
            pass


with socket.create_server(("127.0.0.1", int(os.environ["PORT"])), backlog=128) as server:
    while True:
        sock, _ = server.accept()
        threading.Thread(target=serve, args=(sock,), daemon=True).start()
