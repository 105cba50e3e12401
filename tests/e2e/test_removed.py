"""A reload removes a function, or a revision that the caller named, while a request of it is under way, and the instance that
has the request breaks: it is tried again where it was, as if nothing had been removed."""

from harness import *


class Retry(unittest.TestCase):
    def tried_again(self, before, after, target, shown):
        """Returns the revision that answered. `shown` of the functions' status is true when all of it is gone."""
        with Daemon({"functions": before}) as rouse, rouse.connect() as caller:
            caller.send_request("GET", f"{target}?until={rouse.path}/go")
            wait_for(lambda: rouse.function("work")["in_flight"] == 1)
            (first,) = rouse.instance_pids("gated.py")
            rouse.reload({"functions": after})
            wait_for(lambda: [one["state"] for one in rouse.instances("work")] == ["draining"], 20, "it is let go")
            os.kill(first, signal.SIGKILL)
            wait_for(lambda: set(rouse.instance_pids("gated.py")) - {first}, 20, "another one is started for the request")
            (rouse.path / "go").touch()
            answer = caller.read_response()
            self.assertEqual(answer.status, 200, answer)
            self.assertNotEqual(answer.json()["pid"], first)
            wait_for(lambda: not rouse.instance_pids("gated.py") and shown(rouse.functions()), 20, "nothing of it is left")
            self.assertEqual(rouse.get(target).status, 404, "who comes now finds nothing")
            return answer.json()["revision"]

    def test_the_function_was_removed(self):
        self.tried_again(
            {"work": python_function("gated.py", "--quiet"), "other": python_function("echo.py")},
            {"other": python_function("echo.py")},
            "/function/work",
            lambda functions: list(functions) == ["other"],
        )

    def test_the_revision_was_removed(self):
        def revisions(*names):
            made = {name: {"env": {"VERSION": name}} for name in names}
            return {"work": python_function("gated.py", "--quiet", revisions=made, traffic={"v1": 1})}

        def gone(functions):
            return [one["revision"] for one in functions["work"]["revisions"]] == ["v1"]

        revision = self.tried_again(revisions("v1", "v2"), revisions("v1"), "/function/work@v2", gone)
        self.assertEqual(revision, "v2")


if __name__ == "__main__":
    unittest.main()
