"""The pages that belong to nobody in particular."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from backsoon.decorators import always_open
from demo.panel.models import Order, Product, Service


@require_safe
def home(request: HttpRequest) -> HttpResponse:
    """Show the catalogue; to a customer also what is due next and what was ordered last."""
    context: dict[str, object] = {"products": Product.objects.filter(available=True)}
    if request.user.is_authenticated:
        services = Service.objects.filter(customer=request.user)
        context |= {
            "services": services.select_related("product")[:4],
            "orders": Order.objects.filter(customer=request.user).select_related("product")[:4],
        }
    return render(request, "panel/home.html", context)


@always_open
@require_safe
def legal(request: HttpRequest) -> HttpResponse:
    """Say who runs the site: in many countries this must be within reach at any time."""
    return render(request, "panel/legal.html")


@never_cache
@require_safe
def healthz(request: HttpRequest) -> HttpResponse:
    """Say that the process answers. It asks neither the database nor a session."""
    return HttpResponse("ok", content_type="text/plain; charset=utf-8")
