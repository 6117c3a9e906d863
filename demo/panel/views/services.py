"""What a customer runs with us."""

from typing import Any

from asgiref.sync import sync_to_async
from django.contrib.auth.decorators import login_required
from django.contrib.auth.views import redirect_to_login
from django.db.models import Count
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import get_object_or_404, render
from django.utils import timezone
from django.utils.cache import patch_vary_headers
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from demo.panel.models import Service
from demo.panel.problems import Problem
from demo.panel.views.types import CustomerRequest


@require_safe
@login_required
def service_list(request: CustomerRequest) -> HttpResponse:
    """List the customer's services, the one that is due first on top."""
    services = Service.objects.filter(customer=request.user).select_related("product")
    return render(request, "panel/services/list.html", {"services": services})


@require_safe
@login_required
def service_detail(request: CustomerRequest, pk: int) -> HttpResponse:
    """Show one of the customer's services."""
    services = Service.objects.filter(customer=request.user).select_related("product")
    service = get_object_or_404(services, pk=pk)
    return render(request, "panel/services/detail.html", {"service": service})


@require_safe
async def service_status(request: HttpRequest) -> HttpResponseBase:
    """Sum up the customer's services, as a page or as JSON, whichever the client prefers.

    An asynchronous view, so that the demo under ASGI has one.
    """
    wants_json = request.get_preferred_type(["text/html", "application/json"]) == "application/json"
    response = await (_status_json(request) if wants_json else _status_page(request))
    patch_vary_headers(response, ["Accept", "Cookie"])
    return response


async def _status_page(request: HttpRequest) -> HttpResponseBase:
    user = await request.auser()
    if not user.is_authenticated:
        return redirect_to_login(request.get_full_path())
    context = await _summary(user.pk)
    # The page names the user, and a template can only look that up synchronously.
    return await sync_to_async(render)(request, "panel/services/status.html", context)


async def _status_json(request: HttpRequest) -> HttpResponseBase:
    user = await request.auser()
    if not user.is_authenticated:
        return Problem(401, _("Log in first.")).response()
    summary = await _summary(user.pk)
    due = summary["next_due"]
    return JsonResponse(
        {
            "checked_at": summary["checked_at"],
            "services": {line["status"].value: line["count"] for line in summary["lines"]},
            "next_renewal": due and {"service": due.label, "renews_on": due.renews_on},
        },
        headers={"Cache-Control": "private, no-store"},
    )


async def _summary(customer_id: int) -> dict[str, Any]:
    services = Service.objects.filter(customer_id=customer_id)
    counted = services.order_by().values_list("status").annotate(count=Count("pk"))
    counts = {status: count async for status, count in counted}
    renewing = services.exclude(status=Service.Status.ENDING)
    return {
        "checked_at": timezone.now(),
        "lines": [
            {"status": status, "count": counts.get(status.value, 0)} for status in Service.Status
        ],
        "next_due": await renewing.order_by("renews_on").afirst(),
    }
