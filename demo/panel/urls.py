"""Routes of the client area."""

from django.contrib.auth.views import LogoutView
from django.urls import include, path, re_path

from demo.panel.views import account, api, orders, services, site

api_urls = [
    path("orders/", api.order_collection, name="api-orders"),
    path("orders/<int:pk>/", api.order_item, name="api-order"),
    re_path("", api.not_found),
]

urlpatterns = [
    path("", site.home, name="home"),
    path("legal/", site.legal, name="legal"),
    path("healthz", site.healthz, name="healthz"),
    path("services/", services.service_list, name="services"),
    path("services/status/", services.service_status, name="service-status"),
    path("services/<int:pk>/", services.service_detail, name="service"),
    path("orders/", orders.order_list, name="orders"),
    path("orders/new/", orders.order_create, name="order-create"),
    path("orders/export.csv", orders.order_export, name="order-export"),
    path("orders/<int:pk>/", orders.order_detail, name="order"),
    path("orders/<int:pk>/<slug:step>/", orders.order_step, name="order-step"),
    path("profile/", account.profile, name="profile"),
    path("profile/token/", account.renew_token, name="token-renew"),
    path("login/", account.PanelLoginView.as_view(), name="login"),
    path("logout/", LogoutView.as_view(), name="logout"),
    path("api/", include(api_urls)),
]
