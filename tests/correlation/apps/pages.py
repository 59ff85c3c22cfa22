"""A Django application behind the reference WSGI server, not told about telemetry."""

import logging
import os
from wsgiref.simple_server import WSGIRequestHandler, make_server

from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse, JsonResponse, StreamingHttpResponse
from django.urls import path

import tachograph

log = logging.getLogger("app.pages")


class Quiet(WSGIRequestHandler):
    def log_message(self, *args: object) -> None:
        return


def seen(_request: object, name: str) -> JsonResponse:
    log.warning("pages %s", name)
    return JsonResponse(dict(tachograph.correlation.ids()))


def fail(_request: object) -> None:
    raise RuntimeError("as asked")


def own(_request: object) -> HttpResponse:
    return HttpResponse("own", headers={"X-Request-ID": "of-the-app"})


def stream(_request: object) -> StreamingHttpResponse:
    def chunks():
        log.warning("pages streams")
        yield tachograph.correlation.ids().get("request_id", "lost")

    return StreamingHttpResponse(chunks())


urlpatterns = [path("seen/<name>", seen), path("fail", fail), path("own", own), path("stream", stream)]

if __name__ == "__main__":
    with make_server("127.0.0.1", int(os.environ["APP_PORT"]), get_wsgi_application(), handler_class=Quiet) as server:
        server.serve_forever()
