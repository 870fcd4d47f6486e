"""A daemon of one agency in a home of its own, and its commands."""

import json
import subprocess


class Daemon:
    """Runs until it is left."""

    def __init__(self, program, home):
        self.program, self.home = program, home
        self("init", "--agency", "Border Guard", "--country", "NE")
        with open(f"{home}.log", "w") as log:
            self.process = subprocess.Popen(
                [program, "--home", home, "run", "--api", "127.0.0.1:0"], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        # Commands wait for a daemon that is starting.
        self("coalition", "create", "--name", "Conformance")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()

    def run(self, *arguments):
        """A command's exit code and document."""
        done = subprocess.run([self.program, "--home", self.home, "--json", "--no-input", *arguments],
                              stdin=subprocess.DEVNULL, capture_output=True, text=True)
        return done.returncode, json.loads(done.stdout)

    def __call__(self, *arguments):
        """What a command that must not fail says."""
        code, document = self.run(*arguments)
        if code != 0:
            raise AssertionError(f"{arguments}: {code} {document}")
        return document["data"]
