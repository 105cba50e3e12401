"""Large bodies in bounded memory, tunnels, and the events that must not wait in a buffer."""

import hashlib

from harness import *

SIZE_MIB = 1024 if not is_sanitized() else 64
MOST_KIB = 50 * 1024


class Streams(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.rouse = Daemon({"functions": {"s": python_function("streams.py", scale={"min": 1, "max": 1})}})
        cls.rouse.__enter__()

    @classmethod
    def tearDownClass(cls):
        cls.rouse.__exit__(None, None, None)

    def check_memory(self):
        if not is_sanitized():
            self.assertLess(self.rouse.peak_rss_kib(), MOST_KIB)

    def upload(self, chunked):
        piece = os.urandom(1 << 20)
        digest = hashlib.md5()
        with self.rouse.connect(timeout=120) as c:
            c.send_request("PUT", "/function/s/up", [("Transfer-Encoding", "chunked")] if chunked else [("Content-Length", str(SIZE_MIB << 20))])
            for _ in range(SIZE_MIB):
                c.send(b"100000\r\n" + piece + b"\r\n" if chunked else piece)
                digest.update(piece)
            if chunked:
                c.send(b"0\r\n\r\n")
            self.assertEqual(c.read_response("PUT").text, f"{SIZE_MIB << 20} {digest.hexdigest()}")
        self.check_memory()

    def test_large_upload(self):
        self.upload(chunked=False)

    def test_large_chunked_upload(self):
        self.upload(chunked=True)

    def download(self, path):
        with self.rouse.connect(timeout=120) as c:
            c.send_request("GET", f"/function/s{path}/{SIZE_MIB}")
            head = c.read_head()
            count = 0
            if head.header("content-length"):
                want = int(head.header("content-length"))
                while count < want:
                    count += len(c.read_some())
            else:
                while piece := c.read_chunk():
                    count += len(piece)
            self.assertEqual(count, SIZE_MIB << 20)
        self.check_memory()

    def test_large_download(self):
        self.download("")

    def test_large_chunked_download(self):
        self.download("/chunked")

    def test_a_caller_who_does_not_read_costs_little(self):
        idle = [self.rouse.connect() for _ in range(20)]
        for c in idle:
            c.send_request("GET", f"/function/s/{SIZE_MIB}")
        with self.rouse.connect() as c:
            self.assertEqual(len(c.request("GET", "/function/s/1").body), 1 << 20)
        self.check_memory()
        for c in idle:
            c.reset()
        # The function still writes 20 GiB, which are discarded; `stop_grace` (30 s) is the bound.
        wait_for(lambda: self.rouse.function("s")["in_flight"] == 0, 40, what="the slots of those who left are free")

    def upgrade(self):
        c = self.rouse.connect()
        c.send("GET /function/s/ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n\r\nfirst")
        head = c.read_head()
        self.assertEqual((head.status, head.header("upgrade").lower()), (101, "websocket"))
        self.assertEqual(c.read_exactly(10), b"hellofirst")
        return c

    def test_tunnel_and_half_close(self):
        with self.upgrade() as c:
            self.rouse.wait_load("s", 1)
            for i in range(100):
                c.send(b"%06d" % i)
                self.assertEqual(c.read_exactly(6), b"%06d" % i)
            c.shutdown_write()
            self.assertEqual(c.read_eof(10), b"bye")
        wait_for(lambda: self.rouse.function("s")["in_flight"] == 0, what="the tunnel's slot is free")

    def test_tunnel_reset(self):
        self.upgrade().reset()
        wait_for(lambda: self.rouse.function("s")["in_flight"] == 0, what="the tunnel's slot is free")

    def test_other_upgrades_do_not_pass(self):
        with self.rouse.connect() as c:
            got = c.request("GET", "/function/s/0", [("Connection", "Upgrade, HTTP2-Settings"), ("Upgrade", "h2c"), ("HTTP2-Settings", "AAA")])
            self.assertEqual(got.status, 200)


if __name__ == "__main__":
    unittest.main()
