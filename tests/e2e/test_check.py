"""`rouse check`, `rouse version` and wrong use: exit codes, and messages that say where and what would be right."""

from harness import *


class Check(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(prefix="rouse-e2e-")
        self.addCleanup(self.folder.cleanup)
        self.file = Path(self.folder.name) / "rouse.yaml"

    def check(self, text, command="check", env=None):
        self.file.write_text(text)
        done = run_rouse(command, "-c", self.file, env=env)
        return done.returncode, done.stdout + done.stderr

    def assert_problem(self, output, line, *words):
        """One line of the output is FILE:LINE:COLUMN: ... and has all the words."""
        pattern = rf"(?m)^{re.escape(str(self.file))}:{line}:[1-9]\d*: .*$"
        found = re.findall(pattern, output)
        self.assertTrue(any(all(word in entry for word in words) for entry in found), f"{words} on line {line} in:\n{output}")

    def test_a_valid_file(self):
        code, output = self.check("functions:\n  hello:\n    command: [python3, hello.py]\n")
        self.assertEqual(code, 0, output)

    def test_the_smallest_config_is_a_function_with_a_command(self):
        code, output = self.check("functions: {a: {command: [a]}}\n")
        self.assertEqual(code, 0, output)

    def test_every_problem_is_shown_with_its_place(self):
        code, output = self.check(
            "functions:\n"
            "  hello:\n"
            "    command: [python3, hello.py]\n"
            "    concurency: 10\n"
            "    timeout: soon\n"
            "  Bad_Name:\n"
            "    command: [x]\n"
            "routes:\n"
            "  - {path: /x, function: helo}\n"
        )
        self.assertEqual(code, 2, output)
        self.assert_problem(output, 4, "concurency", "did you mean `concurrency`?")
        self.assert_problem(output, 5, "timeout")
        self.assert_problem(output, 6, "Bad_Name")
        self.assert_problem(output, 9, "helo")

    def test_keys_given_twice_and_second_documents(self):
        code, output = self.check("functions:\n  a: {command: [a]}\n  a: {command: [b]}\n")
        self.assertEqual(code, 2, output)
        self.assert_problem(output, 3, "a")
        code, output = self.check("functions:\n  a: {command: [a]}\n---\nfunctions: {}\n")
        self.assertEqual(code, 2, output)

    def test_a_syntax_error(self):
        code, output = self.check("functions: {a: [\n")
        self.assertEqual(code, 2, output)
        self.assertRegex(output, rf"(?m)^{re.escape(str(self.file))}:\d+:\d+: ")

    def test_what_would_mean_nothing_is_rejected(self):
        for key, word in (
            ("resources: {cpu: 1}", "resources"),
            ("port: http", "port"),
            ("pools: [docker]", "image"),
            ("pools: [kubernetes]", "deployment"),
        ):
            with self.subTest(key):
                code, output = self.check(f"functions:\n  a:\n    command: [a]\n    {key}\n")
                self.assertEqual(code, 2, output)
                self.assertIn(f"`{word}`", output)
        code, output = self.check("server:\n  tls: {}\n")
        self.assertEqual(code, 2, output)
        self.assert_problem(output, 2, "tls")

    def test_buses_and_triggers(self):
        text = "functions: {f: {command: [f]}}\nbuses: {orders: {}}\ntriggers:\n  t: {bus: orders, function: f}\n"
        code, output = self.check(text + '  n: {cron: "0 2 * * *", function: f}\n')
        self.assertEqual(code, 0, output)
        code, output = self.check(text + "  u: {bus: order, function: ff}\n  v: {cron: 0 25 * * *, function: f}\n")
        self.assertEqual(code, 2, output)
        self.assert_problem(output, 5, "there is no bus `order`: did you mean `orders`?")
        self.assert_problem(output, 5, "there is no function `ff`")
        self.assert_problem(output, 6, "`cron`", "hour")

    def test_kafka(self):
        text = "functions: {f: {command: [f]}}\nbuses:\n  b: {store: kafka, brokers: nowhere.invalid, topic: t}\ntriggers:\n"
        right = text + "  t: {bus: b, function: f}\n  u: {kafka: {brokers: [\"127.0.0.1:1\"], topics: [t]}, function: f}\n"
        code, output = self.check(right)  # asks no broker
        self.assertEqual(code, 0, output)
        for property, wrong in (
            ("acks: 1", "`acks` is rouse's to set"),
            ("security.protocol: tls", "`security.protocol`"),
            ("no.such: 1", "`no.such`"),
            ("security.protocol: ssl, ssl.ca.location: /no/such.pem", "/no/such.pem"),
        ):
            with self.subTest(property):
                trigger = f"  t: {{function: f, kafka: {{brokers: k, topics: t, properties: {{{property}}}}}, dead_letter: {{topic: d}}}}\n"
                code, output = self.check(text + trigger)
                self.assertEqual(code, 2, output)
                self.assert_problem(output, 5, wrong)

    def test_environment(self):
        text = "functions:\n  a:\n    command: [a]\n    timeout: ${ROUSE_TEST_TIMEOUT}\n"
        code, output = self.check(text, env={"ROUSE_TEST_TIMEOUT": "5s"})
        self.assertEqual(code, 0, output)
        code, output = self.check(text, env={"ROUSE_TEST_TIMEOUT": "fast"})
        self.assertEqual(code, 2, output)
        self.assert_problem(output, 4, "timeout")
        code, output = self.check(text)
        self.assertEqual(code, 2, output)
        self.assert_problem(output, 4, "ROUSE_TEST_TIMEOUT")

    def test_a_missing_file(self):
        done = run_rouse("check", "-c", self.file)
        self.assertEqual(done.returncode, 2, done.stdout + done.stderr)
        self.assertIn(str(self.file), done.stdout + done.stderr)

    def test_serve_refuses_the_same(self):
        code, output = self.check("functions: {a: {comand: [a]}}\n", command="serve")
        self.assertEqual(code, 2, output)
        self.assert_problem(output, 1, "comand", "did you mean `command`?")


class CommandLine(unittest.TestCase):
    def test_version(self):
        done = run_rouse("version")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(done.stdout, r"\d+\.\d+\.\d+")

    def test_wrong_use(self):
        for args in (["fly"], ["serve", "--no-such-option"], ["check", "-c"]):
            with self.subTest(args):
                done = run_rouse(*args)
                self.assertEqual(done.returncode, 2, done.stdout + done.stderr)

    def test_every_command_shows_an_example(self):
        for command in ("serve", "check", "status", "logs", "version"):
            with self.subTest(command):
                done = run_rouse(command, "--help")
                self.assertEqual(done.returncode, 0, done.stderr)
                self.assertIn(f"rouse {command}", done.stdout)
                self.assertRegex(done.stdout.lower(), "example")

    def test_status_without_a_daemon(self):
        done = run_rouse("status", "--admin", f"http://127.0.0.1:{free_port()}")
        self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
        self.assertRegex(done.stderr, r"127\.0\.0\.1:\d+")


if __name__ == "__main__":
    unittest.main()
