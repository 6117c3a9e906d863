"""Signals that projects may connect to.

``state_changed`` is sent after the commit of a change, in the process that made it, with
``change`` (:class:`backsoon.models.Change`), ``before`` and ``after``
(:class:`backsoon.core.vocabulary.State`). Receivers that fail are logged and stop nothing.

``closure_overdue`` is sent once when a closure by hand has lasted too long, in the process that
noticed it first, with ``change`` (the row of the history), ``state`` (what was true until then) and
``opens`` (whether the site has opened for that reason). Receivers that fail are logged.

``trouble_after_opening`` is sent once when more requests fail since the site opened than did before
it was closed, in the process that noticed it first, with ``change`` (the row of the history),
``before`` and ``after`` (:class:`backsoon.core.watch.Share`). Receivers that fail are logged.

``page_broken`` is sent when the page's template could not be rendered and the built-in page was
served instead, with ``error`` (the exception).

``committed`` is for Backsoon itself: something was stored, and this process should read it now.
``outbox_filled`` as well: there is something new to tell people. And ``ticked``: the watcher has
looked, in its thread.
"""

from django.dispatch import Signal

state_changed = Signal()
closure_overdue = Signal()
trouble_after_opening = Signal()
page_broken = Signal()
committed = Signal()
outbox_filled = Signal()
ticked = Signal()
