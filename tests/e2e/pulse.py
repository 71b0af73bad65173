# SPDX-License-Identifier: GPL-2.0-only
"""Traffic that tells when it is lost and when it is back."""

import select
import threading
import time

from network import until

PERIOD = 0.02
LOST = 10  # so many requests in a row without an answer are a loss


class Pulse:
    """Over one UDP flow: a numbered request each 20 ms, and what came of it."""

    def __init__(self, lab, **more):
        self.socket = lab.datagrams(**more)
        self.sent = 0
        self.answers = {}  # number -> when its answer came
        self.asked = {}
        self.last_before = -1  # answered before the loss that was waited for last
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.run)

    def run(self):
        due = time.monotonic()
        while not self.over.is_set():
            self.asked[self.sent] = time.monotonic()
            try:
                self.socket.send(b"%d" % self.sent)
            except OSError:  # ICMP about an earlier one, or no route at the moment
                pass
            self.sent += 1
            due = max(due + PERIOD, time.monotonic())
            while (left := due - time.monotonic()) > 0:
                if select.select([self.socket], [], [], left)[0]:
                    self.take()

    def take(self):
        try:
            self.answers.setdefault(int(self.socket.recv(100)), time.monotonic())
        except OSError:
            pass

    def __enter__(self):
        self.thread.start()
        self.wait_healthy()
        return self

    def __exit__(self, *error):
        self.over.set()
        self.thread.join()

    def last(self):
        """The number of the last request that was answered."""
        return max(self.answers, default=-1)

    def wait_healthy(self):
        """The next ten requests are all answered."""
        first = self.sent
        until(lambda: all(number in self.answers for number in range(first, first + 10)),
              what="answers to ten requests in a row")

    def wait_loss(self):
        until(lambda: self.sent - self.last() > LOST + 1, what="the loss of requests")
        self.last_before = self.last()

    def wait_back(self, within, since):
        """Answers came back and stay; the first request that was answered was sent in time."""
        before = self.last_before
        until(lambda: self.last() > before, timeout=within + 5, what="an answer")
        first = min(number for number in self.answers if number > before)
        took = self.asked[first] - since
        print(f"back after {took:.2f} s, {first - before - 1} requests lost")
        assert took < within
        self.wait_healthy()

    def unanswered(self):
        """How many were lost until now, but for those under way."""
        return sum(number not in self.answers for number in range(self.sent - LOST))
