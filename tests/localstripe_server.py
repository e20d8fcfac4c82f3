"""Run localstripe on loopback only; its own command would listen on every interface."""

from __future__ import annotations

import sys

import localstripe.server
from aiohttp import web

if __name__ == "__main__":
    web.run_app(
        localstripe.server.app, host="127.0.0.1", port=int(sys.argv[1]), print=None, access_log=None
    )
