"""The JSON API for orders.

A program sends ``Authorization: Bearer <token>``; a page of this site uses its session. A browser
adds the session's cookie to forged requests too, so those must carry the CSRF token. It never
adds a bearer token by itself: a request with one needs no more, and its session is not looked at.
"""

import json
from collections.abc import Callable
from functools import wraps

from django.contrib.auth.models import AnonymousUser, User
from django.core.exceptions import RequestDataTooBig
from django.core.paginator import EmptyPage, PageNotAnInteger, Paginator
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.middleware.csrf import CsrfViewMiddleware
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.vary import vary_on_headers

from demo.panel.forms import OrderForm
from demo.panel.models import ApiToken, Order
from demo.panel.ordering import place_order
from demo.panel.problems import Problem
from demo.panel.views.types import CustomerRequest

ORDERS_PER_PAGE = 50

View = Callable[..., HttpResponse]


def endpoint(*methods: str) -> Callable[[View], View]:
    """Make a view answer these methods only, to known customers only, and errors as JSON."""

    def decorate(view: View) -> View:
        @csrf_exempt
        @vary_on_headers("Authorization")
        @wraps(view)
        def wrapper(request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
            try:
                if request.method not in methods:
                    allowed = {"Allow": ", ".join(methods)}
                    raise Problem(405, _("This address does not know the method."), headers=allowed)
                request.user = _customer(request)
                return view(request, *args, **kwargs)
            except Problem as problem:
                return problem.response()

        return wrapper

    return decorate


@endpoint("GET", "HEAD", "POST")
def order_collection(request: CustomerRequest) -> HttpResponse:
    """List the customer's orders (``?status=``, ``?page=``), or take a new one."""
    return _create_order(request) if request.method == "POST" else _list_orders(request)


@endpoint("GET", "HEAD")
def order_item(request: CustomerRequest, pk: int) -> HttpResponse:
    """Show one of the customer's orders."""
    own = Order.objects.filter(customer=request.user).select_related("product")
    order = own.filter(pk=pk).first()
    if order is None:
        raise Problem(404, _("You have no such order."))
    return _private(_order_json(order))


@csrf_exempt
def not_found(request: HttpRequest) -> HttpResponse:
    """Answer every other address below the API's."""
    return Problem(404, _("There is nothing at this address.")).response()


def _customer(request: HttpRequest) -> User:
    """Return who sent the request; raise a `Problem` where that is nobody or may be forged."""
    scheme, _separator, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        digest = ApiToken.digest_of(token.strip())
        known = ApiToken.objects.select_related("user").filter(digest=digest).first()
        if known is None or not known.user.is_active:
            raise Problem(401, _("The token is not valid."))
        return known.user
    if isinstance(request.user, AnonymousUser) or not request.user.is_authenticated:
        raise Problem(401, _("Log in, or send a token."))
    # The view is exempt, so Django's own check did not run; this is the same one.
    if CsrfViewMiddleware(_unreachable).process_view(request, _unreachable, (), {}):
        raise Problem(403, _("The CSRF token is missing or wrong."))
    return request.user


def _unreachable(request: HttpRequest) -> HttpResponse:
    """Stand in for the view: the check wants one and never calls it."""
    raise NotImplementedError


def _list_orders(request: CustomerRequest) -> HttpResponse:
    orders = Order.objects.filter(customer=request.user).select_related("product")
    status = request.GET.get("status")
    if status is not None:
        if status not in Order.Status.values:
            message = _("Choose one of: %(choices)s.") % {"choices": ", ".join(Order.Status.values)}
            raise Problem(400, _("There is no such status."), errors={"status": [message]})
        orders = orders.filter(status=status)
    pages = Paginator(orders, ORDERS_PER_PAGE)
    try:
        page = pages.page(request.GET.get("page", 1))
    except EmptyPage as error:
        raise Problem(404, _("There is no such page.")) from error
    except PageNotAnInteger as error:
        raise Problem(400, _("The page is not a number.")) from error
    return _private(
        {
            "count": pages.count,
            "page": page.number,
            "pages": pages.num_pages,
            "results": [_order_json(order) for order in page],
        }
    )


def _create_order(request: CustomerRequest) -> HttpResponse:
    data = _json_object(request)
    errors = _wrong_types(data)
    form = OrderForm({key: data[key] for key in data if key not in errors})
    if not form.is_valid():
        for field, messages in form.errors.items():
            errors.setdefault(field, [str(message) for message in messages])
    if errors:
        raise Problem(422, _("The order is not complete or not correct."), errors=errors)
    order = place_order(request.user, **form.cleaned_data)
    response = _private(_order_json(order), status=201)
    response["Location"] = reverse("api-order", args=[order.pk])
    return response


def _json_object(request: HttpRequest) -> dict[str, object]:
    if request.content_type != "application/json":
        raise Problem(415, _("Send the order as application/json."))
    try:
        data = json.loads(request.body)
    except RequestDataTooBig as error:
        raise Problem(413, _("The request is too long.")) from error
    except (ValueError, RecursionError) as error:
        raise Problem(400, _("The request is not JSON.")) from error
    if not isinstance(data, dict):
        raise Problem(400, _("The request is not a JSON object."))
    return data


def _wrong_types(data: dict[str, object]) -> dict[str, list[str]]:
    """Return messages for values that a form would accept and that an API should not.

    A form reads text, so ``"2"``, ``2.0`` and ``2`` are one to it.
    """
    errors: dict[str, list[str]] = {}
    for field, kind in {"product": str, "quantity": int, "note": str}.items():
        # In Python, True is an integer; in JSON, it is not.
        if field in data and type(data[field]) is not kind:
            message = _("This is not a text.") if kind is str else _("This is not a whole number.")
            errors[field] = [message]
    for field in data.keys() - {"product", "quantity", "note"}:
        errors[field] = [_("There is no such field.")]
    return errors


def _order_json(order: Order) -> dict[str, object]:
    return {
        "id": order.pk,
        "reference": order.reference,
        "product": {"slug": order.product.slug, "name": order.product.name},
        "quantity": order.quantity,
        # Amounts travel as text: a JSON number would be read back as binary floating point.
        "unit_price": str(order.unit_price),
        "total": str(order.total),
        "currency": "EUR",
        "status": order.status,
        "note": order.note,
        "created_at": order.created_at,
        "updated_at": order.updated_at,
        "url": order.get_absolute_url(),
    }


def _private(body: dict[str, object], status: int = 200) -> JsonResponse:
    return JsonResponse(body, status=status, headers={"Cache-Control": "private, no-store"})
