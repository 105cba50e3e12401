"""Connections that rouse keeps to instances: they never block a small server, overfill an accept queue, or meet a closing one."""

import http.client

from harness import *


def threads(count, backlog, work, **keys):
    return python_function("threads.py", count, backlog, work, **keys)


class Connections(unittest.TestCase):
    def many(self, rouse, name, callers, each, most):
        def run(_):
            took = []
            client = http.client.HTTPConnection("127.0.0.1", rouse.port, timeout=scaled(60))
            for _ in range(each):
                began = time.monotonic()
                client.request("GET", f"/function/{name}")
                answer = client.getresponse()
                answer.read()
                took.append((answer.status, time.monotonic() - began))
            client.close()
            return took

        all_of = [one for took in parallel(callers, run) for one in took]
        self.assertEqual({status for status, _ in all_of}, {200})
        if not is_sanitized():
            self.assertLess(max(time for _, time in all_of), most)

    def test_one_and_four_threads_never_hang_on_kept_connections(self):
        for workers in (1, 2, 3):
            with self.subTest(workers=workers), Daemon(
                {
                    "server": {"workers": workers},
                    "functions": {
                        "one": threads(1, 5, 2, concurrency=1, scale={"max": 1}),
                        "four": threads(4, 5, 2, concurrency=4, scale={"max": 1}),
                    },
                }
            ) as rouse:
                # Work of 2 ms, one at a time: 20 callers x 10 are 0.4 s; a kept connection in the way would last a minute.
                self.many(rouse, "one", 20, 10, 20)
                self.many(rouse, "four", 20, 10, 20)
                for _ in range(20):  # now from other workers, one after the other
                    self.assertEqual(rouse.get("/function/one").status, 200)
                    self.assertEqual(rouse.get("/function/four").status, 200)
                    self.assertEqual(rouse.post("/function/one", b"x").status, 200)

    def test_small_accept_queue(self):
        with Daemon({"functions": {"f": threads(100, 5, 10, concurrency=100, scale={"max": 1})}}) as rouse:
            def one(_):
                began = time.monotonic()
                return rouse.get("/function/f").status, time.monotonic() - began

            def spread():
                results = parallel(100, one)
                self.assertEqual({status for status, _ in results}, {200})
                return max(t for _, t in results) - min(t for _, t in results)

            first = spread()
            if not is_sanitized():
                # all began together: what the slowest took beyond the quickest is queueing of connections, but for what it is
                # when nobody has to connect to the instance any more, which is this machine's doing
                self.assertLess(first, 1.01 + max(spread() for _ in range(3)))

    def test_posts_around_the_closing_of_idle_connections(self):
        with Daemon({"functions": {"n": node_function("plain.js", env={"KEEP_ALIVE_MS": "300"}, scale={"max": 1})}}) as rouse:
            rouse.get("/function/n")

            def edge(i):
                with rouse.connect() as c:
                    statuses = []
                    for k in range(6):
                        statuses.append(c.request("POST", "/function/n", body="x" * 10).status)
                        # Node ends a connection about 1.3 s after its last use: come back around then.
                        until = time.monotonic() + 1.25 + ((i * 6 + k) % 20) * 0.01
                        wait_for(lambda: time.monotonic() >= until, 5, interval=0.001)
                    return statuses

            statuses = [status for one in parallel(20, edge) for status in one]
            self.assertEqual(set(statuses), {200})

    def test_connection_that_the_instance_closes_is_not_used(self):
        with Daemon({"functions": {"r": python_function("raw.py", scale={"max": 1})}}) as rouse:
            for _ in range(20):
                self.assertEqual(rouse.get("/function/r/close-after").body, b"bye")
                self.assertEqual(rouse.post("/function/r/echo", b"x").status, 200)

    def test_instances_that_died_are_not_used(self):
        # One function per try: an instance that keeps dying is started again with a back-off.
        names = ["a", "b", "c"]
        with Daemon({"functions": {name: python_function("raw.py", scale={"max": 1}) for name in names}}) as rouse:
            for name in names:
                pid = int(rouse.get(f"/function/{name}/echo").text.split(":")[0])
                os.kill(pid, signal.SIGKILL)
                self.assertNotEqual(int(rouse.get(f"/function/{name}/echo").text.split(":")[0]), pid)


if __name__ == "__main__":
    unittest.main()
