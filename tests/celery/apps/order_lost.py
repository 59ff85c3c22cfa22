"""Sends a task that kills its process and then, with the worker up, one that is revoked before it is due."""

import order_tasks

lost = order_tasks.die.delay()
said = [type(lost.get(timeout=30, propagate=False)).__name__]
revoked = order_tasks.add.apply_async((1, 1), countdown=1)
order_tasks.app.control.revoke(revoked.id, reply=True, timeout=30, limit=1)
due_later = order_tasks.total.apply_async(([1, 2],), countdown=1.5)  # once it ran, the first was due, too
due_later.get(timeout=30)
said.append(type(revoked.get(timeout=30, propagate=False)).__name__)
print(*said)
