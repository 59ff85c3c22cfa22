"""Sends as many tasks as it is told to, and waits for them."""

import sys

import order_tasks

sent = [order_tasks.add.delay(number, number) for number in range(int(sys.argv[1]))]
assert [result.get(timeout=60) for result in sent] == [2 * number for number in range(len(sent))]
