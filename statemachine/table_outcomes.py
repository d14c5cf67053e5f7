"""The table of remembered outcomes: what makes a command that comes twice happen once. When to remember is `state.py`'s."""

from __future__ import annotations

from collections.abc import Iterable

from statemachine.names import key_name
from statemachine.outcomes import Remembered
from statemachine.pages import Pages
from statemachine.table_base import TableBase


class OutcomeTables(TableBase):
    """Outcomes by their keys, and in order of expiry."""

    def __init__(self) -> None:
        super().__init__()
        self.outcomes: dict[str, Remembered] = {}  # by `key_name`
        # Derived from here on.
        self.keys_by_scope: dict[str, list[str]] = {}  # by `key_name`, oldest first; clients' keys only
        self.client_keys: Pages[Remembered] = Pages()  # in order of expiry: one class has one keeping time
        self.node_keys: Pages[Remembered] = Pages()

    def remember(self, name: str, remembered: Remembered) -> None:
        """Keep the first outcome under a key that is not known yet."""
        self.outcomes[name] = remembered
        if remembered.lasting:
            names = self.keys_by_scope.get(remembered.scope)
            if names is None:
                self.keys_by_scope[remembered.scope] = [name]
            else:
                names.append(name)
            self.client_keys.append(remembered)
        else:
            self.node_keys.append(remembered)

    def forget_outcomes(self, scopes: Iterable[str]) -> None:
        """Forget every remembered outcome under these scopes."""
        wanted = frozenset(scopes)
        for remembered in [each for each in self.node_keys if each.scope in wanted]:  # those of 15 seconds
            self.node_keys.forget(remembered)
            del self.outcomes[key_name(remembered.scope, remembered.key)]
        for scope in wanted:  # in whatever order: nothing that is left depends on it
            for name in self.keys_by_scope.pop(scope, ()):
                self.client_keys.forget(self.outcomes.pop(name))

    def expire_outcomes(self) -> None:
        """Forget the keys whose time is over by log time."""
        now_ms = self.now_ms
        node_keys = self.node_keys
        while (oldest := node_keys.first()) is not None and oldest.expires_at_ms <= now_ms:
            node_keys.drop_first()
            del self.outcomes[key_name(oldest.scope, oldest.key)]
        client_keys = self.client_keys
        while (oldest := client_keys.first()) is not None and oldest.expires_at_ms <= now_ms:
            client_keys.drop_first()
            scope = oldest.scope
            del self.outcomes[key_name(scope, oldest.key)]
            names = self.keys_by_scope[scope]
            if len(names) > 1:
                del names[0]
            else:
                del self.keys_by_scope[scope]
