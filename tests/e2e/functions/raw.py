"""Answers with bytes that no HTTP library would send, or would not let a test choose. One thread per connection; the path says
what to do; every request's head is remembered, and given back by /last."""

import os
import socket
import struct
import threading
import time

last = b""
release = threading.Event()


def read_head(stream):
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        line = stream.readline()
        if not line:
            return None
        head += line
    return head


def read_body(stream, head):
    """The body, decoded; trailers are appended as text."""
    lower = head.lower()
    if b"transfer-encoding: chunked" in lower:
        body = b""
        while size := int(stream.readline().split(b";")[0], 16):
            body += stream.read(size)
            stream.readline()
        while (line := stream.readline()) not in (b"\r\n", b""):
            body += b"[" + line.strip() + b"]"
        return body
    for line in lower.split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return stream.read(int(line[15:]))
    return b""


def ok(body, extra=b""):
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n%b\r\n%b" % (len(body), extra, body)


def answer(sock, stream, path, head):
    """One exchange; False ends the connection."""
    global last
    send = sock.sendall
    if path == "/early":  # before the body was read, and the connection ends
        send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 5\r\nConnection: close\r\n\r\nearly")
        sock.shutdown(socket.SHUT_WR)
        while stream.read1(65536):
            pass
        return False
    if path == "/duplex":  # answers while the body still comes, piece for piece
        send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while size := int(stream.readline(), 16):
            data = stream.read(size)
            stream.readline()
            send(b"%x\r\n%b\r\n" % (size, data))
        stream.readline()
        send(b"0\r\n\r\n")
        return True
    if path == "/reset-before":
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return False
    body = read_body(stream, head)
    if path == "/last":
        send(ok(last))
        return True
    last = head
    if path == "/chunked":
        send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n5;ext=1\r\nhello\r\n6\r\n world\r\n0\r\nX-Sum: 11\r\n\r\n")
    elif path == "/until-close":
        send(b"HTTP/1.1 200 OK\r\nX-Kind: until-close\r\n\r\nto the end")
        return False
    elif path == "/http10":
        send(b"HTTP/1.0 200 OK\r\n\r\nold")
        return False
    elif path == "/interim":
        send(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n" + ok(b"done"))
    elif path == "/hop":
        send(ok(b"hop", b"Connection: X-Private\r\nX-Private: 1\r\nKeep-Alive: timeout=9\r\nX-Public: 2\r\n"))
    elif path == "/cut":  # a body that ends too early
        send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this")
        return False
    elif path == "/cut-chunked":
        send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
        return False
    elif path == "/slow-stream":  # one piece, then silence until told
        send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Type: text/event-stream\r\n\r\n8\r\ndata: 1\n\r\n")
        release.wait(60)
        send(b"8\r\ndata: 2\n\r\n0\r\n\r\n")
    elif path == "/release":
        release.set()
        send(ok(b"released"))
    elif path == "/hang":
        while stream.read1(65536):
            pass
        return False
    elif path == "/hang-forever":
        time.sleep(3600)
    elif path == "/close-after":
        send(ok(b"bye", b"Connection: close\r\n"))
        return False
    elif path == "/drop":  # takes the request, ends without an answer
        return False
    elif path.startswith("/bad/"):
        send(BAD[path[5:]])
        return False
    elif path == "/head":
        send(b"HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n")
    elif path == "/not-modified":
        send(b"HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\nContent-Length: 77\r\n\r\n")
    else:
        send(ok(b"%d:" % os.getpid() + body))
    return True


BAD = {
    "both": b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "twice": b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
    "fold": b"HTTP/1.1 200 OK\r\nX-A: b\r\n c\r\nContent-Length: 3\r\n\r\nabc",
    "coding": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "bare-lf": b"HTTP/1.1 200 OK\nContent-Length: 3\n\nabc",
    "space": b"HTTP/1.1 200 OK\r\nContent-Length : 3\r\n\r\nabc",
    "garbage": b"\x16\x03\x01hello there, this is not HTTP\r\n\r\n",
    "status": b"HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n",
    "switch": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    "half": b"HTTP/1.1 200 OK\r\nContent-Le",
    "chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n",
}


def serve(sock):
    with sock, sock.makefile("rb") as stream:
        try:
            while head := read_head(stream):
                path = head.split(b" ")[1].decode("latin-1").split("?")[0]
                if not answer(sock, stream, path, head):
                    break
        except (OSError, ValueError):
            pass


with socket.create_server(("127.0.0.1", int(os.environ["PORT"])), backlog=1024) as server:
    while True:
        sock, _ = server.accept()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=serve, args=(sock,), daemon=True).start()
