#!/usr/bin/env python3
"""with_docker.py COMMAND...: runs a command beside a Docker Engine of its own (docker_engine.py), and ends as it ends.

The command is told by DOCKER_HOST (unix://...) where the engine is, and by ROUSE_TEST_IMAGE the name of an image there, whose
/fast_function listens on $PORT and which has a /bin/sh. At ROUSE_TEST_CONTROL (control.py) it may order faults:

    kill | stop       dockerd is away, killed or as its package would stop it; its containers live on
    start             it is there again
    freeze | thaw     it answers nothing for a while

When the command fails, the end of dockerd's log is shown."""

import subprocess
import sys

import control
import docker_engine


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    status = 1
    try:
        engine = docker_engine.engine()
        faults = {
            "kill": engine.kill_daemon,
            "stop": engine.stop_daemon,
            "start": engine.start_daemon,
            "freeze": engine.freeze_daemon,
            "thaw": lambda: engine.freeze_daemon(False),
        }
        more = {"DOCKER_HOST": engine.host, "ROUSE_TEST_IMAGE": engine.function_image(), "ROUSE_TEST_CONTROL": control.serve(faults)}
        status = subprocess.run(["setpriv", "--pdeathsig", "KILL", *sys.argv[1:]], env=control.environment(**more)).returncode
        if status != 0:
            engine.print_log()
    except AssertionError as error:
        print(f"with_docker.py: {error}", file=sys.stderr)
    finally:
        docker_engine.tearDownModule()
    sys.exit(status if status >= 0 else 128 - status)


if __name__ == "__main__":
    main()
