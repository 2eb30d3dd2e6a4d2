"""How the page of `commands.play` is served: to this machine only, on a port that is free."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator
from typing import Any

from common.errors import UserError

LAUNCH = {  # on this machine only, nothing shared, nothing uploaded, no file served but the pictures it drew
    "server_name": "127.0.0.1", "share": False, "max_file_size": 1, "allowed_paths": [], "enable_monitoring": False,
    "ssr_mode": False, "footer_links": [], "quiet": True,
}  # fmt: skip
OURS = ["127.0.0.1", "localhost"]  # what a browser here may call the page's host
WAITING = 100  # drawings that wait for their turn: a page that is opened asks for five
FIRST_PORT = 7860  # gradio's
COUNTS = {  # what gradio reads as a number while it is imported or begins to serve: the least and the most
    "GRADIO_SERVER_PORT": (1, 65_535), "GRADIO_NUM_PORTS": (1, 65_535), "GRADIO_NODE_NUM_PORTS": (1, 65_535),
    "GRADIO_ANALYTICS_MAX_EVENTS": (0, 10**9), "GRADIO_DEBUG": (0, 10**9),
}  # fmt: skip


def check_environment() -> None:
    """Take an empty variable of gradio's for one that is not set.

    Raises:
        UserError: a variable is no number, where gradio needs one.
    """
    for name, (least, most) in COUNTS.items():
        value = os.environ.get(name, "").strip()
        if not value:
            os.environ.pop(name, None)
        elif not (value.isdecimal() and least <= int(value) <= most):
            raise UserError(f"${name} is {value[:40]!r}: expected a number from {least} to {most}; or unset {name}")


@contextlib.contextmanager
def without_proxies() -> Iterator[None]:
    """Let nothing inside go by a proxy: gradio makes clients while it is imported, and when it begins to serve, asks
    its own server whether it is there, which a proxy does not find. What a training downloads later goes by it."""
    before = os.environ.get("no_proxy")
    os.environ["no_proxy"] = "*"
    try:
        yield
    finally:
        del os.environ["no_proxy"]
        os.environ.update({} if before is None else {"no_proxy": before})


def serve(page: Any, port: int | None, anyone: bool = False, wait: bool = True) -> None:
    """Serve gradio's `page`, say where it is, and `wait` for Ctrl-C. Without a `port`: on the first free one.

    Unless `anyone` may ask, as through AI Studio's own server, only who calls this machine `OURS` is answered: a page
    of the web can have its name lead to 127.0.0.1, and the browser takes what is there for that page's own.

    Raises:
        UserError: the port is taken, or none is free.
    """
    from starlette.middleware import Middleware  # gradio's
    from starlette.middleware.trustedhost import TrustedHostMiddleware

    logging.getLogger("httpx").setLevel(logging.WARNING)  # gradio asks its own server whether it is there
    hosts = [] if anyone else [Middleware(TrustedHostMiddleware, allowed_hosts=OURS, www_redirect=False)]
    page.queue(max_size=WAITING)
    try:
        with without_proxies():
            _, address, _ = page.launch(
                **LAUNCH, server_port=port, app_kwargs={"middleware": hosts}, prevent_thread_lock=True
            )
    except (OSError, OverflowError) as error:
        if port is None:
            raise UserError(f"no free port from {FIRST_PORT} on: give --port") from error
        way_out = "name another, or leave --port out for the first free one"
        raise UserError(f"--port {port}: something else is there, or it may not be used; {way_out}") from error
    taken = "" if port or page.server_port == FIRST_PORT else f" (port {FIRST_PORT} is taken)"
    print(f"the page is at {address}{taken}; Ctrl-C ends it", flush=True)
    if wait:
        page.block_thread()
