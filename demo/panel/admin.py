"""The company's side: Django's own administration of products, services and orders."""

from typing import TYPE_CHECKING

from django.contrib import admin

from demo.panel.models import ApiToken, CustomerProfile, Order, Product, Service

if TYPE_CHECKING:
    ProductAdminBase = admin.ModelAdmin[Product]
    ServiceAdminBase = admin.ModelAdmin[Service]
    OrderAdminBase = admin.ModelAdmin[Order]
    ProfileAdminBase = admin.ModelAdmin[CustomerProfile]
    TokenAdminBase = admin.ModelAdmin[ApiToken]
else:
    # Django's class cannot be subscripted while the program runs.
    ProductAdminBase = ServiceAdminBase = OrderAdminBase = admin.ModelAdmin
    ProfileAdminBase = TokenAdminBase = admin.ModelAdmin


@admin.register(Product)
class ProductAdmin(ProductAdminBase):
    """The catalogue."""

    list_display = ("name", "kind", "price", "period", "available")
    list_filter = ("kind", "available")
    search_fields = ("name", "slug")
    prepopulated_fields = {"slug": ("name",)}


@admin.register(Service)
class ServiceAdmin(ServiceAdminBase):
    """What runs for whom."""

    list_display = ("label", "customer", "product", "status", "renews_on")
    list_filter = ("status", "product__kind")
    list_select_related = ("customer", "product")
    search_fields = ("label", "customer__username", "customer__email")
    date_hierarchy = "renews_on"
    autocomplete_fields = ("customer", "product")


@admin.register(Order)
class OrderAdmin(OrderAdminBase):
    """Orders of all customers."""

    list_display = ("reference", "customer", "product", "quantity", "unit_price", "status")
    list_filter = ("status", "product__kind")
    list_select_related = ("customer", "product")
    search_fields = ("customer__username", "customer__email", "note")
    date_hierarchy = "created_at"
    autocomplete_fields = ("customer", "product")
    readonly_fields = ("created_at", "updated_at")


@admin.register(CustomerProfile)
class CustomerProfileAdmin(ProfileAdminBase):
    """Languages of the customers."""

    list_display = ("user", "language")
    list_select_related = ("user",)
    search_fields = ("user__username",)


@admin.register(ApiToken)
class ApiTokenAdmin(TokenAdminBase):
    """Who holds a token. It can be taken away here; only its owner can make one."""

    list_display = ("user", "created_at")
    list_select_related = ("user",)
    readonly_fields = ("user", "created_at")

    def has_add_permission(self, request: object) -> bool:
        """Return False: a token made here could be shown to nobody."""
        return False
