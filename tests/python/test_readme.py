"""The README's example is run as it stands there: in a process of its own, against a real server."""

import os
import subprocess
import sys
from pathlib import Path

import kieumau
import world
from world import JPEG

README = Path(__file__).parents[2] / "README.md"


class Readme(world.ServerTest):
    """Whoever copies the block."""

    def ran(self, folder, qr):
        [block] = README.read_text().split("\n```python\n")[1:]
        block, _ = block.split("\n```\n", 1)
        folder = self.folder / folder
        folder.mkdir()
        (folder / "photo.jpg").write_bytes(JPEG)
        # The module is where this test found it: the path to it may be a relative one.
        environment = {**os.environ, "PYTHONPATH": str(Path(kieumau.__file__).resolve().parent)}
        command = [sys.executable, "-c", block, qr]
        return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60)

    def test_the_example_records_and_sends_and_with_a_code_that_was_spent_it_does_not(self):
        qr = self.invitation("an")["qr"]
        ran = self.ran("first", qr)
        self.assertEqual((ran.stdout, ran.returncode), ("['RECEIVED']\n", 0), ran.stderr)
        again = self.ran("again", qr)
        self.assertNotEqual(again.returncode, 0)
        self.assertIn("code-used", again.stderr)
