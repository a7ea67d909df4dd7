"""Every path of the web process."""

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.urls import include, path
from django.views.generic import RedirectView
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

from calls import admin_checks
from sipengine import simulator


def healthz(request: HttpRequest) -> HttpResponse:
    """Answer 200 while the web process serves."""
    return HttpResponse("ok\n", content_type="text/plain")


urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index")),
    path("healthz", healthz, name="healthz"),
    path("admin/check/<str:kind>/<int:pk>/", admin.site.admin_view(admin_checks.view), name="check"),
    path("admin/simulator/", admin.site.admin_view(simulator.view), name="simulator"),
    path("admin/", include("routing.admin_urls")),
    path("admin/", admin.site.urls),
    path("voice/", include("routing.urls")),
    path("recordings/", include("calls.urls")),
    path("2010-04-01/", include("routing.api.urls")),
    path("2010-04-01/", include("calls.api.urls")),
    path("v1/", include("routing.api.token_urls")),
    path("api/v1/", include("calls.api.v1.urls")),
    path("api/schema/", SpectacularAPIView.as_view(), name="schema"),
    path("api/docs/", SpectacularSwaggerSplitView.as_view(url_name="schema"), name="api-docs"),
]
