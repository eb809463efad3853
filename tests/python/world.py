"""What the tests of the Python bindings stand on: an officer's phone in a folder of its own, a desk that only enrols, a real server.

`make bindings` writes the module; PYTHONPATH names its folder. The tests with a server start the binary that the
environment's KIEUMAU names; without it they are skipped, and the report says so.
"""

import base64
import http.server
import json
import os
import subprocess
import tempfile
import threading
import unittest
from pathlib import Path

import kieumau
from kieumau import NewObservation, PhoneConfig, PhoneError

KEY = bytes([7]) * 32
# A black square of 8 by 8 pixels.
JPEG = base64.b64decode(
    "/9j/4AAQSkZJRgABAgAAAQABAAD/2wBDAAgGBgcGBQgHBwcJCQgKDBQNDAsLDBkSEw8UHRofHh0aHBwgJC4nICIsIxwcKDcpLDAxNDQ0Hyc5PTgy"
    "PC4zNDL/wAALCAAIAAgBAREA/8QAHwAAAQUBAQEBAQEAAAAAAAAAAAECAwQFBgcICQoL/8QAtRAAAgEDAwIEAwUFBAQAAAF9AQIDAAQRBRIhMUEG"
    "E1FhByJxFDKBkaEII0KxwRVS0fAkM2JyggkKFhcYGRolJicoKSo0NTY3ODk6Q0RFRkdISUpTVFVWV1hZWmNkZWZnaGlqc3R1dnd4eXqDhIWGh4iJ"
    "ipKTlJWWl5iZmqKjpKWmp6ipqrKztLW2t7i5usLDxMXGx8jJytLT1NXW19jZ2uHi4+Tl5ufo6erx8vP09fb3+Pn6/9oACAEBAAA/APn+v//Z"
)


class EnrolmentDesk:
    """A server that enrols An in Trường Vinh and can do nothing else: what a phone needs to record, once."""

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            key = base64.urlsafe_b64encode(bytes([1]) * 32).rstrip(b"=").decode()
            body = json.dumps(
                {
                    "phone": "00000000-0000-7000-8000-000000000001",
                    "person": "00000000-0000-7000-8000-000000000002",
                    "unit": "00000000-0000-7000-8000-000000000003",
                    "role": "officer",
                    "person_name": "An",
                    "unit_name": "Công an phường Trường Vinh",
                    "log_key": key,
                    "receipt_key": key,
                    "rescue_key": key,
                    "seal_key": key,
                    "epoch": "desk",
                    "leaf": 0,
                    "server_time_ms": 1795410000000,
                }
            ).encode()
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(201)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    def __enter__(self):
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self.Answer)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{self.server.server_port}"

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


class Heard(kieumau.Listener):
    """Keeps what it hears."""

    def __init__(self):
        self.events = []

    def on_event(self, event):
        self.events.append(event)


class Deaf(kieumau.Listener):
    """Throws at every event, with content in its words."""

    def on_event(self, event):
        raise ValueError("Lấn chiếm vỉa hè")


def sidewalk(**said):
    return NewObservation(**{"category": "urban-order", "count": 3, "count_unit": "household", **said})


class PhoneTest(unittest.IsolatedAsyncioTestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def config(self, key=KEY, name="phone"):
        return PhoneConfig(folder=str(self.folder / name), key=key, app_version="0.1.0")

    async def open(self, key=KEY, name="phone"):
        return await kieumau.Phone.open(self.config(key, name))

    async def enrolled_at_a_desk(self):
        phone = await self.open()
        with EnrolmentDesk() as url:
            await phone.enrol(url, "ABCDE-FGH12")
        return phone

    def photo(self):
        path = self.folder / "photo.jpg"
        path.write_bytes(JPEG)
        return str(path)

    async def assert_invalid(self, field, rule, call):
        with self.assertRaises(PhoneError.Invalid) as refused:
            await call
        self.assertEqual((refused.exception.field, refused.exception.rule), (field, rule))


@unittest.skipUnless(
    os.environ.get("KIEUMAU"),
    "KIEUMAU does not name the server's binary, so no real server was tried",
)
class ServerTest(PhoneTest):
    """An officer's phone and a real server: `kieumau demo` on a port of its own."""

    def setUp(self):
        super().setUp()
        self.data = str(self.folder / "server")
        server = subprocess.Popen(
            [os.environ["KIEUMAU"], "demo", "--data", self.data, "--listen", "127.0.0.1:0", "--json"],
            stdout=subprocess.PIPE,
        )
        self.addCleanup(self.stop, server)
        watch = threading.Timer(60, server.kill)
        watch.start()
        line = server.stdout.readline()
        watch.cancel()
        self.assertTrue(line, "`kieumau demo` ended before it said where it is")
        told = json.loads(line)
        self.url = told["url"]
        self.people = {person["sign_in"]: person for person in told["people"]}

    @staticmethod
    def stop(server):
        server.terminate()
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
        server.stdout.close()

    def said(self, *words):
        command = [os.environ["KIEUMAU"], *words, "--data", self.data]
        return subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=60).stdout.decode()

    def invitation(self, person):
        return json.loads(self.said("phone", "code", "--person", person, "--json"))

    def code(self, person):
        return self.invitation(person)["code"]

    @staticmethod
    async def state(phone, document):
        [item] = [item for item in await phone.items() if item.document == document]
        return item.state
