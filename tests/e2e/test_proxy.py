"""Messages on their way through: framing, hop-by-hop fields, interim and early responses, broken responses, time-outs."""

from harness import *


def raw(**keys):
    return python_function("raw.py", **keys)


class Proxy(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.rouse = Daemon(
            {
                "functions": {
                    "raw": raw(scale={"min": 1, "max": 1}),
                    "quick": raw(timeout=duration(0.4), stream_idle_timeout=duration(0.4), stop_grace=duration(1), scale={"max": 1}),
                    "once": raw(scale={"min": 1, "max": 1}, retry={"attempts": 1}),
                    "brief": raw(max_duration="400ms", stop_grace="1s", scale={"max": 1}),
                },
                "server": {"limits": {"body_bytes": "1MiB", "header_timeout": duration(0.7)}},
            }
        )
        cls.rouse.__enter__()

    @classmethod
    def tearDownClass(cls):
        cls.rouse.__exit__(None, None, None)

    def raw(self, path, method="GET", **more):
        return self.rouse.request(method, "/function/raw" + path, **more)

    def test_keep_alive_and_pipelining_in_order(self):
        with self.rouse.connect() as c:
            for i in range(50):
                c.send_request("POST", f"/function/raw/echo?{i}", body=f"body {i}")
            for i in range(50):
                self.assertTrue(c.read_response("POST").text.endswith(f":body {i}"))

    def test_pipelined_behind_a_chunked_body(self):
        with self.rouse.connect() as c:
            c.send_request("POST", "/function/raw/echo", body=[b"one", b"two"])
            c.send_request("GET", "/function/raw/echo")
            self.assertTrue(c.read_response("POST").body.endswith(b":onetwo"))
            self.assertTrue(c.read_response("GET").body.endswith(b":"))

    def test_body_byte_by_byte(self):
        with self.rouse.connect() as c:
            for byte in b"POST /function/raw/echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nX-T: 1\r\n\r\nGET /function/raw/head HTTP/1.1\r\nHost: a\r\n\r\n":
                c.send(bytes([byte]))
            self.assertTrue(c.read_response("POST").body.endswith(b":abcde[X-T: 1]"))
            self.assertEqual(c.read_response("HEAD").header("content-length"), "1234")

    def test_chunked_response_with_trailers(self):
        got = self.raw("/chunked")
        self.assertEqual((got.status, got.body, got.framing), (200, b"hello world", "chunked"))
        self.assertEqual(got.trailers, [("x-sum", "11")])

    def test_response_without_length_becomes_chunked(self):
        for path in ("/until-close", "/http10"):
            with self.rouse.connect() as c:
                got = c.request("GET", "/function/raw" + path)
                self.assertEqual(got.framing, "chunked")
                self.assertIn(got.body, (b"to the end", b"old"))
                self.assertEqual(c.request("GET", "/function/raw/echo").status, 200)

    def test_old_caller_gets_no_chunks(self):
        with self.rouse.connect() as c:
            c.send("GET /function/raw/chunked HTTP/1.0\r\n\r\n")
            got = c.read_response("GET")
            self.assertEqual((got.framing, got.body), ("close", b"hello world"))
        with self.rouse.connect() as c:
            for _ in range(2):
                c.send("GET /function/raw/hop HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
                got = c.read_response("GET")
                self.assertEqual((got.framing, got.body), ("length", b"hop"))
                self.assertIn("keep-alive", got.header("connection").lower())

    def test_head_and_not_modified(self):
        with self.rouse.connect() as c:
            got = c.request("HEAD", "/function/raw/head")
            self.assertEqual((got.status, got.header("content-length")), (200, "1234"))
            self.assertEqual(c.request("GET", "/function/raw/not-modified").status, 304)
            self.assertEqual(c.request("GET", "/function/raw/echo").status, 200)

    def test_interim_responses_pass(self):
        got = self.raw("/interim")
        self.assertEqual(got.body, b"done")
        self.assertEqual([i.status for i in got.interim], [103, 102])
        with self.rouse.connect() as c:  # HTTP/1.0 knows none
            c.send("GET /function/raw/interim HTTP/1.0\r\n\r\n")
            self.assertEqual(c.read_response("GET").interim, [])

    def test_hop_by_hop_fields_stay(self):
        got = self.raw("/hop", headers=[("Connection", "X-Mine"), ("X-Mine", "1"), ("TE", "trailers"), ("X-Other", "2"), ("Keep-Alive", "timeout=1")])
        self.assertEqual((got.header("x-private"), got.header("x-public"), got.header("keep-alive")), (None, "2", None))
        head = self.raw("/last").text.lower()
        for gone in ("x-mine", "te:", "keep-alive:", "connection: x-mine"):
            self.assertNotIn(gone, head)
        self.assertIn("x-other: 2", head)

    def test_fields_that_rouse_adds(self):
        self.raw("/echo", headers={"X-Forwarded-For": "6.6.6.6", "X-Request-Id": "mine-1", "Host": "shop.example:99"})
        head = dict(line.split(": ", 1) for line in self.raw("/last").text.strip().split("\r\n")[1:])
        lower = {name.lower(): value for name, value in head.items()}
        self.assertEqual(lower["host"], "shop.example:99")
        self.assertEqual(lower["x-forwarded-for"], "127.0.0.1")
        self.assertEqual(lower["x-forwarded-proto"], "http")
        self.assertEqual(lower["x-forwarded-host"], "shop.example:99")
        self.assertEqual(lower["x-request-id"], "mine-1")
        self.assertRegex(lower["traceparent"], "^00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]$")
        self.assertIn("for=127.0.0.1", lower["forwarded"])

    def test_continue_is_answered_by_the_gateway(self):
        with self.rouse.connect() as c:
            c.send("POST /function/raw/echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
            self.assertEqual(c.read_head().status, 100)
            c.send("abc")
            self.assertTrue(c.read_response("POST").body.endswith(b":abc"))
            self.assertNotIn("expect", c.request("GET", "/function/raw/last").text.lower())
        with self.rouse.connect() as c:  # nothing is asked for that would be thrown away
            c.send("POST /nowhere HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
            self.assertEqual(c.read_head().status, 404)

    def test_early_response_reaches_a_caller_who_still_sends(self):
        with self.rouse.connect() as c:
            c.send("POST /function/raw/early HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n" + "x" * 1000)
            got = c.read_response("POST")
            self.assertEqual((got.status, got.body), (413, b"early"))

    def test_both_directions_at_once(self):
        with self.rouse.connect() as c:
            c.send("POST /function/raw/duplex HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
            head = c.read_head()
            self.assertEqual(head.status, 200)
            for word in (b"ping", b"pong"):
                c.send(b"%x\r\n%b\r\n" % (len(word), word))
                self.assertEqual(c.read_chunk(), word)
            c.send("0\r\n\r\n")
            self.assertEqual(c.read_chunk(), b"")

    def test_broken_responses_are_reset_not_ended(self):
        for path in ("/cut", "/cut-chunked"):
            with self.subTest(path), self.rouse.connect() as c:
                c.send_request("GET", "/function/raw" + path)
                self.assertEqual(c.read_head().status, 200)
                with self.assertRaises(ConnectionResetError):
                    while c.read_some():
                        pass
                    self.fail("the response ended as if it were whole")

    def test_invalid_responses_are_502(self):
        for name in ("both", "twice", "fold", "coding", "bare-lf", "space", "garbage", "status", "switch", "half", "chunk"):
            with self.subTest(name):
                got = self.raw("/bad/" + name)
                self.assertEqual(got.status, 502)
                self.assertEqual(got.problem()["type"], "instance-failed")

    def test_drop_is_502_for_post_and_retried_for_get(self):
        got = self.raw("/drop", "POST", body="x")
        self.assertEqual((got.status, got.problem()["type"]), (502, "instance-failed"))
        before = self.rouse.metric("rouse_retries_total", function="raw")
        self.assertEqual(self.raw("/drop").status, 502)
        self.assertGreater(self.rouse.metric("rouse_retries_total", function="raw"), before)
        self.assertEqual(self.raw("/echo").status, 200)

    def test_timeout_is_504_and_the_slot_comes_back(self):
        got = self.rouse.get("/function/quick/hang")
        self.assertEqual((got.status, got.problem()["type"]), (504, "function-timeout"))
        wait_for(lambda: self.rouse.function("quick")["in_flight"] == 0, what="the slot is free again")
        got = self.rouse.get("/function/quick/hang-forever")
        self.assertEqual(got.status, 504)
        self.assertEqual(self.rouse.function("quick")["in_flight"], 1, "an instance that works is not idle")
        wait_for(lambda: self.rouse.function("quick")["in_flight"] == 0, what="the slot is free after stop_grace")

    def test_silent_stream_is_reset(self):
        with self.rouse.connect() as c:
            c.send_request("GET", "/function/quick/slow-stream")
            self.assertEqual(c.read_head().status, 200)
            self.assertEqual(c.read_chunk(), b"data: 1\n")
            with self.assertRaises(ConnectionResetError):
                c.read_some()

    def test_silent_upload_is_408(self):
        with self.rouse.connect() as c:
            c.send("POST /function/quick/echo HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf")
            self.assertEqual(c.read_response("POST").problem()["type"], "request-timeout")

    def test_max_duration(self):
        got = self.rouse.get("/function/brief/hang")
        self.assertEqual((got.status, got.problem()["type"]), (504, "function-timeout"))

    def test_events_are_not_buffered(self):
        with self.rouse.connect() as c:
            c.send_request("GET", "/function/raw/slow-stream")
            c.read_head()
            self.assertEqual(c.read_chunk(), b"data: 1\n")
            self.raw("/release")
            self.assertEqual(c.read_chunk(), b"data: 2\n")
            self.assertEqual(c.read_chunk(), b"")

    def test_limits(self):
        got = self.raw("/echo", "POST", body="x" * (1 << 20) + "y")
        self.assertEqual((got.status, got.problem()["type"]), (413, "body-too-large"))
        got = self.raw("/echo", "POST", body=[b"z" * 65536] * 17)
        self.assertEqual(got.status, 413)
        self.assertEqual(self.raw("/echo", "POST", body="x" * (1 << 20)).status, 200)
        got = self.raw("/echo", headers={"X-Long": "x" * 70000})
        self.assertEqual(got.status, 431)
        with self.rouse.connect() as c:
            c.send("GET / HTT")
            self.assertEqual(c.read_response("GET").problem()["type"], "request-timeout")

    def test_refused_requests_close_the_connection(self):
        for name, head in {
            "both": "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
            "twice": "Content-Length: 3\r\nContent-Length: 3\r\n",
            "list": "Content-Length: 3, 3\r\n",
            "sign": "Content-Length: +3\r\n",
            "coding": "Transfer-Encoding: xchunked\r\n",
            "fold": "X-A: b\r\n c\r\n",
            "space": "X-A : b\r\n",
            "nul": "X-A: b\0c\r\n",
            "lf": "X-A: b\nX-B: c\r\n",
            "host": "Host: b\r\n",
            "userinfo": None,
        }.items():
            with self.subTest(name), self.rouse.connect() as c:
                hostile = "GET /function/raw/smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
                host = "u:p@a" if head is None else "a"
                c.send(f"POST /function/raw/echo HTTP/1.1\r\nHost: {host}\r\n{head or ''}\r\n{hostile}")
                self.assertIn(c.read_response("POST").status, (400, 501))
                self.assertEqual(c.read_eof(10), b"")

    def test_bad_chunk_is_400(self):
        with self.rouse.connect() as c:
            c.send("POST /function/raw/echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
            c.send("3\r\nabc\r\nzz\r\n")
            self.assertEqual(c.read_response("POST").status, 400)


if __name__ == "__main__":
    unittest.main()
