"""Logging in, and what a customer may change about themselves."""

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.models import User
from django.contrib.auth.views import LoginView
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import translation
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from demo.panel.forms import ProfileForm
from demo.panel.models import ApiToken, CustomerProfile
from demo.panel.views.types import CustomerRequest


class PanelLoginView(LoginView):
    """Log a customer in, and bring their language to this browser."""

    template_name = "panel/account/login.html"

    def form_valid(self, form: AuthenticationForm) -> HttpResponse:
        """Log in and set the language cookie, where the customer has chosen a language."""
        response = super().form_valid(form)
        chosen = CustomerProfile.objects.filter(user=form.get_user()).first()
        if chosen and chosen.language:
            _remember_language(response, chosen.language)
        return response


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def profile(request: CustomerRequest) -> HttpResponse:
    """Show and change name, e-mail address and language."""
    # The form writes into its user even where it refuses, and the page's header shows the other.
    user = User.objects.get(pk=request.user.pk)
    form = ProfileForm(request.POST or None, instance=user)
    if request.method == "POST" and form.is_valid():
        form.save()
        language = form.cleaned_data["language"]
        with translation.override(language or translation.get_language()):
            messages.success(request, _("Your profile was saved."))
        response = redirect("profile")
        if language:
            _remember_language(response, language)
        else:
            response.delete_cookie(settings.LANGUAGE_COOKIE_NAME)
        return response
    return _profile_page(request, form)


@never_cache
@require_POST
@login_required
def renew_token(request: CustomerRequest) -> HttpResponse:
    """Make a new API token and show it, this once."""
    token = ApiToken.issue(request.user)
    return _profile_page(request, ProfileForm(instance=request.user), new_token=token)


def _profile_page(request: CustomerRequest, form: ProfileForm, new_token: str = "") -> HttpResponse:
    token = ApiToken.objects.filter(user=request.user).first()
    context = {"form": form, "token": token, "new_token": new_token}
    return render(request, "panel/account/profile.html", context)


def _remember_language(response: HttpResponse, language: str) -> None:
    response.set_cookie(
        settings.LANGUAGE_COOKIE_NAME,
        language,
        max_age=365 * 24 * 3600,
        samesite="Lax",
        secure=settings.SESSION_COOKIE_SECURE,
    )
