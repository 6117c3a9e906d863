"""A customer's orders: list, order, pay, export."""

import csv
from collections.abc import AsyncIterator, Iterable, Iterator

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.handlers.asgi import ASGIRequest
from django.core.paginator import Paginator
from django.db.models import Count, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import get_language, override
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from demo.panel.forms import OrderForm
from demo.panel.models import Order
from demo.panel.ordering import STEPS, StepNotAllowedError, place_order, steps_from, take_step
from demo.panel.views.types import CustomerRequest

ORDERS_PER_PAGE = 10


@require_safe
@login_required
def order_list(request: CustomerRequest) -> HttpResponse:
    """List the customer's orders, of one status if the address asks for one that exists."""
    own = Order.objects.filter(customer=request.user)
    counts = dict(own.order_by().values_list("status").annotate(count=Count("pk")))
    chosen = request.GET.get("status", "")
    shown = own.select_related("product")
    if chosen in Order.Status.values:
        shown = shown.filter(status=chosen)
    else:
        chosen = ""
    filters = [{"value": "", "label": _("All"), "count": sum(counts.values())}]
    filters += [
        {"value": status.value, "label": status.label, "count": counts.get(status.value, 0)}
        for status in Order.Status
    ]
    page = Paginator(shown, ORDERS_PER_PAGE).get_page(request.GET.get("page"))
    context = {"page": page, "filters": filters, "chosen": chosen}
    return render(request, "panel/orders/list.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def order_create(request: CustomerRequest) -> HttpResponse:
    """Take a new order."""
    if request.method == "POST":
        form = OrderForm(request.POST)
        if form.is_valid():
            order = place_order(request.user, **form.cleaned_data)
            messages.success(request, _("Thank you. Your order was placed."))
            return redirect(order)
    else:
        form = OrderForm(initial={"product": request.GET.get("product", "")})
    return render(request, "panel/orders/create.html", {"form": form})


@require_safe
@login_required
def order_detail(request: CustomerRequest, pk: int) -> HttpResponse:
    """Show one of the customer's orders and what can be done with it."""
    order = _own_order(request, pk)
    context = {"order": order, "steps": steps_from(order.status)}
    return render(request, "panel/orders/detail.html", context)


@require_POST
@login_required
def order_step(request: CustomerRequest, pk: int, step: str) -> HttpResponse:
    """Let one of the customer's orders take a step: pay, deliver, cancel."""
    if step not in STEPS:
        raise Http404
    order = _own_order(request, pk)
    try:
        take_step(order, STEPS[step])
    except StepNotAllowedError:
        messages.error(request, _("This cannot be done with the order as it is now."))
    else:
        messages.success(request, str(STEPS[step].done))
    return redirect(order)


@require_safe
@login_required
def order_export(request: CustomerRequest) -> StreamingHttpResponse:
    """Send the customer's orders as CSV, row by row."""
    own = Order.objects.filter(customer=request.user).select_related("product")
    table = _OrderTable(own)
    return StreamingHttpResponse(
        # Each kind of server can pass on only its own kind of iterator as it goes.
        aiter(table) if isinstance(request, ASGIRequest) else iter(table),
        content_type="text/csv; charset=utf-8",
        headers={
            "Content-Disposition": 'attachment; filename="orders.csv"',
            "Cache-Control": "private, no-store",
        },
    )


def _own_order(request: HttpRequest, pk: int) -> Order:
    own = Order.objects.filter(customer_id=request.user.pk).select_related("product", "customer")
    return get_object_or_404(own, pk=pk)


class _Echo:
    """A file that hands back what is written to it."""

    def write(self, text: str) -> str:
        return text


def _csv_line(cells: Iterable[object]) -> str:
    # A spreadsheet takes a cell that begins like this for a formula; a quote in front stops that.
    safe = (f"'{cell}" if str(cell).startswith(tuple("=+-@\t\r")) else cell for cell in cells)
    line: str = csv.writer(_Echo()).writerow(safe)
    return line


class _OrderTable:
    """Orders as lines of CSV, in the language of the request.

    The lines are made while the answer is being sent, when the request's language may be gone.
    """

    def __init__(self, orders: QuerySet[Order]) -> None:
        self.orders = orders
        self.language = get_language() or settings.LANGUAGE_CODE

    def __iter__(self) -> Iterator[str]:
        yield self.head()
        for order in self.orders.iterator(chunk_size=200):
            yield self.row(order)

    async def __aiter__(self) -> AsyncIterator[str]:
        yield self.head()
        async for order in self.orders.aiterator(chunk_size=200):
            yield self.row(order)

    def head(self) -> str:
        with override(self.language):
            columns = [_("Order"), _("Placed"), _("Product"), _("Quantity"), _("Total (EUR)")]
            return _csv_line([*columns, _("Status"), _("Note")])

    def row(self, order: Order) -> str:
        placed = timezone.localtime(order.created_at).isoformat(timespec="seconds")
        amounts = [order.quantity, order.total]
        with override(self.language):
            product, status = str(order.product), order.get_status_display()
        return _csv_line([order.reference, placed, product, *amounts, status, order.note])
