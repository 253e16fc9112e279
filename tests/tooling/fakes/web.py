"""Stands in for web: is ready at once, and hands out a link that says what it was asked."""

import json
import os
import signal
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self._answer(200 if self.path == "/readyz" else 404, {})

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        allowed = self.headers["authorization"] == f"Bearer {os.environ['API_KEYS']}"
        url = f"http://127.0.0.1:{os.environ['PORT']}/link#{asked['companyId']}-{len(os.environ['SECRET_KEY'])}"
        self._answer(201 if allowed else 401, {"url": url})

    def _answer(self, status, content):
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(content).encode())


signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
server = HTTPServer((os.environ["HOST"], int(os.environ["PORT"])), Handler)
server.serve_forever()
