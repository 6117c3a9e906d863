"""What a worker does with the tasks that must not begin: it stops fetching and gives them back.

Whether a task may begin is decided at the pool's entrance and does not depend on this module. Here
it is seen to that none of those turned away is lost, and that the worker does not fetch them again
and again: the worker stops consuming from its queues, and puts what it had fetched ahead back where
it came from. When the site opens it consumes again.

All of it happens in the thread of the worker's consumer, to which channels belong.
"""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Callable
from typing import Any

from celery import bootsteps
from celery.worker import state

from backsoon.gate import View, gate

from .marks import is_allowed

logger = logging.getLogger("backsoon")

GIVE_BACK_SECONDS = 1.5
"""How long tasks are kept before they are given back, in case the site opens at once.

Redis answers a request for a message that was under way when the worker stopped consuming, for up
to a second. What is given back after that is not handed to us again, and keeps its place.
"""


class Line:
    """The tasks of one worker that were turned away."""

    def __init__(self, controller: Any) -> None:
        self._controller = controller
        self._consumer: Any = None
        self._process = os.getpid()
        self._held: deque[Any] = deque()
        self._places = 0
        """Places in the pool that Celery took for tasks which were held instead."""
        self._away: dict[str, Any] = {}
        """The queues that are not consumed from because the site is not open."""
        self._kept: dict[str, Any] = {}
        """The queues that are consumed from all the same."""
        self._is_giving_back = False

    @property
    def is_attended(self) -> bool:
        """Whether the worker is at work, and not about to end."""
        return bool(self._controller.blueprint.state == bootsteps.RUN)

    # -- From any thread -----------------------------------------------------------------------

    def hold(self, request: Any, *, has_place: bool = False) -> None:
        """Keep *request*, which was turned away; *has_place* in a pool that counts its places."""
        if has_place and self._controller.semaphore is not None:
            self._places += 1
        self._held.append(request)
        self.wake()

    def turned(self, view: View) -> None:
        """The site has opened or closed, as far as this process knows."""
        if os.getpid() == self._process:  # else a child of this worker, which consumes nothing
            self.wake()

    def wake(self) -> None:
        """Let the consumer's thread look what is to be done."""
        consumer = self._consumer
        if consumer is not None:
            consumer.call_soon(self._settle)

    def later(self, seconds: float, callback: Callable[..., None], *args: Any) -> None:
        """Call *callback* after some *seconds*, in the consumer's thread where that is alive."""
        timer, consumer = self._controller.timer, self._consumer
        if consumer is None:
            timer.call_after(seconds, callback, args)
        else:
            timer.call_after(seconds, consumer.call_soon, (callback, *args))

    # -- In the consumer's thread --------------------------------------------------------------

    def attend(self, consumer: Any) -> None:
        """The worker has connected to the broker and is about to consume."""
        self.leave()
        self._consumer = consumer
        self._kept = {queue.name: queue for queue in _queues_of_their_own(consumer)}
        self.wake()

    def leave(self) -> None:
        """The connection is gone: whatever it brought is delivered again on another one."""
        self._consumer = None
        self._held.clear()
        self._away.clear()
        self._places = 0

    def _settle(self) -> None:
        consumer = self._consumer
        if consumer is None or consumer.task_consumer is None:
            return
        if gate.view().is_open:
            self._resume(consumer)
        else:
            self._pause(consumer)
        # One after the other, not one inside the other as they would be if each task did it.
        while self._places:
            self._places -= 1
            self._controller.semaphore.release()

    def _pause(self, consumer: Any) -> None:
        tasks = consumer.task_consumer
        for queue in list(tasks.queues):
            if queue.name not in self._kept:
                tasks.cancel_by_queue(queue.name)
                self._away[queue.name] = queue
        if self._held and not self._is_giving_back:
            self._is_giving_back = True
            self.later(GIVE_BACK_SECONDS, self._give_back)

    def _resume(self, consumer: Any) -> None:
        for _ in range(len(self._held)):
            consumer.on_task_request(self._held.popleft())
        if not self._away:
            return
        tasks = consumer.task_consumer
        for name, queue in self._away.items():
            if name in consumer.app.amqp.queues.consume_from:  # else an operator took it away
                tasks.add_queue(queue)
        self._away.clear()
        tasks.consume()

    def _give_back(self) -> None:
        self._is_giving_back = False
        consumer = self._consumer
        if consumer is None:
            return
        if gate.view().is_open:
            self._resume(consumer)
            return
        count = len(self._held)
        returned: list[Any] = [self._held.popleft() for _ in range(count)]
        if count:
            logger.info("Backsoon: the site is not open; %d tasks go back to their queues.", count)
        # The last one first: each is put in front of those that wait.
        for request in reversed(returned):
            self._return(consumer, request)

    def _return(self, consumer: Any, request: Any) -> None:
        state.task_ready(request)  # this worker has nothing to do with it any more
        restore = getattr(getattr(request.message.channel, "qos", None), "restore_by_tag", None)
        if restore is None or self._is_astray(request):
            request.reject(requeue=True)
            return
        # Redis. A rejected message would go to the end of its queue there.
        try:
            restore(request.message.delivery_tag)
        except consumer.connection_errors as error:
            logger.warning("Backsoon: %s could not be given back: %s", request, error)
            return  # the connection is lost, and everything unacknowledged delivered again
        request.message.reject_log_error(logger, consumer.connection_errors)
        request.acknowledged = True
        request.send_event("task-rejected", requeue=True)

    def _is_astray(self, request: Any) -> bool:
        """Whether *request* came by a queue of allowed tasks, whom it must not stand in the way."""
        way = request.delivery_info
        return any(
            way["routing_key"] == queue.name
            or (way["exchange"], way["routing_key"]) == (queue.exchange.name, queue.routing_key)
            for queue in self._kept.values()
        )


def _queues_of_their_own(consumer: Any) -> list[Any]:
    """The queues to which nothing but allowed tasks is routed."""
    allowed: set[str] = set()
    ordinary: set[str] = set()
    for task in consumer.app.tasks.values():
        (allowed if is_allowed(task) else ordinary).add(_queue_of(consumer.app, task))
    for name in sorted(allowed & ordinary):
        logger.warning(
            "Backsoon: the queue %r has tasks that may run while the site is closed, and others. "
            "Nothing is fetched from it then. Give those that may run a queue of their own.", name
        )  # fmt: skip
    return [queue for queue in consumer.task_consumer.queues if queue.name in allowed - ordinary]


def _queue_of(app: Any, task: Any) -> str:
    """The name of the queue to which *task* goes where its caller says nothing else."""
    named = getattr(task, "queue", None)
    route = app.amqp.router.route({"queue": named} if named else {}, task.name)
    queue = route.get("queue") or app.amqp.queues[app.conf.task_default_queue]
    return str(getattr(queue, "name", queue))
