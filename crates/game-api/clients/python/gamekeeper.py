"""A game server's side of Gamekeeper's game-api. Python's standard library is all it needs.

    server = Gamekeeper.from_environment()
    server.health("Healthy")
    server.players(3, capacity=8)

As a program, for shell scripts:  gamekeeper.py players=3/8 state=Running health=Failed:no-map heartbeat self deletion
"""

import http.client
import json
import os
import ssl
import sys
import time
from urllib.parse import urlsplit


class Refused(Exception):
    """The request was refused: `status` is HTTP's, `reason` one word, and the text says what is wrong."""

    def __init__(self, status, reason, message):
        super().__init__(f"{status} {reason}: {message}")
        self.status, self.reason = status, reason


class Gamekeeper:
    def __init__(self, url, code, ca_file=None, attempts=5):
        self.url, self.code, self.attempts = urlsplit(url), code, attempts
        # Without a file the system's certificates count.
        self.context = ssl.create_default_context(cafile=ca_file) if self.url.scheme == "https" else None
        self.connection = None

    @classmethod
    def from_environment(cls):
        env = os.environ
        return cls(env["API_SERVER_URL"], env["API_SERVER_CODE"], env.get("API_SERVER_CA_FILE"))

    def players(self, count, capacity=None, wait=False):
        body = {"count": count} if capacity is None else {"count": count, "capacity": capacity}
        return self._ask("PUT", "/v1/self/players", body, wait)

    def state(self, state, wait=False):
        return self._ask("PUT", "/v1/self/state", {"state": state}, wait)

    def health(self, health, reason="", wait=False):
        return self._ask("PUT", "/v1/self/health", {"health": health, "reason": reason}, wait)

    def heartbeat(self):
        return self._ask("POST", "/v1/self/heartbeat")

    def read(self):
        return self._ask("GET", "/v1/self")

    def delete(self):
        return self._ask("POST", "/v1/self/deletion")

    def _ask(self, method, path, body=None, wait=False):
        """Asks, and asks again where that helps: another replica answers, or this one does a moment later."""
        for attempt in range(1, self.attempts + 1):
            try:
                status, headers, answer = self._once(method, path + ("?wait=true" if wait else ""), body)
            except (OSError, http.client.HTTPException):
                self.connection = None
                if attempt == self.attempts:
                    raise
                pause = 0.2 * 2**attempt
            else:
                if status < 300:
                    return answer
                if status not in (408, 429, 503) or attempt == self.attempts:
                    error = answer.get("error", {})
                    raise Refused(status, error.get("reason", ""), error.get("message", ""))
                pause = float(headers.get("Retry-After", 1))
            time.sleep(pause)

    def _once(self, method, path, body):
        if self.connection is None:
            host, port = self.url.hostname, self.url.port
            if self.context:
                self.connection = http.client.HTTPSConnection(host, port, timeout=15, context=self.context)
            else:
                self.connection = http.client.HTTPConnection(host, port, timeout=15)
        headers = {"Authorization": f"Bearer {self.code}"}
        if body is not None:
            headers["Content-Type"] = "application/json"
            body = json.dumps(body)
        self.connection.request(method, path, body, headers)
        response = self.connection.getresponse()
        text = response.read()
        return response.status, response.headers, json.loads(text or b"{}")


def main(arguments):
    server = Gamekeeper.from_environment()
    for argument in arguments:
        what, _, value = argument.partition("=")
        if what == "players":
            count, _, capacity = value.partition("/")
            answer = server.players(int(count), int(capacity) if capacity else None, wait=True)
        elif what == "state":
            answer = server.state(value, wait=True)
        elif what == "health":
            health, _, reason = value.partition(":")
            answer = server.health(health, reason, wait=True)
        elif what in ("heartbeat", "self", "deletion"):
            answer = {"heartbeat": server.heartbeat, "self": server.read, "deletion": server.delete}[what]()
        else:
            sys.exit(f"don't know {argument}")
        print(json.dumps(answer))


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except Refused as refused:
        sys.exit(str(refused))
