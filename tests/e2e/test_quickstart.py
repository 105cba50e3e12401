"""The quickstart of the README answers: functions in Python and Node, started by their first request, gone when idle."""

import re

from harness import *

EXAMPLES = ROOT / "config" / "examples"


def quickstart(idle="10s"):
    text = (EXAMPLES / "quickstart.yaml").read_text()
    for old, new in (
        ("listen: 127.0.0.1:8080", 'listen: "{listen}"'),
        ("admin: 127.0.0.1:9080", 'admin: "{admin}"'),
        ("directory: functions", f"directory: {EXAMPLES / 'functions'}"),
        ("idle: 10s", f"idle: {idle}"),
    ):
        assert old in text, f"quickstart.yaml has no `{old}` any more"
        text = text.replace(old, new)
    return text


class Quickstart(unittest.TestCase):
    def test_the_file_as_shipped_is_valid(self):
        done = run_rouse("check", "-c", EXAMPLES / "quickstart.yaml")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_python_and_node_answer_from_zero(self):
        with Daemon(quickstart()) as rouse:
            for name, greeting in (("hello-python", "Hello from Python!"), ("hello-node", "Hello from Node!")):
                with self.subTest(name):
                    self.assertEqual(rouse.instances(name), [])
                    first = rouse.get(f"/function/{name}/any/path?x=1")
                    self.assertEqual(first.status, 200, first)
                    self.assertRegex(first.text, rf"^{greeting} GET /any/path\?x=1 \(instance \d+\)\n$")
                    self.assertRegex(first.header("server-timing", ""), r"park;dur=\d+(\.\d+)?, ?cold;dur=\d+(\.\d+)?")
                    second = rouse.post(f"/function/{name}", b"hello")
                    self.assertEqual(second.status, 200, second)
                    self.assertRegex(second.text, rf"^{greeting} POST / \(instance \d+\)\n$")
                    pid = re.compile(r"instance (\d+)")
                    self.assertEqual(pid.search(first.text)[1], pid.search(second.text)[1], "one instance answers both")
                    self.assertIn(int(pid.search(first.text)[1]), rouse.descendants())

    def test_back_to_zero_and_up_again(self):
        with Daemon(quickstart(idle="300ms")) as rouse:
            first = rouse.get("/function/hello-python")
            self.assertEqual(first.status, 200, first)
            rouse.wait_zero("hello-python")
            again = rouse.get("/function/hello-python")
            self.assertEqual(again.status, 200, again)
            self.assertNotEqual(first.text, again.text, "a new process answers")

    def test_the_daemon_ends_with_its_functions(self):
        with Daemon(quickstart()) as rouse:
            self.assertEqual(rouse.get("/function/hello-python").status, 200)
            self.assertTrue(rouse.instance_pids("hello.py"))
            self.assertEqual(rouse.stop(), 0)
            rouse.wait_no_orphans()


if __name__ == "__main__":
    unittest.main()
