"""The client area's forms. The API checks what it is sent with the same ones."""

from typing import TYPE_CHECKING

from django import forms
from django.conf import settings
from django.contrib.auth.models import User
from django.utils.translation import gettext_lazy as _

from demo.panel.formats import money
from demo.panel.models import MAX_NOTE_LENGTH, MAX_QUANTITY, CustomerProfile, Product

if TYPE_CHECKING:
    ProductFieldBase = forms.ModelChoiceField[Product]
    ProfileFormBase = forms.ModelForm[User]
else:
    # Django's classes cannot be subscripted while the program runs.
    ProductFieldBase, ProfileFormBase = forms.ModelChoiceField, forms.ModelForm


class ProductField(ProductFieldBase):
    """A choice among the products that can be ordered, named as a customer knows them."""

    def label_from_instance(self, obj: Product) -> str:
        """Return the product with its price."""
        return f"{obj} — {money(obj.price)} {obj.get_period_display()}"


class OrderForm(forms.Form):
    """A new order."""

    product = ProductField(
        label=_("Product"),
        queryset=Product.objects.filter(available=True),
        to_field_name="slug",
        empty_label=_("Choose a product"),
        error_messages={"invalid_choice": _("This product is not in our catalogue.")},
    )
    quantity = forms.IntegerField(
        label=_("Quantity"),
        min_value=1,
        max_value=MAX_QUANTITY,
        initial=1,
        widget=forms.NumberInput(attrs={"inputmode": "numeric"}),
    )
    note = forms.CharField(
        label=_("Note (optional)"),
        required=False,
        max_length=MAX_NOTE_LENGTH,
        widget=forms.Textarea(attrs={"rows": 4}),
        help_text=_("For example the domain name you would like."),
    )

    def clean_note(self) -> str:
        """Refuse half characters, which JSON can spell but no database can store."""
        note: str = self.cleaned_data["note"]
        try:
            note.encode()
        except UnicodeEncodeError as error:
            raise forms.ValidationError(
                _("The note holds a character that cannot be stored.")
            ) from error
        return note


class ProfileForm(ProfileFormBase):
    """Name, e-mail address and language of a customer."""

    language = forms.ChoiceField(
        label=_("Language"),
        required=False,
        choices=[("", _("As my browser asks for")), *settings.LANGUAGES],
    )

    class Meta:
        model = User
        fields = ("first_name", "last_name", "email", "language")

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        self.fields["email"].required = True
        for name, purpose in {
            "first_name": "given-name",
            "last_name": "family-name",
            "email": "email",
        }.items():
            self.fields[name].widget.attrs["autocomplete"] = purpose
        profile = CustomerProfile.objects.filter(user=self.instance).first()
        self.initial["language"] = profile.language if profile else ""

    def save(self, commit: bool = True) -> User:
        """Save the user and, beside it, the language."""
        user = super().save(commit)
        CustomerProfile.objects.update_or_create(
            user=user, defaults={"language": self.cleaned_data["language"]}
        )
        return user
