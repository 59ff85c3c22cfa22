"""Calls hosts by name with every client; all names resolve to this machine."""

import asyncio
import importlib
import json
import os
import socket
import sys
import urllib.request

import httpx
import requests
from opentelemetry import baggage, context

import tachograph

HOSTS = ("api.vendor.example", "billing", "stock.shop.svc.cluster.local", "eu.partner.example", "127.0.0.1")
genuine = socket.getaddrinfo


def local(host, *args, **kwargs):
    return genuine("127.0.0.1", *args, **kwargs)


async def with_httpx_async(url: str) -> None:
    async with httpx.AsyncClient(follow_redirects=True) as client:
        await client.get(url)


def with_httpx(url: str) -> None:
    with httpx.Client(follow_redirects=True) as client:
        client.get(url)


def with_urllib(url: str) -> None:
    with urllib.request.urlopen(url) as answer:
        answer.read()


def with_urllib3(url: str) -> None:
    importlib.import_module("urllib3").PoolManager().request("GET", url)


def with_streaming(url: str) -> None:
    with httpx.stream("GET", url) as answer:
        answer.read()


CLIENTS = {
    "httpx": with_httpx,
    "httpx-async": lambda url: asyncio.run(with_httpx_async(url)),
    "httpx-stream": with_streaming,
    "requests": lambda url: requests.get(url, timeout=30),
    "urllib": with_urllib,
    "urllib3": with_urllib3,
}


def main(port: str, clients: list[str]) -> None:
    socket.getaddrinfo = local
    context.attach(baggage.set_baggage("tenant", "7"))
    with tachograph.bind(request_id="r-1", plan_id="p-1"), tachograph.agent("caller"):
        for client in clients:
            for host in HOSTS:
                CLIENTS[client](f"http://{host}:{port}/{client}/{host}")
            if "httpx-" not in client:
                CLIENTS[client](f"http://billing:{port}/{client}/redirected")


if __name__ == "__main__":
    main(os.environ["PEER_PORT"], sys.argv[1:])
    print(json.dumps({"done": True}))
