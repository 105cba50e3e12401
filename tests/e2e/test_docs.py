"""What the docs say works: their configurations are valid, their commands run, their links lead somewhere."""

import shlex
import urllib.parse

from harness import *

DOCS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(path, language):
    """(line, text) of each fenced block of that language."""
    found, begin = [], None
    lines = path.read_text().splitlines()
    for number, line in enumerate(lines, 1):
        if begin is None and line.strip() == f"```{language}":
            begin = number
        elif begin is not None and line.strip() == "```":
            found.append((begin, "\n".join(lines[begin : number - 1]) + "\n"))
            begin = None
    return found


def commands(path):
    """Lines of indented code that the simulator's users type, in order."""
    starts = ("    rouse simulate", "    python3 bench/")
    return [line.strip() for line in path.read_text().splitlines() if line.startswith(starts)]


def event_commands(path):
    """Lines of indented code that one types against a running example, in order."""
    starts = ("    curl ", "    rouse ")
    return [line.strip() for line in path.read_text().splitlines() if line.startswith(starts)]


def example(name):
    """A config of config/examples with ports and folders that suit the harness."""
    text = (ROOT / "config" / "examples" / name).read_text()
    for old, new in (
        ("listen: 127.0.0.1:8080", 'listen: "{listen}"'),
        ("admin: 127.0.0.1:9080", 'admin: "{admin}"'),
        ("directory: functions", f"directory: {ROOT / 'config' / 'examples' / 'functions'}"),
    ):
        assert old in text, f"{name} has no `{old}` any more"
        text = text.replace(old, new)
    return text


def indented_after(path, heading):
    """The first indented block below a heading."""
    text = path.read_text().partition(f"\n{heading}\n")[2]
    return "\n".join(line[4:] for line in re.search(r"(?:^    .*\n)+", text, re.MULTILINE)[0].splitlines()) + "\n"


def anchors(path):
    """What a heading can be linked to by, as GitHub makes it."""
    heads = re.findall(r"(?m)^#+ (.*)$", path.read_text())
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


class Docs(unittest.TestCase):
    def test_every_configuration_is_valid(self):
        count = 0
        for path in DOCS:
            for line, text in blocks(path, "yaml"):
                if "functions:" not in text:
                    continue
                count += 1
                with self.subTest(f"{path.name}:{line}"), tempfile.TemporaryDirectory() as folder:
                    file = Path(folder) / "rouse.yaml"
                    file.write_text(text)
                    done = run_rouse("check", "-c", file)
                    self.assertEqual(done.returncode, 0, f"{path}:{line}\n{done.stdout}{done.stderr}")
        self.assertGreaterEqual(count, 5)

    def test_every_simulator_command_runs(self):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "bin").mkdir()
            (folder / "bin" / "rouse").symlink_to(Path(ROUSE_BIN).resolve())
            (folder / "bench").symlink_to(ROOT / "bench")
            # What simulator.md assumes that its reader has.
            (folder / "rouse.yaml").write_text("functions:\n  thumbnail: {command: [./app]}\n  report: {command: [./app]}\n")
            (folder / "monday.csv").write_text(indented_after(ROOT / "docs" / "simulator.md", "## The trace"))
            path = f"{folder / 'bin'}:{Path(PYTHON).parent}:{os.environ['PATH']}"
            environment = {**os.environ, "PATH": path, "ROUSE_BIN": str(Path(ROUSE_BIN).resolve())}
            count = 0
            for doc in DOCS:
                for command in commands(doc):
                    count += 1
                    with self.subTest(f"{doc.name}: {command}"):
                        done = subprocess.run(command, shell=True, cwd=folder, env=environment, text=True, timeout=scaled(120),
                                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
                        self.assertEqual(done.returncode, 0, done.stdout)
                        for word in shlex.split(command):
                            if word.endswith((".csv", ".yaml")):
                                self.assertTrue((folder / word).stat().st_size > 0, word)
        self.assertGreaterEqual(count, 4)

    def test_the_commands_of_events_work_against_their_example(self):
        with Daemon(example("events.yaml")) as rouse, tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "rouse").symlink_to(Path(ROUSE_BIN).resolve())
            (folder / ".curlrc").write_text("fail\nsilent\nshow-error\n")
            environment = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}", "CURL_HOME": name,
                           "ROUSE_ADMIN": f"http://127.0.0.1:{rouse.admin_port}"}
            said = {}

            def run(command):
                return subprocess.run(command, shell=True, env=environment, text=True, timeout=scaled(60),
                                      stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)

            for command in event_commands(ROOT / "docs" / "events.md"):
                with self.subTest(command):
                    command = command.replace(":8080/", f":{rouse.port}/").replace(":9080/", f":{rouse.admin_port}/")
                    if " -d " not in command:  # asks for what may still be on its way
                        command = command.replace("/ID", said.get("id", "/ID"))
                        wait_for(lambda: run(command).returncode == 0, 30, command)
                        said[command] = run(command).stdout
                        continue
                    done = run(command)
                    self.assertEqual(done.returncode, 0, done.stdout)
                    self.assertIn(" 202 ", done.stdout)
                    if found := re.search(r"Location: /invocations(/\S+)", done.stdout):
                        said["id"] = found[1]
            self.assertIn("no amount", said["rouse dead-letters show 1"])
            self.assertIn("a report about May", "".join(said.values()))
            wait_for(lambda: "bill-1" in run("rouse logs note").stdout and "bill-2" in run("rouse logs note").stdout, 30)

    def test_every_plot_is_shown_and_every_link_leads_somewhere(self):
        shown = set()
        for path in DOCS:
            for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text()):
                if urllib.parse.urlsplit(target).scheme:
                    continue
                name, _, anchor = target.partition("#")
                file = (path.parent / name).resolve() if name else path
                with self.subTest(f"{path.name}: {target}"):
                    self.assertTrue(file.exists(), f"{path} links to {target}, which is not there")
                    if anchor:
                        self.assertIn(anchor, anchors(file))
                shown.add(file)
        plots = set((ROOT / "docs" / "plots").resolve().glob("*.svg"))
        self.assertTrue(plots)
        self.assertEqual(plots - shown, set(), "no page shows these")


if __name__ == "__main__":
    unittest.main()
