"""Where addresses lead, found once: what gates ask for has the same address a thousand times.

werkzeug walks its rules anew for each request and leaves a cycle of objects behind (its
matcher calls itself by name). In a server that charges hundreds of taps a second those cycles
are all there is for Python's collector to do.
"""

from __future__ import annotations

from typing import Any

from flask import Flask
from werkzeug.routing import Map, MapAdapter, Rule


class KnownAddresses(Map):
    """werkzeug's map, which remembers the addresses without variable parts that it found."""

    def __init__(self, *rules: Any, **options: Any) -> None:
        super().__init__(*rules, **options)
        self.known: dict[tuple[str, str, bool], Rule] = {}

    def bind_to_environ(self, *arguments: Any, **options: Any) -> MapAdapter:
        """The adapter of one request."""
        bound = super().bind_to_environ(*arguments, **options)
        return _Adapter(
            self, bound.server_name, bound.script_name, bound.subdomain, bound.url_scheme,
            bound.path_info, bound.default_method, bound.query_args,
        )  # fmt: skip


class _Adapter(MapAdapter):
    map: KnownAddresses

    def match(self, *arguments: Any, **options: Any) -> Any:
        """As werkzeug does; what Flask asks about each request is remembered."""
        if arguments or options != {"return_rule": True}:
            return super().match(*arguments, **options)
        asked = self.default_method, self.path_info, self.websocket
        rule = self.map.known.get(asked)
        if rule is not None:
            return rule, {}
        rule, values = super().match(return_rule=True)
        # Only as the rule itself spells it, so there are no more of these than rules and methods:
        # nobody fills the memory with //page and pOsT.
        if rule.rule == self.path_info and self.default_method in (rule.methods or ()):
            self.map.known[asked] = rule
        return rule, values


class Application(Flask):
    """Flask with addresses that are found once."""

    url_map_class = KnownAddresses
