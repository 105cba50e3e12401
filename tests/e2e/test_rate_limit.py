"""What `rate_limit` refuses is answered, counted, and no load: nothing is started for it."""

from harness import *
from load import Load


class RateLimit(unittest.TestCase):
    def test_what_is_refused_scales_nothing_up(self):
        scale = {"metric": "rps", "target": 5, "window": "2s", "max": 10}
        function = python_function("gated.py", "--quiet", scale=scale, rate_limit={"rps": 1, "burst": 1})
        with Daemon({"functions": {"work": function}}) as rouse, Load(rouse.port, "/function/work", 4, think=0.005) as load:
            wait_for(lambda: load.statuses[200] >= 1, 20, "one is let through")
            # For so long that the averages are of nothing else; it is the refused ones that would need ten instances.
            until, most = time.monotonic() + 6, 0
            while time.monotonic() < until or load.statuses[429] < 200:
                self.assertLess(time.monotonic(), until + scaled(60))
                most = max(most, rouse.function("work")["desired"])
                time.sleep(0.05)
            self.assertEqual(most, 1)
            self.assertEqual(rouse.function("work")["cold_starts"], 1)
            self.assertEqual(set(load.statuses), {200, 429})
            self.assertGreaterEqual(rouse.metric("rouse_shed_total", function="work", reason="rate-limited"), 200)


if __name__ == "__main__":
    unittest.main()
