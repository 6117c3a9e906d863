"""What a Celery worker does at the entrance of its pool, without a broker and without a worker.

With real ones: `tests/servers/test_celery.py`.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from backsoon import checks
from backsoon.gate import gate
from backsoon.inflight import APART, READERS, UNITS
from backsoon.integrations.celery import install, is_allowed, maintenance_allowed
from backsoon.testing import override_maintenance

pytest.importorskip("celery")

import celery
import celery.beat
import celery.bootsteps
import celery.signals
import celery.worker

from backsoon.integrations.celery import beat, entry, steps
from backsoon.integrations.celery.custody import SLOTS, Custody
from backsoon.integrations.celery.custody import run as run_in_pool
from backsoon.integrations.celery.line import Line

context: Any = multiprocessing.get_context("fork")


@pytest.fixture(autouse=True)
def _nobody_is_counted_before_and_after() -> Iterator[None]:
    ledgers = (UNITS, READERS, APART)
    assert not any(ledgers)
    app = celery._state._tls.current_app
    yield
    celery._state._set_current_app(app)  # for what the checks say in other tests
    left = [dict(ledger) for ledger in ledgers]
    for ledger in ledgers:
        ledger.clear()
    assert not any(left)


def new_app() -> Any:
    """An app, which is not the project's."""
    return celery.Celery("shop", broker="memory://", set_as_current=False, fixups=[])


# -- Stand-ins for Celery's parts -----------------------------------------------------------------


@dataclass(eq=False)
class Request:
    """A task that a worker has received; it notes what is done to it."""

    number: int
    log: list[str]
    task: Any = None
    routing_key: str = "celery"
    type: str = "shop.tasks.deliver"
    worker_pid: int | None = None
    acknowledged: bool = False

    @property
    def id(self) -> int:
        return self.number

    @property
    def delivery_info(self) -> dict[str, str]:
        return {"exchange": "", "routing_key": self.routing_key}

    @property
    def message(self) -> Any:
        return SimpleNamespace(channel=SimpleNamespace())  # not Redis

    def reject(self, *, requeue: bool) -> None:
        assert requeue
        self.log.append(f"back {self.number}")

    def send_event(self, name: str, **more: Any) -> None:
        self.log.append(f"event {self.number}")

    def on_accepted(self, *args: Any) -> None:
        self.acknowledged = True

    def on_success(self, *args: Any) -> None:
        self.log.append(f"done {self.number}")

    def on_failure(self, *args: Any) -> None:
        self.log.append(f"failed {self.number}")

    def on_timeout(self, *args: Any) -> None:
        self.log.append(f"timed out {self.number}")

    def execute_using_pool(self, pool: Any) -> None:
        """As Celery's own requests do it."""
        pool.apply_async(
            self.run,
            args=(),
            accept_callback=self.on_accepted,
            timeout_callback=self.on_timeout,
            callback=self.on_success,
            error_callback=self.on_failure,
            correlation_id=self.id,
        )

    def run(self) -> str:
        self.log.append(f"run {self.number}")
        return "result"


class Processes:
    """A pool whose processes are out of sight; jobs are ended by hand."""

    def __init__(self) -> None:
        self.jobs: deque[dict[str, Any]] = deque()

    def apply_async(self, target: Any, args: Any, kwargs: Any, **options: Any) -> None:
        self.jobs.append(options)


class TaskConsumer:
    """What fetches from the queues."""

    def __init__(self, *names: str) -> None:
        exchange = SimpleNamespace(name="")
        self.queues = [
            SimpleNamespace(name=name, routing_key=name, exchange=exchange) for name in names
        ]
        self.consumes = True

    def cancel_by_queue(self, name: str) -> None:
        self.queues = [queue for queue in self.queues if queue.name != name]

    def add_queue(self, queue: Any) -> None:
        self.queues.append(queue)
        self.consumes = False

    def consume(self) -> None:
        self.consumes = True

    @property
    def names(self) -> list[str]:
        return [queue.name for queue in self.queues]


@dataclass
class Worker:
    """A worker's main process: its pool, its line, its consumer."""

    pool: Any
    places: int = 2
    routes: dict[str, Any] = field(default_factory=lambda: {"shop.urgent": {"queue": "urgent"}})
    log: list[str] = field(default_factory=list)
    soon: deque[Callable[[], Any]] = field(default_factory=deque)
    timed: deque[Callable[[], Any]] = field(default_factory=deque)

    def __post_init__(self) -> None:
        from kombu.asynchronous.semaphore import LaxBoundedSemaphore

        self.app = new_app()
        self.app.conf.task_routes = self.routes

        @self.app.task(name="shop.tasks.deliver", shared=False)  # type: ignore[untyped-decorator]
        def deliver() -> None: ...

        @self.app.task(name="shop.urgent", shared=False)  # type: ignore[untyped-decorator]
        @maintenance_allowed
        def urgent() -> None: ...

        self.ordinary, self.urgent = deliver, urgent
        self.controller = SimpleNamespace(
            semaphore=LaxBoundedSemaphore(self.places),
            timer=SimpleNamespace(call_after=self._call_after),
            blueprint=SimpleNamespace(state=celery.bootsteps.RUN),
        )
        self.line = Line(self.controller)
        entry.watch(self.pool, self.line)
        self.consumer = SimpleNamespace(
            app=self.app,
            task_consumer=TaskConsumer("celery", "urgent"),
            call_soon=lambda callback, *args: self.soon.append(lambda: callback(*args)),
            on_task_request=self.receive,
            connection_errors=(OSError,),
        )
        self.app.amqp.queues.select(["celery", "urgent"])
        self.line.attend(self.consumer)
        self.pump()

    def _call_after(self, seconds: float, callback: Any, args: tuple[Any, ...] = ()) -> None:
        self.timed.append(lambda: callback(*args))

    def request(self, number: int = 1, *, allowed: bool = False, **more: Any) -> Request:
        task = self.urgent if allowed else self.ordinary
        return Request(number, self.log, task, **more)

    def receive(self, request: Request) -> None:
        """Give it a place in the pool as soon as there is one, as Celery does with prefork."""
        self.controller.semaphore.acquire(request.execute_using_pool, self.pool)

    def finish(self, callback: str = "callback", *result: Any) -> None:
        """The pool reports the end of its oldest job."""
        self.pool.jobs.popleft()[callback](*result)
        self.controller.semaphore.release()

    def pump(self) -> None:
        """Let the consumer's loop go round until nothing is left for it to do."""
        while self.soon:
            self.soon.popleft()()

    def later(self) -> None:
        """The moment has come for what was to be done later."""
        for _ in range(len(self.timed)):
            self.timed.popleft()()
        self.pump()


@pytest.fixture
def worker() -> Worker:
    return Worker(Processes())


def numbers(log: list[str], word: str) -> list[int]:
    return [int(entry.split()[-1]) for entry in log if entry.startswith(word)]


# -- Counting ----------------------------------------------------------------------------------


def test_a_task_counts_by_its_name_from_the_handover_to_the_end(worker: Worker) -> None:
    worker.receive(worker.request())
    assert [(unit.method, unit.path) for unit in UNITS] == [("TASK", "shop.tasks.deliver")]
    worker.finish("callback", (0, "result", 0.1))
    assert not UNITS
    assert worker.log == ["done 1"]


def test_a_task_that_failed_or_was_lost_with_its_process_has_ended(worker: Worker) -> None:
    worker.receive(worker.request())
    worker.finish("error_callback", SimpleNamespace(exception=RuntimeError("lost")))
    assert not UNITS
    assert worker.log == ["failed 1"]


def test_a_callback_of_celerys_that_fails_leaves_no_count_behind(worker: Worker) -> None:
    request = worker.request()
    request.on_success = lambda *_: 1 / 0  # type: ignore[method-assign,assignment]
    worker.receive(request)
    with pytest.raises(ZeroDivisionError):
        worker.finish("callback", (0, "result", 0.1))
    assert not UNITS


def test_a_pool_that_takes_nothing_leaves_no_count_behind() -> None:
    class Full(Processes):
        def apply_async(self, *args: Any, **options: Any) -> None:
            raise MemoryError

    worker = Worker(Full())
    with pytest.raises(MemoryError):
        worker.receive(worker.request())
    assert not UNITS


def test_a_task_killed_by_its_time_limit_counts_until_its_process_is_gone(worker: Worker) -> None:
    class TimeLimitExceeded(Exception):
        pass

    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        worker.receive(worker.request(worker_pid=process.pid))
        worker.finish("error_callback", SimpleNamespace(exception=TimeLimitExceeded()))
        worker.later()
        assert [unit.path for unit in UNITS] == ["shop.tasks.deliver"]
        process.kill()
        process.wait()
    worker.later()
    assert not UNITS


class Forking(Processes):
    """A pool of processes that inherit what their parent has, as prefork's do on Linux."""

    forking_enable = True

    def apply_async(self, target: Any, args: Any, kwargs: Any, **options: Any) -> None:
        self.jobs.append({**options, "job": partial(target, *args)})


@pytest.mark.skipif(sys.platform != "linux", reason="prefork pools fork on Linux")
def test_a_task_that_the_pool_dropped_has_ended_once_no_process_runs_any() -> None:
    worker = Worker(Forking())
    begun, may_end = context.Event(), context.Event()

    def work() -> None:
        begun.set()
        may_end.wait(10)

    worker.receive(worker.request(1))
    dropped = worker.pool.jobs[0]["job"]
    assert dropped() == "result", "the pool has not dropped it yet"
    running = worker.request(2)
    running.run = work  # type: ignore[method-assign,assignment]
    worker.receive(running)
    process = context.Process(target=worker.pool.jobs[-1]["job"])
    process.start()
    assert begun.wait(10)

    worker.pool.jobs.popleft()
    gc.collect()
    worker.later()
    assert len(UNITS) == 2, "a process runs, and nobody knows what"
    assert dropped() == (0, None, 0.0), "who finds it now leaves it out"
    may_end.set()
    process.join(10)
    worker.later()
    assert len(UNITS) == 1
    worker.finish("callback", (0, "result", 0.1))
    assert numbers(worker.log, "run") == [1]


def test_a_number_that_another_one_has_replaced_is_not_taken_for_noted() -> None:
    custody = Custody()
    custody.drop(7)
    assert custody.covers(7)
    custody.drop(7 + SLOTS)
    assert not custody.covers(7)
    with custody.running(7) as may_run:
        assert may_run
    with custody.running(7 + SLOTS) as may_run:
        assert not may_run


def test_a_process_that_was_not_forked_runs_every_task(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backsoon.integrations.celery.custody._inherited", None)
    assert run_in_pool(1, lambda: "ran") == "ran"


def test_a_task_that_the_pool_dropped_counts_on_because_nobody_knows(
    worker: Worker, caplog: pytest.LogCaptureFixture
) -> None:
    worker.receive(worker.request())
    worker.pool.jobs.clear()
    gc.collect()
    assert [unit.path for unit in UNITS] == ["shop.tasks.deliver"]
    assert "counts as running until this worker is started again" in caplog.text
    UNITS.clear()


def test_a_worker_that_ends_says_nothing_about_what_its_pool_drops(
    worker: Worker, caplog: pytest.LogCaptureFixture
) -> None:
    worker.receive(worker.request())
    worker.controller.blueprint.state = celery.bootsteps.CLOSE
    worker.pool.jobs.clear()
    gc.collect()
    assert not caplog.text
    UNITS.clear()


# -- Closed ------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["closed", "read_only"])
def test_while_the_site_is_not_open_no_task_reaches_the_pool_and_all_go_back_in_order(
    worker: Worker, mode: str
) -> None:
    with override_maintenance(mode):
        for number in range(5):
            worker.receive(worker.request(number))
        assert not UNITS
        worker.pump()
        assert worker.consumer.task_consumer.names == ["urgent"]
        assert worker.log == []
        worker.later()
        # Each is put in front of those that wait, so the last one goes first.
        assert numbers(worker.log, "back") == [4, 3, 2, 1, 0]
    assert not worker.pool.jobs


def test_a_closure_holds_what_waits_for_a_place_in_the_pool(worker: Worker) -> None:
    for number in range(6):
        worker.receive(worker.request(number))
    assert len(UNITS) == worker.places
    with override_maintenance():
        worker.finish("callback", (0, "result", 0.1))
        worker.finish("callback", (0, "result", 0.1))
        worker.pump()
        assert not UNITS
        assert not worker.pool.jobs
    worker.line.turned(gate.view())
    worker.pump()
    assert len(UNITS) == worker.places, "it opened before they were given back: they run"
    while worker.pool.jobs:
        worker.finish("callback", (0, "result", 0.1))
    assert numbers(worker.log, "done") == [0, 1, 2, 3, 4, 5]
    assert not numbers(worker.log, "back")


def test_thousands_of_waiting_tasks_are_held_one_after_the_other(worker: Worker) -> None:
    many = 5_000
    for number in range(many):
        worker.receive(worker.request(number))
    with override_maintenance():
        worker.finish("callback", (0, "result", 0.1))
        worker.finish("callback", (0, "result", 0.1))
        worker.pump()
        worker.later()
        assert len(numbers(worker.log, "back")) == many - 2
    assert worker.controller.semaphore.value == worker.places


def test_what_comes_later_while_closed_is_given_back_too(worker: Worker) -> None:
    with override_maintenance():
        for number in range(3):
            worker.receive(worker.request(number))
            worker.pump()
            worker.later()
        assert numbers(worker.log, "back") == [0, 1, 2]


def test_when_the_site_opens_the_worker_consumes_again(worker: Worker) -> None:
    with override_maintenance():
        worker.line.turned(gate.view())
        worker.pump()
        assert worker.consumer.task_consumer.names == ["urgent"]
    worker.line.turned(gate.view())
    worker.pump()
    assert worker.consumer.task_consumer.names == ["urgent", "celery"]
    assert worker.consumer.task_consumer.consumes


def test_a_queue_that_an_operator_took_away_meanwhile_stays_away(worker: Worker) -> None:
    with override_maintenance():
        worker.line.turned(gate.view())
        worker.pump()
        worker.app.amqp.queues.deselect(["celery"])
    worker.line.turned(gate.view())
    worker.pump()
    assert worker.consumer.task_consumer.names == ["urgent"]


def test_a_connection_that_is_made_while_closed_begins_without_consuming(worker: Worker) -> None:
    with override_maintenance():
        worker.receive(worker.request())
        worker.line.leave()
        worker.consumer.task_consumer = TaskConsumer("celery", "urgent")
        worker.line.attend(worker.consumer)
        worker.pump()
        worker.later()
        assert worker.consumer.task_consumer.names == ["urgent"]
        assert not worker.log, "what the old connection brought is the broker's again"


def test_a_child_of_the_worker_does_not_touch_its_consumer(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "getpid", lambda: -1)
    worker.line.turned(gate.view())
    assert not worker.soon


# -- Pools of this process ---------------------------------------------------------------------


def test_a_task_that_waits_inside_the_pool_is_held_unacknowledged() -> None:
    from celery.concurrency.solo import TaskPool

    with override_maintenance():
        worker = Worker(TaskPool(limit=1, app=None))
        request = worker.request()
        worker.receive(request)
        assert not request.acknowledged
        worker.pump()
        worker.later()
        assert worker.log == ["back 1"]
        assert not UNITS


def test_a_task_in_a_pool_of_this_process_counts_while_it_runs() -> None:
    from celery.concurrency.solo import TaskPool

    worker = Worker(TaskPool(limit=1, app=None))
    request = worker.request()
    seen: list[str] = []
    request.run = lambda: seen.extend(unit.path for unit in UNITS)  # type: ignore[method-assign,assignment,return-value]
    worker.receive(request)
    assert seen == ["shop.tasks.deliver"]
    assert request.acknowledged
    assert not UNITS


def test_a_pool_of_this_process_that_breaks_off_leaves_no_count_behind() -> None:
    from celery.concurrency.solo import TaskPool

    worker = Worker(TaskPool(limit=1, app=None))
    request = worker.request()
    request.run = lambda: 1 / 0  # type: ignore[method-assign,assignment,return-value]
    with pytest.raises(ZeroDivisionError):
        worker.receive(request)
    gc.collect()
    assert not UNITS


# -- Tasks that may run ------------------------------------------------------------------------


def test_an_allowed_task_runs_while_closed_and_nobody_waits_for_it(worker: Worker) -> None:
    with override_maintenance():
        worker.receive(worker.request(allowed=True))
        assert len(worker.pool.jobs) == 1
        assert not UNITS
        assert [unit.path for unit in APART] == ["shop.tasks.deliver"]
        worker.finish("callback", (0, "result", 0.1))
    assert not APART


def test_a_task_is_marked_above_and_below_its_decorator_and_by_an_option() -> None:
    app = new_app()

    @app.task(shared=False)  # type: ignore[untyped-decorator]
    @maintenance_allowed
    def below() -> None: ...

    @maintenance_allowed
    @app.task(shared=False)  # type: ignore[untyped-decorator]
    def above() -> None: ...

    @app.task(maintenance_allowed=True, shared=False)  # type: ignore[untyped-decorator]
    def named() -> None: ...

    @app.task(shared=False)  # type: ignore[untyped-decorator]
    def ordinary() -> None: ...

    app.finalize()
    tasks = [app.tasks[task.name] for task in (below, above, named, ordinary)]
    assert [is_allowed(task) for task in tasks] == [True, True, True, False]


def test_a_queue_that_allowed_tasks_share_is_not_consumed_and_the_log_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    worker = Worker(Processes(), routes={})
    assert "the queue 'celery' has tasks that may run while the site is closed" in caplog.text
    with override_maintenance():
        worker.line.turned(gate.view())
        worker.pump()
        assert worker.consumer.task_consumer.names == []


def test_an_ordinary_task_that_strayed_goes_to_the_end_where_the_broker_has_one(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    restored: list[str] = []
    qos = SimpleNamespace(restore_by_tag=restored.append)
    message = SimpleNamespace(
        channel=SimpleNamespace(qos=qos),
        delivery_tag="tag",
        reject_log_error=lambda *_: worker.log.append("forgotten"),
    )
    monkeypatch.setattr(Request, "message", message)
    with override_maintenance():
        worker.receive(worker.request(1))
        worker.receive(worker.request(2, routing_key="urgent"))
        worker.pump()
        worker.later()
    assert restored == ["tag"]
    assert worker.log == ["back 2", "forgotten", "event 1"]


def test_a_task_called_inside_a_request_is_part_of_that_request() -> None:
    app = new_app()
    install(app)

    @app.task(shared=False)  # type: ignore[untyped-decorator]
    def double(number: int) -> int:
        return 2 * number

    with override_maintenance():
        assert double(2) == 4
        assert double.apply([2]).get() == 4
        app.conf.task_always_eager = True
        assert double.delay(2).get() == 4
    assert not UNITS


# -- Beat --------------------------------------------------------------------------------------


class Scheduler(celery.beat.Scheduler):  # type: ignore[misc]
    """Celery's own, which notes what it sends."""

    sent: list[str]
    synced = 0

    def apply_async(self, entry: Any, **kwargs: Any) -> None:
        self.sent.append(entry.name)

    def sync(self) -> None:
        self.synced += 1


def rounds(scheduler: Scheduler) -> list[str]:
    """What it sends until it wants to rest."""
    scheduler.sent = []
    while scheduler.tick() == 0:
        pass
    return sorted(scheduler.sent)


@pytest.fixture
def service() -> Any:
    """A beat of which two entries have been due for hours."""
    from celery.schedules import crontab

    app = new_app()
    app.conf.beat_schedule = {
        "often": {"task": "often", "schedule": timedelta(minutes=5)},
        "by the clock": {"task": "clock", "schedule": crontab(minute="*/5")},
        "daily": {"task": "daily", "schedule": timedelta(days=1)},
    }
    service = celery.beat.Service(app, scheduler_cls=Scheduler)
    for held in service.scheduler.schedule.values():
        held.last_run_at -= timedelta(hours=6)
    beat.hold(service)
    return service


def test_beat_sends_nothing_while_closed_and_each_entry_once_afterwards(service: Any) -> None:
    with override_maintenance():
        assert rounds(service.scheduler) == []
        service.scheduler.sync()
        assert service.scheduler.synced == 0
    assert rounds(service.scheduler) == ["by the clock", "often"]
    assert rounds(service.scheduler) == []


def test_a_round_of_beat_is_counted_while_it_lasts(service: Any) -> None:
    seen: list[str] = []
    service.scheduler.apply_async = lambda *_, **__: seen.extend(unit.path for unit in UNITS)
    rounds(service.scheduler)
    assert seen == ["celery beat"] * 2
    assert not UNITS


def test_a_beat_that_ends_while_closed_keeps_what_it_has_sent(service: Any) -> None:
    with override_maintenance():
        service.sync()
    assert service.scheduler.synced == 1


# -- Installing --------------------------------------------------------------------------------


def test_installing_twice_adds_each_step_once_and_they_can_be_found() -> None:
    app = new_app()
    install(app)
    install(app)
    assert len(app.steps["worker"]) == len(app.steps["consumer"]) == 1
    blueprint = celery.worker.WorkController.Blueprint(steps=app.steps["worker"])
    assert steps.GateStep in blueprint.claim_steps().values()


def test_a_check_says_that_the_projects_app_does_not_heed_the_site() -> None:
    assert list(checks.check_celery()) == []
    app = new_app()
    celery._state._set_current_app(app)
    (message,) = checks.check_celery()
    assert message.id == "backsoon.W008"
    assert "'shop'" in message.msg
    install(app)
    assert list(checks.check_celery()) == []


def test_a_beat_of_another_app_is_left_alone(service: Any) -> None:
    other = celery.beat.Service(new_app(), scheduler_cls=Scheduler)
    tick = other.scheduler.tick
    install(new_app())
    celery.signals.beat_init.send(sender=other)
    assert other.scheduler.tick == tick


def test_a_celery_that_is_missing_or_too_old_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(celery, "__version__", "5.3.6")
    with pytest.raises(ImproperlyConfigured, match=r"5\.3\.6 is too old; 5\.4 or newer"):
        install(new_app())
    monkeypatch.setattr("backsoon.integrations.celery.find_spec", lambda name: None)
    with pytest.raises(ImproperlyConfigured, match=r"pip install 'django-backsoon\[celery\]'"):
        install(new_app())


def test_without_celery_the_mark_can_be_imported_and_changes_nothing() -> None:
    code = (
        "import sys; sys.modules['celery'] = None; sys.path[:0] = ['src']\n"
        "from backsoon.integrations.celery import maintenance_allowed\n"
        "print(maintenance_allowed(lambda: 'ran')())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "ran", done.stderr


def test_the_gate_step_registers_as_celery_and_heeds_the_gate(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kinds: list[str] = []
    monkeypatch.setattr("backsoon.registrar.set_kind", kinds.append)
    monkeypatch.setattr(gate, "_subscribers", [])
    controller = SimpleNamespace(pool=Processes(), semaphore=None, timer=None)
    step = steps.GateStep(controller)
    step.create(controller)
    assert kinds == ["celery"]
    step.start(controller)
    assert gate.knows
    assert gate._subscribers == [controller.backsoon_line.turned]
